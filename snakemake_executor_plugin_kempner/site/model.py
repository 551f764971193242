"""A site as data, from a site file or from the live Slurm: its partitions, nodes, GPUs, accounts and caps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..options import NO_OPTIONS, Options


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU model, and the share of a node's cores and memory that goes with each GPU."""

    name: str
    """The node feature for it, and the value of `gpu_model` in a rule."""
    title: str = ""
    cores: int | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeShape:
    """Identical nodes of a partition."""

    cores: int | None = None
    memory_mb: int | None = None
    gpus: int = 0
    gpu: str = ""
    """Model; empty without a GPU, or if unknown."""
    type: str = ""
    """Slurm's type of the GPU (`--gres=gpu:TYPE:1`); empty if it has none, or unknown."""
    features: frozenset[str] = frozenset()

    def is_one_of(self, name: str) -> bool:
        """Whether the nodes have GPUs of that model, by GPU type or by node feature."""
        return self.gpus > 0 and name in (self.gpu, self.type, *self.features)


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A partition of the cluster."""

    name: str
    nodes: tuple[NodeShape, ...] = ()
    minutes: int | None = None
    """Longest time limit of a job; None for no limit, or unknown."""
    only_gpu: bool = False
    """It accepts only jobs with a GPU."""
    only_alone: bool = False
    """Jobs that name it in a list of several partitions are refused."""
    only_by_name: bool = False
    """Jobs run there only if they name it."""
    requeues: bool = False
    """Jobs there may be preempted and requeued at any time."""
    signal: str = ""
    """Value of `sbatch --signal` for jobs there, as a warning before they are stopped."""
    accounts: tuple[str, ...] = ()
    """Patterns of the accounts that may use it; empty for all."""
    denied: tuple[str, ...] = ()
    """Patterns of the accounts that may not use it."""
    whole_nodes_of: int | None = None
    """Most nodes of a job."""
    is_default: bool = False
    source: str = ""
    """Source of its nodes and limits, for messages."""
    policy: str = ""
    """Source of its usage policy, for messages; empty if only Slurm knows it."""

    @property
    def has_gpus(self) -> bool:
        return any(shape.gpus for shape in self.nodes)

    @property
    def models(self) -> tuple[str, ...]:
        """GPU models with which a rule may request its nodes."""
        return tuple(dict.fromkeys(shape.gpu for shape in self.nodes if shape.gpus and shape.gpu))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """A limit on the GPUs in use at the same time."""

    partitions: tuple[str, ...]
    """Patterns; the cap is for all of them together."""
    gpus: int
    accounts: tuple[str, ...] = ("*",)
    """Patterns of the accounts it applies to."""
    whose: str = "user"
    source: str = ""

    def holds(self, partition: str, account: str) -> bool:
        return _any(self.partitions, partition) and _any(self.accounts, account)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Everything known about the cluster; what is unknown is not checked."""

    name: str = "this cluster"
    cluster: str = ""
    """Slurm's ClusterName."""
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    is_complete: bool = False
    """All partitions are known: Slurm itself has listed them."""
    gpus: Mapping[str, Gpu] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    cpu_partition: str = ""
    """Partition for jobs without a GPU that name no partition."""
    has_accounts: bool = True
    """The cluster uses Slurm accounts."""
    needs_account: bool = False
    own_accounts: tuple[str, ...] | None = None
    """Accounts of the user; None if unknown."""
    default_account: str = ""
    """The account that sbatch uses for a job that names none."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Each account's parent account."""
    enforces_accounts: bool = False
    """Slurm refuses jobs with accounts that the user is not a member of (AccountingStorageEnforce)."""
    is_routed: bool = False
    """A job_submit plugin of the site may choose the partition of jobs that name none, in an unknown way."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Folders unsuitable for a workflow, and why; `~` is the user's home."""
    home: str = ""
    is_login_node: bool = False
    """The head runs outside of any job."""
    chosen: Options = NO_OPTIONS
    """Options that sbatch reads from its environment (`SBATCH_PARTITION`)."""

    def partition(self, name: str) -> Partition | None:
        return self.partitions.get(name)

    def with_gpus(self, model: str = "", minutes: int | None = None) -> tuple[Partition, ...]:
        """Partitions with such GPUs that the user may use for so long, without preemption.

        Args:
            model: of the GPUs; empty for any.
            minutes: time limit of the job; None if unknown.

        Returns:
            If any of the partitions is in the site file, only those; else all.
        """
        found = [
            partition
            for partition in self.partitions.values()
            if not partition.requeues
            and not partition.only_by_name
            and any(shape.is_one_of(model) if model else shape.gpus for shape in partition.nodes)
            and (self.own_accounts is None or any(self.may_use(partition, account) for account in self.own_accounts))
            and (minutes is None or partition.minutes is None or minutes <= partition.minutes)
        ]
        return tuple([partition for partition in found if partition.policy] or found)

    def may_use(self, partition: Partition, account: str) -> bool:
        """Whether jobs of the account may run in the partition; rules for an account also apply to its children."""
        line = [account]
        while (above := self.parents.get(line[-1], "")) and above not in line:
            line.append(above)
        denied = any(_any(partition.denied, name) for name in line)
        return not denied and (not partition.accounts or any(_any(partition.accounts, name) for name in line))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model for partition in self.partitions.values() for model in partition.models))

    @property
    def knows_all_gpus(self) -> bool:
        """Slurm has listed the nodes of every partition, and some have GPUs."""
        return self.is_complete and self.has_gpus and all(partition.nodes for partition in self.partitions.values())

    @property
    def has_gpus(self) -> bool:
        return any(partition.has_gpus for partition in self.partitions.values())

    def share(self, model: str) -> Gpu | None:
        """The share of cores and memory that goes with a GPU of that model."""
        return self.gpus.get(model)


def _any(patterns: Iterable[str], name: str) -> bool:
    """Whether a pattern matches; Slurm's account names ignore case."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
