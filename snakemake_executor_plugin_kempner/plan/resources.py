"""A task's resources → options of sbatch. One row per option; nothing is guessed.

Names in a row are tried from left to right: first that of snakemake-executor-plugin-slurm, then common alternatives.
Options: `man sbatch`. GPU requests use --gres, as the Kempner handbook does; --gpus may split over nodes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import Fault
from ..notation import if_readable, memory, minutes
from ..options import Options
from ..site.request import Request
from .slurm_extra import given_extra

Value = int | str
Resources = Mapping[str, Value]

STEP_MEMORY_MB = 500
"""Least memory of a job: Snakemake itself, which runs the rule inside the job, needs about 250 MB."""
LIGHT_MEMORY_MB = 50
"""Least memory of a light job, whose own program needs about 10 MB."""


class BadValueError(ValueError):
    """A resource has a value that its option cannot take; the message says what it takes."""


@dataclass(frozen=True, slots=True)
class Row:
    option: str
    names: tuple[str, ...]
    convert: Callable[[Value], str]


_WORD = re.compile(r"[^\s\x00-\x1f\x7f'\"\\]+")


def _word(value: Value) -> str:
    text = str(value).strip()
    if not _WORD.fullmatch(text):
        raise BadValueError("takes a name without spaces or quotes")
    return text


def _positive(value: Value) -> str:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise BadValueError("takes a whole number from 1")
    return str(number)


def _number(value: Value) -> str:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise BadValueError("takes a number of tasks from which on they become a job array, or 0 for never")
    return str(value)


def _switch(value: Value) -> str:
    if isinstance(value, bool) or str(value) not in ("0", "1"):
        raise BadValueError("takes 0 or 1")
    return str(value)


def _segments(value: Value) -> str:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_SEGMENTS:
        raise BadValueError(f"takes a number of jobs from 1 to {MOST_SEGMENTS}")
    return text


def _minutes(value: Value) -> str:
    # Snakemake turns `runtime="2h"` into minutes; a text in Slurm's own format (D-HH:MM:SS) passes as it is.
    if isinstance(value, str) and not value.strip().isdecimal() and if_readable(minutes, value) is not None:
        return value.strip()
    try:
        return _positive(value)
    except BadValueError:
        raise BadValueError("takes minutes, a text like '2h 30m' or Slurm's D-HH:MM:SS") from None


def _least_minutes(value: Value) -> str:
    try:
        return _minutes(value)
    except BadValueError:
        raise BadValueError("takes minutes, or Slurm's D-HH:MM:SS") from None


ROWS = (
    Row("partition", ("slurm_partition", "partition"), _word),
    Row("account", ("slurm_account", "account"), _word),
    Row("clusters", ("clusters", "cluster", "slurm_cluster"), _word),
    Row("qos", ("slurm_qos", "qos"), _word),
    Row("time", ("runtime", "time", "walltime"), _minutes),
    Row("time-min", ("runtime_min",), _least_minutes),
    Row("constraint", ("constraint",), _word),
    Row("reservation", ("reservation", "slurm_reservation"), _word),
    Row("signal", ("slurm_signal",), _word),
    Row("nodelist", ("nodelist",), _word),
    Row("exclude", ("exclude",), _word),
    Row("nodes", ("nodes",), _positive),
    Row("ntasks", ("tasks", "ntasks"), _positive),
    Row("ntasks-per-node", ("tasks_per_node", "ntasks_per_node"), _positive),
    Row("ntasks-per-gpu", ("tasks_per_gpu", "ntasks_per_gpu"), _positive),
    Row("cpus-per-gpu", ("cpus_per_gpu",), _positive),
)
GPU_NAMES = ("gpu", "gpus", "nvidia_gpu")
GRES_NAMES = ("gres", "slurm_gres")
MODEL_NAMES = ("gpu_model", "gpu_type")
PER_CPU_NAMES = ("mem_mb_per_cpu", "mem_per_cpu")

PLACEMENT = ("partition", "account", "clusters", "qos", "constraint", "reservation", "gres")
"""Options that say where a job may run; a gate takes them over from a task."""

ARRAY = "slurm_array"
"""Smallest number of a rule's tasks that becomes a job array; 0 for never."""

LIGHT = "slurm_light"
"""0: the rule's jobs run Snakemake, though they could be light jobs."""

SEGMENTS = "slurm_segments"
"""Up to how many jobs, one after the other, an attempt of the rule may take (`plan/segments.py`)."""
MOST_SEGMENTS = 100
"""Each segment names all before it in its dependency."""

CLUSTER_NAMES = frozenset({*next(row.names for row in ROWS if row.option == "clusters"), "slurm_extra"})
"""Resources that may name the cluster of a run."""

RELEVANT = frozenset({
    *(name for row in ROWS for name in row.names), *GPU_NAMES, *GRES_NAMES, *MODEL_NAMES, *PER_CPU_NAMES,
    "mem_mb", "mem", "mem_mib", "cpus_per_task", "slurm_extra", "requeue", ARRAY, LIGHT, SEGMENTS,
})  # fmt: skip
"""Resources that become sbatch options. Others are the workflow's own (`load`, `io`, a licence) and are ignored."""


