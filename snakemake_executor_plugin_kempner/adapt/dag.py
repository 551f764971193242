"""Snakemake's DAG → tasks, and for each job that cannot be planned yet, what it waits for."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from graphlib import CycleError
from typing import Any

from snakemake.io import is_flagged
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..errors import Fault, PlanError
from ..plan.declared import Candidate, Catalogue, Resolution, resolve
from ..plan.dependency import DependencyType
from ..plan.order import in_order
from ..plan.task import Deferred, Edge, Task
from ..plan.undisturbed import undisturbed
from .command import JobCommand
from .resources import NotYetError
from .tasks import TaskReader
from .units import Scope, Units, does_nothing, is_half_in, job_label, members_of, name_of
from .updating import before_updates

DECLARATION = "slurm_dependency"
"""The resource that declares dependencies."""
_NOTHING_DECLARED = Resolution()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The tasks of the DAG, as it is now."""

    tasks: tuple[Task, ...]
    """Tasks that can be submitted now."""
    deferred: tuple[Deferred, ...]
    """Jobs that cannot be planned yet."""
    left_out: tuple[str, ...] = ()
    """Outputs of deferred jobs, if --force… is in use: a later process without that option may find them up to date."""


def read_dag(workflow: Any, command: JobCommand, scope: Scope) -> Reading:
    """Read everything in the DAG that needs to run.

    Args:
        workflow: Snakemake's workflow object; its `dag` is read.
        command: builds the command lines.
        scope: what to describe.

    Raises:
        PlanError: resources cannot be evaluated although the inputs exist, or a detached run needs a head; lists all.
    """
    with undisturbed():
        return _Reader(workflow, command, scope).read()


