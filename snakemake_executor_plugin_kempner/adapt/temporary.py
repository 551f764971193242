"""Temporary files: which may be deleted when a task has succeeded, and which other tasks must have succeeded before."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from snakemake.io import is_flagged

from .units import Units, members_of, task_keys


class TemporaryFiles:
    """Temporary files of the DAG as it is now, for the tasks that are planned from it.

    While a checkpoint is open, or a task of another command is in flight, jobs that are not in the DAG may read any
    file. Then tasks remove nothing; the continuation that plans those jobs, or the closing job, does.

    Args:
        workflow: Snakemake's workflow object.
        units: of its DAG.
        mark: the file that marks a unit as succeeded.
    """

    def __init__(self, workflow: Any, units: Units, mark: Callable[[Any], str]) -> None:
        self._dag, self._units, self._mark = workflow.dag, units, mark
        self._all_stay = workflow.storage_settings.notemp or not units.holds_all_readers()
        self._marks: dict[tuple[Any, Any], tuple[str, ...]] = {}

    def inputs(self, unit: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each temporary file that the unit reads, with the marks of all units that read it."""
        if self._all_stay:
            return
        for member in members_of(unit):
            for source, files in self._dag.dependencies[member].items():
                # Every process that builds the DAG needs the outputs of checkpoints: the closing job removes them.
                if self._units.of(source) != unit and not source.is_checkpoint:
                    for file in temporary_outputs(source):
                        if file in files and self._may_go(file) and not file.is_storage:
                            yield str(file), self._marks_of_readers(source, file)

    def outputs(self, unit: Any) -> Iterator[Any]:
        """Each temporary file that the unit makes and that no other unit reads."""
        if self._all_stay:
            return
        for member in members_of(unit):
            for file in temporary_outputs(member):
                readers = self._readers(member, file)
                if self._may_go(file) and (readers == [unit] or (not readers and goes_unread(self._dag, member, file))):
                    yield file

    def _may_go(self, file: Any) -> bool:
        return file not in self._dag.derived_targetfiles

    def _readers(self, source: Any, file: Any) -> list[Any]:
        """Units that have yet to read an output of a job."""
        jobs = readers_of(self._dag, source, file)
        return list(dict.fromkeys(self._units.of(job) for job in jobs if self._units.is_open(job)))

    def _marks_of_readers(self, source: Any, file: Any) -> tuple[str, ...]:
        """The marks of all readers of a file; cached."""
        if (source, file) not in self._marks:
            self._marks[source, file] = tuple(map(self._mark, self._readers(source, file)))
        return self._marks[source, file]


def temporary_outputs(job: Any) -> list[Any]:
    return [file for file in job.output if is_flagged(file, "temp")]


def readers_of(dag: Any, job: Any, file: Any) -> Iterator[Any]:
    """Jobs of the DAG that read an output of a job."""
    return (reader for reader, files in dag.depending[job].items() if file in files)


def goes_unread(dag: Any, job: Any, file: Any) -> bool:
    """Whether Snakemake removes a temporary output that no job reads: it does unless the output is a target.

    With `--batch`, inputs of the batch rule count as targets.
    """
    is_asked_for = job in dag.targetjobs and job.rule.name != dag.workflow.default_target
    return not (job.is_checkpoint or is_asked_for or file in dag.targetfiles)


def keep_for_others(dag: Any, in_flight: Callable[[], Collection[str]]) -> None:
    """Make Snakemake's head keep temporary files while tasks outside of its DAG are in flight, which may read them.

    Args:
        dag: Snakemake's.
        in_flight: keys of the tasks that have not ended.
    """
    others = set(in_flight()) - task_keys(dag)
    is_needed = dag.is_needed_tempfile

    def is_needed_by_anybody(*args: Any, **kwargs: Any) -> bool:
        return not others.isdisjoint(in_flight()) or bool(is_needed(*args, **kwargs))

    if others:
        dag.is_needed_tempfile = is_needed_by_anybody


async def remove_unneeded(
    dag: Any, succeeded: Callable[[Any], bool], *, is_over: bool, has_failed: Callable[[Any], bool] = lambda _job: False
) -> None:
    """Remove temporary files that the jobs of a run could not remove because other readers were possible.

    Args:
        dag: Snakemake's, as it is now.
        succeeded: whether a job has succeeded in this run.
        is_over: no job of the run is in the queue any more. Until then, a file is removed only if all its readers are
            known to have succeeded, since a job that looks finished may be queued to run again. Outputs of checkpoints
            are kept until then, since every process that builds the DAG needs them.
        has_failed: whether a job has ended in this run without success. It needs its input once more, even if outputs
            that it has left make it look finished.
    """
    if dag.workflow.storage_settings.notemp or dag.checkpoint_jobs:
        return
    checkpoints = (job for job in dag.jobs if job.is_checkpoint)
    if not is_over and not all(map(succeeded, checkpoints)):
        return
    for job in dag.jobs:
        for file in temporary_outputs(job):
            if dag.is_needed_tempfile(job, file) or not await file.exists():
                continue
            readers = list(readers_of(dag, job, file))
            if any(map(has_failed, readers)):
                continue
            is_certain = is_over or (all(map(succeeded, readers)) and not job.is_checkpoint)
            is_left = any(map(succeeded, readers)) or (succeeded(job) and goes_unread(dag, job, file))
            if is_certain and is_left:
                await file.remove(remove_non_empty_dir=True)
