"""Checks of a job's request at a site. One function per check; each yields its remarks.

Errors are requests that can never start, or that sbatch would refuse. Warnings are requests that waste resources: GPUs
that others could use, your place in the queue, your work.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from ..notation import memory_for_people, time_for_people
from .choices import model_of, possible_accounts
from .model import Partition, Site
from .placed import PlacedRequest


class Severity(Enum):
    """How serious a finding is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A remark about a request, with its severity."""

    severity: Severity
    what: str
    """Value, limit, and the source of the limit."""
    remedy: str


Remark = tuple[str, str]
"""What is wrong, and the remedy."""


def findings(job: PlacedRequest) -> Iterator[Finding]:
    """All findings about a request."""
    for severity, check in CHECKS:
        may_be_lifted = check in _LIFTED and job.request.given & {"qos", "reservation"}
        for what, remedy in check(job):
            yield Finding(severity=Severity.WARNING if may_be_lifted else severity, what=what, remedy=remedy)


# --- requests that can never start ----------------------------------------------------------------------------------


def _unknown_partition(job: PlacedRequest) -> Iterator[Remark]:
    if not job.site.is_complete:
        return
    for name in filter(None, job.request.partition.split(",")):
        if job.site.partition(name) is None:
            near = get_close_matches(name, job.site.partitions, n=1, cutoff=0.7)
            names = ", ".join(sorted(job.site.partitions))
            yield f"partition {name} does not exist", f"{f'did you mean {near[0]}? ' if near else ''}there are {names}"


def _list_of_partitions(job: PlacedRequest) -> Iterator[Remark]:
    if "," in job.request.partition:
        for partition in job.partitions:
            if partition.only_alone:
                what = f"{job.request.partition}: {partition.name} must not be in a list of partitions [{partition.policy}]"
                yield what, "name a single partition"
                return


def _no_partition_for_gpu(job: PlacedRequest) -> Iterator[Remark]:
    request, site = job.request, job.site
    if request.partition or not request.gpus or site.is_routed:
        return
    model = request.wanted_model
    having = [name for name, row in site.partitions.items() if any(shape.is_one_of(model) for shape in row.nodes)]
    if model and not having:
        if site.models or site.knows_all_gpus:
            yield f"no partition has {model} GPUs [{site.name}]", _models(model, site)
    elif any(_has(partition, model) for partition in job.partitions):
        return
    elif model:
        possible = [partition.name for partition in site.with_gpus(model, request.minutes)] or having
        what = f"{_gpus(request.gpus, model)} requested without a partition, and several have them [{site.name}]"
        yield what, f"set slurm_partition={' or '.join(possible)}"
    elif site.models:
        choices = (f"gpu_model={model}" for model in site.models)
        what = f"{_gpus(request.gpus)} requested without model or partition, and several have GPUs [{site.name}]"
        yield what, f"set {' or '.join(choices)}, or slurm_partition"


def _has(partition: Partition, model: str) -> bool:
    return any(shape.is_one_of(model) if model else shape.gpus for shape in partition.nodes)


def _models(wanted: str, site: Site) -> str:
    """The models to choose from instead of an unknown model."""
    if not site.models:
        return "GPUs have no model there: set only gpu=N"
    types = (shape.type for row in site.partitions.values() for shape in row.nodes)
    names = [name for name in dict.fromkeys((*site.models, *types)) if name]
    contained = [name for name in names if name in wanted.lower()]  # as in nvidia_a100
    near = contained or get_close_matches(wanted.lower(), names, n=1, cutoff=0.8)
    return f"{f'did you mean {near[0]}? ' if near else ''}there are {', '.join(site.models)}"


def _no_gpu_there(job: PlacedRequest) -> Iterator[Remark]:
    request = job.request
    if not request.gpus or not request.partition or not job.partitions:
        return
    known = [shape for partition in job.partitions for shape in partition.nodes]
    if known and not any(shape.gpus for shape in known):
        yield (
            f"{_gpus(request.gpus)} asked for in {job.where}, which has none [{job.source}]",
            _gpu_partitions(job.site),
        )
    elif request.model and known and not any(shape.is_one_of(request.model) for shape in known):
        models = ", ".join(dict.fromkeys(model for partition in job.partitions for model in partition.models))
        models = models or ("GPUs without a model" if job.site.knows_all_gpus else "")
        if models:
            what = f"{_gpus(request.gpus, request.model)} asked for in {job.where}, which has {models} [{job.source}]"
            elsewhere = any(_has(partition, request.model) for partition in job.site.partitions.values())
            remedy = "take one of these models, or another partition" if elsewhere else _models(request.model, job.site)
            yield what, remedy


def _gpu_partitions(site: Site) -> str:
    names = [partition.name for partition in site.partitions.values() if partition.has_gpus]
    return f"GPUs are in {', '.join(names)}" if names else "no partition has GPUs"


def _cpu_job_where_gpus_are(job: PlacedRequest) -> Iterator[Remark]:
    if job.request.gpus or not job.partitions or not all(partition.only_gpu for partition in job.partitions):
        return
    where = ", ".join(partition.name for partition in job.partitions)
    free = [other.name for other in job.site.partitions.values() if not other.only_gpu and not other.has_gpus]
    elsewhere = f", or set slurm_partition={free[0]}" if free else ", or choose another partition"
    yield f"no GPU requested, but {where} accepts only GPU jobs [{job.policy}]", f"add gpu=1{elsewhere}"


def _accounts(job: PlacedRequest) -> Iterator[Remark]:
    request, site = job.request, job.site
    account = request.account or site.default_account
    if not job.partitions or (account and any(site.may_use(partition, account) for partition in job.partitions)):
        mine = [name.lower() for name in site.own_accounts or ()]
        if request.account and mine and site.enforces_accounts and not site.is_routed and account.lower() not in mine:
            yield f"account {account} is not one of yours", f"yours are {', '.join(site.own_accounts or ())}"
        return
    partition = job.partitions[0]
    own = possible_accounts(site, partition)
    if account:
        by_default = "" if request.account else " (your default)"
        what = f"account {account}{by_default} may not use {partition.name} [{partition.policy or partition.source}]"
        yield what, f"set slurm_account={' or '.join(own)}" if own else _patterns(partition)
    elif not site.needs_account:
        return
    elif site.own_accounts is None:
        yield f"no account is set, and {site.name} requires one", "set slurm_account; 'sshare -U' lists yours"
    elif not own:
        yours = ", ".join(site.own_accounts) or "none"
        what = f"none of your accounts ({yours}) may use {partition.name} [{partition.policy or partition.source}]"
        yield what, _patterns(partition)
    else:
        what = f"no account is set, and several of yours may use {partition.name}: {', '.join(own)}"
        yield what, f"set slurm_account={' or '.join(own)}"


def _patterns(partition: Partition) -> str:
    return (
        f"it takes {', '.join(partition.accounts)}" if partition.accounts else f"denied: {', '.join(partition.denied)}"
    )


def _too_long(job: PlacedRequest) -> Iterator[Remark]:
    limits = [partition.minutes for partition in job.partitions]
    if job.request.minutes is None or not limits or None in limits:
        return
    longest = max(limit for limit in limits if limit is not None)
    if job.request.minutes > longest:
        others = [
            other.name
            for other in job.site.partitions.values()
            if (other.minutes is None or other.minutes >= job.request.minutes)
            and other.has_gpus == bool(job.request.gpus)
        ]
        elsewhere = f", or set slurm_partition={others[0]}" if others else ""
        what = (
            f"runtime={job.request.minutes} ({time_for_people(60 * job.request.minutes)}) is above the limit of {job.where}, "
            f"{longest} ({time_for_people(60 * longest)}) [{job.source}]"
        )
        yield what, f"request {longest} or less and resume from a checkpoint{elsewhere}"


def _too_many_gpus(job: PlacedRequest) -> Iterator[Remark]:
    most = max((shape.gpus for shape in job.shapes), default=0)
    if most and job.request.gpus_of_node > most:
        what = f"{_gpus(job.request.gpus_of_node)} of one node, and a node of {job.where} has {most} [{job.source}]"
        yield what, f"request {most} or less, or several nodes (nodes=2, gpu={most})"


def _above_cap(job: PlacedRequest) -> Iterator[Remark]:
    account = job.request.account or job.site.default_account
    for cap in job.site.caps:
        if any(cap.holds(partition.name, account) for partition in job.partitions) and job.request.gpus > cap.gpus:
            what = f"{_gpus(job.request.gpus)}, but one {cap.whose} may use {cap.gpus} at a time [{cap.source}]"
            yield what, f"request {cap.gpus} or less"
            return


def _too_many_cores(job: PlacedRequest) -> Iterator[Remark]:
    most = max((shape.cores or 0 for shape in job.shapes), default=0)
    if most and job.request.cores_of_node > most:
        what = f"{job.request.cores_of_node} cores of one node, and a node of {job.where} has {most} [{job.source}]"
        yield what, f"request {most} or less; --cores {most} caps the threads of a rule and of a group"


def _too_much_memory(job: PlacedRequest) -> Iterator[Remark]:
    most = max((shape.memory_mb or 0 for shape in job.shapes), default=0)
    if most and job.request.memory_of_node and job.request.memory_of_node > most:
        what = (
            f"{memory_for_people(job.request.memory_of_node)} of memory of one node, and a node of {job.where} has "
            f"{memory_for_people(most)} [{job.source}]"
        )
        yield what, f"request mem_mb={most} or less"


def _too_many_nodes(job: PlacedRequest) -> Iterator[Remark]:
    limits = [partition.whole_nodes_of for partition in job.partitions]
    most = 0 if None in limits else max((limit for limit in limits if limit), default=0)
    if most and job.request.nodes > most:
        yield f"{job.request.nodes} nodes, but a job in {job.where} may have {most} [{job.source}]", f"request {most}"


# --- requests that waste resources ----------------------------------------------------------------------------------


def _above_share(job: PlacedRequest) -> Iterator[Remark]:
    request, model = job.request, model_of(job.request, job.site)
    share = job.site.share(model) if model else None
    if share is None or not request.gpus_of_node or not request.is_share_known:
        return
    number = request.gpus_of_node
    over = []
    if share.cores and request.cores_of_node > share.cores * number:
        over.append(f"{request.cores_of_node} cores (the share is {share.cores * number})")
    if share.memory_mb and request.memory_of_node and request.memory_of_node > share.memory_mb * number:
        memory = memory_for_people(share.memory_mb * number)
        over.append(f"{memory_for_people(request.memory_of_node)} of memory (the share is {memory})")
    if over:
        what = f"{' and '.join(over)} for {_gpus(number, share.name)}: other GPUs of the node cannot be used [{job.site.name}]"
        yield what, f"request at most {share.cores} cores and {memory_for_people(share.memory_mb or 0)} for each GPU"


def _no_runtime(job: PlacedRequest) -> Iterator[Remark]:
    if "time" not in job.request.given and job.partitions:
        yield f"no runtime given: the default limit of {job.where} applies", "set runtime; shorter jobs start sooner"


def _longest_runtime(job: PlacedRequest) -> Iterator[Remark]:
    longest = [partition.minutes for partition in job.partitions if partition.minutes]
    if longest and job.request.minutes == max(longest):
        what = (
            f"runtime={job.request.minutes} is the maximum of {job.where} [{job.source}]: the longest jobs start last"
        )
        yield what, "request what the job needs plus a margin"


def _gpus(number: int, model: str = "") -> str:
    return f"{number} {f'{model} ' if model else ''}GPU{'' if number == 1 else 's'}"


CHECKS: tuple[tuple[Severity, Callable[[PlacedRequest], Iterator[Remark]]], ...] = (
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
"""Checks of a single request. Those of the whole plan are in `whole.py`."""

_LIFTED = frozenset({_too_long, _above_cap, _too_many_nodes})
"""Limits that a QOS or a reservation may lift (sacctmgr(1), PartitionTimeLimit, PartitionMaxNodes)."""
