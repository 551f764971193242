"""What the end of a job means for its task, and whether another end explains it. Pure, except for its callbacks."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..plan.dependency import Ref
from ..slurm.parse import Record
from ..slurm.states import JobState
from .outcome import AttemptFailed, Job, Outcome, TaskEnded, TaskEvent, TaskRequeued, TaskRuns, TaskStuck
from .segments import is_to_be_continued
from .tasks import Tasks, TaskState
from .watch import Change, Followed


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The state of the queue while changes are judged."""

    followed: Mapping[str, Followed]
    """Jobs that have not ended."""
    doomed: Collection[str] = ()
    """Jobs that were cancelled because they could never start."""
    was_answered: bool = True
    """All queries were answered, so a job that is in no answer is unknown to all sources."""


@dataclass(kw_only=True)
class Judge:
    """Turns changes of jobs into events of tasks.

    A task whose job Slurm has removed from the queue usually fell with another task. If the end of that task is not
    known yet, the judgement waits for it; if no task before it has failed, the message says so.
    """

    tasks: Tasks
    was_stopped: Callable[[str], bool]
    """Whether a job was cancelled because the run stops."""
    cancel: Callable[[Collection[str]], object]
    gates: dict[str, str] = field(default_factory=dict)
    """Labels of gates that a user has cancelled, by job id."""
    _held: list[Change] = field(default_factory=list)

    def judge(self, changes: Sequence[Change], view: View) -> tuple[TaskEvent, ...]:
        """The meaning of the changes, and of earlier ends that could not be explained until now."""
        left, events = [*changes, *self._held], list[TaskEvent]()
        while left:
            self._held = []
            events += [event for change in left for event in self._events(change, view)]
            if len(self._held) == len(left):
                break
            left = self._held  # an end that was judged after these may explain them
        if self._held and not view.followed:
            left, self._held = self._held, []
            events += [event for change in left for event in self._events(change, view, is_last=True)]
        return tuple(events)

    def job_of(self, ref: Ref) -> Job | None:
        """The job of a task's attempt; None for a gate, or for a task that is submitted again."""
        state = self.tasks.get(ref.task)
        return state.jobs.get(ref.attempt) if state else None

    def _events(self, change: Change, view: View, *, is_last: bool = False) -> Iterator[TaskEvent]:
        ref, record = change.job.ref, change.record
        job = self.job_of(ref)
        if job is None:
            return
        if change.has_started:
            yield TaskRuns(task=ref.task, job=job, node=record.node)
        if change.was_requeued:
            yield TaskRequeued(task=ref.task, job=job)
        if change.is_stuck:
            yield TaskStuck(task=ref.task, job=job, reason=record.stuck, is_held=record.is_held)
        if change.has_ended and not self.tasks[ref.task].ended:
            yield from self._ended(self.tasks[ref.task], change, view, is_last=is_last)

    def _ended(self, state: TaskState, change: Change, view: View, *, is_last: bool) -> Iterator[TaskEvent]:
        attempt, record = change.job.ref.attempt, change.record
        job = state.jobs[attempt]
        if attempt in state.passed_over():
            yield from self._of_failed_segment(state, attempt, view)
            return
        stopped = record.state is JobState.CANCELLED and not record.node and self.was_stopped(job.job_id)
        outcome = self.tasks.outcome(state.task, record, never=job.job_id in view.doomed, stopped=stopped)
        later = [number for number in state.jobs if number > attempt]
        rest = [number for number in later if number in state.passed_over()]
        self.cancel([state.jobs[number].job_id for number in rest if number in state.open_attempts])
        later = [number for number in later if number not in rest]
        if outcome is not Outcome.SUCCEEDED and any(number < attempt for number in state.open_attempts):
            return  # a user has cancelled a pending attempt; the running attempt decides
        if outcome is Outcome.LOST and any(_has_started(state, number, view) for number in later):
            outcome = Outcome.FAILED  # Slurm starts a later job of the task only when this one has ended, and not well
        if outcome is Outcome.FAILED and (
            to_come := [number for number in later if _counts(state.records.get(number))]
        ):
            yield AttemptFailed(task=state.task.key, job=job, record=record, next=state.jobs[to_come[0]])
            return
        if attempt + 1 in state.records and _goes_on(job, record):
            yield from self._judged_by(state, attempt + 1, view)  # whoever cancelled it has ended the task
            return
        if outcome is not Outcome.SUCCEEDED and any(_well(state.records.get(number)) for number in later):
            return  # reported with the attempt that has succeeded
        if outcome is Outcome.CUT_OFF and not is_last and self._may_be_explained(state, view):
            self._held.append(change)
            return
        if outcome in (Outcome.CANCELLED, Outcome.LOST):
            # A cancelled task is not retried; nor is a lost task, since it may still run.
            self.cancel([state.jobs[number].job_id for number in later if number in state.open_attempts])
        why = self._what_is_known() if outcome is Outcome.CUT_OFF else ""
        state.ended = TaskEnded(
            task=state.task.key, label=state.task.label, outcome=outcome, why=why, job=job, record=record
        )
        yield state.ended

    def _of_failed_segment(self, state: TaskState, behind: int, view: View) -> Iterator[TaskEvent]:
        """The end of a task whose last attempt has failed in a segment that an earlier process has seen, and did not judge.

        Args:
            state: of the task.
            behind: a segment of the attempt that was passed over.
            view: of the queue.
        """
        is_last = state.jobs[behind].submission.turn.attempt == state.jobs[max(state.jobs)].submission.turn.attempt
        if not is_last or state.open_attempts:
            return
        failed = max(number for number in state.records if number < behind and number not in state.passed_over())
        yield from self._judged_by(state, failed, view)

    def _judged_by(self, state: TaskState, number: int, view: View) -> Iterator[TaskEvent]:
        """What the end of another job of the task means, which is known already."""
        job = state.jobs[number]
        followed = Followed(ref=job.submission.ref, job_id=job.job_id)
        yield from self._ended(state, Change(job=followed, record=state.records[number]), view, is_last=True)

    def _may_be_explained(self, state: TaskState, view: View) -> bool:
        """Whether the end of a task before this task is not known yet."""
        before = (self.tasks.get(edge.on) for edge in state.task.edges)
        return any(other is not None and other.ended is None and _is_unclear(other, view) for other in before)

    def _what_is_known(self) -> str:
        if not self.gates:
            return ""
        gates = ", ".join(f"Slurm job {job_id} (gate of {label})" for job_id, label in self.gates.items())
        return f"cancelled, and something may have waited for it: {gates}"


def _is_unclear(state: TaskState, view: View) -> bool:
    jobs = [view.followed.get(state.jobs[number].job_id) for number in state.open_attempts]
    return not view.was_answered or not jobs or any(job is None or job.missing_since is not None for job in jobs)


def _has_started(state: TaskState, number: int, view: View) -> bool:
    job, record = view.followed.get(state.jobs[number].job_id), state.records.get(number)
    return (job is not None and job.state is JobState.RUNNING) or (record is not None and bool(record.node))


def _goes_on(job: Job, record: Record) -> bool:
    """Whether a job was a segment that is no failure, and not the last."""
    return not job.submission.turn.is_last_segment and is_to_be_continued(record)


def _counts(record: Record | None) -> bool:
    """Whether an attempt has not ended yet, or has ended by itself."""
    return record is None or record.state in (JobState.SUCCEEDED, JobState.FAILED)


def _well(record: Record | None) -> bool:
    return record is not None and record.state is JobState.SUCCEEDED