def first_given(resources: Resources, names: tuple[str, ...]) -> tuple[str, Value] | None:
    """The first of the names that has a value; empty texts and None count as not given."""
    for name in names:
        value = resources.get(name)
        if value is not None and value != "":
            return name, value
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOptions:
    """What a task's resources become."""

    sbatch: Options
    faults: tuple[Fault, ...] = ()
    array_from: int | None = None
    """Smallest number of the rule's tasks that becomes a job array; None if the rule does not set it."""
    raised_memory: int | None = None
    """MB that the rule requested, if less than the job's own Snakemake needs."""
    default_cores: bool = False
    """True when `threads` is Snakemake's default of 1, so the user did not choose it."""
    why: tuple[str, ...] = ()
    """Options that were added for the site, each with the reason."""
    request: Request = field(default_factory=Request)
    """What they ask for."""


def sbatch_options(
    where: str, resources: Resources, threads: int, least_memory_mb: int = STEP_MEMORY_MB
) -> TaskOptions:
    """The sbatch options for an attempt of the task that `where` names.

    Args:
        where: label of the task, for faults.
        resources: evaluated resources; memory in MB, time in minutes.
        threads: CPUs of the task.
        least_memory_mb: what its job needs beside the command.
    """
    faults: list[Fault] = []

    def take(name: str, convert: Callable[[Value], str], value: Value) -> str | None:
        try:
            return convert(value)
        except BadValueError as error:
            faults.append(Fault(where=where, what=f"resource {name}={value!r} {error}"))
            return None

    values: dict[str, str | None] = {
        row.option: text
        for row in ROWS
        if (given := first_given(resources, row.names)) and (text := take(given[0], row.convert, given[1]))
    }
    if gres := _gres(resources, take, where, faults):
        values["gres"] = gres
    cpus = first_given(resources, ("cpus_per_task",)) or ("threads", max(threads, 1))
    cpu_text = take(cpus[0], _positive, cpus[1])
    if cpu_text and "cpus-per-gpu" not in values:
        values["cpus-per-task"] = cpu_text
    of_memory, raised = _memory(resources, int(cpu_text or 1), take, least_memory_mb)
    values |= of_memory
    if resources.get("requeue"):
        values["requeue"] = None
    extra = given_extra(resources.get("slurm_extra"), where, faults)
    for name, convert in ((LIGHT, _switch), (SEGMENTS, _segments)):
        if name in resources:
            take(name, convert, resources[name])
    array = take(ARRAY, _number, resources[ARRAY]) if ARRAY in resources else None
    return TaskOptions(
        sbatch=Options(values) | extra,
        faults=tuple(faults),
        array_from=int(array) if array else None,
        raised_memory=raised,
        default_cores=cpus == ("threads", 1) and "cpus-per-task" not in extra,
    )


def segments_of(resources: Resources) -> int:
    """Up to how many jobs an attempt may take; 1 for a value that is a fault."""
    try:
        return int(_segments(resources.get(SEGMENTS, 1)))
    except BadValueError:
        return 1


Take = Callable[[str, Callable[[Value], str], Value], str | None]


_GPUS = re.compile(r"(?:gres[/:])?gpu(?::([^:]+(?=:\d)|[A-Za-z][\w.-]*))?(?::(\d+))?")
"""GPUs in the value of --gres: type, number (man sbatch)."""


def _gres(resources: Resources, take: Take, where: str, faults: list[Fault]) -> str:
    gres, gpus = first_given(resources, GRES_NAMES), first_given(resources, GPU_NAMES)
    model = first_given(resources, MODEL_NAMES)
    devices = ((take(gres[0], _word, gres[1]) if gres else None) or "").split(",")
    kind = (take(model[0], _word, model[1]) if model else None) or ""
    asked = (take(gpus[0], _gpu_count, gpus[1]) if gpus and gpus[1] != 0 else None) or ""
    own_kind, _, number = asked.rpartition(":")
    place, named = next(
        ((at, found) for at, device in enumerate(devices) if (found := _GPUS.fullmatch(device))), (0, None)
    )
    if gres and gpus and named and number and number != (named[2] or "1"):
        what = f"both {gres[0]}={gres[1]!r} and {gpus[0]}={gpus[1]!r} ask for GPUs"
        faults.append(Fault(where=where, what=what, remedy="let them agree, or keep one of them"))
    elif named:
        kind, number = named[1] or own_kind or kind, named[2] or "1"
        devices[place] = f"gpu:{kind}:{number}" if kind != (named[1] or "") else named[0]
    elif number or (kind and not gpus):  # a model alone means one GPU, as for snakemake-executor-plugin-slurm
        devices.append(":".join(filter(None, ("gpu", own_kind or kind, number or "1"))))
    return ",".join(filter(None, devices))


def _gpu_count(value: Value) -> str:
    if isinstance(value, str) and re.fullmatch(r"[\w.-]+:\d+", value):
        return value
    try:
        return _positive(value)
    except BadValueError:
        raise BadValueError("takes a number of GPUs, or model:number") from None


def _memory(resources: Resources, cpus: int, take: Take, least: int) -> tuple[dict[str, str], int | None]:
    per_cpu = first_given(resources, PER_CPU_NAMES)
    total = first_given(resources, ("mem_mb", "mem"))
    if per_cpu:
        text = take(per_cpu[0], _positive, per_cpu[1])
        if not text:
            return {}, None
        asked = int(text) * cpus
        needed = -(-least // cpus)
        return {"mem-per-cpu": memory(max(int(text), needed))}, asked if asked < least else None
    if total and total[1] != 0:
        text = take(total[0], _megabytes, total[1])
        if not text:
            return {}, None
        asked = int(text)
        return {"mem": memory(max(asked, least))}, asked if asked < least else None
    return {"mem": "0"} if total else {}, None


def _megabytes(value: Value) -> str:
    try:
        return _positive(value)
    except BadValueError:
        raise BadValueError("takes MB, or a text like '16 GB'") from None
