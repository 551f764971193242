"""The hooks of a workflow in a head whose closing job could run them too: noted before they run, so that none runs twice."""

from collections.abc import Callable
from typing import Any


def note_hooks(workflow: Any, note: Callable[[str], None], ended: Callable[[], None]) -> None:
    """Have each of the hooks that end a run noted first.

    Args:
        workflow: Snakemake's, about to run.
        note: gets the name of a hook that is about to run.
        ended: is called when it has run, with an error or without.
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
