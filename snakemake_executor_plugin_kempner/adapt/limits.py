"""Snakemake's limits on what runs at the same time: `--jobs`, and `--resources` that all jobs share."""

import sys
from typing import Any


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
