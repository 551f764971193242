"""Snakemake's limits on what runs at the same time: `--jobs`, and `--resources` that all jobs share."""

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from snakemake.common.tbdstring import TBDString

from ..plan.limits import JOBS
from .resources import BadResourcesError, NotYetError


def capacities(workflow: Any) -> dict[str, int]:
    """Units that there are of what is limited, by Snakemake's names.

    As in Snakemake's scheduler: what has a local scope (`mem_mb` and `disk_mb`, if nothing else is said) is each job's
    own, texts are not counted, and cores do not limit jobs of a cluster. `--jobs unlimited` is `sys.maxsize`.
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

    Args:
        job: or group job.
        resources: of the job, evaluated.
        limited: names of the limits.

    Raises:
        NotYetError: one of them is known only when the job's input exists.
        BadResourcesError: one is a text, which Snakemake's scheduler refuses too.
    """
    found: dict[str, int] = {}
    for name in limited:
        value = 1 if name == JOBS else resources.get(name)
        if isinstance(value, str):
            raise BadResourcesError(f"{name}={value} is not a number, and --resources limits it")
        if value is None and any(isinstance(one.resources.get(name), TBDString) for one in _members(job)):
            raise NotYetError(f"resource {name} of {job.name}, which is limited, is known only when its input exists")
        if value is not None and value > 0:
            found[name] = value
    return found


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else (job,)
