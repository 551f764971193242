"""Snakemake's DAG → tasks. Says for each job that cannot be planned yet what it waits for."""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from snakemake.common.tbdstring import TBDString
from snakemake.io import is_flagged
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..errors import Fault, PlanError
from ..plan.declared import Candidate, Catalogue, Resolution, resolve
from ..plan.model import Attempt, Edge, Task, label
from ..plan.resources import RELEVANT
from ..plan.step import StepSpec
from .command import JobCommand

_HUGE_MB = 10**9
"""An input size at which a default that has an upper bound has reached it."""


DECLARATION = "slurm_dependency"
"""The resource that declares dependencies."""


class NotYetError(Exception):
    """A job's resources are known only when its input exists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the DAG holds at one moment."""

    tasks: tuple[Task, ...]
    """What can be submitted now."""
    deferred: tuple[str, ...]
    """A reason for each job that cannot be planned yet."""


def task_key(job: Any) -> str:
    """Digest of rule, wildcards and outputs, of each member for a group: the same after a DAG was rebuilt."""
    members = sorted(
        [member.rule.name, sorted(member.wildcards_dict.items()), [str(file) for file in member.output]]
        for member in _members(job)
    )
    return hashlib.sha1(json.dumps(members).encode(), usedforsecurity=False).hexdigest()


def job_label(job: Any) -> str:
    return label(_name(job), _wildcards(job))


def read_dag(
    workflow: Any, command: JobCommand, folder: str, ready: Collection[Any], known: Callable[[str], bool]
) -> Reading:
    """Everything in the DAG that needs to run and can be planned now.

    Args:
        workflow: Snakemake's workflow object; its `dag` is read.
        command: builds the command lines.
        folder: of the run.
        ready: jobs whose inputs exist, as Snakemake's scheduler found; they are never deferred.
        known: whether a task of this key has been submitted; those are not described again.

    Raises:
        PlanError: resources that cannot be evaluated although the inputs exist; all of them.
    """
    return _Reader(workflow, command, folder, ready, known).read()


