"""Requests for the next runs, from what all jobs so far have used: `set-threads:` and `set-resources:` of a profile."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..notation import memory_for_people, time_for_people
from ..plan.model import Kind
from ..printable import printable
from ..run.ledger_record import Entry
from ..site.request import Request, request_of
from .advice import MEMORY_HEADROOM, TIME_HEADROOM
from .groups import over_segments
from .jobs import JobUse
from .needs import CORE_HEADROOM, CORES, LEAST_HISTORY, MEMORY, TIME, Measure, Need, need

_HOUR = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """All jobs of a folder, and what their runs have recorded of the tasks."""

    jobs: Sequence[JobUse]
    runs: int
    groups: frozenset[str] = frozenset()
    """Names of groups of jobs, which are no rules."""
    more_memory: frozenset[str] = frozenset()
    """Rules whose further attempts ask for more memory."""
    more_time: frozenset[str] = frozenset()


def history(jobs: Sequence[JobUse], entries: Iterable[Entry], runs: int) -> History:
    """Put together what is known.

    Args:
        jobs: that have ended.
        entries: of the ledgers.
        runs: number of the runs.
    """
    tasks = [entry for entry in entries if entry.kind == Kind.TASK.value]
    return History(
        jobs=tuple(over_segments(jobs)),
        runs=runs,
        groups=frozenset(_rule(entry) for entry in tasks if entry.members),
        more_memory=_growing(tasks, lambda request: request.memory_of_node),
        more_time=_growing(tasks, lambda request: request.minutes),
    )


def _growing(entries: Iterable[Entry], asked: Callable[[Request], int | None]) -> frozenset[str]:
    """Rules with a task whose later attempts ask for more."""
    seen: dict[str, int] = {}
    found: set[str] = set()
    for entry in sorted(entries, key=lambda entry: (entry.folder, entry.turn.attempt)):
        amount = asked(request_of(entry.options)) or 0
        if amount > seen.setdefault(f"{entry.folder} {entry.task}", amount):
            found.add(_rule(entry))
    return frozenset(found)


def _rule(entry: Entry) -> str:
    return entry.label.partition("[")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    """What is suggested for a rule."""

    name: str
    jobs: Sequence[JobUse]
    memory: Need | None
    time: Need | None
    cores: Need | None


def suggestion(known: History) -> str:
    """The block for a profile, with its reasons as comments."""
    rules: dict[str, list[JobUse]] = {}
    for job in known.jobs:
        rules.setdefault(job.rule, []).append(job)
    found = [
        _Rule(name=name, jobs=jobs, memory=need(jobs, MEMORY), time=need(jobs, TIME), cores=need(jobs, CORES))
        for name, jobs in rules.items()
        if name not in known.groups
    ]
    threads = [f"  {_key(rule.name)}: {_threads(rule.cores)}" for rule in found if rule.cores]
    resources = [line for rule in found for line in _resources(rule, known)]
    lines = [*_head(known), *_saved(found)]
    lines += ["", "set-threads:", *threads] if threads else []
    lines += ["", "set-resources:", *resources] if resources else []
    if left := [
        *_nothing_for(found),
        *(f"{group}: a group of jobs; give its rules what they need" for group in known.groups),
    ]:
        lines += ["", "# Nothing for:", *(f"#   {printable(line)}" for line in left)]
    return "\n".join(lines) + "\n"


def _head(known: History) -> Iterator[str]:
    yield f"# From {_of(len(known.jobs), 'job')} of {_of(known.runs, 'run')}. Lines for a profile; what is here replaces what the rules say."
    yield (
        f"# Margins: {MEMORY_HEADROOM} times the largest peak of memory, {TIME_HEADROOM} times the longest run, {CORE_HEADROOM} times the most CPUs "
        f"in use. A rule needs {LEAST_HISTORY} successful jobs."
    )
    yield "# An attempt that failed for lack of memory or time counts as a lower bound: it needs more than it had."


def _resources(rule: _Rule, known: History) -> Iterator[str]:
    lines = []
    if rule.memory and (named := _memory(rule)):
        resource, share = named
        value = _value(rule.memory, share, grows=rule.name in known.more_memory)
        lines.append(f"    {resource}: {value}  # {_why(rule.memory, memory_for_people, 'OUT_OF_MEMORY')}")
    if rule.time:
        value = _value(rule.time, grows=rule.name in known.more_time)
        lines.append(f"    runtime: {value}  # {_why(rule.time, _minutes_for_people, 'TIMEOUT')}")
    if lines:
        yield f"  {_key(rule.name)}:"
        yield from lines


def _memory(rule: _Rule) -> tuple[str, int] | None:
    """The resource that sets a rule's memory, and by how many cores it is divided; None where no resource does."""
    if all("mem-per-cpu" in job.given for job in rule.jobs):
        return "mem_mb_per_cpu", rule.cores.amount if rule.cores else min(job.asked_cores for job in rule.jobs)
    if any(job.given & {"mem-per-cpu", "mem-per-gpu"} for job in rule.jobs):
        return None
    return "mem_mb", 1


