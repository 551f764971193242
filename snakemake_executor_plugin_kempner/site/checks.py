"""What is wrong with a request at a site. One row per check; each yields what is said of it.

An error is what can never start, or what sbatch would refuse; a warning is what wastes: GPUs of others, your place in the queue, your work.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, StrEnum

from .choices import default_partition, model_of, possible_accounts
from .model import NodeShape, Partition, Site, in_words, span
from .request import Request


class Severity(Enum):
    """What a finding is."""

    ERROR = "error"
    WARNING = "warning"


class Checks(StrEnum):
    """What is done about what a check has found."""

    ERROR = "error"
    """What can never start is not submitted; what wastes is said."""
    WARN = "warn"
    """All is said, and submitted."""
    OFF = "off"
    """Nothing is looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing about a request."""

    severity: Severity
    what: str
    """Value, limit, and who says so."""
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request, where it goes, and the nodes there that it can mean."""

    request: Request
    site: Site
    partitions: tuple[Partition, ...]
    shapes: tuple[NodeShape, ...]
    """Nodes with the wanted GPUs, or all of them where none are wanted."""

    @property
    def where(self) -> str:
        """Name of the partition for a sentence."""
        return f"partition {self.request.partition}" if self.request.partition else "the default partition"

    @property
    def source(self) -> str:
        return next((one.source for one in self.partitions if one.source), self.site.name)

    @property
    def policy(self) -> str:
        return next((one.policy for one in self.partitions if one.policy), self.site.name)


Said = tuple[str, str]
"""What, and the remedy."""


def asked(request: Request, site: Site) -> Asked:
    """Find the partitions and nodes that a request is about."""
    if request.partition:
        names = request.partition.split(",")
        partitions = tuple(one for name in names if (one := site.partition(name)))
    else:
        partitions = tuple(one for one in (default_partition(site),) if one)
    shapes = tuple(shape for one in partitions for shape in one.nodes)
    if request.gpus:
        shapes = tuple(shape for shape in shapes if shape.gpus)
        if request.wanted_model:
            shapes = tuple(shape for shape in shapes if shape.is_one_of(request.wanted_model)) or shapes
    elif re.fullmatch(r"[\w.-]+", request.constraint):
        shapes = tuple(shape for shape in shapes if request.constraint in shape.features) or shapes
    return Asked(request=request, site=site, partitions=partitions, shapes=shapes)


def findings(one: Asked) -> Iterator[Finding]:
    """All that is to be said about a request."""
    for severity, check in CHECKS:
        may_be_lifted = check in _LIFTED and one.request.given & {"qos", "reservation"}
        for what, remedy in check(one):
            yield Finding(severity=Severity.WARNING if may_be_lifted else severity, what=what, remedy=remedy)


# --- what can never start -------------------------------------------------------------------------------------------


def _another_cluster(one: Asked) -> Iterator[Said]:
    others = [name for name in one.request.clusters.split(",") if name not in ("", one.site.cluster)]
    if one.site.cluster and others:
        what = (
            f"cluster {others[0]} is another one than {one.site.cluster}, whose queue is watched and waited for [Slurm]"
        )
        yield what, f"run the whole workflow there: SLURM_CLUSTERS={others[0]} snakemake …"


def _unknown_partition(one: Asked) -> Iterator[Said]:
    if not one.site.is_complete:
        return
    for name in filter(None, one.request.partition.split(",")):
        if one.site.partition(name) is None:
            names = ", ".join(sorted(one.site.partitions))
            yield f"partition {name} does not exist", f"there are {names}"


def _list_of_partitions(one: Asked) -> Iterator[Said]:
    if "," in one.request.partition:
        for partition in one.partitions:
            if partition.only_alone:
                what = (
                    f"{one.request.partition} is a list, and {partition.name} is refused in a list [{partition.policy}]"
                )
                yield what, "name one partition"
                return


def _no_partition_for_gpu(one: Asked) -> Iterator[Said]:
    request, site = one.request, one.site
    if request.partition or not request.gpus or site.is_routed:
        return
    model = request.wanted_model
    having = [name for name, row in site.partitions.items() if any(shape.is_one_of(model) for shape in row.nodes)]
    if model and not having:
        if site.models or site.knows_all_gpus:
            yield f"no partition has {model} GPUs [{site.name}]", _models(model, site)
    elif any(_has(partition, model) for partition in one.partitions):
        return
    elif model:
        possible = [partition.name for partition in site.with_gpus(model, request.minutes)] or having
        what = f"{_gpus(request.gpus, model)} but no partition is asked for, and there is more than one answer [{site.name}]"
        yield what, f"set slurm_partition={' or '.join(possible)}"
    elif site.models:
        choices = (f"gpu_model={model}" for model in site.models)
        what = f"{_gpus(request.gpus)} but no partition is asked for, and several have GPUs [{site.name}]"
        yield what, f"say {' or '.join(choices)}, or slurm_partition"


