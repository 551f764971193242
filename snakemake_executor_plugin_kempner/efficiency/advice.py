"""Suggestions for a rule's next requests, where the jobs' use is clear. Pure."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..notation import memory, memory_for_people, time_for_people
from .groups import Group
from .jobs import JobUse

WASTED_MEMORY = 0.5
"""Below this used share, the memory request is too large; a request of twice the use is a sensible reserve."""
LEAST_MEMORY_MB = 2_000
"""Least saving that is suggested: smaller savings do not make jobs start sooner."""
MEMORY_HEADROOM = 1.25
"""Inputs differ, and Slurm samples memory only from time to time (JobAcctGatherFrequency, by default every 30 s)."""
SHORT_RUN = 0.25
"""Below this used share, a shorter time limit is suggested; run times vary more than memory."""
LEAST_LIMIT_S = 7_200
"""No shorter limit is suggested below this limit: backfill already finds gaps for such jobs."""
TIME_HEADROOM = 2
"""Another node, or a busy file system, may take twice as long; a job that reaches its limit loses its work."""
USED_CORES = 0.5
"""Below this used share, some cores were idle throughout."""
LEAST_ELAPSED_S = 60
"""In shorter jobs, the start of Snakemake inside the job, on a single core, takes too much of the time to judge."""
IDLE_GPU = 10
"""Percent below which a GPU was practically unused; a training that waits for its data uses more."""
LEAST_GPU_S = 300
"""In shorter jobs, reading data and compiling may take most of the time."""

_MEMORY_RESOURCES = {"mem": "mem_mb", "mem-per-cpu": "mem_mb_per_cpu"}


def advice(groups: Iterable[Group]) -> Iterator[str]:
    """Sentences with suggestions, grouped by rule."""
    for group in groups:
        for say in (_memory_met, _time_met, _memory, _time, _cores, _gpu):
            yield from say(group)


def _memory_met(group: Group) -> Iterator[str]:
    met = [job for job in group.jobs if job.state == "OUT_OF_MEMORY"]
    if met:
        asked = max((job.memory_mb or 0 for job in met), default=0)
        yield f"{group.name} needed more memory than {_had(asked, memory_for_people)} ({_jobs(met)} OUT_OF_MEMORY): raise mem_mb."


def _time_met(group: Group) -> Iterator[str]:
    met = [job for job in group.jobs if job.state == "TIMEOUT" and not job.segment]
    if met:
        asked = max((job.limit_s or 0 for job in met), default=0)
        yield f"{group.name} needed more time than {_had(asked, time_for_people)} ({_jobs(met)} TIMEOUT): raise runtime."


def _had(asked: int, written: Callable[[float], str]) -> str:
    return f"the {written(asked)} it had" if asked else "it had"


def _jobs(jobs: Sequence[JobUse]) -> str:
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}"


def _memory(group: Group) -> Iterator[str]:
    """Only if Slurm has measured every process of the successful jobs, and no job ran out of memory."""
    jobs = _done_without_gpu(group)
    if (
        not jobs
        or any(job.state == "OUT_OF_MEMORY" for job in group.jobs)
        or not all(job.is_peak_whole for job in jobs)
    ):
        return
    peaks = [(job.peak_memory_mb or 0, job.memory_mb or 0) for job in jobs]
    peak, asked = max(peak for peak, _ in peaks), max(asked for _, asked in peaks)
    enough = enough_memory(peak * MEMORY_HEADROOM)
    if all(peak < WASTED_MEMORY * asked for peak, asked in peaks) and asked - enough >= LEAST_MEMORY_MB:
        yield f"{group.name} asks for {memory_for_people(asked)} and used {memory_for_people(peak)} at most: {_remedy(jobs, enough)} would do."


def _remedy(jobs: Sequence[JobUse], size_mb: int) -> str:
    option = next((resource for resource in _MEMORY_RESOURCES if all(resource in job.given for job in jobs)), "")
    cores = min(job.asked_cores for job in jobs) if option == "mem-per-cpu" else 1
    return f"{_MEMORY_RESOURCES[option]}={math.ceil(size_mb / cores)}" if option else memory(size_mb)


def enough_memory(megabytes: float) -> int:
    """Rounded up to a convenient number; at least 500 MB, because Snakemake itself runs inside the job."""
    step = 500 if megabytes <= 4_000 else 1_000
    return max(500, step * math.ceil(megabytes / step))


def enough_minutes(minutes: float) -> int:
    """Rounded up to a multiple of ten."""
    return max(10, 10 * math.ceil(minutes / 10))


def _time(group: Group) -> Iterator[str]:
    jobs = _done(group)
    limits = [job.limit_s for job in jobs if job.limit_s]
    if not jobs or len(limits) < len(jobs) or any(job.state == "TIMEOUT" for job in group.jobs):
        return
    longest, limit = max(job.elapsed_s or 0.0 for job in jobs), max(limits)
    enough = enough_minutes(longest / 60 * TIME_HEADROOM)
    if longest < SHORT_RUN * min(limits) and min(limits) >= LEAST_LIMIT_S:
        whose = "asked for" if all("time" in job.given for job in jobs) else "that it may take"
        yield f"{group.name} ran {time_for_people(longest)} at most of {time_for_people(limit)} {whose}: runtime={enough} would do, and may start sooner."


def _cores(group: Group) -> Iterator[str]:
    jobs = _done_without_gpu(group)
    used = [((job.cpu_s or 0.0) / (job.elapsed_s or 1.0), job.asked_cores) for job in jobs]
    is_clear = all(job.cpu_s and (job.elapsed_s or 0) >= LEAST_ELAPSED_S and job.asked_cores > 1 for job in jobs)
    if jobs and is_clear and all(of_all < USED_CORES * cores for of_all, cores in used):
        most, cores = max(used)
        yield f"{group.name} used {_at_least_a_tenth(most)} of {cores} cores: fewer threads would do."


def _at_least_a_tenth(number: float) -> str:
    return f"{number:.1f}" if number >= 0.1 else "less than 0.1"


def _gpu(group: Group) -> Iterator[str]:
    jobs = _done(group)
    shares = [job.gpu_utilisation for job in jobs if job.gpu_utilisation is not None]
    is_clear = all(job.gpus and (job.elapsed_s or 0) >= LEAST_GPU_S for job in jobs)
    if jobs and is_clear and len(shares) == len(jobs) and max(shares) < IDLE_GPU:
        yield f"{group.name} used its GPU {max(shares):.0f}% of the time at most: does the work run on it?"


def _done(group: Group) -> list[JobUse]:
    """Successful jobs only: how much a failed job has used does not show what it needs."""
    return [job for job in group.jobs if job.has_succeeded]


def _done_without_gpu(group: Group) -> list[JobUse]:
    """No suggestions for GPU jobs: their share of cores and memory would stay idle, and they would not start sooner."""
    return [] if any(job.gpus for job in group.jobs) else _done(group)
