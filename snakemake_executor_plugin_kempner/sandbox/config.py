"""The Slurm configuration files of a sandbox. Pure: values in, configuration text out.

Nothing of a sandbox is real: a node is a `slurmd` with an invented number of cores, a GPU is a link to `/dev/null` that Slurm hands out
like a real one (`CUDA_VISIBLE_DEVICES` is set, no GPU work is possible).
"""

from collections.abc import Iterable

from ..notation import ranges
from .options import Node, SandboxOptions, SandboxPartition, kempner_partitions
from .place import SandboxPlace

FAST_SCHEDULING = "batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1"
"""Starts a dependent job 0.3 s after its parent's end instead of 3 s (measured, 22.05)."""

CGROUP_CAN_BE_DISABLED = (23, 11)
"""First Slurm that looks for cgroups unasked, and the first where `CgroupPlugin=disabled` exists."""


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


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
