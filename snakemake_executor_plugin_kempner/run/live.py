"""A run while its head lives: what was submitted, what became of it, what a change means for a task."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import LedgerError, SlurmError
from ..plan.dependency import Ref
from ..plan.model import Plan, Policy
from ..plan.task import Deferred, Task
from ..slurm.client import Slurm
from ..slurm.parse import records_of
from ..slurm.site_limits import SiteLimits
from ..slurm.states import JobState
from .adopt import QueuedTask
from .clock import Clock
from .dispatcher import Dispatcher
from .elsewhere import keep_off_after
from .jobs import OpenJobs
from .ledger import Ledger
from .ledger_record import Entry
from .observer import Observer
from .outcome import AttemptFailed, RuleJobs, TaskEnded, TaskEvent
from .result import Result
from .stopping import mark_stopped
from .tasks import Tasks


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

    Attributes:
        tasks: what was submitted or decided; to be read only.
        jobs: of those, what has not ended in Slurm; to be read only.
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
        self._slurm, self._ledger, self._logger = slurm, ledger, logger
        self.tasks, self.jobs, folder = Tasks(), OpenJobs(), Path(policy.folder)
        self._dispatcher = Dispatcher(
            slurm=slurm, ledger=ledger, clock=clock, logger=logger, limits=limits,
            folder=folder, tasks=self.tasks, jobs=self.jobs,
        )  # fmt: skip
        self._observer = Observer(
            slurm=slurm, ledger=ledger, clock=clock, logger=logger,
            folder=folder, tasks=self.tasks, jobs=self.jobs, cancel=self._cancel_if_possible,
        )  # fmt: skip

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
        plan = self._dispatcher.submit(tasks, self.policy, deferred, left_out)
        self._observer.pace.changed()
        return plan

    def submit_later(self) -> Plan | None:
        """Submit what there was no room for, when there is room for a good part of it; None when there is not.

        Raises:
            SlurmError, LedgerError: as `submit`.
        """
        if not self._dispatcher.is_worth_it(self.policy):
            return None
        return self.submit(tuple(self._dispatcher.later.values()), left_out=self._dispatcher.left_out)

    def adopt(self, left: Iterable[QueuedTask], *, own: bool = False) -> None:
        """Go on with tasks that an earlier process has submitted, as if this process had.

        Args:
            left: the tasks.
            own: they are in this run's ledger already.

        Raises:
            LedgerError: what was adopted cannot be recorded.
        """
        for task in left:
            is_open = not task.has_succeeded and task.jobs.keys() > task.records.keys()
            self.tasks.adopt(task, is_group_left=is_open or not own)
            if not own:
                for entry in task.entries:
                    self._ledger.adopted(entry)
            for attempt, job in task.jobs.items():
                ref = job.submission.ref
                self._dispatcher.ids[ref] = job.job_id
                if attempt not in task.records and not task.has_succeeded:
                    self.jobs.follow(job.job_id, ref, spared=job.submission.spared, may_be_forgotten=own)

    def look_after(self, gates: Iterable[Entry], *, own: bool = False) -> None:
        """Follow gates of earlier runs, or of this one: where Slurm does not remove what can never start, nobody else does."""
        for entry in gates:
            if not own:
                self._ledger.adopted(entry)
            self.jobs.gates[entry.job_id] = entry.label
            self.jobs.follow(entry.job_id, Ref(entry.task, entry.attempt), spared=True)

    def refuse(self, tasks: Mapping[str, tuple[str, str]], *, own: bool = False) -> tuple[TaskEnded, ...]:
        """Let tasks that cannot be submitted count as failed: what waits for them falls with them, and the rest goes on.

        Args:
            tasks: label and fault of each, by key.
            own: they are in this run's ledger already.

        Returns:
            Their ends; none for those that are in the queue or have ended.
        """
        ends = [self.tasks.refuse(key, label, why) for key, (label, why) in tasks.items() if key not in self.tasks]
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
        self.jobs.closing = closing
        self._observer.stopped.withdrawn = withdrawn
        self._dispatcher.go_on(helpers, submitted)

    # --- asking -------------------------------------------------------------------------------------------------

    @property
    def later(self) -> Collection[str]:
        """Keys of the tasks that there was no room for in the queue."""
        return self._dispatcher.later.keys()

    def forget(self, task: str) -> None:
        """Let a task that has ended be submitted once more."""
        state = self.tasks.pop(task)
        for number in state.jobs:
            self._dispatcher.ids.pop(Ref(task, number), None)

    @property
    def was_answered(self) -> bool:
        return self._observer.pace.was_answered

    @property
    def open_tasks(self) -> int:
        """How many tasks have not ended, or have not been submitted for lack of room."""
        return len(self.tasks.standing()) + len(self._dispatcher.later)

    def overview(self) -> tuple[RuleJobs, ...]:
        """Everything that has not ended, by rule, in the order of planning; helper jobs come last."""
        helpers = self.jobs.helpers()
        return (*self.tasks.by_rule(), *(RuleJobs(rule=kind, job_ids=tuple(ids)) for kind, ids in helpers.items()))

    # --- following ----------------------------------------------------------------------------------------------

    def observe(self) -> tuple[TaskEvent, ...]:
        """Ask Slurm once for everything and say what has changed.

        A query that fails is reported and changes nothing: it is never read as the end of a task.
        """
        return self._tried_again(self._observer.observe())

    def watch(self, longest: float, *, is_urgent: bool) -> tuple[TaskEvent, ...]:
        """Say what has changed by the records of jobs, and ask Slurm if that is due; as `Observer.watch`."""
        return self._tried_again(self._observer.watch(longest, is_urgent=is_urgent or bool(self.later)))

    def _tried_again(self, events: tuple[TaskEvent, ...]) -> tuple[TaskEvent, ...]:
        """Keep further attempts off nodes that have failed an attempt, and release them, before this is told."""
        for event in events if self.policy.retries_elsewhere else ():
            if isinstance(event, AttemptFailed):
                keep_off_after(event, self.tasks[event.task].following(event.job), self._slurm)
        self._observer.release()
        return events

    def _cancel_if_possible(self, job_ids: Collection[str]) -> None:
        """For attempts that must not follow. One that starts all the same sees that by itself (`step/earlier.py`)."""
        try:
            self.cancel(job_ids)
        except SlurmError as error:
            self._logger.warning(str(error))

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take out of the queue what has not started, except tasks that were declared to follow a failure.

        Raises:
            SlurmError: as `cancel`.
        """
        self._dispatcher.later = {}
        doomed = self.jobs.stoppable()
        mark_stopped(Path(self.policy.folder), "head", doomed)
        self.cancel(doomed, pending_only=True)

    def plain_end(self) -> None:
        """Note that nothing is left for Snakemake to do once all tasks have succeeded."""
        self._ledger.plain_end()

    def hook(self, name: str) -> None:
        """Note that a hook of the workflow is about to run. Where it cannot be, the closing job, which would run it too, goes.

        Raises:
            SlurmError: as `cancel`.
        """
        try:
            self._ledger.hook(name)
        except LedgerError as error:
            self._logger.warning(str(error))
            closing = self._dispatcher.ids.get(self.jobs.closing) if self.jobs.closing else None
            self.cancel([closing] if closing else [])

    def end(self, result: Result = Result.UNKNOWN, finish: Callable[[], None] = lambda: None) -> bool:
        """Take what is left in the queue out of it, helpers above all, and close the ledger.

        While a task runs on, or may still run because another has failed, nothing is done: the closing job ends the run.

        Args:
            result: how the run has ended.
            finish: called when it has ended, while the closing job is there to go on if this process dies.

        Returns:
            Whether the run has ended.

        Raises:
            SlurmError: Slurm could not be asked, or as `cancel`.
        """
        self._dispatcher.withdrawal.wait()
        left = self._dispatcher.withdrawal.left_behind()
        if left.message:
            self._logger.warning(left.message)
        seen = records_of(self.jobs, self._slurm.queue()) if self.jobs else {}
        going = {job_id for job_id, record in seen.items() if not record.state.is_final}
        of_tasks = {job_id for job_id in going if self.jobs[job_id].ref.task in self.tasks}
        if any(seen[job_id].state is JobState.RUNNING or job_id in self.jobs.spared for job_id in of_tasks):
            return False
        if left.is_nothing:
            finish()
        self.cancel(going)
        if left.is_nothing:
            self._ledger.close(result=result)
        return left.is_nothing

    def cancel(self, job_ids: Collection[str] | None = None, *, pending_only: bool = False) -> int:
        """Cancel the given submissions, or all that have not ended; `pending_only` spares what runs.

        Returns:
            How many jobs that are.

        Raises:
            SlurmError: Slurm did not take the request; the message names the jobs.
        """
        ids = tuple(job_ids) if job_ids is not None else (*self.jobs, *self._dispatcher.withdrawal.left_behind().jobs)
        return self._dispatcher.withdrawal.cancel(ids, pending_only=pending_only)