def _has(partition: Partition, model: str) -> bool:
    return any(shape.is_one_of(model) if model else shape.gpus for shape in partition.nodes)


def _models(wanted: str, site: Site) -> str:
    """What there is in place of a model that there is not."""
    if not site.models:
        return "GPUs have no model there: say gpu=N alone"
    types = (shape.type for row in site.partitions.values() for shape in row.nodes)
    names = [name for name in dict.fromkeys((*site.models, *types)) if name]
    contained = [name for name in names if name in wanted.lower()]  # as in nvidia_a100
    near = contained or get_close_matches(wanted.lower(), names, n=1, cutoff=0.8)
    return f"{f'did you mean {near[0]}? ' if near else ''}there are {', '.join(site.models)}"


def _no_gpu_there(one: Asked) -> Iterator[Said]:
    request = one.request
    if not request.gpus or not request.partition or not one.partitions:
        return
    known = [shape for partition in one.partitions for shape in partition.nodes]
    if known and not any(shape.gpus for shape in known):
        yield (
            f"{_gpus(request.gpus)} asked for in {one.where}, which has none [{one.source}]",
            _gpu_partitions(one.site),
        )
    elif request.model and known and not any(shape.is_one_of(request.model) for shape in known):
        models = ", ".join(dict.fromkeys(model for partition in one.partitions for model in partition.models))
        models = models or ("GPUs without a model" if one.site.knows_all_gpus else "")
        if models:
            what = f"{_gpus(request.gpus, request.model)} asked for in {one.where}, which has {models} [{one.source}]"
            elsewhere = any(_has(partition, request.model) for partition in one.site.partitions.values())
            remedy = "take one of these models, or another partition" if elsewhere else _models(request.model, one.site)
            yield what, remedy


def _gpu_partitions(site: Site) -> str:
    names = [one.name for one in site.partitions.values() if one.has_gpus]
    return f"GPUs are in {', '.join(names)}" if names else "no partition has GPUs"


def _cpu_job_where_gpus_are(one: Asked) -> Iterator[Said]:
    if one.request.gpus or not one.partitions or not all(partition.only_gpu for partition in one.partitions):
        return
    where = ", ".join(partition.name for partition in one.partitions)
    free = [other.name for other in one.site.partitions.values() if not other.only_gpu and not other.has_gpus]
    elsewhere = f", or take slurm_partition={free[0]}" if free else ", or take another partition"
    yield f"no GPU is asked for, and {where} takes GPU jobs alone [{one.policy}]", f"add gpu=1{elsewhere}"


def _accounts(one: Asked) -> Iterator[Said]:
    request, site = one.request, one.site
    account = request.account or site.default_account
    if not one.partitions or (account and any(site.may_use(partition, account) for partition in one.partitions)):
        mine = [name.lower() for name in site.own_accounts or ()]
        if request.account and mine and site.enforces_accounts and not site.is_routed and account.lower() not in mine:
            yield f"account {account} is not one of yours", f"yours are {', '.join(site.own_accounts or ())}"
        return
    partition = one.partitions[0]
    own = possible_accounts(site, partition)
    if account:
        by_default = "" if request.account else " (your default)"
        what = f"account {account}{by_default} may not use {partition.name} [{partition.policy or partition.source}]"
        yield what, f"set slurm_account={' or '.join(own)}" if own else _patterns(partition)
    elif not site.needs_account:
        return
    elif site.own_accounts is None:
        yield f"no account is named, and {site.name} asks for one", "set slurm_account; 'sshare -U' lists yours"
    elif not own:
        yours = ", ".join(site.own_accounts) or "none"
        what = f"none of your accounts ({yours}) may use {partition.name} [{partition.policy or partition.source}]"
        yield what, _patterns(partition)
    else:
        what = f"no account is named, and several of yours may use {partition.name}: {', '.join(own)}"
        yield what, f"set slurm_account={' or '.join(own)}"


def _patterns(partition: Partition) -> str:
    return (
        f"it takes {', '.join(partition.accounts)}" if partition.accounts else f"denied: {', '.join(partition.denied)}"
    )


def _too_long(one: Asked) -> Iterator[Said]:
    limits = [partition.minutes for partition in one.partitions]
    if one.request.minutes is None or not limits or None in limits:
        return
    longest = max(limit for limit in limits if limit is not None)
    if one.request.minutes > longest:
        others = [
            other.name
            for other in one.site.partitions.values()
            if (other.minutes is None or other.minutes >= one.request.minutes)
            and other.has_gpus == bool(one.request.gpus)
        ]
        elsewhere = f" or take slurm_partition={others[0]}" if others else ""
        what = (
            f"runtime={one.request.minutes} ({span(one.request.minutes)}) is above the limit of {one.where}, "
            f"{longest} ({span(longest)}) [{one.source}]"
        )
        yield what, f"ask for {longest} or less and go on from a checkpoint{elsewhere}"


