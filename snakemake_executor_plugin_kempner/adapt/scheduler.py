"""Operations of Snakemake's scheduler that have no public method."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from snakemake_interface_storage_plugins.exceptions import FileOrDirectoryNotFoundError

_VANISHING = 1000
"""How often files may vanish while they are measured."""


@contextmanager
def locked(scheduler: Any) -> Iterator[None]:
    """Hold the scheduler's lock, so that its own thread does not change the DAG."""
    with scheduler._lock:  # noqa: SLF001
        yield


def has_failed(scheduler: Any) -> bool:
    """Whether a job has failed, or was taken back."""
    return bool(scheduler._errors)  # noqa: SLF001


def measure_what_is_there(scheduler: type) -> None:
    """Let schedulers of a class measure their input again when a job has removed a temporary file meanwhile.

    Snakemake looks whether a file exists, and then how large it is. The error would end the run: here the last reader
    of a temporary file removes it, which is another process.
    """
    of_class: Any = scheduler
    measure = of_class.update_input_sizes

    async def measure_again(self: Any, jobs: Any) -> None:
        jobs = list(jobs)
        for _ in range(_VANISHING):
            try:
                await measure(self, jobs)
            except (FileNotFoundError, FileOrDirectoryNotFoundError):
                continue
            return
        await measure(self, jobs)

    of_class.update_input_sizes = measure_again


def withdraw(scheduler: Any, *jobs: Any) -> None:
    """Take back jobs that were handed over and will not run. This makes the run fail, with or without --keep-going.

    If such a job were reported as an error, Snakemake would remove its unchanged outputs of an earlier run.
    """
    with scheduler._lock:  # noqa: SLF001
        scheduler._errors |= bool(jobs)  # noqa: SLF001
        for job in set(jobs) & scheduler.running:
            scheduler.running.remove(job)
            scheduler._free_resources(job)  # noqa: SLF001
        scheduler._open_jobs.release()  # noqa: SLF001


def finish_as_not_needed(workflow: Any, job: Any) -> None:
    """Let the scheduler finish a job that was not needed: without outputs, record or failure.

    Its outputs are removed from the inputs of rules without a command (`rule all`).
    """

    async def nothing(*_args: Any, **_kwargs: Any) -> None: ...

    members = list(job.jobs) if job.is_group() else [job]
    files = {str(file) for member in members for file in member.output}
    with locked(workflow.scheduler):
        job.postprocess = nothing
        for dependant in {reader for member in members for reader in workflow.dag.depending[member]}:
            if dependant.is_norun:
                dependant.input = type(dependant.input)([file for file in dependant.input if str(file) not in files])
    workflow.scheduler.finish_callback(job)


def is_run_by_head(workflow: Any, rule: Any) -> bool:
    """Whether a rule's jobs run in the head process where there is one, whether or not they are Slurm jobs in this run."""
    return rule.name in workflow._localrules or rule.norun  # noqa: SLF001


def run_local_rules_as_jobs(workflow: Any, names: Collection[str] | None = None) -> None:
    """Without a head that could run them, local rules become jobs; `rule all` has nothing to run and stays local.

    Args:
        workflow: Snakemake's workflow object.
        names: of the rules; None for all.
    """
    as_before = workflow.is_local

    def is_local(rule: Any) -> bool:
        if names is not None and rule.name not in names:
            return bool(as_before(rule))
        return bool(workflow.local_exec or (rule.group is None and rule.norun and not rule.output))

    workflow.is_local = is_local
