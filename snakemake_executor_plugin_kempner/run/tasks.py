"""The tasks of a run that have been submitted or decided, with queries about all of them. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ..plan.dependency import DependencyType, Ref
from ..plan.task import Deferred, Task
from ..site.request import request_of
from ..slurm.parse import Record
from ..slurm.states import JobState
from .adopt import QueuedTask
from .outcome import OUTCOMES, Job, Outcome, RuleJobs, TaskEnded, decided_by
from .segments import passed_over


@dataclass(kw_only=True)
class TaskState:
    """A task and its jobs."""

    task: Task
    jobs: dict[int, Job] = field(default_factory=dict)
    """By number of the attempt."""
    records: dict[int, Record] = field(default_factory=dict)
    """Ends of attempts."""
    ended: TaskEnded | None = None
    complete: bool = True
    """All attempts have been submitted."""

    @classmethod
    def of(cls, left: QueuedTask) -> Self:
        """A task that an earlier process has submitted."""
        task = Task(key=left.task, name=left.label, wildcards={}, attempts=(), edges=left.edges)
        state = cls(task=task, jobs=dict(left.jobs), records=dict(left.records), complete=left.complete)
        for attempt, record in left.records.items():
            if record.state is JobState.SUCCEEDED:
                job = left.jobs[attempt]
                state.ended = TaskEnded(
                    task=left.task, label=left.label, outcome=Outcome.SUCCEEDED, job=job, record=record
                )
        return state

    @property
    def is_settled(self) -> bool:
        """Nothing more has to be submitted for it."""
        return self.complete or (self.ended is not None and self.ended.outcome is Outcome.SUCCEEDED)

    @property
    def open_attempts(self) -> list[int]:
        return [number for number in self.jobs if number not in self.records]

    @property
    def next_job(self) -> Job | None:
        """The job that runs or is the next to run, else the first; None when nothing was submitted."""
        numbers = self.open_attempts or list(self.jobs)
        return self.jobs[numbers[0]] if numbers else None

    def following(self, job: Job) -> list[Job]:
        """Jobs of the attempts after this one that have not ended."""
        return [self.jobs[number] for number in self.open_attempts if number > job.submission.ref.attempt]

    def passed_over(self) -> frozenset[int]:
        """Segments that do not count, because one before them has ended their attempt."""
        jobs = sorted(self.jobs.items())
        return passed_over((number, job.submission.turn.attempt, self.records.get(number)) for number, job in jobs)

    @property
    def rule(self) -> str:
        return self.task.name.partition("[")[0]  # an adopted task has only a label


class Tasks(dict[str, TaskState]):
    """Tasks by key, in the order of planning: each after those it waits for."""

    def __init__(self, states: Mapping[str, TaskState] | None = None) -> None:
        super().__init__(states or {})
        self._groups: dict[str, str] = {}

    def adopt(self, left: QueuedTask, *, is_group_left: bool) -> None:
        """Record what an earlier process has submitted.

        Args:
            left: the task.
            is_group_left: if it is a group, its members belong to it until it has ended.
        """
        self[left.task] = TaskState.of(left)
        if is_group_left:
            self._groups |= {member: left.task for entry in left.entries for member in entry.members}

    def groups(self) -> Mapping[str, str]:
        """By its own key, each member of a group that an earlier process had in the queue: the key of the group.

        To Snakemake some members are done while the group runs, and the others are a group with another key.
        """
        return {member: task for member, task in self._groups.items() if self.knows(task)}

    def standing(self) -> dict[str, tuple[Ref, ...]]:
        """The unfinished attempts of each unfinished task."""
        return {
            key: tuple(Ref(key, number) for number in state.open_attempts)
            for key, state in list(self.items())  # read by Snakemake's main thread, too
            if state.ended is None
        }

    def knows(self, task: str) -> bool:
        """Whether nothing more has to be submitted for the task."""
        return task in self and self[task].is_settled

    def decidable(self, deferred: Sequence[Deferred], fresh: Collection[str]) -> list[Deferred]:
        """Deferred tasks that can still be planned: all tasks that they await are queued, or have succeeded."""
        found = []
        for entry in deferred:
            ends = {key: self[key].ended for key in entry.awaits if key in self and key not in fresh}
            gone = [ended for ended in ends.values() if ended and ended.outcome is not Outcome.SUCCEEDED]
            if not gone:
                found.append(replace(entry, awaits=frozenset(key for key in entry.awaits if not ends.get(key))))
        return found

    def settle(self, tasks: Sequence[Task]) -> list[Task]:
        """The new tasks, with only those edges that are not decided yet; tasks that are decided are left out.

        Args:
            tasks: each after those it waits for.
        """
        fresh: dict[str, Task] = {}
        for task in tasks:
            if self.knows(task.key):
                continue
            decided = Outcome.NOT_NEEDED if task.not_needed else None
            open_edges = []
            for edge in task.edges:
                # An end does not count if another attempt is about to be submitted.
                ended = self[edge.on].ended if edge.on in self and edge.on not in fresh else None
                if ended is None:
                    open_edges.append(edge)
                elif outcome := decided_by(edge, ended.outcome):
                    decided = outcome if decided is None or outcome is Outcome.BLOCKED else decided
            if decided is None:
                made = self[task.key].jobs if task.key in self else {}
                attempts = tuple(attempt for attempt in task.attempts if attempt.number not in made)
                fresh[task.key] = replace(task, edges=tuple(open_edges), attempts=attempts)
            else:
                ended = TaskEnded(task=task.key, label=task.label, outcome=decided, why=task.not_needed)
                self[task.key] = TaskState(task=task, ended=ended)
        return list(fresh.values())

    def submitted(self, fresh: Sequence[Task], ids: Collection[Ref], *, absent: Collection[str]) -> dict[str, Task]:
        """Record which of the settled tasks are in the queue now.

        Args:
            fresh: the result of `settle`.
            ids: attempts that have been submitted.
            absent: tasks that the plan has left out.

        Returns:
            Tasks that are not in the queue with all their attempts; each after those it needs.
        """
        later = {}
        for task in fresh:
            made = [attempt for attempt in task.attempts if Ref(task.key, attempt.number) in ids]
            is_complete = len(made) == len(task.attempts) and task.key not in absent
            if not is_complete:
                later[task.key] = task
            if made or is_complete:
                before = self.get(task.key, TaskState(task=task))
                self[task.key] = replace(before, task=task, ended=None, complete=is_complete)
        return later

    def refuse(self, key: str, label: str, why: str) -> TaskEnded:
        """Record that a task has failed because it cannot be submitted."""
        task = Task(key=key, name=label, wildcards={}, attempts=())
        ended = TaskEnded(task=key, label=label, outcome=Outcome.FAILED, why=why)
        self[key] = TaskState(task=task, ended=ended)
        return ended

    def units(self) -> tuple[Mapping[str, int], ...]:
        """The units of each limit that each unfinished job takes."""
        return tuple(
            state.jobs[number].submission.units
            for state in self.values()
            if state.ended is None
            for number in state.open_attempts
        )

    def gpu_hours(self) -> float:
        """GPU hours that the submitted tasks ask for, each once with its whole time limit."""
        first = (
            job.submission for state in self.values() for job in state.jobs.values() if job.submission.turn.attempt == 1
        )
        requests = (request_of(submission.options) for submission in first)
        return sum(request.gpus * (request.minutes or 0) for request in requests) / 60

    def outcome(self, task: Task, record: Record, *, never: bool, stopped: bool = False) -> Outcome:
        """The outcome of a job's end. Accounting does not say why Slurm has cancelled a job, so its edges decide.

        Args:
            task: whose job has ended.
            record: its end.
            never: the job could never start.
            stopped: the job was cancelled because the run stops.
        """
        outcome = Outcome.CUT_OFF if record.never or never else OUTCOMES[record.state]
        never_ran = outcome is Outcome.LOST and not record.node
        if outcome not in (Outcome.CUT_OFF, Outcome.CANCELLED) and not never_ran:
            return outcome
        fates = {
            decided_by(edge, state.ended.outcome) for edge in task.edges if (state := self.get(edge.on)) and state.ended
        }
        if Outcome.BLOCKED in fates:
            return Outcome.BLOCKED
        # The task of an adopted handler may have ended before this head began: had it failed, the handler would run.
        unknown = outcome is Outcome.CUT_OFF and task.is_handler and not fates
        if unknown or Outcome.NOT_NEEDED in fates:
            return Outcome.NOT_NEEDED
        return Outcome.STOPPED if stopped else outcome

    def fallen(self, task: str) -> tuple[str, ...]:
        """Labels of the tasks that cannot run because this task has failed, directly or indirectly."""
        gone, labels = {task}, []
        for key, state in self.items():
            needs = (edge.on for edge in state.task.edges if edge.type is DependencyType.AFTEROK)
            if key not in gone and any(on in gone for on in needs):
                gone.add(key)
                labels.append(state.task.label)
        return tuple(labels)

    def has_succeeded(self, task: str) -> bool:
        """Whether the task is known and has succeeded."""
        ended = self[task].ended if task in self else None
        return ended is not None and ended.outcome is Outcome.SUCCEEDED

    def unfinished(self) -> tuple[str, ...]:
        """Labels of the tasks that have neither succeeded nor become unneeded."""
        return tuple(
            state.task.label for state in self.values() if state.ended is None or state.ended.outcome.is_failure
        )

    def by_rule(self) -> tuple[RuleJobs, ...]:
        """The unfinished tasks, by rule."""
        found: dict[str, list[TaskState]] = {}
        for state in self.values():
            if state.ended is None:
                found.setdefault(state.rule, []).append(state)
        return tuple(
            RuleJobs(
                rule=rule,
                tasks=len(states),
                job_ids=tuple(state.jobs[number].job_id for state in states for number in state.open_attempts),
                waits_for=tuple(dict.fromkeys(word for state in states for word in self._waits_for(state))),
            )
            for rule, states in found.items()
        )

    def _waits_for(self, state: TaskState) -> list[str]:
        open_edges = [edge for edge in state.task.edges if edge.on in self and self[edge.on].ended is None]
        types = ["" if edge.type is DependencyType.AFTEROK else f" ({edge.type})" for edge in open_edges]
        return [f"{self[edge.on].rule}{type_}" for edge, type_ in zip(open_edges, types, strict=True)]
