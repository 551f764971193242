"""`--kempner-preview`, `--kempner-export`: everything that a run does before the first sbatch, then what would be queued,
as text or in a file.
"""

from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .adapt.instead_of_jobs import instead_of_scheduling
from .export.forms import exported, form_of, write
from .invocation import Leaving, started
from .options import Options
from .phrases import command_line, short_path
from .planning import Planning, cluster_of
from .preview_text import preview
from .slurm.client import SlurmCommands


class _Unsubmitted(SlurmCommands):
    """Answers queries as Slurm does, but submits, changes and cancels nothing."""

    def __init__(self, environment: Mapping[str, str], cluster: str) -> None:
        super().__init__(environment, cluster=cluster)
        self._ids = map(str, count(1))

    def submit(self, options: Options, script: str) -> str:  # noqa: ARG002
        return next(self._ids)

    def depend(self, job_id: str, dependency: str) -> None: ...

    def keep_off(self, job_id: str, node: str, options: Options) -> bool:  # noqa: ARG002
        return False

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> None: ...


def preview_instead_of_running() -> None:
    """Make this process read the workflow, print what would be queued, and exit."""
    instead_of_scheduling(_preview)


def _preview(workflow: Any, executor: Any) -> None:
    """Print the preview, or write the plan into a file, and exit.

    Raises:
        KempnerError: the run would fail before anything is submitted, or the file cannot be written.
    """
    settings = executor.executor_settings
    slurm = _Unsubmitted(executor.envvars(), cluster_of(workflow))
    with TemporaryDirectory(prefix="kempner-preview-") as folder:
        planning = Planning(workflow, executor, slurm, Path(folder), detached=settings.detach, is_preview=True)
        live = planning.begin(Path(".snakemake/kempner").absolute(), ready=())
        plan = planning.plan(live, ready=())
        later = planning.later(live)
        if settings.preview or not settings.export:
            executor.logger.info(preview(plan, later))
        if settings.export:
            text = exported(plan, form_of(settings.export), later, command_line(started().command))
            write(settings.export, text)
            executor.logger.info(
                f"The plan is written to {short_path(settings.export.absolute())}; nothing was submitted."
            )
    raise Leaving(0)
