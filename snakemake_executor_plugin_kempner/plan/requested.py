"""What a workflow requests in all: hours of cores and GPUs if each task takes its whole time limit once. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..notation import time_for_people

_HOUR = 60
_NAMED = 5
"""How many rules a message lists by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRequest:
    """The request of a task's first attempt, with all of its segments, and what the task waits for."""

    rule: str
    minutes: int | None
    """Time limit; None if unknown."""
    cores: int = 1
    gpus: int = 0
    after: tuple[str, ...] = ()
    """Keys of the tasks whose end it waits for."""
    has_retries: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """Sums over tasks, each counted once with its whole time limit; retries are not counted."""

    core_hours: float = 0.0
    gpu_hours: Mapping[str, float] = field(default_factory=dict)
    """By rule, the largest first."""
    chain_minutes: int = 0
    """The longest chain of tasks that wait for each other, by their time limits, without waiting in the queue."""
    chain: tuple[str, ...] = ()
    """Rules of that chain; a rule several times in a row is named once."""
    unlimited: Mapping[str, int] = field(default_factory=dict)
    """Rules without a known time limit, which are not counted, and how many tasks of them there are."""
    unlimited_with_gpus: frozenset[str] = frozenset()
    has_retries: bool = False

    @property
    def all_gpu_hours(self) -> float:
        return sum(self.gpu_hours.values())

    def __str__(self) -> str:
        """`36 GPU hours and 410 core hours; the longest chain takes 1 d 12 h: split, train, merge`; empty if unknown."""
        if not self.chain_minutes:
            return ""
        hours = [f"{shown(self.all_gpu_hours)} GPU hours"] if self.gpu_hours else []
        text = f"{' and '.join([*hours, f'{shown(self.core_hours)} core hours'])}; the longest chain takes "
        text += f"{time_for_people(60 * self.chain_minutes)}: {_some(self.chain)}"
        left = ["retries"] if self.has_retries else []
        if self.unlimited:
            number = sum(self.unlimited.values())
            left.append(f"{number} {'task' if number == 1 else 'tasks'} without a time limit: {_some(self.unlimited)}")
        return f"{text} (not counted: {' and '.join(left)})" if left else text


def requested(tasks: Mapping[str, TaskRequest]) -> Requested:
    """Add up what tasks request.

    Args:
        tasks: by key, each after those it waits for. Keys that are not in it count as ended.
    """
    cores, gpus = 0.0, dict[str, float]()
    unlimited, unlimited_with_gpus = Counter[str](), set[str]()
    until: dict[str, int] = {}
    before: dict[str, str] = {}
    for key, task in tasks.items():
        if task.minutes is None:
            unlimited[task.rule] += 1
            if task.gpus:
                unlimited_with_gpus.add(task.rule)
        minutes = task.minutes or 0
        cores += minutes * task.cores / _HOUR
        if task.gpus:
            gpus[task.rule] = gpus.get(task.rule, 0.0) + minutes * task.gpus / _HOUR
        last = max((on for on in task.after if on in until), key=until.__getitem__, default="")
        until[key] = minutes + until.get(last, 0)
        before[key] = last
    end = max(until, key=until.__getitem__, default="")
    return Requested(
        core_hours=cores,
        gpu_hours=dict(sorted(gpus.items(), key=lambda item: -item[1])),
        chain_minutes=until.get(end, 0),
        chain=_rules(tasks, before, end),
        unlimited=unlimited,
        unlimited_with_gpus=frozenset(unlimited_with_gpus),
        has_retries=any(task.has_retries for task in tasks.values()),
    )


def _rules(tasks: Mapping[str, TaskRequest], before: Mapping[str, str], end: str) -> tuple[str, ...]:
    rules: list[str] = []
    while end:
        if rules[-1:] != [tasks[end].rule]:
            rules.append(tasks[end].rule)
        end = before[end]
    return tuple(reversed(rules))


def beyond(what: Requested, limit: float | None, earlier: float) -> Iterator[tuple[str, str]]:
    """Why the GPU hours are above a limit, or cannot be known; each reason with its remedy.

    Args:
        what: is to be submitted.
        limit: --kempner-max-gpu-hours; None for no limit.
        earlier: GPU hours of what the run has submitted before.
    """
    if limit is None:
        return
    flag = f"--kempner-max-gpu-hours is {shown(limit)}"
    if rules := sorted(what.unlimited_with_gpus):
        yield f"{flag}, and the GPU hours of {_some(rules)} are unknown without a time limit", "set runtime"
    if (total := what.all_gpu_hours + earlier) > limit:
        most = ", ".join(f"{rule} for {shown(hours)}" for rule, hours in [*what.gpu_hours.items()][:_NAMED])
        before = f", {shown(earlier)} of them by what the run has submitted before" if earlier else ""
        yield (
            f"{flag}, and the run asks for {shown(total)}{before}: {most}",
            "ask for less time, fewer GPUs or fewer tasks, or raise the limit",
        )


def _some(names: Iterable[str]) -> str:
    first = [*names]
    return ", ".join(first[:_NAMED]) + (f" and {len(first) - _NAMED} more" if len(first) > _NAMED else "")


def shown(hours: float) -> str:
    """`0.25`, `3.5`, `410`."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2f}".rstrip("0").rstrip(".")
