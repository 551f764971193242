"""Snakemake as a job that goes on with a run has to run it: the same command line, but no hook twice and nothing forced."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from ..layout import SOURCES
from .settled import Forced, keep_settled
from .sources import copy_of, read_copies
from .temporary import remove_unneeded
from .units import task_key, task_keys


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """What the closing job knows of its run, and does at its end."""

    failures: Callable[[], Sequence[str]]
    """What has failed, a message for each task."""
    has_failed: Callable[[str], bool]
    """Whether the task of a key, or one that it is a member of, has ended without success."""
    run_hook: Callable[[str, Callable[[], None]], None]
    """Gets the name of a hook of the workflow and what runs it."""


def goes_on(
    folder: Path,
    left_out: Collection[str],
    *,
    unwritten: Collection[str],
    tasks: Collection[str],
    is_settled: Callable[[str], bool],
    succeeded: Callable[[str], bool],
    end: End | None,
) -> None:
    """Adjust Snakemake, in this process, before its command line is read.

    Args:
        folder: of the run.
        left_out: outputs of tasks that were not in the queue yet, as far as files do not show that they have to run.
        unwritten: those of them that nothing has written since the run began.
        tasks: keys of all that the run has submitted or taken over.
        is_settled: whether the job of a key is done by the record of the run.
        succeeded: whether it has succeeded in this run.
        end: None for a process that does not report the end of the run.
    """
    forced = Forced(lambda key: key in tasks or is_settled(key))
    _mend_arguments(folder / SOURCES, left_out, unwritten, forced)
    keep_settled(is_settled, forced)
    _mend_leaving(frozenset(tasks), succeeded)
    _mend_hooks(succeeded, end)


def _mend_arguments(sources: Path, left_out: Collection[str], unwritten: Collection[str], forced: Forced) -> None:
    """What was forced when the run began is done or in the queue, but for what was left out; forced again, it would run twice.

    What was not forced and left out although its outputs exist has to run unless something has written them since.

    The workflow is that of the beginning, as for all jobs of the run, whatever was edited since.
    """
    from snakemake import cli  # noqa: PLC0415 - this module is imported where there is no command line too

    parse = cli.parse_args

    def parse_args(argv: Any) -> Any:
        parser, arguments = parse(argv)
        was_forced = arguments.forceall or arguments.force or arguments.forcerun
        forced.everything, forced.names = bool(arguments.forceall), tuple(arguments.forcerun or ())
        arguments.forceall = arguments.force = False
        arguments.forcerun = set(left_out if was_forced else unwritten)
        arguments.rerun_incomplete = True  # what runs now is adopted
        arguments.quiet = None  # what it says stands in a log, for whoever looks there
        arguments.nolock = True  # the claim is held; a lock would outlive a job that is killed
        if sources.exists():
            arguments.runtime_source_cache_path = sources
            if arguments.snakefile and (copy := copy_of(sources, arguments.snakefile)).exists():
                arguments.snakefile = str(copy)
        return parser, arguments

    cli.parse_args = parse_args
    if sources.exists():
        read_copies(sources)


def _mend_leaving(tasks: frozenset[str], succeeded: Callable[[str], bool]) -> None:
    """A process that has planned the rest knows which temporary files nobody needs any more.

    It does not know what tasks of another command read, which its DAG does not hold: they have to succeed before.
    """
    from snakemake.workflow import Workflow  # noqa: PLC0415

    execute = Workflow.execute

    def execute_and_tidy(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            execute(self, *args, **kwargs)
        except SystemExit:
            if all(map(succeeded, tasks - task_keys(self.dag))):
                _remove_temporary(self, succeeded)
            raise

    Workflow.execute = execute_and_tidy


def _remove_temporary(workflow: Any, succeeded: Callable[[str], bool], end: End | None = None) -> None:
    """Remove temporary files while the run goes on, or at its end."""
    workflow.async_run(
        remove_unneeded(
            workflow.dag,
            lambda job: succeeded(task_key(job)),
            is_over=end is not None,
            has_failed=lambda job: end is not None and end.has_failed(task_key(job)),
        )
    )


def _mend_hooks(succeeded: Callable[[str], bool], end: End | None) -> None:
    from snakemake.workflow import Workflow  # noqa: PLC0415

    execute = Workflow.execute

    def execute_once_more(self: Any, *args: Any, **kwargs: Any) -> Any:
        hooks = {"onsuccess": self._onsuccess, "onerror": self._onerror}
        self._onstart = self._onsuccess = self._onerror = _nothing  # `onstart` has run when the run began
        failed: Exception | None = None
        try:
            execute(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - raised again at the end; what leaves is no Exception
            failed = error
        if end is None:
            if failed is not None:
                raise failed
            return
        # Without the DAG, as when an input has vanished, the hooks are all that can be done; locally they run then, too.
        has_dag = self.scheduler is not None
        if (failed is None or not has_dag) and (failures := end.failures()):
            # Snakemake finds nothing to be done where a failed task has left or kept its outputs.
            for failure in failures:
                logger.error(failure)
            failed = failed or WorkflowError("At least one job did not complete successfully.")
        if has_dag:
            _remove_temporary(self, succeeded, end)
            self.dag.cleanup_workdir()  # folders that are empty now
        if not self.execution_settings.no_hooks:
            name = "onerror" if failed is not None else "onsuccess"
            end.run_hook(name, partial(hooks[name], self.logger_manager.get_logfile()))
        if failed is not None:
            raise failed

    Workflow.execute = execute_once_more


def _nothing(_log: Any) -> None: ...
