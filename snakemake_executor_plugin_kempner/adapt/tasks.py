"""A unit of Snakemake's DAG (job or group job) → a task for the planner."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from snakemake.io import is_flagged
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..errors import Fault
from ..layout import CHECKPOINTS, ENDED, SUCCEEDED
from ..plan.declared import Resolution
from ..plan.segments import in_segments
from ..plan.step import NOTHING, StepSpec
from ..plan.task import Attempt, Edge, Task, label
from .command import JobCommand
from .content import Contents
from .light import LightJobs
from .resources import BadResourcesError, Evaluated, Evaluator, NotYetError
from .temporary import TemporaryFiles
from .units import Scope, Units, is_plain, job_label, may_go_inside, members_of, name_of, task_key, texts, wildcards_of


class TaskReader:
    """Makes tasks of units; values that many of them share exist once.

    Args:
        workflow: Snakemake's workflow object.
        command: builds the command lines.
        scope: of the reading.
        units: of the DAG.
    """

    def __init__(self, workflow: Any, command: JobCommand, scope: Scope, units: Units) -> None:
        self._workflow, self._dag = workflow, workflow.dag
        self._command, self._scope, self._units = command, scope, units
        self._ready = set(scope.ready)
        self.faults: list[Fault] = []
        """Resources that cannot be evaluated although the inputs exist."""
        self._shared_files = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage
        self._workdir, self._records = os.getcwd(), f"{scope.folder}/{ENDED}"
        self._checkpoint_folders = f"{os.path.dirname(scope.folder)}/{CHECKPOINTS}"
        defaults = workflow.resource_settings._parsed_default_resources  # noqa: SLF001 - has no other name
        self._evaluator = Evaluator(defaults, scope.limited)
        self._contents = Contents(workflow.persistence, command.sources)
        self._light = LightJobs(workflow, command.sources.of_head, is_on=scope.has_light_jobs)
        self._evaluated: set[Any] = set()
        self._edges: dict[Any, Edge] = {}
        self._temporary = TemporaryFiles(workflow, units, self._mark)

    def task(self, job: Any, inputs: Iterable[Any], declared: Resolution) -> Task:
        """The task of a unit.

        Args:
            job: the unit.
            inputs: units that make its inputs.
            declared: what it declares to wait for.

        Raises:
            NotYetError: its resources are known only when its input exists.
        """
        key, wildcards = self._units.key(job), wildcards_of(job)
        if declared.not_needed:
            return Task(key=key, name=name_of(job), wildcards=wildcards, attempts=(), not_needed=declared.not_needed)
        flagged = _flagged_outputs(job)
        try:
            return Task(
                key=key,
                name=name_of(job),
                wildcards=wildcards,
                attempts=in_segments(tuple(self._attempts(job, wildcards, flagged))),
                edges=(*map(self._edge, inputs), *declared.edges),
                singleton=declared.singleton,
                members=tuple(map(task_key, job.jobs)) if job.is_group() else (),
                logs=tuple(str(file) for member in members_of(job) for file in member.log),
                folders=tuple(str(file) for file in flagged if is_flagged(file, "directory")),
                content=self._contents.of(tuple(members_of(job))),
            )
        finally:
            if job not in self._ready and (job in self._evaluated or job.is_group() or job.rule.params):
                _forget_evaluated(job)

    def expected(self, job: Any) -> Task | None:
        """The task of a unit that cannot be submitted yet, with its resources but without its commands.

        None if the resources may still change because not all inputs are known, or cannot be evaluated yet.
        """
        if self._is_incomplete(job) and not self._evaluator.is_same_for_all(job):
            return None
        known = len(self.faults)
        try:
            found = tuple(self._evaluated_attempts(job))
        except NotYetError:
            return None
        finally:
            if job not in self._ready and job in self._evaluated:
                _forget_evaluated(job)
        if len(self.faults) > known:  # a resource function may fail because its input does not exist yet
            del self.faults[known:]
            return None
        attempts = (
            Attempt(number=number, threads=values.threads, resources=values.resources, units=values.units, step=NOTHING)
            for number, values in found
        )
        name, wildcards = name_of(job), wildcards_of(job)
        return Task(key=self._units.key(job), name=name, wildcards=wildcards, attempts=in_segments(tuple(attempts)))

    @staticmethod
    def _is_incomplete(job: Any) -> bool:
        """Whether its inputs depend on a checkpoint, or on a job that has not run."""
        return any(getattr(member, "incomplete_input_expand", False) for member in members_of(job))

    def _edge(self, on: Any) -> Edge:
        """The edge to a unit, shared by all tasks that wait for it."""
        edge = self._edges.get(on)
        if edge is None:
            edge = self._edges[on] = Edge(on=self._units.key(on))
        return edge

    def _attempts(self, job: Any, wildcards: dict[str, str], flagged: Iterable[Any]) -> Iterator[Attempt]:
        passing = tuple(self._temporary.outputs(job)) if flagged else ()
        unneeded = tuple(map(str, passing))
        step = self._step(job, wildcards, passing)
        for number, values in self._evaluated_attempts(job):
            yield Attempt(
                number=number,
                threads=values.threads,
                resources=values.resources,
                units=values.units,
                step=step(attempt=number, **self._runs(job, wildcards, number, values, unneeded)),
            )

    def _runs(
        self, job: Any, wildcards: dict[str, str], number: int, values: Evaluated, unneeded: Sequence[str]
    ) -> dict[str, Any]:
        """What the job of an attempt runs: a command alone, or a Snakemake."""
        if job.attempt != number:  # its command may name a resource that depends on it
            job.attempt = number
        light = self._light.of(job, threads=values.threads, resources=values.resources)
        if not isinstance(light, str):
            of_rule, of_task = light
            return {"light_rule": of_rule, "light": of_task, "targets": (), "arguments": ()}
        return {
            "targets": _targets(job) if job.is_group() else ((job.rule.name, wildcards),),
            "arguments": self._command.arguments(job, values.threads, number, unneeded),
            "config": self._command.config,
            "runs_snakemake": light,
        }

    def _evaluated_attempts(self, job: Any) -> Iterator[tuple[int, Evaluated]]:
        """The number and resources of each attempt."""
        first = job.attempt
        try:
            for number in range(first, max(job.restart_times, first - 1) + 2):
                yield number, self._resources(job, number)
        finally:
            if job.attempt != first:
                job.attempt = first

    def _step(self, job: Any, wildcards: dict[str, str], passing: Collection[Any]) -> Callable[..., StepSpec]:
        """The step, with everything that all attempts have in common."""
        ends_itself = self._scope.ends_itself
        return partial(
            StepSpec,
            task=label(name_of(job), wildcards),
            folder=self._workdir,
            records=self._records,
            wait_for=tuple(self._wait_for(job)) if self._shared_files else (),
            outputs=tuple(self._outputs_to_verify(job, passing)),
            checkpoints=f"{self._checkpoint_folders}/{self._units.key(job)}",
            mark=self._mark(job) if ends_itself else "",
            temp_inputs=tuple(self._temporary.inputs(job)) if ends_itself else (),
            temp_outputs=tuple(str(file) for file in passing if not file.is_storage) if ends_itself else (),
            latency_wait=self._workflow.execution_settings.latency_wait,
        )

    def _wait_for(self, job: Any) -> Iterator[str]:
        return self._command.sources.as_jobs_see(map(str, _files_to_wait_for(job)))

    def _mark(self, unit: Any) -> str:
        return f"{self._scope.folder}/{SUCCEEDED}/{self._units.key(unit)}"

    def _outputs_to_verify(self, job: Any, unneeded: Collection[Any]) -> Iterator[str]:
        """Outputs that must exist when the job ends.

        Not those in a storage, temporary ones that no task reads, and what stays inside a group.
        """
        if not self._shared_files:
            return
        gone = may_go_inside(self._dag, job)
        for member in members_of(job):
            for file in member.output:
                if file in gone:
                    continue
                if not file.flags:
                    yield str(file)
                    continue
                passing = any(is_flagged(file, flag) for flag in ("pipe", "service", "nodelocal"))
                inside = job.is_group() and is_flagged(file, "temp")
                if not (passing or inside or file.is_storage or file in unneeded):
                    yield str(file)

    def _resources(self, job: Any, attempt: int) -> Evaluated:
        found = self._evaluator.of_all(job)
        if found is not None:
            return found
        self._evaluated.add(job)
        if job.attempt != attempt:
            job.attempt = attempt  # resets the resources, which may depend on it
        try:
            return self._evaluator.evaluated(job, is_ready=job in self._ready)
        except BadResourcesError as error:
            what, label_ = f"its resources cannot be evaluated: {error}", job_label(job)
            self.faults.append(Fault(where=label_, what=what, tasks=((self._units.key(job), label_),)))
            return Evaluated(threads=1, resources={})


def _targets(job: Any) -> tuple[tuple[str, dict[str, str]], ...]:
    return tuple((member.rule.name, texts(member.wildcards_dict)) for member in members_of(job))


def _flagged_outputs(job: Any) -> list[Any]:
    """Outputs with a flag (`temp`, `directory`, …)."""
    return [file for member in members_of(job) for file in member.output if file.flags]


def _files_to_wait_for(job: Any) -> Iterable[Any]:
    if job.is_group() or not is_plain(job.input):
        return job.get_wait_for_files()  # type: ignore[no-any-return]
    return (*job.input, *job.get_wait_for_files(skip_input_files=True))  # the same, without a check of each file


def _forget_evaluated(job: Any) -> None:
    """Free values that Snakemake caches in a job and evaluates again when the job is ready."""
    job.attempt = job.attempt  # forgets the resources
    for member in members_of(job):
        member._params = member._non_derived_params = None  # noqa: SLF001 - has no other name
