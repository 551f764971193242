"""A site as data: its partitions, nodes, GPUs, accounts and caps. Values from a file, values from the live Slurm, one form."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU model, and what of a node's other resources goes with one of them."""

    name: str
    """Feature of its nodes, and what a rule says with `gpu_model`."""
    title: str = ""
    cores: int | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeShape:
    """Nodes of a partition that are alike."""

    cores: int | None = None
    memory_mb: int | None = None
    gpus: int = 0
    gpu: str = ""
    """Model; empty where there is no GPU, or none is known."""
    type: str = ""
    """What Slurm calls it (`--gres=gpu:TYPE:1`); empty where Slurm does not tell, or gives it no type."""
    features: frozenset[str] = frozenset()

    def is_one_of(self, name: str) -> bool:
        """Whether it has GPUs of that model, by their type or by the node's feature."""
        return self.gpus > 0 and name in (self.gpu, self.type, *self.features)


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A queue."""

    name: str
    nodes: tuple[NodeShape, ...] = ()
    minutes: int | None = None
    """Longest time of a job; None: not known, or no limit."""
    only_gpu: bool = False
    """It takes jobs with a GPU alone."""
    only_alone: bool = False
    """It is refused in a list of several partitions."""
    only_by_name: bool = False
    """A job runs there only if it says so."""
    requeues: bool = False
    """A job there may be put back into the queue at any moment."""
    signal: str = ""
    """What a job there asks Slurm to be warned with (`sbatch --signal`)."""
    accounts: tuple[str, ...] = ()
    """Patterns of the accounts that may use it; none: all."""
    denied: tuple[str, ...] = ()
    """Patterns of the accounts that may not."""
    whole_nodes_of: int | None = None
    """Most nodes of a job."""
    is_default: bool = False
    source: str = ""
    """Who says what it has."""
    policy: str = ""
    """Who says what it is for."""

    @property
    def has_gpus(self) -> bool:
        return any(shape.gpus for shape in self.nodes)

    @property
    def models(self) -> tuple[str, ...]:
        """GPU models by which a rule may ask for its nodes."""
        return tuple(dict.fromkeys(shape.gpu for shape in self.nodes if shape.gpus and shape.gpu))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """GPUs that may be in use at once."""

    partitions: tuple[str, ...]
    """Patterns; together they have this one cap."""
    gpus: int
    accounts: tuple[str, ...] = ("*",)
    """Patterns of the accounts it holds for."""
    whose: str = "user"
    source: str = ""

    def holds(self, partition: str, account: str) -> bool:
        return _any(self.partitions, partition) and _any(self.accounts, account)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """All that is known of where jobs run; whatever is missing is not checked."""

    name: str = "this cluster"
    cluster: str = ""
    """Slurm's own name of it (ClusterName)."""
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    is_complete: bool = False
    """There are no partitions but these: Slurm itself has listed them."""
    gpus: Mapping[str, Gpu] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    cpu_partition: str = ""
    """Where jobs without a GPU go that do not say it."""
    has_accounts: bool = True
    """Slurm knows accounts at all."""
    needs_account: bool = False
    own_accounts: tuple[str, ...] | None = None
    """Accounts that the user is a member of; None: not known."""
    default_account: str = ""
    """What sbatch takes where a job names none."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """The account above an account."""
    enforces_accounts: bool = False
    """Slurm itself refuses jobs of other accounts than one's own (AccountingStorageEnforce)."""
    is_routed: bool = False
    """A plugin of the site (JobSubmitPlugins) may send jobs without a partition anywhere, and nothing says where."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Where a workflow should not lie, and why; `~` is the user's home."""
    home: str = ""
    is_login_node: bool = False
    """The head runs outside of any job."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Options that sbatch takes from the environment (`SBATCH_PARTITION`), by option."""

    def partition(self, name: str) -> Partition | None:
        return self.partitions.get(name)

    def with_gpus(self, model: str = "", minutes: int | None = None) -> tuple[Partition, ...]:
        """Partitions where the user may get such GPUs for so long, and keep them; if the file names some of them, those.

        Args:
            model: of the GPUs; empty for any.
            minutes: of the job; None where that is not known.
        """
        found = [
            one
            for one in self.partitions.values()
            if not one.requeues
            and not one.only_by_name
            and any(shape.is_one_of(model) if model else shape.gpus for shape in one.nodes)
            and (self.own_accounts is None or any(self.may_use(one, account) for account in self.own_accounts))
            and (minutes is None or one.minutes is None or minutes <= one.minutes)
        ]
        return tuple([one for one in found if one.policy] or found)

    def may_use(self, partition: Partition, account: str) -> bool:
        """Whether a job of the account may run in the partition: what holds for an account holds for those below it."""
        line = [account]
        while (above := self.parents.get(line[-1], "")) and above not in line:
            line.append(above)
        denied = any(_any(partition.denied, one) for one in line)
        return not denied and (not partition.accounts or any(_any(partition.accounts, one) for one in line))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model for one in self.partitions.values() for model in one.models))

    @property
    def knows_all_gpus(self) -> bool:
        """Slurm has listed the nodes of each partition, and there are GPUs among them."""
        return self.is_complete and self.has_gpus and all(one.nodes for one in self.partitions.values())

    @property
    def has_gpus(self) -> bool:
        return any(one.has_gpus for one in self.partitions.values())

    def share(self, model: str) -> Gpu | None:
        """What goes with one GPU of that model."""
        return self.gpus.get(model)


def _any(patterns: Iterable[str], name: str) -> bool:
    """Slurm knows accounts in lower case, however they are written."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def megabytes(text: str | int) -> int:
    """`240G` as Slurm reads it: a number with K, M, G or T; MB without.

    Raises:
        ValueError: it is no such text.
    """
    text = str(text).strip().upper().removesuffix("B")
    unit = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}.get(text[-1:])
    return round(float(text[:-1]) * unit) if unit is not None else int(text)


def in_words(megabytes_: int) -> str:
    """`360 GB`."""
    return f"{megabytes_ // 1024} GB" if megabytes_ >= 10 * 1024 else f"{megabytes_} MB"


def minutes(text: str) -> int | None:
    """A time limit as Slurm writes it (`D-HH:MM:SS`, `HH:MM:SS`, `MM:SS`, minutes) in minutes; None for none.

    Source: sbatch(1), --time. Seconds are rounded up.

    Raises:
        ValueError: it is no such text.
    """
    text = text.strip()
    if text.upper() in {"UNLIMITED", "INFINITE", "0", "-1"}:
        return None
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, mins, seconds = [*parts, 0, 0][:3]
        hours += 24 * int(days)
    elif len(parts) == 1:
        hours, mins, seconds = 0, parts[0], 0
    elif len(parts) == 2:
        hours, mins, seconds = 0, *parts
    else:
        hours, mins, seconds = parts
    return 60 * hours + mins + (seconds > 0)


def span(number: int | None) -> str:
    """Minutes for people: `2 d`, `3 h 20 min`."""
    if number is None:
        return "no limit"
    days, rest = divmod(number, 1440)
    hours, mins = divmod(rest, 60)
    return " ".join(f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (mins, "min")) if count) or "0 min"


def in_slurm_format(number: int) -> str:
    """Minutes as Slurm writes them: `2-00:00:00`."""
    days, rest = divmod(number, 1440)
    return f"{days}-{rest // 60:02}:{rest % 60:02}:00"
