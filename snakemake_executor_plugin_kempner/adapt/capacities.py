"""Snakemake's limits on what runs at the same time: `--jobs`, and `--resources` that all jobs share."""

import sys
from typing import Any

from .updating import MUTEX


def capacities(workflow: Any) -> dict[str, int]:
    """The limits of a run, by Snakemake's resource names.

    As in Snakemake's scheduler: resources with local scope (by default `mem_mb` and `disk_mb`) are not shared by jobs,
    text resources are not counted, and cores do not limit cluster jobs. Jobs of a file with `update()` have an order. `--jobs` is `_nodes`, of which each job and
    each group job takes 1; `--jobs unlimited` is `sys.maxsize`, and without `--jobs` Snakemake does not start.
    """
    given = workflow.global_resources.expand_items(constraints={}, evaluate=None, expand_sized=False)
    return {
        name: value
        for name, value in given
        if isinstance(value, int)
        and value < sys.maxsize
        and name != "_cores"
        and not name.startswith(MUTEX)
        and not workflow.resource_scopes.is_local(name)
    }
