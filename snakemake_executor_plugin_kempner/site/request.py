"""What a job requests, as a value read from its sbatch options, whether resources or `slurm_extra` have set them."""

import re
from dataclasses import dataclass
from functools import cache

from ..notation import if_readable, megabytes, minutes
from ..options import Options


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a job requests; None or empty for what it does not set."""

    partition: str = ""
    account: str = ""
    minutes: int | None = None
    constraint: str = ""
    nodes: int = 1
    cores_of_node: int = 1
    memory_of_node: int | None = None
    """MB; None if not requested, or if all memory of the node is."""
    gpus_of_node: int = 0
    is_share_known: bool = True
    """`gpus_of_node` is exact for every node, not a lower bound."""
    gpus: int = 0
    """On all nodes together."""
    model: str = ""
    gres: str = ""
    given: frozenset[str] = frozenset()
    """Long names of the options that are set."""

    @property
    def wanted_model(self) -> str:
        """The requested GPU model: the type in --gres, or a constraint that is a single word."""
        return self.model or (self.constraint if re.fullmatch(r"[\w.-]+", self.constraint) else "")


@cache
def request_of(options: Options) -> Request:
    """What a job with these options of sbatch requests; values that cannot be read are left to sbatch itself.

    Per-node values are lower bounds: without `--nodes`, Slurm chooses the node count.
    """
    least, _, most = options.get("nodes", "1").partition("-")
    nodes, most_nodes = _number(least), _number(most or least) if "nodes" in options else None
    of_node = _number(options.get("ntasks-per-node")) if "ntasks-per-node" in options else None
    tasks = _number(options.get("ntasks")) if "ntasks" in options else (of_node or 1) * nodes
    if "nodes" not in options and of_node:
        nodes = -(-tasks // of_node)
    tasks_of_node = -(-tasks // most_nodes) if most_nodes else 1 if "ntasks" in options else of_node or 1
    gpus = _gpus(options, nodes, tasks, tasks_of_node, most_nodes)
    cores = _number(options.get("cpus-per-task", "1")) * tasks_of_node
    if "cpus-per-gpu" in options:
        cores = _number(options.get("cpus-per-gpu")) * gpus.of_node
    return Request(
        partition=options.get("partition"),
        account=options.get("account"),
        minutes=if_readable(minutes, options.get("time")),
        constraint=options.get("constraint"),
        nodes=nodes,
        cores_of_node=cores,
        memory_of_node=_memory(options, cores, gpus.of_node),
        gpus_of_node=gpus.of_node,
        is_share_known=gpus.is_exact,
        gpus=gpus.total,
        model=gpus.model,
        gres=options.get("gres"),
        given=frozenset(options),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and int(text) else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gpus:
    model: str = ""
    of_node: int = 0
    total: int = 0
    is_exact: bool = True


def _gpus(options: Options, nodes: int, tasks: int, tasks_of_node: int, most_nodes: int | None) -> _Gpus:
    model, number = _devices(options.get("gres"), "gpu")
    if not number:
        model, number = _devices(options.get("gpus-per-node"))
    if number:
        return _Gpus(model=model, of_node=number, total=number * nodes)
    model, number = _devices(options.get("gpus"))
    if number:
        of_node = -(-number // most_nodes) if most_nodes else 1
        return _Gpus(model=model, of_node=of_node, total=number, is_exact=number == 1 or most_nodes == nodes)
    model, number = _devices(options.get("gpus-per-task"))
    if not number:
        model, number = _devices(options.get("tres-per-task"), "gpu")
    is_exact = tasks == 1 or not number or most_nodes == nodes
    return _Gpus(model=model, of_node=number * tasks_of_node, total=number * tasks, is_exact=is_exact)


def _devices(text: str, name: str = "") -> tuple[str, int]:
    """Model and number of GPUs in `gpu:a100:2,lscratch:10` or, without a name, `a100:2`; no model if several."""
    models, total = [], 0
    for device in text.split(","):
        what = device.strip().removeprefix("gres/").removeprefix("gres:").replace("=", ":")
        if name and what != name and not what.startswith(f"{name}:"):
            continue
        *model, number = [part for part in what.split(":") if part and part != name] or [""]
        if not number.isdecimal():
            model, number = [number], "1" if number or name else "0"
        models.append(model[0] if model else "")
        total += int(number)
    return (models[0] if len(set(models)) == 1 else ""), total


def _memory(options: Options, cores: int, gpus: int) -> int | None:
    for name, times in (("mem", 1), ("mem-per-cpu", cores), ("mem-per-gpu", gpus)):
        if name in options:
            return round(if_readable(megabytes, options.get(name)) or 0) * times or None
    return None
