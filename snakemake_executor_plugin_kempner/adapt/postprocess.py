"""Post-processing in the head after a Slurm job has ended; the job's own Snakemake has post-processed it on the node.

Snakemake's scheduler calls `Job.postprocess` again in the head (or in the closing job), perhaps much later. By then an
input may have been edited, a reader may have removed a temporary file, and an updated file may be the input of the next
task. The outputs of a successful job are therefore not touched, checked, cleaned up or recorded again; for a job that
was killed before it could clean up, only outputs that are marked as incomplete are removed.
"""

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

from snakemake.io import is_flagged, wait_for_files
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from .units import may_go_inside, members_of


def accept(workflow: Any, job: Any, warn: Callable[[str], None]) -> None:
    """Let Snakemake accept this job, or group job, as successful, without another look at its files.

    Args:
        workflow: Snakemake's.
        job: whose Slurm job has succeeded.
        warn: gets a message about outputs that are not visible on this machine.
    """
    usage = workflow.storage_settings.shared_fs_usage
    shares_files = SharedFSUsage.INPUT_OUTPUT in usage

    async def postprocess(*_args: Any, error: bool = False, **_kwargs: Any) -> None:
        if error:  # a step below has failed in this process: keep the outputs
            return
        gone = may_go_inside(workflow.dag, job)
        for member in members_of(job):
            if shares_files or SharedFSUsage.STORAGE_LOCAL_COPIES not in usage:
                await _see_outputs(workflow, member, gone, warn, in_storage=not shares_files)
            if shares_files:
                await workflow.dag.handle_storage(member)
            if not records_itself(workflow):
                await workflow.persistence.finished(member)

    job.postprocess = postprocess


def leave(job: Any) -> None:
    """Let Snakemake count this job, or group job, as failed without another look at its files.

    It never ran, or it ended by itself, and its own Snakemake has removed or restored its outputs.
    """

    async def postprocess(*_args: Any, **_kwargs: Any) -> None: ...

    job.postprocess = postprocess


def tidy_up(workflow: Any, job: Any) -> None:
    """Let Snakemake clean up after a killed job; outputs that it had not begun to write are kept."""
    for member in members_of(job):
        _spare_what_is_complete(workflow.persistence, member)


def records_itself(workflow: Any) -> bool:
    """Whether the jobs' own Snakemakes record provenance; into a database only the main process may write."""
    return SharedFSUsage.PERSISTENCE in workflow.storage_settings.shared_fs_usage and isinstance(
        workflow.persistence, persistence_in_files()
    )


def persistence_in_files() -> Any:
    """Snakemake's class that keeps provenance in files; Snakemake 9.22 has moved it."""
    from snakemake import persistence  # noqa: PLC0415 - imports a database

    return getattr(persistence, "Persistence", None) or import_module("snakemake.persistence.file").FilePersistence


async def _see_outputs(
    workflow: Any, job: Any, gone: Collection[Any], warn: Callable[[str], None], *, in_storage: bool
) -> None:
    """Wait until the outputs are visible here, in the file system or storage: a local rule may read them next."""
    passing = ("temp", "pipe", "service", "nodelocal")
    outputs = (file for file in job.output if file not in gone)
    files = [file for file in outputs if not any(is_flagged(file, flag) for flag in passing)]
    try:
        await wait_for_files(
            files,
            latency_wait=workflow.execution_settings.latency_wait,
            ignore_pipe_or_service=True,
            wait_for_local=not in_storage,
        )
    except OSError as error:
        warn(f"The job of {job.rule.name} has seen its outputs, this machine does not: {error}")


def _spare_what_is_complete(persistence: Any, job: Any) -> None:
    postprocess, cleanup = job.postprocess, job.cleanup

    async def postprocess_knowing(*args: Any, **kwargs: Any) -> None:
        if isinstance(getattr(persistence, "_incomplete_cache", None), set):
            persistence._incomplete_cache = None  # noqa: SLF001 - from the head's start; the job has set marks since
        incomplete = {str(file) for file in await persistence.incomplete(job)}

        async def cleanup_incomplete(restored: Any) -> None:
            complete = {file for file in job.output if str(file) not in incomplete or is_flagged(file, "update")}
            await cleanup({*restored, *complete})

        job.cleanup = cleanup_incomplete
        await postprocess(*args, **kwargs)

    job.postprocess = postprocess_knowing
