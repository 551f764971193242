"""Snakemake's settings and ours → the policy of a run."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.settings import DeploymentMethod, SharedFSUsage

from ..errors import Fault, PlanError
from ..plan.model import Policy
from ..plan.slurm_extra import extra_options
from ..settings import Settings, common_settings
from ..site.modes import Checks
from .capacities import capacities
from .possible import possible_tasks
from .scheduler import is_run_by_head

_BUILDING = (DeploymentMethod.CONDA, DeploymentMethod.APPTAINER)
"""Deployment methods that build an environment before jobs run."""
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][\w.!#$%&'*+/=?^`{|}~-]{0,63}@[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?", re.ASCII
)
"""A mail address as Slurm, sendmail and mail take it: without quotes, spaces or a leading dash."""


def policy_of(
    workflow: Any, settings: Settings, folder: Path, python: str, *, detached: bool, may_go_on: bool
) -> Policy:
    """The policy of the run in the folder.

    Args:
        workflow: Snakemake's workflow object.
        settings: of this plugin.
        folder: of the run.
        python: interpreter of the jobs.
        detached: the run has no head process.
        may_go_on: a job of the run can give the same command again.

    Raises:
        PlanError: a setting cannot be read, or a detached run would lose its provenance.
    """
    shares_records = SharedFSUsage.PERSISTENCE in workflow.storage_settings.shared_fs_usage
    if faults := tuple(_faults(settings, shares_records=shares_records)):
        raise PlanError(faults)
    return Policy(
        run=folder.name,
        folder=str(folder),
        workdir=str(workflow.workdir_init),
        python=python,
        kill_on_invalid_dep=not settings.no_kill_on_invalid_dep,
        has_reserves=settings.preview or not settings.export,
        keep_going=workflow.execution_settings.keep_going,
        precommand=workflow.spawned_job_args_factory.precommand(common_settings),
        detached=detached,
        locks=_locks(workflow),
        records_in_files=_keeps_records_in_files(workflow),
        has_closing=may_go_on and shares_records and not settings.no_closing_job,
        array_from=settings.array_from,
        limits=capacities(workflow),
        possible=possible_tasks(workflow),
        environments=tuple(
            method.name.lower() for method in _BUILDING if method in workflow.deployment_settings.deployment_method
        ),
        logs=str(Path(workflow.workdir_init, settings.logdir.expanduser(), folder.name)) if settings.logdir else "",
        prefix=settings.jobname_prefix,
        checks=Checks(settings.checks),
        efficiency_report=settings.efficiency_report,
        largest_queue=settings.max_queued,
        retries_elsewhere=settings.exclude_failed_nodes == "yes",
        most_gpu_hours=settings.max_gpu_hours,
        closing_options=extra_options("--kempner-closing-options", settings.closing_options),
        local_rules=frozenset(rule.name for rule in workflow.rules if is_run_by_head(workflow, rule)),
        mail=settings.mail,
        on_end=settings.on_end,
    )


def _locks(workflow: Any) -> Mapping[str, float]:
    """Snakemake's locks that this process holds, each with the time that the file system gave it."""
    held = map(Path, getattr(workflow.persistence, "_lockfile", {}).values())
    return {lock.name: lock.stat().st_mtime for lock in held if lock.exists()}  # `--unlock` may have removed it


def _faults(settings: Settings, *, shares_records: bool) -> Iterator[Fault]:
    if settings.checks not in tuple(Checks):
        what = f"--kempner-checks {settings.checks!r} is not known"
        yield Fault(where="command line", what=what, remedy=f"take {', '.join(Checks)}")
    for flag, value in (("light-jobs", settings.light_jobs), ("exclude-failed-nodes", settings.exclude_failed_nodes)):
        if value not in ("yes", "no"):
            what = f"--kempner-{flag} {value!r} is not known"
            yield Fault(where="command line", what=what, remedy="take yes or no")
    if not re.fullmatch(r"[\w.=+-]{0,40}", settings.jobname_prefix, re.ASCII):
        what = f"--kempner-jobname-prefix {settings.jobname_prefix!r} takes up to 40 letters, digits and any of _-.+="
        yield Fault(where="command line", what=what)
    if settings.mail and settings.mail != "self" and not _ADDRESS.fullmatch(settings.mail):
        what = f"--kempner-mail {settings.mail!r} is no mail address"
        yield Fault(where="command line", what=what, remedy="take an address such as name@example.org, or self")
    if settings.detach and not shares_records:
        what = (
            "--kempner-detach, and --shared-fs-usage without persistence: nobody would record what has made the outputs"
        )
        remedy = "add persistence, or leave out --kempner-detach"
        yield Fault(where="command line", what=what, remedy=remedy)
    if settings.detach and settings.no_closing_job:
        what = "--kempner-detach and --kempner-no-closing-job: nobody would end the run"
        yield Fault(where="command line", what=what, remedy="leave out one of them")


def _keeps_records_in_files(workflow: Any) -> bool:
    backend = getattr(workflow.workflow_settings, "persistence_backend", None)  # of Snakemake 9.22 and later
    return backend is not None and backend.name == "FILE"
