"""What a job asks for: the options of sbatch, read again. Whatever has set them, resources or `slurm_extra`, they count."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .model import megabytes, minutes

_SHORT = {
    "A": "account", "C": "constraint", "G": "gpus", "N": "nodes", "c": "cpus-per-task", "n": "ntasks", "p": "partition",
    "q": "qos", "t": "time", "w": "nodelist", "M": "clusters",
}  # fmt: skip
_LONG = {
    *_SHORT.values(), "gres", "gpus-per-node", "gpus-per-task", "cpus-per-gpu", "mem", "mem-per-cpu", "mem-per-gpu",
    "ntasks-per-node", "ntasks-per-gpu", "signal", "reservation",
}  # fmt: skip
"""Options with a value that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one job asks for; None or empty where it says nothing."""

    clusters: str = ""
    partition: str = ""
    account: str = ""
    minutes: int | None = None
    constraint: str = ""
    nodes: int = 1
    cores_of_node: int = 1
    memory_of_node: int | None = None
    """MB; None where nothing is asked for, or all that the node has."""
    gpus_of_node: int = 0
    gpus: int = 0
    """On all nodes together."""
    model: str = ""
    gres: str = ""
    given: frozenset[str] = frozenset()
    """Options that are given, by their long names."""

    @property
    def wanted_model(self) -> str:
        """The GPU model by its type, or a constraint that is a single word."""
        return self.model or (self.constraint if re.fullmatch(r"[\w.-]+", self.constraint) else "")


def request_of(arguments: Sequence[str], chosen: Mapping[str, str]) -> Request:
    """Read options of sbatch; what cannot be read is left to sbatch itself.

    Args:
        arguments: options of a job.
        chosen: options from the environment, which a job's own go before.
    """
    given = dict(_options(arguments))
    both = {**chosen, **given}
    nodes = _number(both.get("nodes", "1").partition("-")[0])
    tasks_of_node = _number(both["ntasks-per-node"]) if "ntasks-per-node" in both else 0
    tasks = _number(both["ntasks"]) if "ntasks" in both else max(tasks_of_node, 1) * nodes
    if "nodes" not in both and tasks_of_node:
        nodes = -(-tasks // tasks_of_node)
    # A node may have any share of the tasks where nobody says how many: at least its part.
    tasks_of_node = tasks_of_node or (-(-tasks // nodes) if "nodes" in both else 1)
    model, of_node, total = _gpus(both, nodes, tasks)
    cores = _number(both.get("cpus-per-task", "1")) * tasks_of_node
    if "cpus-per-gpu" in both:
        cores = _number(both["cpus-per-gpu"]) * of_node
    return Request(
        clusters=both.get("clusters", ""),
        partition=both.get("partition", ""),
        account=both.get("account", ""),
        minutes=_or_none(minutes, both.get("time", "")),
        constraint=both.get("constraint", ""),
        nodes=nodes,
        cores_of_node=cores,
        memory_of_node=_memory(both, cores, of_node),
        gpus_of_node=of_node,
        gpus=total,
        model=model,
        gres=both.get("gres", ""),
        given=frozenset((*both, *(one.strip("-") for one in arguments if one in ("--requeue", "--no-requeue")))),
    )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name in _LONG:
                yield name, value if equals else next(words, "")
        elif len(word) > 1 and word[0] == "-" and word[1] in _SHORT:
            yield _SHORT[word[1]], word[2:].removeprefix("=") or next(words, "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and int(text) else 1


def _or_none(read: Callable[[str], int | None], text: str) -> int | None:
    try:
        return read(text)
    except ValueError:
        return None


def _gpus(options: Mapping[str, str], nodes: int, tasks: int) -> tuple[str, int, int]:
    """Model, number on a node, number altogether."""
    model, of_node, total = "", 0, 0
    for one in options.get("gres", "").split(","):
        if found := re.fullmatch(r"(?:gres[/:])?gpu(?::([A-Za-z][\w.-]*))?(?:[:=](\d+))?", one.strip()):
            model, of_node = found[1] or model, of_node + int(found[2] or 1)
            total = of_node * nodes
    for name, times in (("gpus-per-node", nodes), ("gpus", 1), ("gpus-per-task", tasks)):
        found = re.fullmatch(r"(?:([A-Za-z][\w.-]*)[:=])?(\d+)", options.get(name, ""))
        if found and not total:
            model, total = found[1] or "", int(found[2]) * times
            of_node = -(-total // nodes)
    return model, of_node, total


def _memory(options: Mapping[str, str], cores: int, gpus: int) -> int | None:
    for name, times in (("mem", 1), ("mem-per-cpu", cores), ("mem-per-gpu", gpus)):
        if name in options:
            return (_or_none(megabytes, options[name]) or 0) * times or None
    return None