def _too_many_gpus(one: Asked) -> Iterator[Said]:
    most = max((shape.gpus for shape in one.shapes), default=0)
    if most and one.request.gpus_of_node > most:
        what = f"{_gpus(one.request.gpus_of_node)} of one node, and a node of {one.where} has {most} [{one.source}]"
        yield what, f"ask for {most} or less, or for several nodes (nodes=2, gpu={most})"


def _above_cap(one: Asked) -> Iterator[Said]:
    account = one.request.account or one.site.default_account
    for cap in one.site.caps:
        if any(cap.holds(partition.name, account) for partition in one.partitions) and one.request.gpus > cap.gpus:
            what = f"{_gpus(one.request.gpus)}, and one {cap.whose} may use {cap.gpus} at a time [{cap.source}]"
            yield what, f"ask for {cap.gpus} or less"
            return


def _too_many_cores(one: Asked) -> Iterator[Said]:
    most = max((shape.cores or 0 for shape in one.shapes), default=0)
    if most and one.request.cores_of_node > most:
        what = f"{one.request.cores_of_node} cores of one node, and a node of {one.where} has {most} [{one.source}]"
        yield what, f"ask for {most} threads or less"


def _too_much_memory(one: Asked) -> Iterator[Said]:
    most = max((shape.memory_mb or 0 for shape in one.shapes), default=0)
    if most and one.request.memory_of_node and one.request.memory_of_node > most:
        what = (
            f"{in_words(one.request.memory_of_node)} of memory of one node, and a node of {one.where} has "
            f"{in_words(most)} [{one.source}]"
        )
        yield what, f"ask for mem_mb={most} or less"


def _too_many_nodes(one: Asked) -> Iterator[Said]:
    limits = [partition.whole_nodes_of for partition in one.partitions]
    most = 0 if None in limits else max((limit for limit in limits if limit), default=0)
    if most and one.request.nodes > most:
        yield f"{one.request.nodes} nodes, and a job in {one.where} may have {most} [{one.source}]", f"ask for {most}"


# --- what wastes ----------------------------------------------------------------------------------------------------


def _above_share(one: Asked) -> Iterator[Said]:
    request, model = one.request, model_of(one.request, one.site)
    share = one.site.share(model) if model else None
    if share is None or not request.gpus_of_node or not request.is_share_known:
        return
    number = request.gpus_of_node
    over = []
    if share.cores and request.cores_of_node > share.cores * number:
        over.append(f"{request.cores_of_node} cores (the share is {share.cores * number})")
    if share.memory_mb and request.memory_of_node and request.memory_of_node > share.memory_mb * number:
        memory = in_words(share.memory_mb * number)
        over.append(f"{in_words(request.memory_of_node)} of memory (the share is {memory})")
    if over:
        what = f"{' and '.join(over)} for {_gpus(number, share.name)}: other GPUs of the node cannot be used [{one.site.name}]"
        yield what, f"for each GPU take at most {share.cores} cores and {in_words(share.memory_mb or 0)}"


def _no_runtime(one: Asked) -> Iterator[Said]:
    if "time" not in one.request.given and one.partitions:
        what = (
            f"no runtime is given, so {one.where} decides: short jobs start sooner, and it may be too short or too long"
        )
        yield what, "set runtime, in minutes"


def _longest_runtime(one: Asked) -> Iterator[Said]:
    longest = [partition.minutes for partition in one.partitions if partition.minutes]
    if longest and one.request.minutes == max(longest):
        what = f"runtime={one.request.minutes} is all that {one.where} allows [{one.source}]: such jobs start last, and unused time is counted"
        yield what, "ask for what the job needs, and somewhat more"


def _gpus(number: int, model: str = "") -> str:
    return f"{number} {f'{model} ' if model else ''}GPU{'' if number == 1 else 's'}"


CHECKS: tuple[tuple[Severity, Callable[[Asked], Iterator[Said]]], ...] = (
    (Severity.ERROR, _another_cluster),
    (Severity.ERROR, _unknown_partition),
    (Severity.ERROR, _list_of_partitions),
    (Severity.ERROR, _no_partition_for_gpu),
    (Severity.ERROR, _no_gpu_there),
    (Severity.ERROR, _cpu_job_where_gpus_are),
    (Severity.ERROR, _accounts),
    (Severity.ERROR, _too_long),
    (Severity.ERROR, _too_many_gpus),
    (Severity.ERROR, _above_cap),
    (Severity.ERROR, _too_many_cores),
    (Severity.ERROR, _too_much_memory),
    (Severity.ERROR, _too_many_nodes),
    (Severity.WARNING, _above_share),
    (Severity.WARNING, _no_runtime),
    (Severity.WARNING, _longest_runtime),
)
"""Checks of one request. Those of the whole plan are in `whole.py`."""

_LIFTED = frozenset({_too_long, _above_cap, _too_many_nodes})
"""Limits that a QOS or a reservation may lift (sacctmgr(1), PartitionTimeLimit, PartitionMaxNodes)."""
