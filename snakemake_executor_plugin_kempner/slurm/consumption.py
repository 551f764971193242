"""Time, cores, memory and GPUs of ended jobs, from accounting: text of sacct → values. Pure.

Fields are as in sacct(1). A value that Slurm does not have is None: a zero for something that was not measured (Slurm
prints `energy=0` on sites that do not measure energy) would look like a measurement.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..notation import if_readable, megabytes, seconds, whole_number
from .ids import expand
from .states import JobState, job_state

CONSUMPTION_FORMAT = (
    "JobID,State,NodeList,ElapsedRaw,TimelimitRaw,AllocCPUS,NNodes,ReqMem,AllocTRES,TotalCPU,MaxRSS,TRESUsageInTot,"
    "TRESUsageInAve"
)
_FIELDS = tuple(CONSUMPTION_FORMAT.split(","))
_LASTING_STEPS = frozenset({"batch", "extern", "interactive"})
"""Steps that last as long as the job; all others are calls of srun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumption:
    """What a job has requested and used, in its last run."""

    job_id: str
    state: JobState
    word: str
    """The state as Slurm prints it, without the user who cancelled the job."""
    node: str = ""
    """Empty if the job never started."""
    nodes: int = 1
    elapsed_s: int | None = None
    limit_s: int | None = None
    """None for no limit or unknown."""
    cores: int | None = None
    """Allocated, on all nodes together."""
    cpu_s: float | None = None
    peak_memory_mb: int | None = None
    """On all nodes together: the steps that last as long as the job, plus the largest call of srun."""
    memory_mb: int | None = None
    """Requested, on all nodes together."""
    gpus: int | None = None
    gpu_utilisation: float | None = None
    """Percent, as measured by Slurm's GPU plugin; for a step with several GPUs, added up by that plugin."""
    sruns: int = 0
    """Calls of srun. It is unknown whether some ran at the same time."""


def parse_consumption(text: str) -> tuple[Consumption, ...]:
    """Parses `sacct --noheader --parsable2 --duplicates --format=CONSUMPTION_FORMAT`; a value for each array element.

    A job's line is followed by a line for each step. A requeued job has lines for every run; the last run counts.

    Raises:
        SlurmError: a list of array elements is cut off or malformed.
    """
    jobs: dict[str, list[Mapping[str, str]]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != len(_FIELDS) or not fields[0]:
            continue
        row = dict(zip(_FIELDS, fields, strict=True))
        job_id, _, step = row["JobID"].partition(".")
        if not step:
            jobs[job_id] = [row]
        elif job_id in jobs:
            jobs[job_id].append(row)
    return tuple(_consumptions(jobs.values()))


def _consumptions(jobs: Iterable[list[Mapping[str, str]]]) -> Iterator[Consumption]:
    for job, *steps in jobs:
        has_started = not job["NodeList"].startswith("None") and job["NodeList"] != ""
        allocated = _tres(job["AllocTRES"])
        allocated_mb = _size(allocated.get("mem", ""))
        cores, nodes = whole_number(job["AllocCPUS"]), whole_number(job["NNodes"]) or 1
        minutes = whole_number(job["TimelimitRaw"])
        for job_id in expand(job["JobID"]):
            yield Consumption(
                job_id=job_id,
                state=job_state(job["State"]),
                word=job["State"].partition(" ")[0].rstrip("+"),
                node=job["NodeList"] if has_started else "",
                nodes=nodes,
                elapsed_s=whole_number(job["ElapsedRaw"]) if has_started else None,
                limit_s=60 * minutes if minutes else None,
                cores=cores or None,
                cpu_s=_cpu(job, steps),
                peak_memory_mb=_peak(steps),
                memory_mb=requested_memory(job["ReqMem"], cores or 1, nodes) or round(allocated_mb) or None,
                gpus=whole_number(allocated.get("gres/gpu", "")),
                gpu_utilisation=max((found for step in steps if (found := _gpu(step)) is not None), default=None),
                sruns=sum(1 for step in steps if _step(step) not in _LASTING_STEPS),
            )


def _step(row: Mapping[str, str]) -> str:
    return row["JobID"].partition(".")[2]


def _cpu(job: Mapping[str, str], steps: Iterable[Mapping[str, str]]) -> float | None:
    """CPU seconds of all cores together.

    Slurm has two figures: TotalCPU, from the kernel, for processes that have been waited for (not the children of
    killed processes), and TRESUsageInTot, sampled from all processes. Both may be too low and neither is too high, so
    the larger is better.
    """
    seen = [_time(_tres(step["TRESUsageInTot"]).get("cpu", "")) for step in steps]
    return max(_time(job["TotalCPU"]), sum(seen)) or None


def _peak(steps: Iterable[Mapping[str, str]]) -> int | None:
    """MaxRSS is that of the largest task; TRESUsageInTot sums all tasks of a step."""
    lasting, beside = 0.0, 0.0
    for step in steps:
        peak = max(_size(step["MaxRSS"]), _size(_tres(step["TRESUsageInTot"]).get("mem", "")))
        if _step(step) in _LASTING_STEPS:
            lasting += peak
        else:
            beside = max(beside, peak)
    return round(lasting + beside) or None


def _gpu(step: Mapping[str, str]) -> float | None:
    """Slurm also prints 0 if nothing was measured; a 0 counts only if GPU memory was measured for the same step."""
    found = _tres(step["TRESUsageInAve"])
    percent, memory = found.get("gres/gpuutil", ""), _size(found.get("gres/gpumem", ""))
    value = float(percent) if re.fullmatch(r"\d+(\.\d+)?", percent) else None
    return value if value or memory else None


def _tres(text: str) -> dict[str, str]:
    """`cpu=2,mem=100M,gres/gpu=1` as a dictionary."""
    return {name: value for name, equals, value in (item.partition("=") for item in text.split(",")) if equals}


def requested_memory(text: str, cores: int, nodes: int) -> int | None:
    """ReqMem in MB on all nodes: `4000M`; before Slurm 21.08 `4000Mn` for each node, `4Gc` for each core."""
    each = {"n": nodes, "c": cores}.get(text[-1:], 1)
    return round(_size(text.rstrip("nc")) * each) or None


def _size(text: str) -> float:
    """MB; 0 if accounting has none."""
    return if_readable(lambda size: megabytes(size, unit=""), text) or 0.0


def _time(text: str) -> float:
    """Seconds; 0 if accounting has none."""
    return if_readable(seconds, text) or 0.0
