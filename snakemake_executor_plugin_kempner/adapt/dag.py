"""Snakemake's DAG → tasks. Says for each job that cannot be planned yet what it waits for."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

from snakemake.io import is_flagged
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..errors import Fault, PlanError
from ..plan.declared import Candidate, Catalogue, Resolution, resolve
from ..plan.model import Attempt, Deferred, Edge, Task, label
from ..plan.step import StepSpec
from .command import JobCommand
from .content import Contents
from .resources import BadResourcesError, Evaluated, Evaluator, NotYetError

DECLARATION = "slurm_dependency"
"""The resource that declares dependencies."""
_NOTHING_DECLARED = Resolution()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the DAG holds at one moment."""

    tasks: tuple[Task, ...]
    """What can be submitted now."""
    deferred: tuple[Deferred, ...]
    """One for each job that cannot be planned yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a reading is to describe."""

    folder: str
    """Of the run."""
    ready: Collection[Any]
    """Jobs whose inputs exist, as Snakemake's scheduler found; they are never deferred."""
    known: Callable[[str], bool]
    """Whether a task of this key has been submitted; those are not described again."""
    in_flight: Callable[[str], bool]
    """Whether it has not ended yet either: it is waited for even where Snakemake finds its files in place."""
    detached: bool = False
    """No head will be there: local rules are tasks like any other, and temporary files go without it."""


def task_key(job: Any) -> str:
    """Digest of rule, wildcards and outputs, of each member for a group: the same after a DAG was rebuilt."""
    members = sorted(
        [member.rule.name, sorted(member.wildcards_dict.items()), [str(file) for file in member.output]]
        for member in _members(job)
    )
    return hashlib.sha1(json.dumps(members).encode(), usedforsecurity=False).hexdigest()


def job_label(job: Any) -> str:
    return label(_name(job), _wildcards(job))


def read_dag(workflow: Any, command: JobCommand, scope: Scope) -> Reading:
    """Everything in the DAG that needs to run and can be planned now.

    Args:
        workflow: Snakemake's workflow object; its `dag` is read.
        command: builds the command lines.
        scope: what to describe.

    Raises:
        PlanError: resources that cannot be evaluated although the inputs exist, and what needs a head that will not be
            there; all of them.
    """
    return _Reader(workflow, command, scope).read()


