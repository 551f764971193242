"""A site file begun from what the live Slurm says; what only people know is left to them."""

from typing import Any

from .model import NodeShape, Partition, Site, in_slurm_format

_HEAD = """\
# Drafted from Slurm by 'python -m snakemake_executor_plugin_kempner.draft_site'. Slurm's own values go before those of this file, so
# what is left as it is may be deleted. What Slurm does not know, and what is worth saying here:
#
#   cpu_partition: NAME       where jobs go that ask for no GPU and name no partition
#   needs_account: true       a job has to name one
#   gpus: cores, memory       of each model: what of a node goes with one of them (here: a node's, divided)
#   partitions: only_gpu, only_alone, only_by_name, requeues, signal, accounts, denied
#   caps: [{partitions: ["gpu*"], accounts: ["*"], gpus: 16, whose: user}]
#   folders: {/tmp: why nobody should work there}
"""


def draft(site: Site) -> str:
    """The text of a site file."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a file is written

    content = {
        "name": site.name,
        "cpu_partition": next(
            (one.name for one in site.partitions.values() if one.is_default and not one.has_gpus), None
        ),
        "gpus": _shares(site),
        "partitions": {one.name: _partition(one) for one in site.partitions.values()},
    }
    text: str = yaml.safe_dump(
        {key: value for key, value in content.items() if value}, sort_keys=False, default_flow_style=None, width=120
    )
    return _HEAD + text


def _shares(site: Site) -> dict[str, dict[str, Any]]:
    shares: dict[str, dict[str, Any]] = {}
    for one in site.partitions.values():
        for shape in one.nodes:
            if shape.gpus and shape.gpu and shape.cores and shape.memory_mb:
                share = {"cores": shape.cores // shape.gpus, "memory": f"{shape.memory_mb // shape.gpus}M"}
                shares.setdefault(shape.gpu, share)
    return shares


def _partition(one: Partition) -> dict[str, Any]:
    content = {
        "nodes": [_nodes(shape) for shape in one.nodes],
        "runtime": in_slurm_format(one.minutes) if one.minutes else None,
        "requeues": one.requeues or None,
        "accounts": list(one.accounts),
        "denied": list(one.denied),
    }
    return {key: value for key, value in content.items() if value}


def _nodes(shape: NodeShape) -> dict[str, Any]:
    content = {
        "gpu": shape.gpu,
        "gpus": shape.gpus,
        "cores": shape.cores,
        "memory": f"{shape.memory_mb}M" if shape.memory_mb else None,
        "features": sorted(shape.features - {shape.gpu}),
    }
    return {key: value for key, value in content.items() if value}
