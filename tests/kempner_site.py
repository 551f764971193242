"""A small Kempner: what its private Slurm is made of, and the site that comes of it together with the packaged file."""

from snakemake_executor_plugin_kempner.notation import minutes
from snakemake_executor_plugin_kempner.sandbox.options import Node, kempner_partitions
from snakemake_executor_plugin_kempner.site.file import packaged
from snakemake_executor_plugin_kempner.site.live import together
from snakemake_executor_plugin_kempner.site.model import NodeShape, Partition, Site

NODES = (
    Node(name="n1", cpus=64, memory_mb=1_000_000, gpu="a100", gpus=4),
    Node(name="n2", cpus=64, memory_mb=1_000_000, gpu="a100", gpus=4),
    Node(name="n3", cpus=96, memory_mb=1_500_000, gpu="h100", gpus=4),
    Node(name="n4", cpus=96, memory_mb=1_500_000, gpu="h100", gpus=4),
    Node(name="n5", cpus=64, memory_mb=1_500_000, gpu="h200", gpus=4),
    Node(name="n6", cpus=128, memory_mb=1_500_000, gpu="rtx6000pro", gpus=8),
    Node(name="n7", cpus=48, memory_mb=190_000),
    Node(name="n8", cpus=48, memory_mb=190_000),
)
ACCOUNTS = ("doe_lab", "kempner_doe_lab")


def live(*accounts: str) -> Site:
    """What scontrol says of it, as values; a test on the real Slurm compares.

    Args:
        accounts: those that Slurm lets use the GPU partitions; all where none is named.
    """
    shapes = {
        node.name: NodeShape(
            cores=node.cpus,
            memory_mb=node.memory_mb,
            gpus=node.gpus,
            gpu=node.gpu or "",
            type=node.gpu or "",
            features=frozenset([node.gpu] if node.gpu else []),
        )
        for node in NODES
    }
    partitions = {
        one.name: Partition(
            name=one.name,
            nodes=tuple(dict.fromkeys(shapes[node] for node in one.nodes)),
            minutes=minutes(one.max_time),
            requeues=one.preemptible,
            accounts=accounts if one.name.startswith("kempner") else (),
            is_default=one.default,
            source="Slurm",
        )
        for one in kempner_partitions(NODES)
    }
    return Site(
        name="Slurm of sandbox",
        cluster="sandbox",
        partitions=partitions,
        is_complete=True,
        needs_account=True,
        enforces_accounts=True,
        own_accounts=ACCOUNTS,
        default_account=ACCOUNTS[0],
    )


SITE = together(packaged()[0], live())
