"""Snakemake as it has to run inside a job: one attempt, of exactly the given task.

Overrides of Snakemake, each for something its command line cannot say. A process that Snakemake starts for
a part of the job (a `run:` block in a group) enters here again through `python -m …step.snakemake_job`.
"""

import signal
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from ..adapt.imports import import_snakemake, without_readers_of_data
from ..adapt.plugins import without_plugins
from ..plan.step import TO_BE_CONTINUED, StepSpec

_MODULE = "snakemake_executor_plugin_kempner.step.snakemake_job"
_SOURCES = "--runtime-source-cache-path"


def run(spec: StepSpec) -> int:
    """Run the task of the spec in this process; the exit code of Snakemake."""
    _import_snakemake()
    _one_attempt_only()
    _exact_values(spec)
    _planned_producers(spec)
    _record_provenance()
    if spec.segments > 1:
        _let_the_rule_end()
    return _snakemake(["--target-jobs", *(f"{rule}:" for rule, _ in spec.targets), *spec.arguments])


def _import_snakemake() -> None:
    without_plugins()
    import_snakemake(greedy=True)  # as its command line says
    without_readers_of_data()


def _snakemake(arguments: list[str]) -> int:
    from snakemake import cli

    from ..adapt.sources import read_copies  # imports parts of Snakemake

    if _SOURCES in arguments:
        read_copies(Path(arguments[arguments.index(_SOURCES) + 1]))
    sys.argv = ["snakemake", *arguments]
    told = _what_rules_tell()
    try:
        cli.main(arguments)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(bool(leave.code))
        return _of_the_command(told) or code if code else 0
    return 0


def _what_rules_tell() -> list[int]:
    """Exit codes of commands that fail, as they come: Snakemake itself ends with 1, whatever they are."""
    from snakemake.executors import local

    told: list[int] = []
    cached_or_run = local.Executor.cached_or_run

    def and_tell(self: Any, *arguments: Any) -> Any:
        try:
            return cached_or_run(self, *arguments)
        except BaseException as error:
            cause: BaseException | None = error
            while cause is not None:
                code = getattr(cause, "returncode", None)  # of a CalledProcessError
                told.extend([code] if isinstance(code, int) else [])
                cause = cause.__context__
            raise

    local.Executor.cached_or_run = and_tell
    return told


def _of_the_command(told: Collection[int]) -> int:
    """The exit code that tells whether the next segment goes on, of those that commands have ended with; else 0."""
    if TO_BE_CONTINUED in told:
        return TO_BE_CONTINUED
    terminated = 128 + signal.SIGTERM
    return terminated if {-signal.SIGTERM, terminated} & set(told) else 0


def _let_the_rule_end() -> None:
    """Snakemake ends with an error after SIGTERM, even if the rule then succeeds; a segment gets it before its end."""
    from snakemake import workflow

    workflow.JobScheduler.exit_gracefully = lambda *_: None


def _one_attempt_only() -> None:
    """`--retries 0` does not override a rule's own `retries:`; attempts belong to Slurm, each in its own allocation."""
    from snakemake.executors import local
    from snakemake.rules import Rule

    Rule.restart_times = property(lambda _self: 0, lambda _self, _value: None)

    format_job_exec = local.Executor.format_job_exec

    def with_this_module(self: Any, job: Any) -> Any:
        return format_job_exec(self, job).replace("-m snakemake ", f"-m {_MODULE} ", 1)

    local.Executor.format_job_exec = with_this_module


def _exact_values(spec: StepSpec) -> None:
    """Wildcards with a comma and configuration with quotes have no spelling on Snakemake's command line."""
    from snakemake import cli
    from snakemake.target_jobs import TargetSpec

    def targets(arguments: Any) -> Any:
        return arguments and [TargetSpec(rule, wildcards) for rule, wildcards in spec.targets]

    def config(_arguments: Any) -> Any:
        return dict(spec.config)

    cli.parse_target_jobs_cli_args = targets
    cli.parse_config = config


def _planned_producers(spec: StepSpec) -> None:
    """Of several rules that could make a file inside a group, the plan has chosen one.

    The head rules out a rule whose input is missing. In a job, Snakemake does not look for missing inputs: it would take the
    rules for ambiguous.
    """
    from snakemake.dag import DAG

    file2jobs = DAG.file2jobs

    async def planned(self: Any, *arguments: Any, **named: Any) -> Any:
        jobs = await file2jobs(self, *arguments, **named)
        if len(jobs) < 2:
            return jobs
        members = [job for job in jobs if (job.rule.name, job.wildcards_dict) in spec.targets]
        return members or jobs

    DAG.file2jobs = planned


def _record_provenance() -> None:
    """Snakemake records code, parameters and runtime of a job in its main process alone, which may be gone by now."""
    from snakemake import persistence
    from snakemake_interface_executor_plugins.settings import ExecMode

    # The database backend (Snakemake 9.22 and later) has one writer, the head.
    kept_in_files = (
        getattr(persistence, "Persistence", None) or import_module("snakemake.persistence.file").FilePersistence
    )
    finished = kept_in_files.finished

    async def finished_and_recorded(self: Any, job: Any) -> None:
        settings = self.dag.workflow.workflow_settings
        settings.exec_mode = ExecMode.DEFAULT
        try:
            await finished(self, job)
        finally:
            settings.exec_mode = ExecMode.REMOTE

    kept_in_files.finished = finished_and_recorded
    _describe_what_is_not_stored_yet()


def _describe_what_is_not_stored_yet() -> None:
    """A group's outputs go into a storage when all of its rules have ended, and its own temporary files never do.

    Until then the local file tells its size, and its digest is made as for a file that lies in no storage.
    """
    from snakemake_interface_storage_plugins.exceptions import (
        FileOrDirectoryNotFoundError,
    )
    from snakemake_interface_storage_plugins.storage_object import StorageObjectRead

    def of_local_file(ask: Any, local: Callable[[Any], Any]) -> Any:
        async def answer(self: Any) -> Any:
            try:
                return await ask(self)
            except FileOrDirectoryNotFoundError:
                if not self.local_path().exists():
                    raise
                return local(self)

        return answer

    of_storage = StorageObjectRead
    of_storage.managed_checksum = of_local_file(of_storage.managed_checksum, lambda _self: None)
    of_storage.managed_size = of_local_file(of_storage.managed_size, lambda self: self.local_path().stat().st_size)


if __name__ == "__main__":
    _import_snakemake()
    _one_attempt_only()
    sys.exit(_snakemake(sys.argv[1:]))