def _value(found: Need, share: int = 1, *, grows: bool = False) -> str:
    """A number, or an expression of Snakemake in quotes: `"{'small': 500}.get(wildcards.size, 4000) * attempt"`."""
    text = str(math.ceil(found.amount / share))
    if found.by_value:
        values = {value: math.ceil(amount / share) for value, amount in sorted(found.by_value.items())}
        text = f"{values}.get(wildcards.{found.wildcard}, {text})"
    if grows:
        text += " * attempt"
    return text if text.isdecimal() else json.dumps(text, ensure_ascii=False)  # a text of JSON is one of YAML


def _threads(found: Need) -> str:
    return f"{_value(found)}  # {_why(found, lambda cores: f'{max(cores, 0.1):.1f}'.removesuffix('.0'), '')}"


def _why(found: Need, written: Callable[[float], str], state: str) -> str:
    least, most = (written(amount) for amount in found.asked)
    asked = most if least == most else f"{least} to {most}"
    text = f"asked for {asked}, used {written(found.most)} at most ({_of(found.jobs, 'job')})"
    if found.met:
        text += f"; {found.met} {state}" + (", so it is a lower bound" if found.is_bound else "")
    return text + (f"; by {found.wildcard}" if found.by_value else "")


def _minutes_for_people(minutes: float) -> str:
    return time_for_people(60 * minutes)


def _nothing_for(rules: Iterable[_Rule]) -> Iterator[str]:
    for rule in rules:
        done = sum(job.has_succeeded for job in rule.jobs)
        if done < LEAST_HISTORY:
            yield f"{rule.name}: {_of(done, 'successful job')}, it takes {LEAST_HISTORY}"
        elif not (rule.memory or rule.time or rule.cores):
            yield f"{rule.name}: asks for what it needs, or what it used is not known well enough"


# --- what it would have saved ---------------------------------------------------------------------------------------


def _saved(rules: Iterable[_Rule]) -> Iterator[str]:
    cores, memory, gpus, spared = 0.0, 0.0, 0.0, 0
    for rule in rules:
        for job in rule.jobs:
            hours = (job.elapsed_s or 0.0) / _HOUR
            if _is_spared(job, rule.memory, MEMORY) or _is_spared(job, rule.time, TIME):
                spared += 1
                cores += hours * (job.cores or job.asked_cores)
                memory += hours * (job.memory_mb or 0) / 1024
                gpus += hours * job.gpus
                continue
            if rule.cores:
                cores += hours * (job.asked_cores - rule.cores.of(job))
            if rule.memory and job.memory_mb:
                memory += hours * (job.memory_mb - rule.memory.of(job)) / 1024
    hours_saved: Mapping[str, float] = {"core hours": cores, "GPU hours": gpus, "GB hours of memory": memory}
    parts = [
        f"{abs(hours):.2f} {what} {'less' if hours > 0 else 'more'}"
        for what, hours in hours_saved.items()
        if abs(hours) >= 0.005
    ]
    if parts or spared:
        without = f", and without {_of(spared, 'failed attempt')}" if spared else ""
        yield f"# With these requests the same jobs would have held {', '.join(parts) or 'as much'}{without}."
    yield "# Smaller requests may start sooner; how much sooner these jobs would have started is not known."


def _is_spared(job: JobUse, found: Need | None, measure: Measure) -> bool:
    """Whether an attempt failed for lack of what it would have now. What it would have needed is not known."""
    return found is not None and measure.met(job) and (measure.asked(job) or 0) < found.of(job)


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
