"""`--kempner-preview`: does everything that a run does before the first sbatch, then prints what would be queued."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import beginning
from .adapt.command import JobCommand
from .adapt.dag import Reading, read_dag
from .adapt.policy import policy_of
from .adapt.previewing import instead_of_scheduling
from .adapt.units import Scope
from .invocation import Leaving, started
from .preview import preview
from .report import NO_ROOM
from .slurm.client import SlurmCommands
from .slurm.limits import SiteLimits


class _Unsubmitted(SlurmCommands):
    """Answers queries as Slurm does, but submits, changes and cancels nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(environment)
        self._ids = map(str, count(1))

    def submit(self, options: Sequence[str], script: str) -> str:  # noqa: ARG002
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
    settings, logger = executor.executor_settings, executor.logger
    with TemporaryDirectory(prefix="kempner-preview-") as place:
        folder = Path(place)
        slurm = _Unsubmitted(executor.envvars())
        limits = SiteLimits(slurm.tell)
        policy = policy_of(
            workflow,
            settings,
            folder,
            executor.get_python_executable(),
            detached=settings.detach,
            may_go_on=started().is_command_line,
        )
        policy = replace(beginning.at_site(policy, limits, settings.site), logs="")
        if policy.detached:
            beginning.check_that_it_can_leave()
        found = beginning.earlier_runs(Path(".snakemake/kempner").absolute(), slurm, logger, None)
        live = beginning.begin_run(policy, found, slurm, logger, limits)
        command = JobCommand(workflow, executor.common_settings, folder)

        def read(**which: Any) -> Reading:
            scope = Scope(
                folder=place,
                ready=(),
                limited=policy.limits.keys(),
                detached=policy.detached,
                ends_itself=policy.ends_itself,
                **which,
            )
            return read_dag(workflow, command, scope)

        left = {entry.task for entry in found.left if not entry.has_succeeded}
        queued = read(known=lambda key: key not in left, in_flight=left).tasks if left else ()
        beginning.settle_changes(found, queued, {}, None, logger.warning, site=policy.site)
        reading = read(known=live.knows, in_flight=live.in_flight)
        plan = live.submit(reading.tasks, reading.deferred)
        if found.left:
            logger.info(found.line(len(plan.tasks) + len(live.later)))
        logger.info(preview(plan, [*(entry.why for entry in reading.deferred), *len(live.later) * [NO_ROOM]]))
    raise Leaving(0)
