"""The options of a sandbox and its Slurm configuration files. Pure: values in, configuration text out.

The shapes and limits are those of the Kempner cluster, so that a request that fits there fits here. Nothing of it
is real: a node is a `slurmd` with an invented number of cores, a GPU is a link to `/dev/null` that Slurm hands out
like a real one (`CUDA_VISIBLE_DEVICES` is set, no GPU work is possible).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..notation import ranges

FAST_SCHEDULING = "batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1"
"""Starts a dependent job 0.3 s after its parent's end instead of 3 s (measured, 22.05)."""

PARTITION_OF_GPU = {
    "a100": "kempner",
    "h100": "kempner_h100",
    "h200": "kempner_h200",
    "rtx6000pro": "kempner_rtx",
}

CGROUP_CAN_BE_DISABLED = (23, 11)
"""First Slurm that looks for cgroups unasked, and the first where `CgroupPlugin=disabled` exists."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Ports of a sandbox's daemons."""

    controller: int
    accounting: int
    nodes: tuple[int, ...]
    only_loopback: bool = True
    """Whether they may listen on the loopback interface alone (slurmdbd listens everywhere in any case).

    Slurm then binds to what the machine's own *name* stands for (slurm.conf(5), NoInAddrAny), so that must be
    127.0.0.1 as well; with Debian's 127.0.1.1 `srun` waits for ever (measured). Else they listen on all interfaces,
    protected, as any Slurm, by the munge key.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxPlace:
    """Where a sandbox lives: everything its configuration must know about this machine."""

    root: PurePosixPath
    """Folder in a spelling that Slurm's parser and a unix socket accept: short, without spaces."""
    host: str
    user: str
    ports: Ports
    slurm_version: tuple[int, ...]
    accounting: bool
    has_database: bool = True
    """With accounting: slurmdbd and its database are its own, not those of the sandbox that it stands beside."""
    database_password: str = field(default="", repr=False)

    @property
    def slurm_conf(self) -> PurePosixPath:
        """The file `SLURM_CONF` names."""
        return self.root / "slurm.conf"

    @property
    def munge_socket(self) -> PurePosixPath:
        """Where munged listens."""
        return self.root / "munge.socket"

    @property
    def devices(self) -> PurePosixPath:
        """Folder of the fake GPUs' device files."""
        return self.root / "devices"

    def log(self, daemon: str) -> PurePosixPath:
        """The log of a daemon."""
        return self.root / "log" / f"{daemon}.log"


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


def files(options: SandboxOptions, place: SandboxPlace) -> dict[str, str]:
    """Return name → text of every file this sandbox needs before its daemons start."""
    texts = {"slurm.conf": slurm_conf(options, place), "gres.conf": gres_conf(options, place)}
    if place.slurm_version >= CGROUP_CAN_BE_DISABLED:
        texts["cgroup.conf"] = "CgroupPlugin=disabled\n"
    if place.accounting and place.has_database:
        texts["slurmdbd.conf"] = slurmdbd_conf(place)
        texts["accounts.sql"] = accounts_sql(place)
    return texts


def slurm_conf(options: SandboxOptions, place: SandboxPlace) -> str:
    """Return the text of slurm.conf."""
    partitions = options.partitions or kempner_partitions(options.nodes)
    return _text(
        [
            *_identity(options, place),
            *_places(place),
            *_behaviour(options),
            *_records(options, place),
            *(_node(node, port) for node, port in zip(options.nodes, place.ports.nodes, strict=True)),
            *(_partition(partition) for partition in partitions),
            *options.slurm_conf,
        ]
    )


def gres_conf(options: SandboxOptions, place: SandboxPlace) -> str:
    """Return the text of gres.conf, which names a device file for every fake GPU."""
    lines = ["AutoDetect=off"]
    for node in options.nodes:
        if node.gpus:
            kind = f" Type={node.gpu}" if node.gpu else ""
            lines.append(f"NodeName={node.name} Name=gpu{kind} File={place.devices}/gpu[{ranges(range(node.gpus))}]")
    return _text(lines)


def slurmdbd_conf(place: SandboxPlace) -> str:
    """Return the text of slurmdbd.conf; it holds a password, so the file must be private."""
    return _text(
        [
            "AuthType=auth/munge",
            f"AuthInfo=socket={place.munge_socket}",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={place.ports.accounting}",
            f"SlurmUser={place.user}",
            f"LogFile={place.log('slurmdbd')}",
            f"PidFile={place.root}/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            # localhost means the unix socket, which the client library takes from MYSQL_UNIX_PORT.
            "StorageHost=localhost",
            "StorageUser=slurm",
            f"StoragePass={place.database_password}",
            "StorageLoc=slurm_acct_db",
        ]
    )


