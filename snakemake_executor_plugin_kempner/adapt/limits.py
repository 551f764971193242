"""Snakemake's limits on what runs at the same time: `--jobs`, and `--resources` that all jobs share."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from snakemake.common.tbdstring import TBDString

from .resources import NotYetError


def capacities(workflow: Any) -> dict[str, int]:
    """Units that there are of what is limited, by Snakemake's names.

    As in Snakemake's scheduler: what has a local scope (`mem_mb` and `disk_mb`, if nothing else is said) is each job's
    own, texts are not counted, and cores do not limit jobs of a cluster. `--jobs` is `_nodes`, of which each job and
    each group job takes one; `--jobs unlimited` is `sys.maxsize`, and without `--jobs` Snakemake does not start.
    """
    given = workflow.global_resources.expand_items(constraints={}, evaluate=None, expand_sized=False)
    return {
        name: value
        for name, value in given
        if isinstance(value, int)
        and value < sys.maxsize
        and name != "_cores"
        and not workflow.resource_scopes.is_local(name)
    }


def units(job: Any, resources: Mapping[str, Any], limited: Collection[str]) -> dict[str, int]:
    """What a job takes of each limit while it runs.

    Never more than there is, but for `--jobs 0`: Snakemake lowers what a rule asks for to the limit, arranges the
    members of a group so that they keep to it, and refuses to evaluate the resources of pipes that cannot.

    Args:
        job: or group job.
        resources: of the job, evaluated.
        limited: names of the limits.

    Raises:
        NotYetError: one of them is known only when the job's input exists.
    """
    found: dict[str, int] = {}
    for name in limited:
        if any(isinstance(one.resources.get(name), TBDString) and _comes_later(one, job) for one in _members(job)):
            raise NotYetError(f"resource {name} of {job.name}, which is limited, is known only when its input exists")
        value = resources.get(name, 0)
        if isinstance(value, int) and value > 0:
            found[name] = value
    return found


def _comes_later(member: Any, unit: Any) -> bool:
    """Something that the member reads does not exist yet, and is not made by its own group, which would never change."""
    outside = {str(file) for file in unit.input}
    return any(str(file) in outside and not os.path.lexists(str(file)) for file in member.input)


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else (job,)
