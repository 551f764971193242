"""Records what the head does itself, hooks and local rules that fail, so that the closing job does not do it again."""

from collections.abc import Callable
from typing import Any


def note_hooks(workflow: Any, note: Callable[[str], None], ended: Callable[[str], None]) -> None:
    """Record `onsuccess` and `onerror` before they run.

    Args:
        workflow: Snakemake's, about to run.
        note: gets the name of a hook that is about to run.
        ended: called after the hook, with its name if it has failed.
    """
    if workflow.execution_settings.no_hooks:
        return
    for name in ("onsuccess", "onerror"):
        hook = getattr(workflow, f"_{name}")
        setattr(workflow, f"_{name}", _noted(name, hook, note, ended))


def _noted(
    name: str, hook: Callable[[Any], None], note: Callable[[str], None], ended: Callable[[str], None]
) -> Callable[[Any], None]:
    def run(log: Any) -> None:
        note(name)
        failed = name
        try:
            hook(log)
            failed = ""
        finally:
            ended(failed)

    return run


def note_local_failures(workflow: Any, note: Callable[[Any], None]) -> None:
    """Tell of each job of a local rule that has failed in this process with its last attempt.

    Args:
        workflow: Snakemake's.
        note: gets the job, while the scheduler is locked.
    """
    scheduler = workflow.scheduler
    handle_error = scheduler._handle_error  # noqa: SLF001 - has no other name

    def handle(job: Any, *args: Any, **kwargs: Any) -> None:
        handle_error(job, *args, **kwargs)
        if job.is_local and job in scheduler.failed:
            note(job)

    scheduler._handle_error = handle  # noqa: SLF001