class _Reader:
    def __init__(self, workflow: Any, command: JobCommand, scope: Scope) -> None:
        self._workflow, self._dag = workflow, workflow.dag
        self._command, self._scope = command, scope
        self._ready = set(scope.ready)
        self._open = set(self._dag.needrun_jobs())
        self._workdir, self._records = os.getcwd(), f"{scope.folder}/ended"
        self._checkpoint_folders = f"{os.path.dirname(scope.folder)}/checkpoints"
        usage = workflow.storage_settings.shared_fs_usage
        self._shared_files = SharedFSUsage.INPUT_OUTPUT in usage
        self._head_fetches_storage = SharedFSUsage.STORAGE_LOCAL_COPIES in usage
        defaults = workflow.resource_settings._parsed_default_resources  # noqa: SLF001 - has no other name
        self._evaluator, self._contents = Evaluator(defaults), Contents(workflow.persistence)
        self._keys: dict[Any, str] = {}
        self._edges: dict[Any, Edge] = {}
        self._passing_files: dict[tuple[Any, Any], tuple[str, tuple[str, ...]]] = {}
        self._faults: list[Fault] = []
        self._deferred: dict[Any, Deferred] = {}
        self._checkpoints = {self._unit(job) for job in self._dag.checkpoint_jobs if job in self._open}

    def read(self) -> Reading:
        inputs = {unit: self._before(unit) for unit in self._units()}
        declared = self._declared(inputs)
        before = inputs | self._with_declared(inputs, declared)
        tasks = []
        for job in self._in_order(before):
            deferred = self._deferral(job, before[job])
            if deferred is None and not self._scope.known(self._key(job)) and not _does_nothing(job):
                try:
                    tasks.append(self._task(job, inputs[job], declared.get(job, _NOTHING_DECLARED)))
                except NotYetError as not_yet:
                    deferred = Deferred(str(not_yet), frozenset(map(self._key, before[job])))
            if deferred is not None:
                self._deferred[job] = deferred
                self._check_that_it_comes(job, deferred)
        if self._faults:
            raise PlanError(self._faults)
        shown = [one for job, one in self._deferred.items() if self._scope.detached or not job.is_local]
        return Reading(tasks=tuple(tasks), deferred=tuple(shown))

    def _check_that_it_comes(self, job: Any, deferred: Deferred) -> None:
        if self._scope.detached and not deferred.awaits:
            remedy = "leave out --kempner-detach"
            what = f"cannot be queued now, and needs a head process later: {deferred.why}"
            self._faults.append(Fault(where=job_label(job), what=what, remedy=remedy))

    def _key(self, job: Any) -> str:
        key = self._keys.get(job)
        if key is None:
            key = self._keys[job] = task_key(job)
        return key

    def _in_order(self, before: Mapping[Any, tuple[Any, ...]]) -> Iterable[Any]:
        """Units, each after those that it waits for."""
        try:
            return tuple(TopologicalSorter(before).static_order())
        except CycleError as error:
            ring = " → ".join(job_label(unit) for unit in error.args[1])
            self._faults.append(Fault(where="workflow", what=f"tasks wait for each other in a circle: {ring}"))
            return ()

    def _units(self) -> Iterable[Any]:
        return dict.fromkeys(map(self._unit, self._dag.needrun_jobs()))

    def _unit(self, job: Any) -> Any:
        return self._dag.get_job_group(job) or job

    def _before(self, unit: Any) -> tuple[Any, ...]:
        """What has to end before a unit may start: edges of the DAG, never file names."""
        found = {
            self._unit(dependency): None
            for member in _members(unit)
            for dependency in self._dag.dependencies[member]
            if self._is_open(dependency)
        }
        found.pop(unit, None)
        if self._scope.detached:  # what only collects files is not in the queue; what it waits for is
            for one in [one for one in found if _does_nothing(one)]:
                del found[one]
                found |= dict.fromkeys(self._before(one))
        return tuple(found)

    def _is_open(self, job: Any) -> bool:
        return job in self._open or self._scope.in_flight(self._key(self._unit(job)))

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

    def _with_declared(
        self, inputs: Mapping[Any, tuple[Any, ...]], declared: Mapping[Any, Resolution]
    ) -> dict[Any, tuple[Any, ...]]:
        """What has to end before each unit that declares something: its inputs, and what it names."""
        units = {self._key(unit): unit for unit in inputs} if declared else {}
        return {
            unit: tuple(dict.fromkeys((*inputs[unit], *(units[edge.on] for edge in one.edges if edge.on in units))))
            for unit, one in declared.items()
        }

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
            task = self._key(self._unit(job)) if job in self._open else None
            wildcards = {name: str(value) for name, value in job.wildcards_dict.items()}
            found.setdefault(job.rule.name, []).append(Candidate(wildcards=wildcards, task=task))
        return found

    # --- what cannot be planned yet -----------------------------------------------------------------------------

    def _deferral(self, job: Any, before: tuple[Any, ...]) -> Deferred | None:  # noqa: PLR0911 - one per reason
        name = _name(job)
        if job.is_local and not self._scope.detached:
            return Deferred(f"local rule {name} runs in the head process first")
        for one in before:
            if one in self._deferred:
                return self._deferred[one]
            if one in self._checkpoints and job not in self._ready:
                return Deferred(f"checkpoint {_name(one)} decides what follows", frozenset({self._key(one)}))
        if job in self._ready:
            return None
        for member in _members(job):
            if member.has_unfinished_queue_input():
                return Deferred(f"{name} reads from a queue that is not finished")
            if self._head_fetches_storage and any(file.is_storage for file in member.input):
                return Deferred(f"input of {name} is fetched from storage by the head process")
        return None

    # --- one task -----------------------------------------------------------------------------------------------

    def _task(self, job: Any, inputs: Iterable[Any], declared: Resolution) -> Task:
        key, wildcards = self._key(job), _wildcards(job)
        if declared.not_needed:
            return Task(key=key, name=_name(job), wildcards=wildcards, attempts=(), not_needed=declared.not_needed)
        flagged = _flagged_outputs(job)
        try:
            return Task(
                key=key,
                name=_name(job),
                wildcards=wildcards,
                attempts=tuple(self._attempts(job, flagged)),
                edges=(*map(self._edge, inputs), *declared.edges),
                singleton=declared.singleton,
                folders=tuple(str(file) for file in flagged if is_flagged(file, "directory")),
                content=self._contents.of(tuple(_members(job))),
            )
        finally:
            if job not in self._ready:
                _forget_evaluated(job)

    def _edge(self, on: Any) -> Edge:
        """The one edge that all share who wait for a unit."""
        edge = self._edges.get(on)
        if edge is None:
            edge = self._edges[on] = Edge(on=self._key(on))
        return edge

    def _attempts(self, job: Any, flagged: Iterable[Any]) -> Iterator[Attempt]:
        unneeded = tuple(map(str, self._dag.get_unneeded_temp_files(job))) if flagged else ()
        step = self._step(job, unneeded)
        first = job.attempt
        try:
            for number in range(first, max(job.restart_times, first - 1) + 2):
                asked = self._resources(job, number)
                yield Attempt(
                    number=number,
                    threads=asked.threads,
                    resources=asked.resources,
                    step=step(attempt=number, arguments=self._command.arguments(job, asked.threads, number, unneeded)),
                )
        finally:
            if job.attempt != first:
                job.attempt = first

    def _step(self, job: Any, unneeded: tuple[str, ...]) -> Callable[..., StepSpec]:
        """What all attempts have in common."""
        detached = self._scope.detached
        return partial(
            StepSpec,
            task=job_label(job),
            folder=self._workdir,
            records=self._records,
            targets=_targets(job),
            config=self._command.config,
            wait_for=tuple(map(str, _files_to_wait_for(job))) if self._shared_files else (),
            outputs=tuple(self._outputs_to_verify(job, unneeded)),
            checkpoints=f"{self._checkpoint_folders}/{self._key(job)}",
            mark=self._mark(job) if detached else "",
            temp_inputs=tuple(self._temp_inputs(job)) if detached else (),
            latency_wait=self._workflow.execution_settings.latency_wait,
        )

    def _mark(self, unit: Any) -> str:
        return f"{self._scope.folder}/succeeded/{self._key(unit)}"

    def _temp_inputs(self, unit: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Temporary files that the unit reads, with the marks of all that are known to read them."""
        if self._workflow.storage_settings.notemp:
            return
        for member in _members(unit):
            for source, files in self._dag.dependencies[member].items():
                if self._unit(source) != unit:
                    for file in _flagged_outputs(source):
                        if file in files and self._is_passing(file):
                            yield self._passing_file(source, file)

    def _passing_file(self, source: Any, file: Any) -> tuple[str, tuple[str, ...]]:
        """A temporary file, and the marks of its readers; found once for all of them.

        What a checkpoint may bring does not count, as in Snakemake itself.
        """
        if (source, file) not in self._passing_files:
            depending = self._dag.depending[source].items()
            readers = dict.fromkeys(self._unit(job) for job, read in depending if file in read and self._is_open(job))
            self._passing_files[source, file] = str(file), tuple(map(self._mark, readers))
        return self._passing_files[source, file]

    def _is_passing(self, file: Any) -> bool:
        return is_flagged(file, "temp") and not file.is_storage and file not in self._dag.derived_targetfiles

    def _outputs_to_verify(self, job: Any, unneeded: Collection[str]) -> Iterator[str]:
        """Outputs that must exist when the job ends. What another place holds, or what nobody needs, is not asked for."""
        if not self._shared_files:
            return
        for member in _members(job):
            for file in member.output:
                if not file.flags:
                    yield str(file)
                    continue
                passing = any(is_flagged(file, flag) for flag in ("pipe", "service", "nodelocal"))
                inside = job.is_group() and is_flagged(file, "temp")
                if not (passing or inside or file.is_storage or str(file) in unneeded):
                    yield str(file)

    def _resources(self, job: Any, attempt: int) -> Evaluated:
        found = self._evaluator.of_all(job)
        if found is not None:
            return found
        if job.attempt != attempt:
            job.attempt = attempt  # resets the resources, which may depend on it
        try:
            return self._evaluator.evaluated(job, is_ready=job in self._ready)
        except BadResourcesError as error:
            self._faults.append(Fault(where=job_label(job), what=f"its resources cannot be evaluated: {error}"))
            return Evaluated(threads=1, resources={})


def _members(job: Any) -> Collection[Any]:
    return job.jobs if job.is_group() else (job,)


def _name(job: Any) -> str:
    return str(job.name)


def _wildcards(job: Any) -> dict[str, str]:
    return {} if job.is_group() else _texts(job.wildcards_dict)


def _targets(job: Any) -> tuple[tuple[str, dict[str, str]], ...]:
    return tuple((spec.rulename, _texts(spec.wildcards_dict)) for spec in job.get_target_spec())


def _texts(wildcards: dict[str, Any]) -> dict[str, str]:
    """The wildcards as they are where all are texts, as Snakemake's own are; nobody writes to them."""
    if all(type(value) is str for value in wildcards.values()):
        return wildcards
    return {name: str(value) for name, value in wildcards.items()}


def _flagged_outputs(job: Any) -> list[Any]:
    """Outputs that are more than a file that stays (`temp`, `directory`, …)."""
    return [file for member in _members(job) for file in member.output if file.flags]


def _files_to_wait_for(job: Any) -> Iterable[Any]:
    if job.is_group() or any(file.flags for file in job.input):
        return job.get_wait_for_files()  # type: ignore[no-any-return]
    return (*job.input, *job.get_wait_for_files(skip_input_files=True))  # the same, without a look at each file


def _forget_evaluated(job: Any) -> None:
    """Let go of what Snakemake keeps with a job and evaluates anew when the job is ready."""
    job.attempt = job.attempt  # forgets the resources
    for member in _members(job):
        member._params = member._non_derived_params = None  # noqa: SLF001 - has no other name


def _does_nothing(job: Any) -> bool:
    """A rule without a command (`rule all`): it only collects files."""
    return bool(not job.is_group() and job.is_norun)