def accounts_sql(place: SandboxPlace) -> str:
    """Return the SQL that creates the database and the user of slurmdbd."""
    return _text(
        [
            "CREATE DATABASE IF NOT EXISTS slurm_acct_db;",
            f"CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY '{place.database_password}';",
            "GRANT ALL ON slurm_acct_db.* TO slurm@localhost;",
        ]
    )


def sacctmgr_commands(options: SandboxOptions, user: str) -> tuple[str, ...]:
    """Return the commands that make the cluster, its accounts, and the user a member of each."""
    return (
        f"add cluster {options.cluster}",
        *(f"add account {account} cluster={options.cluster}" for account in options.accounts),
        *(f"add user {user} account={account} cluster={options.cluster}" for account in options.accounts),
        *(f"modify user {user} set defaultaccount={account}" for account in options.accounts[:1]),
        *options.sacctmgr,
    )


def _identity(options: SandboxOptions, place: SandboxPlace) -> list[str]:
    return [
        f"ClusterName={options.cluster}",
        f"SlurmctldHost={place.host}(127.0.0.1)",
        f"SlurmctldPort={place.ports.controller}",
        f"SlurmUser={place.user}",
        f"SlurmdUser={place.user}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={place.munge_socket}",
        *(["CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"] if place.ports.only_loopback else []),
    ]


def _places(place: SandboxPlace) -> list[str]:
    return [
        f"StateSaveLocation={place.root}/state",
        f"SlurmdSpoolDir={place.root}/spool/%n",
        f"SlurmctldPidFile={place.root}/slurmctld.pid",
        f"SlurmdPidFile={place.root}/%n.pid",
        f"SlurmctldLogFile={place.log('slurmctld')}",
        f"SlurmdLogFile={place.log('%n')}",
    ]


def _behaviour(options: SandboxOptions) -> list[str]:
    memory_watch = ["JobAcctGatherParams=OverMemoryKill"] if options.enforce_memory else []
    pace = [f"SchedulerParameters={FAST_SCHEDULING}"] if options.fast_scheduling else []
    return [
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        # Believe the node lines below, not what the hardware says.
        "SlurmdParameters=config_overrides",
        "ReturnToService=2",
        "GresTypes=gpu",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        # Without it a job that asks for no memory takes a whole node's.
        "DefMemPerCPU=100",
        f"FirstJobId={options.first_job_id}",
        f"MaxArraySize={options.max_array_size}",
        f"MaxJobCount={options.max_job_count}",
        f"MinJobAge={options.min_job_age}",
        f"KillWait={options.kill_wait}",
        f"SlurmdTimeout={options.slurmd_timeout}",
        *pace,
        *memory_watch,
    ]


def _records(options: SandboxOptions, place: SandboxPlace) -> list[str]:
    lines = []
    if options.enforce_memory:
        lines += ["JobAcctGatherType=jobacct_gather/linux", "JobAcctGatherFrequency=task=1"]
    elif place.accounting:
        lines += ["JobAcctGatherType=jobacct_gather/linux", "JobAcctGatherFrequency=task=5"]
    if options.completion_file:
        lines += ["JobCompType=jobcomp/filetxt", f"JobCompLoc={place.root}/completed_jobs"]
    if place.accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={place.ports.accounting}",
            # Undocumented twin of AuthInfo: without it sacctmgr looks for munge in its default place and hangs.
            f"AccountingStoragePass=socket={place.munge_socket}",
            "AccountingStorageTRES=gres/gpu",
        ]
        if options.accounting_enforce:
            lines.append(f"AccountingStorageEnforce={options.accounting_enforce}")
    return lines


def _node(node: Node, port: int) -> str:
    words = [
        f"NodeName={node.name} NodeHostname={node.name} NodeAddr=127.0.0.1 Port={port}",
        f"CPUs={node.cpus} RealMemory={node.memory_mb} State=UNKNOWN",
    ]
    if node.gpus:
        words.append(f"Gres=gpu:{node.gpu}:{node.gpus}" if node.gpu else f"Gres=gpu:{node.gpus}")
    if node.gpu:
        words.append(f"Feature={node.gpu}")
    return " ".join(words)


def _partition(partition: SandboxPartition) -> str:
    words = [
        f"PartitionName={partition.name} Nodes={','.join(partition.nodes)} State=UP",
        f"MaxTime={partition.max_time} DefaultTime=00:10:00 PriorityTier={partition.priority_tier}",
        f"PreemptMode={'REQUEUE' if partition.preemptible else 'OFF'}",
    ]
    if partition.default:
        words.append("Default=YES")
    if partition.extra:
        words.append(partition.extra)
    return " ".join(words)


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(node.name for node in nodes)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
