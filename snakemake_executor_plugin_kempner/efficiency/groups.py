"""Jobs grouped by rule and attempt, with their numbers as text. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import median

from ..notation import memory_for_people, time_for_people
from .jobs import JobUse


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Jobs of the same rule and attempt."""

    rule: str
    attempt: int
    jobs: tuple[JobUse, ...]
    has_others: bool = False
    """Jobs of other attempts of the rule have run as well."""

    @property
    def name(self) -> str:
        """`train`, or `train (attempt 2)`."""
        return f"{self.rule} (attempt {self.attempt})" if self.has_others else self.rule

    @property
    def ends(self) -> str:
        """`COMPLETED`, or `7 COMPLETED, 1 TIMEOUT`."""
        states = Counter(job.state for job in self.jobs)
        counted = [f"{number} {state}" for state, number in states.most_common()]
        return ", ".join(counted if len(states) > 1 else states)

    @property
    def time(self) -> str:
        """`20 min of 2 d`."""
        times = [job.elapsed_s for job in self.jobs if job.elapsed_s is not None]
        limits = span_of([job.limit_s for job in self.jobs], time_for_people)
        return of(time_for_people(median(times)) if times else "", limits)

    @property
    def cpu(self) -> str:
        """`7% of 16`: the used share of all core hours together."""
        pairs = [(job.cpu_s, job.core_seconds) for job in self.jobs]
        known = [(cpu, paid) for cpu, paid in pairs if cpu is not None and paid]
        share = sum(cpu for cpu, _ in known) / sum(paid for _, paid in known) if known else 0.0
        used = "<1%" if share < 0.01 else f"{share:.0%}"
        return of(used if known else "", span_of([job.cores for job in self.jobs], count))

    @property
    def memory(self) -> str:
        """`3.1 GB of 64 GB`."""
        peaks = [job.peak_memory_mb for job in self.jobs if job.peak_memory_mb is not None]
        return of(
            memory_for_people(max(peaks)) if peaks else "",
            span_of([job.memory_mb for job in self.jobs], memory_for_people),
        )

    @property
    def gpu(self) -> str:
        """`84% on 1`, or only the number if their use is unknown; empty without a GPU."""
        number = span_of([job.gpus or None for job in self.jobs], count)
        used = [job.gpu_utilisation for job in self.jobs if job.gpu_utilisation is not None]
        return f"{median(used):.0f}% on {number}" if used else number


def grouped(jobs: Iterable[JobUse]) -> tuple[Group, ...]:
    """Groups in the order in which the rules first appear, then by attempt."""
    rules: dict[str, dict[int, list[JobUse]]] = {}
    for job in over_segments(jobs):
        rules.setdefault(job.rule, {}).setdefault(job.attempt, []).append(job)
    return tuple(
        Group(rule=rule, attempt=attempt, jobs=tuple(attempts[attempt]), has_others=len(attempts) > 1)
        for rule, attempts in rules.items()
        for attempt in sorted(attempts)
    )


def over_segments(jobs: Iterable[JobUse]) -> Iterator[JobUse]:
    """Jobs as they are, and the segments of an attempt as a single job: their time added up, without a limit."""
    divided: dict[tuple[str, int] | int, list[JobUse]] = {}
    for place, job in enumerate(jobs):
        divided.setdefault((job.label, job.attempt) if job.segment else place, []).append(job)
    for segments in divided.values():
        if len(segments) == 1:
            yield segments[0]
            continue
        peaks = [job.peak_memory_mb for job in segments if job.peak_memory_mb is not None]
        yield replace(
            segments[-1],
            elapsed_s=_sum(job.elapsed_s for job in segments),
            cpu_s=_sum(job.cpu_s for job in segments),
            peak_memory_mb=max(peaks, default=None),
            limit_s=None,
        )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def of(used: str, requested: str) -> str:
    """`3.1 GB of 64 GB`: used of requested; `?` for an unknown use."""
    return f"{used or '?'} of {requested}" if requested else used or "?"


def span_of(values: Iterable[int | None], written: Callable[[float], str]) -> str:
    """The range of values: `64 GB`, `4 GB to 64 GB`; empty if all are unknown."""
    known = [value for value in values if value is not None]
    return " to ".join(dict.fromkeys((written(min(known)), written(max(known))))) if known else ""


def count(number: float) -> str:
    return f"{number:.0f}"
