"""Snakemake's settings and ours → the policy of a run."""

from pathlib import Path
from typing import Any

from ..plan.model import Policy
from ..plan.resources import extra_options
from ..settings import ExecutorSettings, common_settings
from .limits import capacities


def policy_of(workflow: Any, settings: ExecutorSettings, folder: Path, python: str) -> Policy:
    """What holds for all submissions of the run in the folder.

    Raises:
        PlanError: `--kempner-closing-options` cannot be read.
    """
    return Policy(
        run=folder.name,
        folder=str(folder),
        workdir=str(workflow.workdir_init),
        python=python,
        kill_on_invalid_dep=not settings.no_kill_on_invalid_dep,
        keep_going=workflow.execution_settings.keep_going,
        precommand=workflow.spawned_job_args_factory.precommand(common_settings),
        detached=settings.detach,
        array_from=settings.array_from,
        limits=capacities(workflow),
        largest_queue=settings.max_queued,
        closing_options=extra_options("--kempner-closing-options", settings.closing_options),
    )
