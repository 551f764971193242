"""The command line of the Snakemake that runs inside a job."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.settings import CommonSettings, SharedFSUsage

from ..plan.step import without_options
from .sources import copy_of, keep_sources
from .units import members_of

_DROPPED = ("--runtime-source-cache-path", "--scheduler")
"""Arguments for the head only: a folder that is deleted at its end, a solver that a single job does not need."""


class JobCommand:
    """Builds the arguments of each job's Snakemake; the part common to all jobs is built once.

    Args:
        workflow: Snakemake's workflow object.
        common_settings: of this plugin.
        folder: of the run; sources that the head has fetched are kept there for jobs that outlive it.

    Raises:
        LedgerError, PlanError: as `keep_sources`.
    """

    def __init__(self, workflow: Any, common_settings: CommonSettings, folder: Path) -> None:
        self._workflow = workflow
        self.sources = keep_sources(workflow, folder)
        """Where jobs find the workflow."""
        # `threads: workflow.cores // 2` is evaluated again in the job and must give the same value.
        given = workflow.resource_settings.cores
        self._cores = given if given is not None and given < sys.maxsize else 0
        self._general = [
            "--snakefile",
            self._snakefile(),
            *without_options(shlex.split(self._general_args(common_settings)), _DROPPED),
            *_not_passed_on(workflow),
            "--scheduler",
            "greedy",
            "--mode",
            "remote",
            "--quiet",  # a job's log is for the rule's own output; the head has announced the rule already
            "host",
            "progress",
            "rules",
        ]
        self.config: dict[str, Any] = dict(workflow.config_settings.config)
        """Values of --config, passed to the job unchanged."""
        if workflow.overwrite_workdir is not None and "--directory" not in self._general:
            # Needed although the job starts there: with it, Snakemake ignores a `workdir:` of the Snakefile.
            self._general += ["--directory", str(workflow.workdir_init)]
        if self.sources.kept:
            self._general += ["--runtime-source-cache-path", self.sources.kept]
        self._of_run = tuple(f"{name}={value}" for name, value in _resources(workflow))
        self._made: dict[tuple[Any, ...], tuple[str, ...]] = {}
        """Cache: jobs of a rule with equal arguments share a tuple."""

    def _general_args(self, common_settings: CommonSettings) -> str:
        """Snakemake's own text without --config: a value with both kinds of quotes cannot be split correctly."""
        settings = self._workflow.config_settings
        kept, settings.config_args = settings.config_args, None
        try:
            return str(self._workflow.spawned_job_args_factory.general_args(common_settings))
        finally:
            settings.config_args = kept

    def _snakefile(self) -> str:
        path = str(self._workflow.main_snakefile)
        if self.sources.kept and (copy := copy_of(Path(self.sources.kept), path)).exists():
            return str(copy)
        shared = SharedFSUsage.SOURCES in self._workflow.storage_settings.shared_fs_usage
        return os.path.abspath(path) if shared else os.path.relpath(path)

    def arguments(self, job: Any, threads: int, attempt: int, unneeded_temp: Sequence[str]) -> tuple[str, ...]:
        """Arguments for an attempt of a job or group job, without its targets."""
        group, rules = ((str(job.jobid),), sorted(job.rules)) if job.is_group() else ((), (job.rule.name,))
        what = (tuple(rules), group, threads, attempt, tuple(unneeded_temp))
        if what not in self._made:
            takes_all = any(member.rule.is_handover for member in members_of(job))
            self._made[what] = (*self._arguments(*what), *self._resources_of_run(takes_all=takes_all))
        return self._made[what]

    def _resources_of_run(self, *, takes_all: bool) -> tuple[str, ...]:
        """--resources for a rule with `handover: True`, which gets all resources of the run."""
        return ("--resources", *self._of_run) if takes_all and self._of_run else ()

    def _arguments(
        self, rules: Sequence[str], group: Sequence[str], threads: int, attempt: int, unneeded_temp: Sequence[str]
    ) -> tuple[str, ...]:
        cores = max(threads, 1, self._cores)
        own = ["--allowed-rules", *rules, "--cores", str(cores), "--attempt", str(attempt)]
        own += ["--local-groupid", *group] if group else ["--force-use-threads"]
        if unneeded_temp:
            own += ["--unneeded-temp-files", *unneeded_temp]
        return (*own, *self._general)


def _not_passed_on(workflow: Any) -> Iterator[str]:
    """Options that decide what a job does, and that Snakemake does not pass on to jobs."""
    if workflow.workflow_settings.cache is not None and not workflow.workflow_settings.cache:
        yield "--cache"  # with names of rules Snakemake passes it on
    if workflow.config_settings.replace_workflow_config:
        yield "--replace-workflow-config"
    if omitted := getattr(workflow.storage_settings, "omit_flags", ()):  # of Snakemake 9.22 and later
        yield from ("--omit-flags", *sorted(omitted))
    yield from ("--max-checksum-file-size", str(workflow.dag_settings.max_checksum_file_size))


def _resources(workflow: Any) -> Iterator[tuple[str, Any]]:
    """The run's total of each resource, as given by --resources; cores and jobs have options of their own."""
    given = workflow.global_resources.expand_items(constraints={}, evaluate=None, expand_sized=False)
    return ((name, value) for name, value in given if value is not None and not name.startswith("_"))
