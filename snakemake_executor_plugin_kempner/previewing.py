"""`--kempner-preview`: does everything that a run does before the first sbatch, then prints what would be queued."""

from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .adapt.instead_of_jobs import instead_of_scheduling
from .invocation import Leaving
from .options import Options
from .planning import Planning
from .preview_text import preview
from .slurm.client import SlurmCommands


class _Unsubmitted(SlurmCommands):
    """Answers queries as Slurm does, but submits, changes and cancels nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(environment)
        self._ids = map(str, count(1))

    def submit(self, options: Options, script: str) -> str:  # noqa: ARG002
        return next(self._ids)

    def depend(self, job_id: str, dependency: str) -> None: ...

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> None: ...


def preview_instead_of_running() -> None:
    """Make this process read the workflow, print what would be queued, and exit."""
    instead_of_scheduling(_preview)


def _preview(workflow: Any, executor: Any) -> None:
    """Print the preview, and exit.

    Raises:
        KempnerError: the run would fail before anything is submitted.
    """
    settings, slurm = executor.executor_settings, _Unsubmitted(executor.envvars())
    with TemporaryDirectory(prefix="kempner-preview-") as folder:
        planning = Planning(workflow, executor, slurm, Path(folder), detached=settings.detach, is_preview=True)
        live = planning.begin(Path(".snakemake/kempner").absolute(), ready=())
        plan = planning.plan(live, ready=())
        executor.logger.info(preview(plan, planning.later(live)))
    raise Leaving(0)