class _Reader:
    def __init__(
        self, workflow: Any, command: JobCommand, folder: str, ready: Collection[Any], known: Callable[[str], bool]
    ) -> None:
        self._workflow, self._dag = workflow, workflow.dag
        self._command, self._folder, self._known = command, folder, known
        self._ready = set(ready)
        self._keys: dict[Any, str] = {}
        self._faults: list[Fault] = []
        self._deferred: dict[Any, str] = {}

    def read(self) -> Reading:
        before = {unit: self._before(unit) for unit in self._units()}
        declared = self._declared(before)
        for unit, resolution in declared.items():
            before[unit] = tuple(dict.fromkeys((*before[unit], *self._by_keys(resolution.edges, before))))
        tasks = []
        for job in self._in_order(before):
            reason = self._reason_to_defer(job, before[job])
            if reason is None and not self._known(self._key(job)):
                try:
                    tasks.append(self._task(job, declared.get(job, Resolution())))
                except NotYetError as not_yet:
                    reason = str(not_yet)
            if reason is not None:
                self._deferred[job] = reason
        if self._faults:
            raise PlanError(self._faults)
        return Reading(
            tasks=tuple(tasks),
            deferred=tuple(why for job, why in self._deferred.items() if not job.is_local),
        )

    def _key(self, job: Any) -> str:
        if job not in self._keys:
            self._keys[job] = task_key(job)
        return self._keys[job]

    def _in_order(self, before: Mapping[Any, tuple[Any, ...]]) -> Iterable[Any]:
        """Units, each after those that it waits for."""
        try:
            return tuple(TopologicalSorter(before).static_order())
        except CycleError as error:
            ring = " → ".join(job_label(unit) for unit in error.args[1])
            self._faults.append(Fault(where="workflow", what=f"tasks wait for each other in a circle: {ring}"))
            return ()

    def _units(self) -> Iterable[Any]:
        return dict.fromkeys(self._unit(job) for job in self._dag.needrun_jobs())

    def _unit(self, job: Any) -> Any:
        return self._dag.get_job_group(job) or job

    def _before(self, unit: Any) -> tuple[Any, ...]:
        """What has to end before a unit may start: edges of the DAG, never file names."""
        found = (
            self._unit(dependency)
            for member in _members(unit)
            for dependency in self._dag.dependencies[member]
            if self._dag.needrun(dependency) and not self._dag.finished(dependency)
        )
        return tuple(dict.fromkeys(one for one in found if one != unit))

    def _by_keys(self, edges: Iterable[Edge], units: Iterable[Any]) -> Iterator[Any]:
        keys = {edge.on for edge in edges}
        return (unit for unit in units if self._key(unit) in keys) if keys else iter(())

    # --- declared dependencies ----------------------------------------------------------------------------------

    def _declared(self, units: Iterable[Any]) -> dict[Any, Resolution]:
        """What `slurm_dependency` of each unit means, for units that have one."""
        texts = {unit: found for unit in units if (found := tuple(self._declarations(unit)))}
        if not texts:
            return {}
        catalogue = Catalogue(rules={rule.name for rule in self._workflow.rules}, candidates=self._candidates())
        resolutions: dict[Any, Resolution] = {}
        for unit, found in texts.items():
            each = [
                resolve(text, where=job_label(unit), task=self._key(unit), wildcards=wildcards, catalogue=catalogue)
                for text, wildcards in found
            ]
            self._faults += (fault for one in each for fault in one.faults)
            resolutions[unit] = Resolution(
                edges=tuple(edge for one in each for edge in one.edges),
                singleton=any(one.singleton for one in each),
                not_needed="; ".join(one.not_needed for one in each if one.not_needed),
            )
        return resolutions

    def _declarations(self, unit: Any) -> Iterator[tuple[str, dict[str, str]]]:
        for member in _members(unit):
            if DECLARATION not in member.rule.resources:
                continue
            text = None
            with suppress(Exception):  # the task is deferred, or its fault is found, when all its resources are read
                text = member.resources.get(DECLARATION)
            if text:
                yield str(text), {name: str(value) for name, value in member.wildcards_dict.items()}

    def _candidates(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        for job in self._dag.jobs:
            is_open = self._dag.needrun(job) and not self._dag.finished(job)
            task = self._key(self._unit(job)) if is_open else None
            wildcards = {name: str(value) for name, value in job.wildcards_dict.items()}
            found.setdefault(job.rule.name, []).append(Candidate(wildcards=wildcards, task=task))
        return found

    # --- what cannot be planned yet -----------------------------------------------------------------------------

    def _reason_to_defer(self, job: Any, before: tuple[Any, ...]) -> str | None:  # noqa: PLR0911 - one per reason
        name = _name(job)
        if job.is_local:
            return f"local rule {name} runs in the head process first"
        for one in before:
            if one.is_checkpoint and job not in self._ready:
                return f"checkpoint {_name(one)} decides what follows"
            if one in self._deferred:
                return self._deferred[one]
        if job in self._ready:
            return None
        for member in _members(job):
            if member.has_unfinished_queue_input():
                return f"{name} reads from a queue that is not finished"
            if self._head_fetches_storage and any(file.is_storage for file in member.input):
                return f"input of {name} is fetched from storage by the head process"
        return None

    @property
    def _head_fetches_storage(self) -> bool:
        return SharedFSUsage.STORAGE_LOCAL_COPIES in self._workflow.storage_settings.shared_fs_usage

    # --- one task -----------------------------------------------------------------------------------------------

    def _task(self, job: Any, declared: Resolution) -> Task:
        key = self._key(job)
        if declared.not_needed:
            return Task(
                key=key, name=_name(job), wildcards=_wildcards(job), attempts=(), not_needed=declared.not_needed
            )
        unneeded = tuple(str(file) for file in self._dag.get_unneeded_temp_files(job))
        first = job.attempt
        attempts = []
        try:
            for number in range(first, max(job.restart_times, first - 1) + 2):
                if number != job.attempt:
                    job.attempt = number  # resets the resources, which may depend on it
                attempts.append(self._attempt(job, number, unneeded))
        finally:
            if job.attempt != first:
                job.attempt = first
        return Task(
            key=key,
            name=_name(job),
            wildcards=_wildcards(job),
            attempts=tuple(attempts),
            edges=(*(Edge(on=self._key(one)) for one in self._before(job)), *declared.edges),
            singleton=declared.singleton,
            folders=tuple(
                str(file) for member in _members(job) for file in member.output if is_flagged(file, "directory")
            ),
        )

    def _attempt(self, job: Any, number: int, unneeded: tuple[str, ...]) -> Attempt:
        resources = self._resources(job)
        threads = int(resources.pop("_cores", 1))
        return Attempt(
            number=number,
            threads=threads,
            resources=resources,
            step=StepSpec(
                task=job_label(job),
                attempt=number,
                folder=os.getcwd(),
                records=f"{self._folder}/ended",
                targets=tuple((spec.rulename, dict(spec.wildcards_dict)) for spec in job.get_target_spec()),
                arguments=self._command.arguments(job, threads, number, unneeded),
                config=self._command.config,
                wait_for=tuple(str(file) for file in job.get_wait_for_files()) if self._shared_files else (),
                outputs=tuple(self._outputs_to_verify(job, set(unneeded))),
                checkpoints=f"{os.path.dirname(self._folder)}/checkpoints/{self._key(job)}",
                latency_wait=self._workflow.execution_settings.latency_wait,
            ),
        )

    @property
    def _shared_files(self) -> bool:
        return SharedFSUsage.INPUT_OUTPUT in self._workflow.storage_settings.shared_fs_usage

    def _outputs_to_verify(self, job: Any, unneeded: set[str]) -> Iterator[str]:
        """Outputs that must exist when the job ends. What another place holds, or what nobody needs, is not asked for."""
        if not self._shared_files:
            return
        for member in _members(job):
            for file in member.output:
                passing = any(is_flagged(file, flag) for flag in ("pipe", "service", "nodelocal"))
                inside = job.is_group() and is_flagged(file, "temp")
                if not (passing or inside or file.is_storage or str(file) in unneeded):
                    yield str(file)

    def _resources(self, job: Any) -> dict[str, Any]:
        try:
            resources = dict(job.resources.items())
        except Exception as error:  # noqa: BLE001 - a function of the workflow may raise anything
            if job not in self._ready and _lacks_input(job):
                raise NotYetError(f"resources of {_name(job)} are known only when its input exists") from None
            self._faults.append(
                Fault(where=job_label(job), what=f"its resources cannot be evaluated: {_message(error)}")
            )
            return {}
        for name in [name for name, value in resources.items() if isinstance(value, TBDString)]:
            del resources[name]
            if name in RELEVANT:
                self._resolve_unknown(job, name, resources)
        return {name: value for name, value in resources.items() if isinstance(value, (int, str))}

    def _resolve_unknown(self, job: Any, name: str, resources: dict[str, Any]) -> None:
        """A default that depends on the size of an input that does not exist yet is asked for at its upper bound.

        Snakemake's own default for memory, `min(max(2*input.size_mb, 1000), 8000)`, must not keep a task out of the
        queue. A rule's own resource, or a default without a bound, does.
        """
        bounds = [self._bound_of_default(member) for member in _members(job)] if name in _MEMORY else [None]
        known = [bound for bound in bounds if bound is not None]
        if len(known) < len(bounds):
            raise NotYetError(f"resource {name} of {_name(job)} is known only when its input exists")
        resources["mem_mb"] = sum(known)

    def _bound_of_default(self, job: Any) -> int | None:
        defaults = self._workflow.resource_settings._parsed_default_resources  # noqa: SLF001 - has no other name
        function = _function(job.rule.resources.get("mem_mb"))
        if function is None or function is not _function(defaults.get("mem_mb")):
            return None
        known = {"threads": 1, "rulename": job.rule.name, "async_run": None}
        accepted = {name: value for name, value in known.items() if name in inspect.signature(function).parameters}
        value = function(job.wildcards, input=_HugeInput(), attempt=job.attempt, **accepted)
        return value if isinstance(value, int) and value < _HUGE_MB else None


_MEMORY = ("mem", "mem_mb", "mem_mib")


class _HugeInput(tuple[()]):
    """Stands for input files of a size that no bound survives."""

    __slots__ = ()

    size_mb = _HUGE_MB
    size_gb = _HUGE_MB // 1000

    def __bool__(self) -> bool:
        return True


def _function(resource: Any) -> Any:
    """The function behind a resource, if there is one; Snakemake wraps it anew with each copy of a rule's resources."""
    evaluator = getattr(resource, "_evaluator", resource)
    return inspect.unwrap(evaluator) if callable(evaluator) else None


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else (job,)


def _name(job: Any) -> str:
    return str(job.name)


def _wildcards(job: Any) -> dict[str, str]:
    return {} if job.is_group() else {name: str(value) for name, value in job.wildcards_dict.items()}


def _lacks_input(job: Any) -> bool:
    return any(not os.path.lexists(str(file)) for file in job.input)


def _message(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