class _Reader:
    def __init__(self, workflow: Any, command: JobCommand, scope: Scope) -> None:
        self._workflow, self._dag = workflow, workflow.dag
        self._scope, self._units = scope, Units(workflow.dag, scope)
        self._tasks = TaskReader(workflow, command, scope, self._units)
        self._ready = set(scope.ready)
        self._head_fetches_storage = SharedFSUsage.STORAGE_LOCAL_COPIES in workflow.storage_settings.shared_fs_usage
        self._faults: list[Fault] = []
        self._shared_files = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage
        self._local_rules: dict[str, bool] = {}
        self._before: Mapping[Any, tuple[Any, ...]] = {}
        self._deferred: dict[Any, Deferred] = {}
        self._checkpoints = {self._units.of(job) for job in self._dag.checkpoint_jobs if self._units.is_wanted(job)}

    def read(self) -> Reading:
        inputs = {unit: self._units.before(unit) for unit in self._units.all()}
        declared = self._declared(inputs)
        self._add_updates(declared)
        before = self._before = inputs | self._with_declared(inputs, declared)
        tasks = []
        for job in self._in_order(before):
            deferred = self._deferral(job, before[job])
            self._check_that_it_is_whole(job)
            if deferred is None and not self._scope.known(self._units.key(job)) and not does_nothing(job):
                try:
                    tasks.append(self._tasks.task(job, inputs[job], declared.get(job, _NOTHING_DECLARED)))
                except NotYetError as not_yet:
                    deferred = Deferred(str(not_yet), frozenset(map(self._units.key, before[job])))
            if deferred is not None:
                self._deferred[job] = self._with_what_is_known(job, deferred)
                self._check_that_it_comes(job, deferred)
        if faults := (*self._faults, *self._tasks.faults):
            raise PlanError(faults)
        shown = [why for job, why in self._deferred.items() if self._scope.detached or not self._is_local(job)]
        return Reading(tasks=tuple(tasks), deferred=tuple(shown), left_out=tuple(self._left_out()))

    def _left_out(self) -> Iterator[str]:
        """Outputs of what is not submitted yet and does not look as if it had to run: it is forced, or some of them exist.

        So do outputs with `update()`, and those whose inputs are `ancient()`. Of what a checkpoint decides, it is not known
        yet whether it has to run: files and their times tell when the checkpoint has ended, as in a local run.
        """
        settings = self._workflow.dag_settings
        forced = settings.forceall or settings.forcerun or settings.forcetargets
        undecided: set[Any] = set()
        for job in self._deferred:
            if any(unit in self._checkpoints or unit in undecided for unit in self._before[job]):
                undecided.add(job)
            for member in members_of(job):
                files = list(map(str, member.output))
                exists = any(map(os.path.lexists, files))
                if job in undecided and exists and not self._runs_anyhow(member):
                    continue
                if forced or exists:
                    yield from files

    def _runs_anyhow(self, job: Any) -> bool:
        """Whether the job runs although files and their times may not say so."""
        if self._dag.reason(job).forced or any(is_flagged(file, "update") for file in job.output):
            return True
        return any(is_flagged(file, "ancient") for file in job.input)

    def _with_what_is_known(self, job: Any, deferred: Deferred) -> Deferred:
        """With the unit's own resources, if it will be a Slurm job, so that they can be checked now."""
        is_settled = does_nothing(job) or self._scope.known(self._units.key(job))
        is_task = not is_settled and (self._scope.detached or not self._is_local(job))
        return replace(deferred, task=self._tasks.expected(job) if is_task else None)

    def _check_that_it_comes(self, job: Any, deferred: Deferred) -> None:
        why = self._needs_head(job) or ("" if deferred.awaits else deferred.why)
        if self._scope.detached and why:
            remedy = "leave out --kempner-detach; where a head has died, give its command again"
            what = f"cannot be queued now, and needs a head process later: {why}"
            of = ((self._units.key(job), job_label(job)),)
            self._faults.append(Fault(where=job_label(job), what=what, remedy=remedy, tasks=of))

    def _check_that_it_is_whole(self, job: Any) -> None:
        if self._scope.groups and is_half_in(self._scope.groups, job):
            what = "some of its tasks are in the queue already, in the job of another group"
            of = ((self._units.key(job), job_label(job)),)
            remedy = "give the command again when that job has ended, or end it with --kempner-cancel"
            self._faults.append(Fault(where=job_label(job), what=what, remedy=remedy, tasks=of))

    def _in_order(self, before: Mapping[Any, tuple[Any, ...]]) -> Iterable[Any]:
        """The units, each after those it waits for."""
        try:
            return in_order(before)
        except CycleError as error:
            ring = " → ".join(job_label(unit) for unit in error.args[1])
            self._faults.append(Fault(where="workflow", what=f"tasks wait for each other in a circle: {ring}"))
            return ()

    # --- declared dependencies ----------------------------------------------------------------------------------

    def _declared(self, units: Iterable[Any]) -> dict[Any, Resolution]:
        """The resolved `slurm_dependency` of each unit that has this resource."""
        texts = {unit: found for unit in units if (found := tuple(self._declarations(unit)))}
        if not texts:
            return {}
        catalogue = Catalogue(rules={rule.name for rule in self._workflow.rules}, candidates=self._candidates())
        resolutions: dict[Any, Resolution] = {}
        for unit, found in texts.items():
            each = [
                resolve(
                    text, where=job_label(unit), task=self._units.key(unit), wildcards=wildcards, catalogue=catalogue
                )
                for text, wildcards in found
            ]
            of = ((self._units.key(unit), job_label(unit)),)
            self._faults += (replace(fault, tasks=of) for resolution in each for fault in resolution.faults)
            resolutions[unit] = Resolution(
                edges=tuple(edge for resolution in each for edge in resolution.edges),
                singleton=any(resolution.singleton for resolution in each),
                not_needed="; ".join(resolution.not_needed for resolution in each if resolution.not_needed),
            )
        return resolutions

    def _add_updates(self, declared: dict[Any, Resolution]) -> None:
        """A unit that updates a file waits for the ends of those that read it as it is before."""
        for unit, readers in before_updates(self._workflow, self._units).items():
            found = declared.get(unit, _NOTHING_DECLARED)
            edges = (Edge(on=self._units.key(reader), type=DependencyType.AFTERANY) for reader in readers)
            declared[unit] = replace(found, edges=(*found.edges, *edges))

    def _with_declared(
        self, inputs: Mapping[Any, tuple[Any, ...]], declared: Mapping[Any, Resolution]
    ) -> dict[Any, tuple[Any, ...]]:
        """For each unit with edges of its own, the units it waits for: makers of its inputs, and those of the edges."""
        units = {self._units.key(unit): unit for unit in inputs} if declared else {}
        return {
            unit: tuple(dict.fromkeys((*inputs[unit], *(units[edge.on] for edge in found.edges if edge.on in units))))
            for unit, found in declared.items()
        }

    def _declarations(self, unit: Any) -> Iterator[tuple[str, dict[str, str]]]:
        for member in members_of(unit):
            if DECLARATION not in member.rule.resources:
                continue
            text = None
            with suppress(Exception):  # reading all resources later defers the task, or finds the fault
                text = member.resources.get(DECLARATION)
            if text:
                yield str(text), {name: str(value) for name, value in member.wildcards_dict.items()}

    def _candidates(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for job in self._dag.jobs:
            task = self._units.key(self._units.of(job)) if self._units.is_wanted(job) else None
            wildcards = {name: str(value) for name, value in job.wildcards_dict.items()}
            found.setdefault(job.rule.name, []).append(Candidate(wildcards=wildcards, task=task))
        return found

    # --- what cannot be planned yet -----------------------------------------------------------------------------

    def _deferral(self, job: Any, before: tuple[Any, ...]) -> Deferred | None:
        if not self._scope.detached and self._is_local(job):
            return Deferred(f"local rule {name_of(job)} runs in the head process first")
        for unit in before:
            if unit in self._deferred:
                return self._deferred[unit]
            if unit in self._checkpoints and job not in self._ready:
                return Deferred(f"checkpoint {name_of(unit)} decides what follows", frozenset({self._units.key(unit)}))
        needs_head = "" if job in self._ready else self._needs_head(job)
        return Deferred(needs_head) if needs_head else None

    def _needs_head(self, job: Any) -> str:
        """Why a head process has to do something before the job can start; empty if it can start without."""
        for member in members_of(job):
            if member.has_unfinished_queue_input():
                return f"{name_of(job)} reads from a queue that is not finished"
            if self._head_fetches_storage and any(file.is_storage for file in member.input if file.flags):
                return f"input of {name_of(job)} is fetched from storage by the head process"
        return ""

    def _is_local(self, job: Any) -> bool:
        """Snakemake's `is_local`; cached for the rule if it does not depend on a job's own files."""
        if job.is_group() or not self._shared_files:
            return bool(job.is_local)
        name = job.rule.name
        if name not in self._local_rules:
            self._local_rules[name] = job.is_local
        return self._local_rules[name]


def finished(dag: Any) -> int:
    """The number of jobs that have succeeded."""
    return sum(1 for _ in dag.finished_jobs)


def has_local_rules(dag: Any) -> bool:
    """Whether a job that is to run runs in this process; a rule such as `all` does nothing anywhere."""
    return any(job.is_local and not does_nothing(job) for job in dag.needrun_jobs())
