"""Snakemake as a job that goes on with a run has to run it: the same command line, but no hook twice and nothing forced."""

from collections.abc import Callable
from functools import partial
from typing import Any

from snakemake.io import is_flagged

from .dag import task_key

RunHook = Callable[[str, Callable[[], None]], None]
"""Gets the name of a hook of the workflow and what runs it."""


def goes_on(*, succeeded: Callable[[str], bool], run_hook: RunHook | None) -> None:
    """Adjust Snakemake, in this process, before its command line is read.

    Args:
        succeeded: whether the task of a key has succeeded in this run.
        run_hook: runs a hook or not; None for a process that does not report the end of the run.
    """
    _mend_arguments()
    _mend_hooks(succeeded, run_hook)


def _mend_arguments() -> None:
    """What was forced when the run began is done or in the queue; forced again, it would run twice."""
    from snakemake import cli  # noqa: PLC0415 - this module is imported where there is no command line too

    parse = cli.parse_args

    def parse_args(argv: Any) -> Any:
        parser, arguments = parse(argv)
        arguments.forceall = arguments.force = False
        arguments.forcerun = set()
        arguments.rerun_incomplete = True  # what runs now is adopted
        arguments.nolock = True  # the claim is held; a lock would outlive a job that is killed
        arguments.dryrun = False
        return parser, arguments

    cli.parse_args = parse_args


def _mend_hooks(succeeded: Callable[[str], bool], run_hook: RunHook | None) -> None:
    from snakemake.workflow import Workflow  # noqa: PLC0415

    execute = Workflow.execute

    def execute_once_more(self: Any, *args: Any, **kwargs: Any) -> Any:
        # `onstart` has run when the run began.
        self._onstart = _nothing
        hooks = {"onsuccess": self._onsuccess, "onerror": self._onerror}
        reached: set[str] = set()

        def at_end(name: str, log: Any) -> None:
            reached.add(name)
            if run_hook is not None:
                self.async_run(_remove_temporary(self.dag, succeeded))
                run_hook(name, partial(hooks[name], log))

        self._onsuccess, self._onerror = partial(at_end, "onsuccess"), partial(at_end, "onerror")
        result = execute(self, *args, **kwargs)
        if not reached and not self.execution_settings.no_hooks:  # nothing was left to be done: Snakemake runs no hook
            at_end("onsuccess", self.logger_manager.get_logfile())
        return result

    Workflow.execute = execute_once_more


async def _remove_temporary(dag: Any, succeeded: Callable[[str], bool]) -> None:
    """What no job has removed: two readers that ended at the same moment may not have seen each other."""
    if dag.workflow.storage_settings.notemp:
        return
    for job in dag.jobs:
        if succeeded(task_key(dag.get_job_group(job) or job)):
            for file in job.output:
                if is_flagged(file, "temp") and not dag.is_needed_tempfile(job, file) and await file.exists():
                    await file.remove(remove_non_empty_dir=True)


def _nothing(_log: Any) -> None: ...
