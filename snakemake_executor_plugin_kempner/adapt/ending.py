"""What is left for Snakemake to do at the end of a run whose tasks have all succeeded."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from .temporary import temporary_outputs


def left_for_the_end(workflow: Any, command: Sequence[str]) -> Iterator[str]:
    """Each reason, in a word or two, for which the closing job has to run Snakemake even if all has succeeded.

    Args:
        workflow: Snakemake's, with the whole DAG.
        command: the command line of this process.
    """
    from snakemake.cli import parse_args  # noqa: PLC0415 - cannot be imported before Snakemake's workflow is

    jobs = list(workflow.dag.jobs)
    if not workflow.execution_settings.no_hooks and _has_hook(workflow):
        yield "onsuccess"
    if not workflow.storage_settings.notemp and any(map(temporary_outputs, jobs)):
        yield "temporary files"
    if any(job.is_checkpoint for job in jobs):
        yield "checkpoints"
    if any(file.is_storage for job in jobs for file in chain(job.input, job.output)):
        yield "a storage"
    _, arguments = parse_args(list(command[1:]))
    if getattr(arguments, "report_after_run", False):
        yield "--report-after-run"
    if getattr(arguments, "logger", None):
        yield "--logger"


def _has_hook(workflow: Any) -> bool:
    """Whether the Snakefile has an `onsuccess`; if not, Snakemake has a lambda there."""
    return bool(workflow._onsuccess.__name__ != "<lambda>")  # noqa: SLF001
