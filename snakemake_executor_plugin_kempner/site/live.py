"""The site as the live Slurm describes it, combined with a site file. Pure: text of scontrol in, values out."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import SlurmError
from ..notation import minutes, whole_number
from ..options import NO_OPTIONS, Options
from .model import NodeShape, Partition, Site

Tell = Callable[[str, Sequence[str]], str]
"""A program's answers to several queries, in a single text; `SlurmCommands.tell`."""

_SOURCE = "Slurm"


def live_site(tell: Tell, user: str, environment: Mapping[str, str], chosen: Options = NO_OPTIONS) -> Site | None:
    """The site from a single call of scontrol; None if Slurm does not answer.

    Args:
        tell: runs queries of Slurm's programs.
        user: whose accounts.
        environment: of this process.
        chosen: options that sbatch reads from its environment.
    """
    questions = ("show config", "show partition", "show node", f"show assoc_mgr users={user} flags=assoc")
    try:
        told = tell("scontrol", questions)
    except SlurmError:
        return None
    try:
        return parse_live(told, user, environment, chosen)
    except (ValueError, LookupError):  # a Slurm with another output format: treated as unknown
        return None


def parse_live(told: str, user: str, environment: Mapping[str, str], chosen: Options = NO_OPTIONS) -> Site | None:
    """The site from scontrol's one-line records (config, partitions, nodes, associations); None without partitions."""
    lines = [re.sub(r"^(scontrol: )+", "", line) for line in told.splitlines()]
    rows = {line.split()[0].partition("=")[2]: _fields(line) for line in lines if line.startswith("PartitionName=")}
    if not rows:
        return None
    nodes: dict[str, list[NodeShape]] = {}
    beside: dict[str, set[str]] = {}
    for fields in (_fields(_FREE_TEXT.split(line)[0]) for line in lines if line.startswith("NodeName=")):
        names = fields.get("Partitions", "").split(",")
        for name in names:
            nodes.setdefault(name, []).extend(_shapes(fields))
            beside.setdefault(name, set()).update(names)
    partitions = {name: _partition(row, nodes.get(name, ())) for name, row in rows.items()}
    if _setting(told, "PreemptType") == "preempt/partition_prio":
        partitions = {
            name: replace(
                partition,
                requeues=_gives_way(rows[name], [rows[other] for other in beside.get(name, set()) & rows.keys()]),
            )
            for name, partition in partitions.items()
        }
    associations = [_fields(line) for line in lines if line.startswith("ClusterName=")]
    own = [fields for fields in associations if fields.get("UserName", "").partition("(")[0] == user]
    enforces = "associations" in _setting(told, "AccountingStorageEnforce")
    has_accounts = _setting(told, "AccountingStorageType").endswith("slurmdbd")
    cluster = _setting(told, "ClusterName")
    return Site(
        name=f"Slurm of {cluster}" if cluster else _SOURCE,
        cluster=cluster,
        partitions=partitions,
        is_complete=True,
        needs_account=enforces,
        enforces_accounts=enforces,
        is_routed=_setting(told, "JobSubmitPlugins") not in ("", "(null)"),
        parents={
            fields.get("Account", ""): fields.get("ParentAccount", "").partition("(")[0]
            for fields in associations
            if not fields.get("UserName")
        },
        has_accounts=has_accounts,
        own_accounts=tuple(dict.fromkeys(fields.get("Account", "") for fields in own)) if own else None,
        default_account=next((fields.get("Account", "") for fields in own if fields.get("DefAssoc") == "Yes"), ""),
        home=environment.get("HOME", ""),
        is_login_node="SLURM_JOB_ID" not in environment,
        chosen=chosen,
    )


_FREE_TEXT = re.compile(r" (?:Reason|Comment|Extra)=")
"""Fields with an administrator's free text, at the end of a node's line."""


def _fields(line: str) -> dict[str, str]:
    return dict(re.findall(r"(?:^|\s)([A-Za-z][\w/]*)=(\S*)", line))


def _setting(told: str, name: str) -> str:
    found = re.search(rf"^(?:scontrol: )*{name}\s*= (.*)$", told, re.MULTILINE)
    return found[1].strip() if found else ""


