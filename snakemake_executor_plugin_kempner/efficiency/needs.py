"""What the tasks of a rule need, by all jobs of the rule so far: an amount, by the values of a wildcard if that is clear. Pure."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .advice import LEAST_ELAPSED_S, MEMORY_HEADROOM, TIME_HEADROOM, enough_memory, enough_minutes
from .jobs import JobUse

LEAST_HISTORY = 3
"""Successful jobs of a rule that it takes for a suggestion, and, by a wildcard, of each of its values."""
CORE_HEADROOM = 1.25
_CLEAR = 2
"""A wildcard decides clearly if the least use of its largest value is this many times the largest use of its smallest."""
_MOST_VALUES = 12
_WHOLE_JOB = frozenset({"ntasks", "nodes", "ntasks-per-node", "cpus-per-gpu"})
"""Options with which `threads` alone does not say how many cores a job has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A resource: what a job asked for, what it used, and how much of it is enough for that."""

    asked: Callable[[JobUse], float | None]
    used: Callable[[JobUse], float | None]
    """By a successful job; None if that is not known well enough."""
    met: Callable[[JobUse], bool]
    """The job has failed because it had too little: it needs more than it asked for."""
    enough: Callable[[float], int]
    """For a use that large, with the margin."""
    lowers_gpu_jobs: bool = False
    """Also suggested to jobs with GPUs, whose share of a node would stay idle otherwise."""


def _cores_used(job: JobUse) -> float | None:
    is_clear = job.cpu_s and job.elapsed_s and job.elapsed_s >= LEAST_ELAPSED_S and not job.given & _WHOLE_JOB
    return job.cpu_s / job.elapsed_s if is_clear and job.cpu_s and job.elapsed_s else None


def _ran_out_of_memory(job: JobUse) -> bool:
    """Where Slurm only polls, a job that it has killed for memory is FAILED."""
    is_at_limit = bool(job.memory_mb and job.peak_memory_mb and job.peak_memory_mb >= job.memory_mb)
    return job.state == "OUT_OF_MEMORY" or (job.state == "FAILED" and is_at_limit)


MEMORY = Measure(
    asked=lambda job: job.memory_mb,
    used=lambda job: job.peak_memory_mb if job.is_peak_whole else None,
    met=_ran_out_of_memory,
    enough=lambda peak: enough_memory(peak * MEMORY_HEADROOM),
)
TIME = Measure(
    asked=lambda job: job.limit_s and job.limit_s / 60,
    used=lambda job: job.elapsed_s and job.elapsed_s / 60,
    met=lambda job: job.state == "TIMEOUT" and not job.segment,
    enough=lambda longest: enough_minutes(longest * TIME_HEADROOM),
    lowers_gpu_jobs=True,
)
CORES = Measure(
    asked=lambda job: job.asked_cores,
    used=_cores_used,
    met=lambda _job: False,
    enough=lambda most: max(1, math.ceil(most * CORE_HEADROOM)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """How much of a resource the tasks of a rule need."""

    amount: int
    """Of the task that needs most."""
    wildcard: str = ""
    by_value: Mapping[str, int] = field(default_factory=dict)
    """Of the values of the wildcard that need less."""
    asked: tuple[float, float]
    """The least and the most that jobs asked for."""
    most: float
    """Used by a successful job."""
    jobs: int
    """Successful."""
    met: int = 0
    """Jobs that have failed because they had too little."""
    too_little: float = 0.0
    """The most that such a job had."""

    def of(self, job: JobUse) -> int:
        return self.by_value.get(wildcards_of(job.label).get(self.wildcard, ""), self.amount)

    @property
    def is_bound(self) -> bool:
        """A job has failed with more than any successful job used, so the need is known as a lower bound only."""
        return self.too_little > self.most


def need(jobs: Sequence[JobUse], measure: Measure) -> Need | None:
    """What the jobs of a rule show; None if that is too little, or they ask for what they need."""
    done = [job for job in jobs if job.has_succeeded]
    used = {job.job_id: found for job in done if (found := measure.used(job)) is not None}
    if len(used) < max(LEAST_HISTORY, len(done)):  # what is not known of a job may be the largest
        return None
    judged = [job for job in jobs if measure.asked(job) and (job.job_id in used or measure.met(job))]
    if not judged:
        return None
    answers = [_need(judged, used, measure, name) for name in ("", *_wildcards(judged))]
    best = min((answer for answer in answers if answer), key=lambda answer: _cost(judged, measure, answer))
    return best if _is_worth_it(judged, measure, best) else None


def _need(jobs: Sequence[JobUse], used: Mapping[str, float], measure: Measure, wildcard: str) -> Need | None:
    """The need by a wildcard, None if it does not decide clearly; without one, by the job that needs most."""
    values: dict[str, list[JobUse]] = {}
    for job in jobs:
        values.setdefault(wildcards_of(job.label).get(wildcard, ""), []).append(job)
    bounds = {value: [_bound(job, used, measure) for job in of_value] for value, of_value in values.items()}
    amounts = {value: measure.enough(max(of_value)) for value, of_value in bounds.items()}
    amount = max(amounts.values())
    if wildcard and not _is_clear(values, bounds, amounts, used):
        return None
    asked = [measure.asked(job) or 0.0 for job in jobs]
    return Need(
        amount=amount,
        wildcard=wildcard,
        by_value={value: of_value for value, of_value in amounts.items() if of_value < amount} if wildcard else {},
        asked=(min(asked), max(asked)),
        most=max(used.values()),
        jobs=len(used),
        met=sum(map(measure.met, jobs)),
        too_little=max((measure.asked(job) or 0.0 for job in jobs if measure.met(job)), default=0.0),
    )


def _bound(job: JobUse, used: Mapping[str, float], measure: Measure) -> float:
    """What a job has used, or, if that was too little, what it was given."""
    return used.get(job.job_id) or measure.asked(job) or 0.0


def _is_clear(
    values: Mapping[str, Sequence[JobUse]],
    bounds: Mapping[str, Sequence[float]],
    amounts: Mapping[str, int],
    used: Mapping[str, float],
) -> bool:
    is_known = all(sum(job.job_id in used for job in of_value) >= LEAST_HISTORY for of_value in values.values())
    if not (is_known and 1 < len(values) <= _MOST_VALUES and len(set(amounts.values())) > 1):
        return False
    least, most = min(bounds, key=lambda value: max(bounds[value])), max(bounds, key=lambda value: max(bounds[value]))
    return min(bounds[most]) >= _CLEAR * max(bounds[least])


def _cost(jobs: Iterable[JobUse], measure: Measure, found: Need) -> float:
    """Of all jobs, with a preference for the simpler answer if both cost the same."""
    return sum(found.of(job) for job in jobs if not measure.met(job)) + bool(found.wildcard)


def _is_worth_it(jobs: Sequence[JobUse], measure: Measure, found: Need) -> bool:
    """More where jobs have failed for lack of it, and less where it lowers the sum of all requests."""
    if any(measure.met(job) and (measure.asked(job) or 0) < found.of(job) for job in jobs):
        return True
    if not measure.lowers_gpu_jobs and any(job.gpus for job in jobs):
        return False
    return sum((measure.asked(job) or 0) - found.of(job) for job in jobs) > 0


# --- wildcards ------------------------------------------------------------------------------------------------------

_NAMED = re.compile(r"(?:^|,)([A-Za-z_]\w*)=")


def wildcards_of(label: str) -> dict[str, str]:
    """`train[lr=0.1,seed=3]` → lr, seed; empty if values are not shown as they are."""
    inside = label.partition("[")[2].removesuffix("]")
    if not inside or "\\" in inside:
        return {}
    _, *parts = _NAMED.split(inside)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _wildcards(jobs: Iterable[JobUse]) -> Iterator[str]:
    """Names of the wildcards that all jobs have; none if they differ, as where a value looks like a name."""
    names = {tuple(wildcards_of(job.label)) for job in jobs}
    if len(names) == 1:
        yield from names.pop()
