"""Records a workflow's hooks before the head runs them, so that the closing job does not run them again."""

from collections.abc import Callable
from typing import Any


def note_hooks(workflow: Any, note: Callable[[str], None], ended: Callable[[], None]) -> None:
    """Record `onsuccess` and `onerror` before they run.

    Args:
        workflow: Snakemake's, about to run.
        note: gets the name of a hook that is about to run.
        ended: called after the hook, with or without an error.
    """
    if workflow.execution_settings.no_hooks:
        return
    for name in ("onsuccess", "onerror"):
        hook = getattr(workflow, f"_{name}")
        setattr(workflow, f"_{name}", _noted(name, hook, note, ended))


def _noted(
    name: str, hook: Callable[[Any], None], note: Callable[[str], None], ended: Callable[[], None]
) -> Callable[[Any], None]:
    def run(log: Any) -> None:
        note(name)
        try:
            hook(log)
        finally:
            ended()

    return run
