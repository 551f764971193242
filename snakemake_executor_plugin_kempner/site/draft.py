"""Drafts a site file from the live Slurm; the user adds what Slurm does not know."""

from typing import Any

from ..notation import clock, memory
from .model import NodeShape, Partition, Site

_HEAD = """\
# Drafted from Slurm by 'python -m snakemake_executor_plugin_kempner.draft_site'. Slurm's own values take precedence over this file, so
# lines that you leave unchanged may be deleted. What Slurm does not know, and what you may add:
#
#   cpu_partition: NAME       partition of jobs that request no GPU and name no partition
#   needs_account: true       each job has to name an account
#   gpus: cores, memory       share of a node that goes with each GPU of a model (here: a node's resources, divided)
#   partitions: only_gpu, only_alone, only_by_name, requeues, signal, accounts, denied
#   caps: [{partitions: ["gpu*"], accounts: ["*"], gpus: 16, whose: user}]
#   folders: {/tmp: why a workflow should not be there}
"""


def draft(site: Site) -> str:
    """The text of a site file."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a file is written

    content = {
        "name": site.name,
        "cpu_partition": next(
            (row.name for row in site.partitions.values() if row.is_default and not row.has_gpus), None
        ),
        "gpus": _shares(site),
        "partitions": {partition.name: _partition(partition) for partition in site.partitions.values()},
    }
    text: str = yaml.safe_dump(
        {key: value for key, value in content.items() if value}, sort_keys=False, default_flow_style=None, width=120
    )
    return _HEAD + text


def _shares(site: Site) -> dict[str, dict[str, Any]]:
    shares: dict[str, dict[str, Any]] = {}
    for partition in site.partitions.values():
        for shape in partition.nodes:
            if shape.gpus and shape.gpu and shape.cores and shape.memory_mb:
                share = {"cores": shape.cores // shape.gpus, "memory": memory(shape.memory_mb // shape.gpus)}
                shares.setdefault(shape.gpu, share)
    return shares


def _partition(partition: Partition) -> dict[str, Any]:
    content = {
        "nodes": [_nodes(shape) for shape in partition.nodes],
        "runtime": clock(60 * partition.minutes) if partition.minutes else None,
        "requeues": partition.requeues or None,
        "accounts": list(partition.accounts),
        "denied": list(partition.denied),
    }
    return {key: value for key, value in content.items() if value}


def _nodes(shape: NodeShape) -> dict[str, Any]:
    content = {
        "gpu": shape.gpu,
        "gpus": shape.gpus,
        "cores": shape.cores,
        "memory": memory(shape.memory_mb) if shape.memory_mb else None,
        "features": sorted(shape.features - {shape.gpu}),
    }
    return {key: value for key, value in content.items() if value}