def _shapes(fields: Mapping[str, str]) -> tuple[NodeShape, ...]:
    """Shapes of a node: a shape for each of its GPU types and, if there are several, a shape with all its GPUs."""
    types = [
        (kind, int(number)) for kind, number in re.findall(r"(?:^|,)gpu(?::([^:,()]+))?:(\d+)", fields.get("Gres", ""))
    ]
    features = frozenset(
        feature for feature in fields.get("AvailableFeatures", "").split(",") if feature not in ("", "(null)")
    )
    rows = types if len(types) < 2 else [*types, ("", sum(number for _, number in types))]
    return tuple(
        NodeShape(
            cores=_positive(fields.get("CPUTot", "")),
            memory_mb=_positive(fields.get("RealMemory", "")),
            gpus=number,
            gpu=kind,
            type=kind,
            features=features,
        )
        for kind, number in rows or [("", 0)]
    )


def _positive(text: str) -> int | None:
    return whole_number(text) or None


def _partition(row: Mapping[str, str], nodes: Iterable[NodeShape]) -> Partition:
    most = [number for name in ("MaxNodes", "TotalNodes") if (number := _positive(row.get(name, "")))]
    return Partition(
        name=row["PartitionName"],
        nodes=tuple(dict.fromkeys(nodes)),
        minutes=minutes(row["MaxTime"]) if "MaxTime" in row else None,
        accounts=_names(row.get("AllowAccounts", "ALL")),
        denied=_names(row.get("DenyAccounts", "ALL")),
        whole_nodes_of=min(most, default=None),
        only_by_name=row.get("Hidden") == "YES",
        is_default=row.get("Default") == "YES",
        source=_SOURCE,
    )


def _names(text: str) -> tuple[str, ...]:
    return () if text in ("ALL", "", "(null)") else tuple(text.split(","))


def _gives_way(row: Mapping[str, str], beside: Iterable[Mapping[str, str]]) -> bool:
    """Whether jobs of a partition are requeued when a job of a higher tier needs their node."""
    tiers = [int(other.get("PriorityTier", 1)) for other in beside]
    return row.get("PreemptMode", "").startswith("REQUEUE") and max(tiers, default=0) > int(row.get("PriorityTier", 1))


def together(file: Site | None, live: Site | None) -> Site:
    """The values of Slurm, plus what only the file knows (policy, GPU shares, caps)."""
    if live is None or file is None:
        return live or file or Site()
    partitions = {
        name: _with_policy(partition, file.partitions.get(name), file) for name, partition in live.partitions.items()
    }
    ordered = [name for name in file.partitions if name in partitions]  # the file's order comes first
    return replace(
        live,
        name=file.name,
        partitions={name: partitions[name] for name in dict.fromkeys((*ordered, *partitions))},
        gpus=file.gpus,
        caps=file.caps,
        folders=file.folders,
        cpu_partition=file.cpu_partition if file.cpu_partition in partitions else "",
        needs_account=live.has_accounts and (file.needs_account or live.needs_account),
        is_routed=False,  # the site file says where jobs go
    )


def _with_policy(live: Partition, file: Partition | None, site: Site) -> Partition:
    nodes = tuple(replace(shape, gpu=_model(shape, site)) for shape in live.nodes)
    if file is None:
        return replace(live, nodes=nodes)
    return replace(
        live,
        nodes=nodes or file.nodes,
        only_by_name=live.only_by_name or file.only_by_name,
        only_gpu=file.only_gpu,
        only_alone=file.only_alone,
        requeues=live.requeues or file.requeues,
        signal=file.signal,
        accounts=live.accounts or file.accounts,
        policy=file.source,
    )


def _model(shape: NodeShape, site: Site) -> str:
    """The GPU's name in the site file: its type in Slurm, or a feature of its node."""
    if (
        not shape.gpus or shape.gpu in site.gpus or re.search(r"\d+g\.\d+gb", shape.gpu)
    ):  # a slice of a GPU is not all of it
        return shape.gpu
    known = [feature for feature in sorted(shape.features) if feature in site.gpus]
    return known[0] if len(known) == 1 else shape.gpu
