"""The options of a sandbox: its nodes and partitions, and the settings of its Slurm. Values only.

The shapes and limits are those of the Kempner cluster, so that a request that fits there fits here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PARTITION_OF_GPU = {
    "a100": "kempner",
    "h100": "kempner_h100",
    "h200": "kempner_h200",
    "rtx6000pro": "kempner_rtx",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A virtual node of the sandbox."""

    name: str
    cpus: int = 64
    memory_mb: int = 1_000_000
    gpu: str | None = None
    """Type of its GPUs as in `--gres=gpu:TYPE:1`; also a feature of the node for `--constraint`."""
    gpus: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxPartition:
    """A partition with some of the nodes."""

    name: str
    nodes: tuple[str, ...]
    max_time: str = "UNLIMITED"
    priority_tier: int = 10
    preemptible: bool = False
    """Its jobs are requeued when a job of a partition with a higher tier needs their node."""
    default: bool = False
    extra: str = ""
    """Further words for its line in slurm.conf."""


DEFAULT_NODES = (
    Node(name="n1", cpus=64, memory_mb=1_000_000, gpu="a100", gpus=4),
    Node(name="n2", cpus=64, memory_mb=1_000_000, gpu="a100", gpus=4),
    Node(name="n3", cpus=96, memory_mb=1_500_000, gpu="h100", gpus=4),
    Node(name="n4", cpus=64, memory_mb=500_000),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxOptions:
    """Everything that can differ between two sandboxes, except folder and accounting."""

    nodes: tuple[Node, ...] = DEFAULT_NODES
    partitions: tuple[SandboxPartition, ...] = ()
    """Empty: Kempner's partitions over these nodes, see `kempner_partitions`."""
    cluster: str = "sandbox"
    fast_scheduling: bool = True
    """False: Slurm's own pace, about 3 s per dependency edge."""
    enforce_memory: bool = False
    """True: a job above its memory request is killed within about a second (FAILED, exit 0:9)."""
    first_job_id: int = 1
    max_array_size: int = 1001
    max_job_count: int = 10_000
    min_job_age: int = 300
    """Seconds for which an ended job stays known to `squeue -t all` and `scontrol`."""
    kill_wait: int = 5
    """Seconds between SIGTERM and SIGKILL; Slurm's own default is 30."""
    slurmd_timeout: int = 300
    """Seconds of silence after which a node counts as failed; 30 makes a NODE_FAIL testable."""
    completion_file: bool = False
    """Record ended jobs in a text file, for `sacct -c` without a database."""
    slurm_conf: tuple[str, ...] = ()
    """Further lines for slurm.conf; of a key that is given twice, Slurm takes the last."""

    accounts: tuple[str, ...] = ("kempner_sandbox_lab",)
    """With accounting: the accounts the user belongs to, the first being the default."""
    accounting_enforce: str = ""
    """With accounting: AccountingStorageEnforce, for instance `associations,limits`."""
    sacctmgr: tuple[str, ...] = ()
    """With accounting: commands run before the controller starts, for instance `modify user me set maxjobs=2`."""

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        msg = f"the sandbox has no node {name!r}, only {names}"
        raise ValueError(msg)


def kempner_partitions(nodes: Sequence[Node]) -> tuple[SandboxPartition, ...]:
    """Lay Kempner's partitions over these nodes; `shared` is the default.

    GPU nodes of the same type form the partition of that type, and all of them together `kempner_requeue`, whose
    jobs give way. Nodes without GPUs (all nodes, should there be none) form `shared` and `test`.
    """
    partitions = [
        SandboxPartition(name=name, nodes=members, max_time="2-00:00:00")
        for gpu, name in PARTITION_OF_GPU.items()
        if (members := _names(node for node in nodes if node.gpus and node.gpu == gpu))
    ]
    if with_gpus := _names(node for node in nodes if node.gpus):
        partitions.append(
            SandboxPartition(
                name="kempner_requeue", nodes=with_gpus, max_time="7-00:00:00", priority_tier=1, preemptible=True
            )
        )
    plain = _names(node for node in nodes if not node.gpus) or _names(nodes)
    partitions.append(SandboxPartition(name="shared", nodes=plain, max_time="3-00:00:00", default=True))
    partitions.append(SandboxPartition(name="test", nodes=plain, max_time="12:00:00"))
    return tuple(partitions)


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(node.name for node in nodes)
