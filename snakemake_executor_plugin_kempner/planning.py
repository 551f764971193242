"""Reads the DAG, submits the tasks that can be submitted, and reports what was queued and what follows later."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from . import beginning
from .adapt.command import JobCommand
from .adapt.dag import Reading, finished, read_dag
from .adapt.scheduler import locked
from .adapt.settled import finished_here, kept_for_readers, up_to_date
from .adapt.units import Scope
from .plan.model import Plan, Policy
from .report import NO_ROOM, plan_messages
from .run.live import LiveRun
from .run.opening import Found
from .run.settled import note_up_to_date, settled
from .slurm.client import Slurm


class Planning:
    """Makes the plans of a run, each from the current DAG.

    Args:
        workflow: Snakemake's workflow object.
        logger: gets messages about what was queued.
        slurm: the scheduler.
        command: builds the command lines of jobs.
        notes_up_to_date: record which jobs are up to date; for a process that begins a run that a job may continue.
    """

    def __init__(
        self, workflow: Any, logger: Any, slurm: Slurm, command: JobCommand, *, notes_up_to_date: bool
    ) -> None:
        self._workflow, self._logger, self._slurm, self._command = workflow, logger, slurm, command
        self._noted: set[str] | None = None
        self._notes_up_to_date = notes_up_to_date
        self._said: set[str] = set()
        self._finished = 0
        self._is_deferred = False
        self._found: Found | None = None

    def plan(self, live: LiveRun, ready: Sequence[Any]) -> None:
        """Submit the tasks of the DAG that are not part of the run yet.

        Raises:
            KempnerError: as `read_dag` and `LiveRun.submit`.
        """
        reading = self._read(live.policy, ready, known=live.knows, in_flight=live.in_flight)
        if self._notes_up_to_date:
            self._note_up_to_date(Path(live.policy.folder))
        plan = live.submit(reading.tasks, reading.deferred, reading.left_out)
        if self._found is not None:
            number = len(plan.tasks) + len(live.later)
            beginning.take_over(self._found, live.policy.run, self._slurm, self._logger, number)
            self._found = None
        self._is_deferred = bool(reading.deferred)
        self._say(plan, live, [entry.why for entry in reading.deferred])

    def plan_more(self, live: LiveRun) -> bool:
        """Submit tasks for which there is room now; returns whether the DAG has changed, so that a new plan is due.

        Raises:
            KempnerError: as `LiveRun.submit_later`.
        """
        if (plan := live.submit_later()) is not None:
            self._say(plan, live)
        return self._is_deferred and finished(self._workflow.dag) != self._finished

    def go_on_with(self, found: Found, policy: Policy, ready: Sequence[Any], *, replaces_changed: bool) -> Found:
        """Report or cancel tasks that have changed since an earlier head submitted them; returns those to take over.

        They are taken over with the first plan.
        """
        self._found = self._settle_changes(found, policy, ready, self._slurm if replaces_changed else None)
        return self._found

    def _settle_changes(self, found: Found, policy: Policy, ready: Sequence[Any], slurm: Slurm | None) -> Found:
        left = {entry.task: entry for entry in found.left if not entry.has_succeeded}
        if not left:
            return found
        tasks = self._read(policy, ready, known=lambda key: key not in left, in_flight=left).tasks
        done = {key for ledger in found.ledgers for key in settled(ledger).succeeded}
        outdated = kept_for_readers(self._workflow.dag, left, done)
        return beginning.settle_changes(found, tasks, outdated, slurm, self._logger.warning, site=policy.site)

    def _read(self, policy: Policy, ready: Sequence[Any], *, known: Any, in_flight: Collection[str]) -> Reading:
        scope = Scope(
            folder=policy.folder,
            ready=ready,
            known=known,
            in_flight=in_flight,
            limited=policy.limits.keys(),
            detached=policy.detached,
            ends_itself=policy.ends_itself,
        )
        with locked(self._workflow.scheduler):
            self._finished = finished(self._workflow.dag)
            return read_dag(self._workflow, self._command, scope)

    def _note_up_to_date(self, folder: Path) -> None:
        """Record jobs that a continuation must not run, whatever files and their times look like then."""
        with locked(self._workflow.scheduler):
            done = set(up_to_date(self._workflow.dag) if self._noted is None else finished_here(self._workflow))
        before = self._noted or set()
        note_up_to_date(folder, done - before)
        self._noted = before | done

    def _say(self, plan: Plan, live: LiveRun, deferred: Sequence[str] = ()) -> None:
        for line in plan_messages(plan, [*deferred, *len(live.later) * [NO_ROOM]], self._said):
            self._logger.info(line)
