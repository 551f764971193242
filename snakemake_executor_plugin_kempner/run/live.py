"""A run while its head lives: what was submitted, what became of it, what a change means for a task."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import LedgerError, SlurmError
from ..plan.dependency import Ref
from ..plan.model import LOOK_AFTER, Deferred, Kind, Plan, Policy, Submission, Task
from ..slurm.client import Slurm
from ..slurm.limits import SiteLimits
from ..slurm.parse import records_of
from ..slurm.states import JobState
from .adopt import QueuedTask
from .clock import Clock
from .judge import Judge, View
from .ledger import Entry, Ledger, make_folders
from .look import look
from .outcome import Job, RuleJobs, TaskEnded, TaskEvent
from .pace import Pace
from .stopping import mark_stopped, stopped_jobs
from .submit import Submitter
from .tasks import Tasks, TaskState
from .watch import Ended, Event, Followed, Stuck, step
from .waves import Room
from .withdrawn import Withdrawal

_FORGOTTEN = float("-inf")
"""Since when a job is missing that Slurm does not know at the first look: it is not waited for any more."""


class LiveRun:
    """Submits plans and follows them.

    Not safe for threads: the executor calls it under one lock.

    Args:
        policy: of the run; its `standing` and `first_number` are kept by this class.
        slurm: the scheduler.
        ledger: the run's record.
        clock: time.
        logger: told about busy controllers and failed queries.
        limits: knows how many jobs may be in the queue; without it, sbatch tells when it refuses.
    """

    def __init__(
        self,
        policy: Policy,
        slurm: Slurm,
        ledger: Ledger,
        clock: Clock,
        logger: logging.Logger,
        *,
        limits: SiteLimits | None = None,
    ) -> None:
        self.policy = policy
        self._slurm, self._ledger, self._clock, self._logger = slurm, ledger, clock, logger
        self._room = Room(slurm, clock, logger, limits)
        self._submitter = Submitter(slurm, ledger, clock, logger)
        self._tasks = Tasks()
        self._judge = Judge(tasks=self._tasks, was_stopped=self._was_stopped, cancel=self.cancel)
        self._stopped: frozenset[str] | None = None
        self._withdrawn: frozenset[str] = frozenset()
        self._gates: dict[str, str] = {}
        self._ids: dict[Ref, str] = {}
        self._followed: dict[str, Followed] = {}
        self._spared: set[str] = set()
        self._doomed: set[str] = set()
        self._later: dict[str, Task] = {}
        self._count = 0
        self._withdrawal = Withdrawal(Path(policy.folder), slurm, ledger, self._submitter)
        self._helpers: dict[str, tuple[Ref, ...]] = {}
        self._closing: Ref | None = None
        self._pace = Pace(clock, logger)

    # --- submitting ---------------------------------------------------------------------------------------------

    def submit(self, tasks: Sequence[Task], deferred: Sequence[Deferred] = (), left_out: Iterable[str] = ()) -> Plan:
        """Plan and submit the tasks that are not known yet; those behind a failed task stay out.

        Args:
            tasks: each after those it waits for.
            deferred: what cannot be planned yet, for a run that goes on without a head.
            left_out: outputs of what cannot be planned yet, where they are to be made although they exist.

        Returns:
            What was submitted. Tasks without room are kept for `submit_later`, or for a continuation if nobody watches.

        Raises:
            PlanError: the workflow asks for something that cannot be submitted.
            SlurmError: a submission failed; nothing of this plan is in the queue.
            LedgerError: nothing can be recorded, so nothing was submitted.
        """
        fresh = self._tasks.settle(tasks)
        standing = {**self._tasks.standing(), **self._helpers}
        policy = replace(
            self.policy,
            standing=standing,
            standing_units=self._tasks.units(),
            first_number=self._count + 1,
            closing=self._closing,
        )
        now = self._room.wave(fresh, policy, self._tasks.decidable(deferred, {task.key for task in fresh}))
        plan = now.plan
        if policy.ends_itself:
            self._ledger.left_out((*left_out, *(file for task in now.later for file in task.attempts[0].step.outputs)))
        make_folders(Path(policy.folder), {call.log for call in plan.calls})
        self._count += len(plan.submissions)
        self._ledger.numbered(self._count)
        with self._withdrawal.submitting():
            ids, refused = self._submitter.submit(plan, self._ids)
        self._ids |= ids
        made = self._ids.keys() | self._submitter.unneeded
        self._later = self._tasks.submitted(fresh, made, absent={task.key for task in now.later})
        for call in plan.calls:
            for submission in call.submissions:
                if submission.ref in ids:
                    self._follow(submission, ids[submission.ref], call.log)
        self._pace.changed()
        if refused is not None:
            self._room.learn(len(refused.submissions))
            if policy.detached:
                return self.submit(tasks, deferred, left_out)
        if plan.closing_waits_for and self._closing:
            self._submitter.put_off(self._ids[self._closing], plan.closing_waits_for, self._ids)
        return plan

    def _follow(self, submission: Submission, job_id: str, log: str) -> None:
        self._followed[job_id] = Followed(ref=submission.ref, job_id=job_id)
        if submission.spared:
            self._spared.add(job_id)
        if submission.kind is Kind.TASK:
            job = Job(submission=submission, job_id=job_id, folder=self.policy.folder, log_pattern=log)
            self._tasks[submission.ref.task].jobs[submission.ref.attempt] = job
        elif submission.kind is Kind.GATE:
            self._gates[job_id] = submission.label
        elif submission.kind is Kind.CLOSING:
            self._closing = submission.ref

    def submit_later(self) -> Plan | None:
        """Submit what there was no room for, when there is room for a good part of it; None when there is not.

        Raises:
            SlurmError, LedgerError: as `submit`.
        """
        if not self._later or not self._room.is_worth_it(self.policy, len(self._later), len(self._followed)):
            return None
        return self.submit(tuple(self._later.values()))

    def adopt(self, left: Iterable[QueuedTask], *, own: bool = False) -> None:
        """Go on with tasks that an earlier process has submitted, as if this one had.

        Args:
            left: the tasks.
            own: they are in this run's ledger already.

        Raises:
            LedgerError: what was adopted cannot be recorded.
        """
        for task in left:
            self._tasks[task.task] = TaskState.of(task)
            if not own:
                for entry in task.entries:
                    self._ledger.adopted(entry)
            for attempt, job in task.jobs.items():
                self._ids[job.submission.ref] = job.job_id
                if attempt not in task.records and not task.has_succeeded:
                    since = _FORGOTTEN if own else None
                    self._followed[job.job_id] = Followed(
                        ref=job.submission.ref, job_id=job.job_id, missing_since=since
                    )
                if job.submission.spared:
                    self._spared.add(job.job_id)

    def look_after(self, gates: Iterable[Entry], *, own: bool = False) -> None:
        """Follow gates of earlier runs, or of this one: where Slurm does not remove what can never start, nobody else does."""
        for entry in gates:
            if not own:
                self._ledger.adopted(entry)
            self._gates[entry.job_id] = entry.label
            self._followed[entry.job_id] = Followed(ref=Ref(entry.task, entry.attempt), job_id=entry.job_id)
            self._spared.add(entry.job_id)

    def refuse(self, tasks: Mapping[str, tuple[str, str]], *, own: bool = False) -> tuple[TaskEnded, ...]:
        """Let tasks that cannot be submitted count as failed: what waits for them falls with them, and the rest goes on.

        Args:
            tasks: label and fault of each, by key.
            own: they are in this run's ledger already.

        Returns:
            Their ends; none for those that are in the queue or have ended.
        """
        ends = [self._tasks.refuse(key, label, why) for key, (label, why) in tasks.items() if key not in self._tasks]
        for end in ends if not own else ():
            self._ledger.refused(end.task, end.label, end.why)
        return tuple(ends)

    def go_on(
        self, helpers: Mapping[Ref, str], *, submitted: int, closing: Ref | None, withdrawn: frozenset[str]
    ) -> None:
        """Go on with a run that has no head.

        Args:
            helpers: jobs of ours that have not ended, this process's own among them: the end of the run waits for them.
            submitted: the highest number that a submission of the run has so far.
            closing: which of the helpers is the closing job, when it still waits.
            withdrawn: jobs that a process of this run has cancelled.
        """
        self._ids |= helpers
        self._helpers = {ref.task: (ref,) for ref in helpers if ref != closing}
        self._closing, self._count, self._withdrawn = closing, submitted, withdrawn

    # --- asking -------------------------------------------------------------------------------------------------

    def knows(self, task: str) -> bool:
        """Whether nothing has to be submitted for the task any more."""
        return self._tasks.knows(task)

    @property
    def later(self) -> Collection[str]:
        """Keys of the tasks that there was no room for in the queue."""
        return self._later.keys()

    def has_succeeded(self, task: str) -> bool:
        """Whether the task is known, and has."""
        return self._tasks.has_succeeded(task)

    def ended(self, task: str) -> TaskEnded | None:
        return self._tasks[task].ended

    def job(self, task: str) -> Job | None:
        """The submission of the task that runs or is the next to run; None when nothing was submitted for it."""
        state = self._tasks[task]
        numbers = state.open_attempts or list(state.jobs)
        return state.jobs[numbers[0]] if numbers else None

    def forget(self, task: str) -> None:
        """Let a task that has ended be submitted once more."""
        state = self._tasks.pop(task)
        for number in state.jobs:
            self._ids.pop(Ref(task, number), None)

    def fallen(self, task: str) -> tuple[str, ...]:
        """Labels of the tasks that cannot run because this one has failed, directly or not."""
        return self._tasks.fallen(task)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Labels of the tasks that have neither succeeded nor turned out not to be needed."""
        return self._tasks.unfinished()

    @property
    def open_jobs(self) -> tuple[str, ...]:
        """Ids of submissions that have not ended."""
        return tuple(self._followed)

    @property
    def was_answered(self) -> bool:
        return self._pace.was_answered

    @property
    def open_tasks(self) -> int:
        """How many tasks have not ended, or have not been submitted for lack of room."""
        return len(self._tasks.standing()) + len(self._later)

    def overview(self) -> tuple[RuleJobs, ...]:
        """Everything that has not ended, by rule, in the order of planning; the jobs that look after the run come last."""
        ours = [job for job in self._followed.values() if job.ref.task in LOOK_AFTER]
        return (*self._tasks.by_rule(), *(RuleJobs(rule=job.ref.task, job_ids=(job.job_id,)) for job in ours))

    @property
    def in_flight(self) -> Collection[str]:
        """Keys of the tasks that have been submitted and have not ended."""
        return self._tasks.standing().keys()

    @property
    def running(self) -> int:
        return sum(job.state is JobState.RUNNING for job in self._followed.values())

    def pause(self, longest: float) -> float:
        """Seconds until the next query is due."""
        return self._pace.pause(longest)

    # --- following ----------------------------------------------------------------------------------------------

    def observe(self) -> tuple[TaskEvent, ...]:
        """Ask Slurm once for everything and say what has changed.

        A query that fails is reported and changes nothing: it is never read as the end of a task.
        """
        if not self._followed:
            return ()
        asked = self._clock.now()
        try:
            found = look(self._slurm, self._followed, self._folder_of)
        except SlurmError as error:
            self._pace.failed(error, is_away=True)
            return ()
        if found.failure is None:
            self._pace.answered(asked)
        else:
            self._pace.failed(found.failure, is_away=False)
        self._doomed |= found.never
        self._followed, events = step(self._followed, found.seen, self._clock.now())
        if events:
            self._pace.changed()
        for event in events:
            self._note(event)
        self._stopped = None
        view = View(followed=self._followed, doomed=self._doomed, was_answered=found.failure is None)
        return self._judge.judge(events, view)

    def _folder_of(self, ref: Ref) -> Path:
        job = self._judge.job_of(ref)
        return Path(job.folder if job else self.policy.folder)

    def _note(self, event: Event) -> None:
        """Write down an end before any is judged: attempts of a task may have ended since the last look, in any order."""
        if isinstance(event, Stuck) and event.is_held and self._judge.job_of(event.ref) is None:
            what = f"Slurm job {event.job_id}, which others wait for, is held: {event.reason}"
            self._logger.warning(f"{what}. It starts when it is released: scontrol release {event.job_id}.")
        if not isinstance(event, Ended):
            return
        record = event.record
        if event.job_id in self._gates and record.state is JobState.CANCELLED and not record.never:
            self._judge.gates[event.job_id] = self._gates[event.job_id]
        self._ledger.ended(
            event.job_id, state=record.word, reason=record.reason, exit_code=record.exit_code, signal=record.signal,
            node=record.node,
        )  # fmt: skip
        if event.ref == self._closing:
            self._closing = None
        state = self._tasks.get(event.ref.task)
        if state is not None and event.ref.attempt in state.jobs:
            state.records[event.ref.attempt] = record

    def _was_stopped(self, job_id: str) -> bool:
        if self._stopped is None:
            self._stopped = self._withdrawn | stopped_jobs(Path(self.policy.folder))
        return job_id in self._stopped

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take out of the queue what has not started, except tasks that were declared to follow a failure.

        Raises:
            SlurmError: as `cancel`.
        """
        self._later = {}
        doomed = [job_id for job_id in self.open_jobs if job_id not in self._spared]
        mark_stopped(Path(self.policy.folder), "head", doomed)
        self.cancel(doomed, pending_only=True)

    def hook(self, name: str) -> None:
        """Note that a hook of the workflow is about to run. Where it cannot be, the closing job, which would run it too, goes.

        Raises:
            SlurmError: as `cancel`.
        """
        try:
            self._ledger.hook(name)
        except LedgerError as error:
            self._logger.warning(str(error))
            self.cancel([self._ids[self._closing]] if self._closing in self._ids else [])

    def end(self) -> None:
        """Take what is left in the queue out of it, helpers above all, and close the ledger.

        While a task runs on, or may still run because another has failed, nothing is done: the closing job ends the run.

        Raises:
            SlurmError: Slurm could not be asked, or as `cancel`.
        """
        left = self._withdrawal.left_behind()
        if left.message:
            self._logger.warning(left.message)
        seen = records_of(self._followed, self._slurm.queue()) if self._followed else {}
        going = {job_id for job_id, record in seen.items() if not record.state.is_final}
        of_tasks = {job_id for job_id in going if self._followed[job_id].ref.task in self._tasks}
        if any(seen[job_id].state is JobState.RUNNING or job_id in self._spared for job_id in of_tasks):
            return
        self.cancel(going)
        if left.is_nothing:
            self._ledger.close()

    def cancel(self, job_ids: Collection[str] | None = None, *, pending_only: bool = False) -> int:
        """Cancel the given submissions, or all that have not ended; `pending_only` spares what runs.

        Returns:
            How many jobs that are.

        Raises:
            SlurmError: Slurm did not take the request; the message names the jobs.
        """
        ids = tuple(job_ids) if job_ids is not None else (*self.open_jobs, *self._withdrawal.left_behind().jobs)
        return self._withdrawal.cancel(ids, pending_only=pending_only)
