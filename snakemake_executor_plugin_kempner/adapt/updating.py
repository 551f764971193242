"""Files with `update()`: jobs that read such a file with `before_update()` have to end before it is updated.

Snakemake sees to it with priorities and with a resource that both jobs take. Both work only for jobs that a head process starts.
"""

from collections.abc import Mapping
from typing import Any

from snakemake.io import is_flagged

from .units import Units

MUTEX = "update_file_"
"""How the names of those resources begin."""


def before_updates(workflow: Any, units: Units) -> Mapping[Any, tuple[Any, ...]]:
    """For each unit that updates a file, the units that read the file as it is before."""
    if not any(is_flagged(file, "update") for rule in workflow.rules for file in rule.output):
        return {}
    jobs = [job for job in workflow.dag.jobs if units.is_open(job)]
    updating = {file: units.of(job) for job in jobs for file in job.output if is_flagged(file, "update")}
    found: dict[Any, dict[Any, None]] = {}
    for job in jobs:
        for file in job.input:
            if is_flagged(file, "before_update") and file in updating:
                unit, reader = updating[file], units.of(job)
                if unit is not reader and not _needs(reader, unit, units):
                    found.setdefault(unit, {})[reader] = None
    return {unit: tuple(readers) for unit, readers in found.items()}


def _needs(unit: Any, other: Any, units: Units) -> bool:
    """Whether a unit needs outputs of another, directly or indirectly; then it cannot come before it."""
    stack, seen = [unit], {unit}
    while stack:
        more = set(units.before(stack.pop())) - seen
        if other in more:
            return True
        seen |= more
        stack += more
    return False
