"""Options that a site adds to a request: partition, constraint, account, and a GPU's share of cores and memory.

What the rule has set stays unchanged, and nothing is chosen if there is more than one possibility.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..notation import memory, memory_for_people
from ..options import Options
from .model import Partition, Site
from .request import Request, request_of

_WARNED = 10
"""Least time limit (minutes) of a job that gets a warning signal; a shorter job would get it right after its start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Options of a job at a site, and the reasons for those that were added."""

    options: Options
    why: tuple[str, ...] = ()


def choose(options: Options, site: Site, *, default_cores: bool) -> Choice:
    """Add the options that the site implies.

    Args:
        options: from the rule's resources.
        site: where the job is to run.
        default_cores: the user has not chosen the number of cores.
    """
    choice = Choice(options=options)
    for follow in (_model, _partition, _constraint, _account, _requeue, partial(_share, default_cores=default_cores)):
        for added, reason in follow(request_of(site.chosen | choice.options), site):
            choice = Choice(options=choice.options | added, why=(*choice.why, f"{added} ({reason})"))
    return choice


Added = tuple[Options, str]
"""An option, and why."""


def _model(request: Request, site: Site) -> Iterator[Added]:
    """Spells a GPU model as the site does: Slurm distinguishes `H100` from `h100`, people do not."""
    shapes = [shape for partition in site.partitions.values() for shape in partition.nodes if shape.gpus]
    names = dict.fromkeys(name for shape in shapes for name in (shape.gpu, shape.type, *sorted(shape.features)) if name)
    spelt = [name for name in names if name.lower() == request.model.lower()]
    if request.model and spelt and request.model not in spelt and f"gpu:{request.model}" in request.gres:
        gres = re.sub(rf"\bgpu:{re.escape(request.model)}(?=[:=,]|$)", f"gpu:{spelt[0]}", request.gres)
        yield Options({"gres": gres}), f"there the model is called {spelt[0]}"


def _partition(request: Request, site: Site) -> Iterator[Added]:
    if request.partition or not site.partitions or site.is_routed:
        return
    if request.gpus:
        possible = site.with_gpus(request.wanted_model, request.minutes)
        if len(possible) == 1:
            what = f"{request.wanted_model} GPUs" if request.wanted_model else "GPUs"
            yield Options({"partition": possible[0].name}), f"the only partition with {what}"
    elif site.cpu_partition and not _default_is_fine(site):
        yield Options({"partition": site.cpu_partition}), "no GPU requested"


def _default_is_fine(site: Site) -> bool:
    default = default_partition(site)
    return default is not None and not default.only_gpu


def default_partition(site: Site) -> Partition | None:
    """Partition of jobs that name none; None if unknown."""
    if site.is_routed:
        return None
    return next((partition for partition in site.partitions.values() if partition.is_default), None)


def _constraint(request: Request, site: Site) -> Iterator[Added]:
    """Requests a GPU model with --constraint if it is a node feature in Slurm, not a GPU type."""
    partition = site.partition(request.partition)
    if partition is None or not request.model or f"gpu:{request.model}" not in request.gres:
        return
    shapes = [shape for shape in partition.nodes if shape.gpus]
    meant = [shape for shape in shapes if shape.is_one_of(request.model)]
    if not meant or any(shape.type == request.model for shape in meant):
        return
    untyped = re.sub(rf"\bgpu:{re.escape(request.model)}(?=[:=,]|$)", "gpu", request.gres)
    yield Options({"gres": untyped}), f"{request.model} is a feature of nodes there, no type of GPU"
    if len(meant) < len(shapes) and not re.search(
        rf"(?<![\w.-]){re.escape(request.model)}(?![\w.-])", request.constraint
    ):
        wanted = f"{request.constraint}&{request.model}" if request.constraint else request.model
        yield Options({"constraint": wanted}), f"{partition.name} has several GPU models"


def _account(request: Request, site: Site) -> Iterator[Added]:
    partition = site.partition(request.partition) or (None if request.partition else default_partition(site))
    if request.account or partition is None or site.own_accounts is None:
        return
    if site.default_account and site.may_use(partition, site.default_account):
        return  # sbatch uses it without an option
    possible = possible_accounts(site, partition)
    if len(possible) == 1:
        yield Options({"account": possible[0]}), f"your only account for partition {partition.name}"


def possible_accounts(site: Site, partition: Partition) -> tuple[str, ...]:
    """The user's accounts whose jobs may run in the partition."""
    return tuple(account for account in site.own_accounts or () if site.may_use(partition, account))


def _requeue(request: Request, site: Site) -> Iterator[Added]:
    partition = site.partition(request.partition)
    if partition is None or not partition.requeues:
        return
    if not request.given & {"requeue", "no-requeue"}:
        yield Options({"requeue": None}), f"{partition.name} takes jobs back into the queue"
    if partition.signal and "signal" not in request.given and (request.minutes is None or request.minutes >= _WARNED):
        yield Options({"signal": partition.signal}), "so that the rule hears of it in time"


def _share(request: Request, site: Site, *, default_cores: bool) -> Iterator[Added]:
    model = model_of(request, site)
    gpu = site.share(model) if model else None
    if gpu is None or not request.gpus_of_node or not request.is_share_known:
        return
    partition, number = site.partition(request.partition), request.gpus_of_node
    shapes = [shape for shape in (partition.nodes if partition else ()) if shape.is_one_of(model)]
    if shapes and number > max(shape.gpus for shape in shapes):
        return  # no node is large enough, which is an error of its own
    many = f"the share of {number} {gpu.name} GPU{'s' if number > 1 else ''}"
    single = not request.given & {"ntasks", "ntasks-per-node", "cpus-per-gpu", "ntasks-per-gpu"}
    if default_cores and gpu.cores and single:
        yield Options({"cpus-per-task": str(_at_most(gpu.cores * number, [shape.cores for shape in shapes]))}), many
    if gpu.memory_mb and not request.given & {"mem", "mem-per-cpu", "mem-per-gpu"}:
        size_mb = _at_most(gpu.memory_mb * number, [shape.memory_mb for shape in shapes])
        yield Options({"mem": memory(size_mb)}), f"{many}, {memory_for_people(gpu.memory_mb)} each"


def _at_most(number: int, of_nodes: Sequence[int | None]) -> int:
    """The number, or what the smallest of the nodes has."""
    return min([number, *(most for most in of_nodes if most)])


def model_of(request: Request, site: Site) -> str:
    """The GPU model that a job gets; empty if that is not certain."""
    partition = site.partition(request.partition)
    if request.model and (partition is None or any(shape.gpu == request.model for shape in partition.nodes)):
        return request.model
    if partition is None:
        return request.model
    wanted = request.wanted_model
    models = {shape.gpu for shape in partition.nodes if shape.gpus and (not wanted or shape.is_one_of(wanted))}
    return models.pop() if len(models) == 1 else ""
