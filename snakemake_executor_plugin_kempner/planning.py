"""The path from Snakemake's DAG to a plan: begin a run or go on with it, read the DAG, submit what can be submitted.

The preview takes the same path, with a Slurm that takes nothing.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import beginning
from .adapt.cluster import cluster_of_rules
from .adapt.command import JobCommand
from .adapt.dag import Reading, finished, has_local_rules, read_dag
from .adapt.ending import left_for_the_end
from .adapt.policy import policy_of
from .adapt.scheduler import locked
from .adapt.settled import finished_here, kept_for_readers, up_to_date
from .adapt.units import Scope
from .announcements import NO_ROOM, needs_head_message, plan_messages
from .errors import Fault, PlanError, SlurmError, UnknownCluster
from .invocation import started
from .plan.model import Plan, Policy
from .run.folders import link_latest
from .run.live import LiveRun
from .run.opening import EarlierRuns
from .run.outcome import TaskEvent
from .run.program import keep_program
from .run.settled import note_up_to_date, settled
from .run.takeover import cancel_tasks, close_earlier, without_tasks
from .settings import Settings, common_settings
from .slurm.client import SlurmCommands
from .slurm.environment import cluster_of_user
from .slurm.site_limits import SiteLimits


def cluster_of(workflow: Any) -> str:
    """Name of the cluster that a command is for: by its rules, else by its environment; empty for that of this machine."""
    return cluster_of_rules(workflow)[0] or cluster_of_user(os.environ)


def refuse_unknown_cluster(workflow: Any, slurm: SlurmCommands) -> None:
    """Refuse a cluster that cannot be asked from here. Without an answer nothing is refused: what comes next needs one.

    Raises:
        PlanError: there is no such cluster.
    """
    try:
        _ = slurm.other_cluster
    except UnknownCluster as error:
        rules = cluster_of_rules(workflow)[1]
        where = (
            f"rule{'s' if len(rules) > 1 else ''} {', '.join(rules)}" if rules else "SLURM_CLUSTERS, SBATCH_CLUSTERS"
        )
        raise PlanError([Fault(where=where, what=str(error), remedy=f"take {' or '.join(error.known)}")]) from None
    except SlurmError:
        return


class Planning:
    """Makes the plans of a run, each from the current DAG.

    Args:
        workflow: Snakemake's workflow object.
        executor: that Snakemake knows; for its settings, and its logger, which is told what was queued.
        slurm: the scheduler.
        folder: of the run.
        detached: the run has no head process.
        continued: this process goes on with a run that another has begun.
        is_preview: nothing is submitted, and earlier runs are left as they are.

    Raises:
        KempnerError: the settings, the site file or the workflow's sources cannot be used.
    """

    def __init__(
        self, workflow: Any, executor: Any, slurm: SlurmCommands, folder: Path, *,
        detached: bool, continued: bool = False, is_preview: bool = False,
    ) -> None:  # fmt: skip
        if detached and not continued:
            beginning.check_that_it_can_leave()
        refuse_unknown_cluster(workflow, slurm)
        settings: Settings = executor.executor_settings
        self._settings, self._logger, self._slurm, self._is_preview = settings, executor.logger, slurm, is_preview
        self._workflow, self._continued = workflow, continued
        self._limits = SiteLimits(slurm.tell)
        python, may_go_on = executor.get_python_executable(), started().is_command_line
        policy = policy_of(workflow, settings, folder, python, detached=detached, may_go_on=may_go_on)
        if settings.light_jobs == "yes":
            policy = replace(policy, light_program=keep_program(folder))
        self.policy = beginning.at_cluster(beginning.at_site(policy, self._limits, settings.site), slurm)
        if is_preview:
            self.policy = replace(self.policy, logs="")
        self._reader = _Reader(workflow, self.policy, notes_up_to_date=not continued and policy.ends_itself)
        self._deferred: Sequence[str] = ()
        self._said: set[str] = set()
        self._found: EarlierRuns | None = None
        self.takes_over = False
        """The run goes on with earlier ones, whose heads have died."""

    def begin(self, runs: Path, ready: Sequence[Any]) -> LiveRun:
        """Begin a run that goes on with what earlier runs have in the queue; they are closed with the first plan.

        Args:
            runs: the folder of all runs.
            ready: jobs whose inputs exist.

        Raises:
            KempnerError: earlier runs cannot be read, or Slurm cannot be asked.
        """
        expiry = None if self._is_preview else self._settings.delete_runs_after
        found = beginning.earlier_runs(runs, self._slurm, self._logger, expiry)
        self._found, self.takes_over = self._settle_changes(found, ready), bool(found.ledgers)
        self.policy = beginning.keep_end(self.policy, found, self._logger.info)
        if not (self.policy.ends_itself or self._settings.no_closing_job) and started().is_command_line:
            self._logger.warning(needs_head_message())
        return beginning.begin_run(self.policy, self._found, self._slurm, self._logger, self._limits)

    def go_on(self) -> tuple[LiveRun, tuple[TaskEvent, ...]]:
        """The run that this job of it goes on with, and the events of its tasks so far.

        Raises:
            LedgerError: the ledger cannot be read.
            SlurmError: Slurm could not be asked.
        """
        return beginning.go_on_with_run(self.policy, self._slurm, self._logger, self._limits)

    def plan(self, live: LiveRun, ready: Sequence[Any]) -> Plan:
        """Submit the tasks of the DAG that are not part of the run yet.

        Raises:
            KempnerError: as `read_dag` and `LiveRun.submit`.
        """
        reading = self._reader.read(
            ready, known=live.tasks.knows, in_flight=live.tasks.standing().keys(), groups=live.tasks.groups()
        )
        self._reader.note_up_to_date()
        plan = live.submit(reading.tasks, reading.deferred, reading.left_out)
        self._deferred = [entry.why for entry in reading.deferred]
        self._note_plain_end(live)
        self._take_over(len(plan.tasks) + len(live.later))
        self._say(plan, self.later(live))
        return plan

    def plan_more(self, live: LiveRun) -> bool:
        """Submit tasks for which there is room now; returns whether the DAG has changed, so that a new plan is due.

        Raises:
            KempnerError: as `LiveRun.submit_later`.
        """
        if (plan := live.submit_later()) is not None:
            self._say(plan, len(live.later) * [NO_ROOM])
        return bool(self._deferred) and self._reader.has_changed

    @property
    def waits_for_ends(self) -> bool:
        """Something in this process waits for the ends of jobs: a local rule, or what cannot be planned before."""
        return bool(self._deferred) or self._reader.has_local_rules

    def later(self, live: LiveRun) -> list[str]:
        """The reason for each task of the DAG that will be queued later."""
        return [*self._deferred, *len(live.later) * [NO_ROOM]]

    def _settle_changes(self, found: EarlierRuns, ready: Sequence[Any]) -> EarlierRuns:
        """Report or cancel tasks that have changed since an earlier head submitted them; returns those to take over."""
        left = {entry.task: entry for entry in found.left if not entry.has_succeeded}
        if not left:
            return found
        tasks = self._reader.read(ready, known=lambda key: key not in left, in_flight=left).tasks
        outdated = self._reader.kept_for_readers(left, found)
        replace_by = without_tasks if self._is_preview else partial(cancel_tasks, slurm=self._slurm)
        return beginning.settle_changes(
            found, tasks, outdated, replace_by if self._settings.replace_changed else None, self._logger.warning,
            site=self.policy.site,
        )  # fmt: skip

    def _take_over(self, to_submit: int) -> None:
        """Let this run look after the jobs that earlier runs have left."""
        found, self._found = self._found, None
        if found is None:
            return
        beginning.tell_what_is_left(found, self._logger, to_submit)
        if not self._is_preview:
            link_latest(Path(self.policy.folder))
            close_earlier(found, self.policy.run, self._slurm)

    def _note_plain_end(self, live: LiveRun) -> None:
        """A run that nobody watches may end without Snakemake, if this plan is all of it."""
        is_whole = self.policy.detached and not (self._continued or self.takes_over or self.later(live))
        if is_whole and not self._is_preview and not any(left_for_the_end(self._workflow, started().command)):
            live.plain_end()

    def _say(self, plan: Plan, later: Sequence[str]) -> None:
        for line in () if self._is_preview else plan_messages(plan, later, self._said):
            self._logger.info(line)


class _Reader:
    """Reads the DAG as it is now.

    Args:
        workflow: Snakemake's workflow object.
        policy: of the run.
        notes_up_to_date: record which jobs are up to date; for a process that begins a run that a job may continue.
    """

    def __init__(self, workflow: Any, policy: Policy, *, notes_up_to_date: bool) -> None:
        self._workflow, self._policy = workflow, policy
        self._command = JobCommand(workflow, common_settings, Path(policy.folder))
        self._notes_up_to_date = notes_up_to_date
        self._noted: set[str] | None = None
        self._finished = 0
        self.has_local_rules = False
        """A job of the DAG runs in this process."""

    def read(
        self, ready: Sequence[Any], *, known: Callable[[str], bool], in_flight: Collection[str],
        groups: Mapping[str, str] = MappingProxyType({}),
    ) -> Reading:  # fmt: skip
        scope = Scope(
            folder=self._policy.folder,
            ready=ready,
            known=known,
            in_flight=in_flight,
            limited=self._policy.limits.keys(),
            detached=self._policy.detached,
            has_light_jobs=bool(self._policy.light_program),
            ends_itself=self._policy.ends_itself,
            groups=groups,
        )
        with locked(self._workflow.scheduler):
            self._finished = finished(self._workflow.dag)
            self.has_local_rules = has_local_rules(self._workflow.dag)
            return read_dag(self._workflow, self._command, scope)

    @property
    def has_changed(self) -> bool:
        """Whether jobs have finished since the DAG was read."""
        return finished(self._workflow.dag) != self._finished

    def kept_for_readers(self, left: Collection[str], found: EarlierRuns) -> dict[str, tuple[str, str]]:
        """As the function of that name, for the queued tasks of earlier runs."""
        done = {key for ledger in found.ledgers for key in settled(ledger).succeeded}
        return kept_for_readers(self._workflow.dag, left, done)

    def note_up_to_date(self) -> None:
        """Record jobs that a continuation must not run, whatever files and their times look like then."""
        if not self._notes_up_to_date:
            return
        with locked(self._workflow.scheduler):
            done = set(up_to_date(self._workflow.dag) if self._noted is None else finished_here(self._workflow))
        before = self._noted or set()
        note_up_to_date(Path(self._policy.folder), done - before)
        self._noted = before | done
