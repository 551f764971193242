"""Plans what Snakemake hands over, follows the run, and reports its ends: between planning, Slurm and Snakemake."""

from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from .adapt.hooks import note_local_failures
from .adapt.scheduler import has_failed
from .adapt.settled import wanted_again
from .adapt.temporary import remove_unneeded
from .adapt.units import task_key
from .errors import KempnerError
from .handover import Handover
from .invocation import Continued
from .planning import Planning
from .run.ledger import read_ledger
from .run.live import LiveRun
from .run.outcome import AttemptFailed, TaskEnded, TaskEvent
from .run.settled import succeeded_before
from .run.stopping import is_stopped
from .slurm.client import Slurm


class Coordinator:
    """A run in this process.

    Args:
        executor: that Snakemake knows.
        planning: makes the plans.
        live: the run.
        slurm: the scheduler.
        continued: what is known of a run that another process has begun.
    """

    def __init__(
        self, executor: Any, planning: Planning, live: LiveRun, slurm: Slurm, continued: Continued | None
    ) -> None:
        self.live, self._planning, self._continued, self._logger = live, planning, continued, executor.logger
        self._workflow = executor.workflow
        self._handover = Handover(executor, live, slurm)
        self._failed: Sequence[TaskEnded] = ()
        self._is_planned = False
        self._failed_here: deque[Any] = deque()
        note_local_failures(self._workflow, self._failed_here.append)

    def go_on(self, events: Sequence[TaskEvent], dag: Any) -> None:
        """Go on from what has happened to the tasks of the run before this process began."""
        assert self._continued is not None
        self._failed = [event for event in events if isinstance(event, TaskEnded) and event.outcome.is_cause]
        if self._continued.is_closing:
            self._handover.tell([event for event in events if isinstance(event, AttemptFailed)])
        self._handover.stopping = is_stopped(Path(self.live.policy.folder))
        for key in wanted_again(dag, self._continued.had_succeeded):
            self.live.forget(key)

    def take(self, jobs: list[Any]) -> None:
        """Take jobs from Snakemake, and submit what is not in the queue yet.

        Raises:
            KempnerError: nothing can be submitted.
        """
        has_new = self._handover.take(jobs)
        if not self._handover.stopping and (has_new or not self._is_planned):
            self._plan_or_refuse()
        self._is_planned = True

    def connect(self) -> None:
        """Connect what Snakemake has handed over with what is in the queue."""
        self._handover.connect_planned()

    def tick(self, longest: float) -> None:
        """Find out what has changed, report it, and submit what can be submitted now.

        Args:
            longest: seconds between two queries of Slurm, at most.
        """
        self.settle_local_failures()
        is_urgent = self._continued is not None or self._planning.waits_for_ends
        self._handover.tell(self.live.watch(longest, is_urgent=is_urgent))
        if not self._handover.stopping:
            self._plan_what_waits()

    def settle_local_failures(self) -> None:
        """Record local rules that have failed in this process, and stop the run as after any failure."""
        while self._failed_here:
            self._handover.failed_here(self._failed_here.popleft())

    def tell_the_end(self) -> None:
        """Say what still runs, and what has failed without being handed over."""
        if self._handover.stopping and self.live.jobs.running:
            self._logger.info(f"{self.live.jobs.running} Slurm jobs of this run are still running and will finish.")
        for event in self._failed:
            self._handover.tell_failure(event)

    def tidy(self) -> None:
        """Remove temporary files that tasks of earlier runs have made or read last, whose heads have died before they could.

        Only when all of the run has succeeded: what has failed may read them when the command is given again.
        """
        if self._planning.takes_over and not self.live.tasks.unfinished() and not has_failed(self._workflow.scheduler):
            before = succeeded_before(read_ledger(Path(self.live.policy.folder)))
            self._workflow.async_run(
                remove_unneeded(self._workflow.dag, lambda job: self._has_succeeded(job, before), is_over=True)
            )

    def _has_succeeded(self, job: Any, before: Collection[str]) -> bool:
        return task_key(job) in before or self.live.tasks.has_succeeded(task_key(job))

    def _plan_or_refuse(self) -> None:
        """The first plan fails as a whole; when a later one fails, what is in the queue goes on without it."""
        is_first = self._continued is None and not self.live.jobs and self._handover.is_empty
        waiting = list(self._handover.waiting)
        try:
            (self._plan if is_first else self._plan_rest)(waiting)
        except KempnerError as error:
            if is_first or self._continued is not None:
                raise
            self._handover.refuse(waiting, str(error))

    def _plan_rest(self, ready: Sequence[Any]) -> None:
        """A later plan: a task at fault has failed, and the rest goes on without it."""
        try:
            self._plan(ready)
        except KempnerError as error:
            if not (refused := self.live.refuse(error.by_task)):
                raise
            self._handover.connect_planned()
            self._handover.tell(refused)
            if not self._handover.stopping:
                self._plan_rest(ready)

    def _plan(self, ready: Sequence[Any]) -> None:
        if self.live.jobs:
            self._handover.tell(self.live.observe())  # a job that has ended is never named as a dependency
        self._planning.plan(self.live, ready)

    def _plan_what_waits(self) -> None:
        """There may be room in the queue now, or a local rule or a checkpoint has ended, though nothing is ready yet."""
        try:
            if self._planning.plan_more(self.live):
                self._plan_rest(self._handover.ready)
        except KempnerError as error:
            # Tried again when there is room, or when Snakemake hands over a job.
            self._logger.warning(str(error))
        self._handover.connect_planned()
