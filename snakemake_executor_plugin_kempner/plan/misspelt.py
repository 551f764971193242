"""Names of resources that mean nothing here, and were probably mistyped. Pure."""

from collections.abc import Container, Iterable, Iterator
from difflib import get_close_matches
from functools import cache

from ..printable import printable
from .resources import RELEVANT
from .task import Task

_SIMILAR = 0.86
"""From `gpumodel` for `gpu_model` on; `gpu_mem` and `mem_gb` may be the workflow's own."""
_OTHERS = frozenset({"slurm_dependency", "disk", "disk_mb", "disk_mib", "tmpdir"})
"""Names with a meaning that are no options of sbatch."""


@cache
def meant(name: str) -> str:
    """The resource that was probably meant; empty for a name that has a meaning, or is like none that has."""
    if name in RELEVANT or name in _OTHERS or name.startswith("_"):
        return ""
    near = get_close_matches(name.lower(), sorted(RELEVANT | _OTHERS), n=1, cutoff=_SIMILAR)
    return near[0] if near else ""


def misspelt(tasks: Iterable[Task], limited: Container[str]) -> Iterator[str]:
    """A warning for each name, once.

    Args:
        tasks: with their resources.
        limited: names that --resources limits, so they are the workflow's own.
    """
    found: dict[str, dict[str, None]] = {}
    for task in tasks:
        for attempt in task.attempts[:1]:
            for name in attempt.resources:
                if meant(name) and name not in limited:
                    found.setdefault(name, {})[task.name] = None
    for name, rules in found.items():
        yield f"Resource {printable(name)} of {', '.join(rules)} means nothing to Slurm: did you mean {meant(name)}?"
