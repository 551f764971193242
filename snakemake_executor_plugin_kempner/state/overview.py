"""The state of a run → what an overview shows. Pure, except for the logs of failed tasks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..causes.alike import names
from ..layout import PAGE
from ..phrases import command_line, count_of, short_path
from ..plan.model import Kind
from ..printable import printable
from ..run.result import Result
from ..site.request import request_of
from ..slurm.reasons import in_words
from ..slurm.states import JobState
from .explanation import explanation, same_causes
from .model import Attempt, RunState, State, TaskState
from .wording import moment, span

COLUMNS = (
    State.DONE, State.RUNNING, State.WAITING, State.RETRYING, State.FAILED, State.NEVER, State.CANCELLED,
    State.NOT_NEEDED, State.UNKNOWN,
)  # fmt: skip
ALWAYS = frozenset({State.DONE, State.RUNNING, State.WAITING, State.FAILED})
"""Columns that are shown although all are zero."""
_DEPENDENCY = "Dependency"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The tasks of a rule, counted."""

    rule: str
    tasks: int
    numbers: Mapping[State, int]
    gpu_hours: float

    @property
    def is_over(self) -> bool:
        """All of them are done, or were not needed."""
        return self.numbers.get(State.DONE, 0) + self.numbers.get(State.NOT_NEEDED, 0) == self.tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Tasks that have failed for the same reason."""

    cause: str
    labels: tuple[str, ...]
    log: str
    """That says why, of the first of them."""
    never: int
    """Tasks that never run because of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """All that `kempner status` shows, and the page about the end of a run."""

    run: str
    name: str
    """The folder of the workflow, by its last part."""
    folder: str
    started_in: str
    """Where the command was given."""
    command: str
    since: float
    until: float
    """Its end, or now."""
    computing: float
    """Seconds in which some task ran."""
    gpu_hours: float
    gpu_hours_lost: float
    """In attempts that have not succeeded."""
    result: str
    """How far it is, or how it has ended."""
    whose: str
    """Who looks after it."""
    rows: tuple[Row, ...]
    runs: str
    """The tasks that run, by name."""
    waits: tuple[str, ...]
    longest: str
    failures: tuple[Failure, ...]
    end: str
    """Where its end is, or will be, described."""
    notes: tuple[str, ...]


def overview(state: RunState, now: float, seen_from: Path | None = None) -> Overview:
    """What there is to say of a run.

    Args:
        state: of the run.
        now: seconds since 1970.
        seen_from: folder to which paths are relative; by default the working directory.
    """
    until = state.ended or now
    attempts = [attempt for task in state.tasks for attempt in task.attempts]
    return Overview(
        run=state.run,
        name=state.name,
        folder=printable(str(state.workdir)),
        started_in=state.started_in,
        command=command_line(state.command),
        since=state.since,
        until=until,
        computing=_computing(attempts, until),
        gpu_hours=round(sum(_gpu_hours(attempt, until) for attempt in attempts), 2),
        gpu_hours_lost=round(sum(_gpu_hours(attempt, until) for attempt in attempts if _is_lost(attempt)), 2),
        result=_result(state),
        whose=_whose(state),
        rows=tuple(_row(rule, tasks, until) for rule, tasks in state.rules.items()),
        runs=names(task.label for task in state.tasks if task.state is State.RUNNING),
        waits=tuple(_waits(state, now)),
        longest=_longest(state, now),
        failures=tuple(_failures(state, seen_from)),
        end=_end(state, seen_from),
        notes=tuple(_notes(state)),
    )


def title(view: Overview) -> str:
    """A run, its workflow, and how far it is."""
    return f"Run {view.run} of {view.name} {view.result}"


def _result(state: RunState) -> str:
    done, tasks = state.numbers.get(State.DONE, 0), len(state.tasks)
    counted = f"{done} of {count_of(tasks, 'task')} done"
    others = [f"{state.numbers[column]} {column}" for column in COLUMNS[1:] if state.numbers.get(column)]
    counted = ", ".join([counted, *others])
    if state.is_open:
        return f"under way: {counted}"
    if not state.closed:
        return f"is not known to have ended: {counted}" if state.unanswered else f"stands still: {counted}"
    bad = [task for task in state.tasks if task.state not in (State.DONE, State.NOT_NEEDED)]
    if state.result == Result.CANCELLED:
        return f"was cancelled: {counted}"
    if bad or state.result == Result.FAILED:
        return f"has failed: {counted}"
    if state.result == Result.SUCCEEDED:
        return f"has succeeded: {counted}"
    return f"has ended: {counted}" if tasks else "has no tasks"


def _whose(state: RunState) -> str:
    if state.taken_over_by:
        return f"run {state.taken_over_by} has taken it over: kempner status {state.taken_over_by}"
    if state.watched_by:
        who = f"{state.watched_by[:1].lower()}{state.watched_by[1:]}"
        return f"{who} watches it" if who.startswith("the head") else f"{who} is at work"
    if state.closed:
        return "it has ended"
    closing = next((helper for helper in state.helpers if helper.kind == Kind.CLOSING.value), None)
    if closing is not None:
        return f"nobody watches it, and Slurm needs nobody: closing job {closing.job_id} ends it"
    return "nobody looks after it: give the same command again to go on" if state.tasks else "nobody looks after it"


def _end(state: RunState, seen_from: Path | None) -> str:
    path = state.folder / PAGE
    has_closing = any(helper.kind == Kind.CLOSING.value for helper in state.helpers)
    return short_path(path, seen_from) if path.exists() or has_closing else ""


def _notes(state: RunState) -> Iterator[str]:
    if state.unanswered:
        yield f"What Slurm has is not known, so this is what is on disk alone: {state.unanswered}"
    if state.earlier:
        yield f"It goes on with run {', '.join(state.earlier)}, whose tasks are counted here."
    if state.left_out:
        yield f"{count_of(state.left_out, 'output')} more will be submitted later: there was no room for them, or a result decides."
    if any(helper.kind == Kind.CONTINUATION.value for helper in state.helpers):
        yield "More tasks follow when a result is there that decides about them (a continuation waits)."
    if state.unread:
        yield f"{count_of(state.unread, 'line')} of its ledger cannot be read."
    held = [helper for helper in state.helpers if helper.record and helper.record.stuck]
    for helper in held:
        yield f"Its {helper.kind} job {helper.job_id} will not start as it is: {in_words(helper.record.reason if helper.record else '')}"


def _row(rule: str, tasks: Sequence[TaskState], now: float) -> Row:
    return Row(
        rule=rule,
        tasks=len(tasks),
        numbers=Counter(task.state for task in tasks),
        gpu_hours=round(sum(_gpu_hours(attempt, now) for task in tasks for attempt in task.attempts), 2),
    )


def _gpu_hours(attempt: Attempt, now: float) -> float:
    return (attempt.seconds(now) or 0.0) * request_of(attempt.options).gpus / 3600 if attempt.start else 0.0


def _is_lost(attempt: Attempt) -> bool:
    """What it has computed is of no use."""
    record = attempt.record
    if record is None or attempt.is_cut_short:
        return False
    return record.state.is_final and record.state is not JobState.SUCCEEDED


def _computing(attempts: Iterable[Attempt], until: float) -> float:
    """Seconds in which at least one job of a task ran."""
    spans = sorted((attempt.start, _last_moment(attempt, until)) for attempt in attempts if attempt.start is not None)
    total, reached = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _last_moment(attempt: Attempt, until: float) -> float:
    """Of a job that has ended at an unknown moment, the start is all that is known."""
    runs = attempt.record is None or not attempt.record.state.is_final
    return attempt.end if attempt.end is not None else until if runs else attempt.start or until


# --- what it waits for ----------------------------------------------------------------------------------------------


def _waits(state: RunState, now: float) -> Iterator[str]:
    """Each reason once, with the tasks that wait for it."""
    found: dict[str, list[TaskState]] = {}
    expected: dict[str, float] = {}
    for task in state.tasks:
        if task.state not in (State.WAITING, State.RETRYING):
            continue
        why = reason(state, task)
        found.setdefault(why, []).append(task)
        pending = task.pending
        if pending and pending.expected:
            expected[why] = min(pending.expected, expected.get(why, pending.expected))
    for why, tasks in found.items():
        when = f"; the first is expected to start {moment(expected[why], now)}" if why in expected else ""
        yield f"{names(task.label for task in tasks)}: {why}{when}"


def reason(state: RunState, task: TaskState) -> str:
    """Why a task waits, in words."""
    attempt = task.pending
    word = attempt.record.reason if attempt and attempt.record else ""
    if word != _DEPENDENCY:
        return f"{_segment(attempt)}{in_words(word)}"
    before = state.waits_for(task)
    if before:
        rules = Counter(earlier.rule for earlier in before)
        which = ", ".join(rule if number == 1 else f"{number} {rule}" for rule, number in rules.items())
        return f"waiting for {which}"
    return "waiting for its turn (--jobs, --resources), or for Slurm to notice that its input is there"


def _segment(attempt: Attempt | None) -> str:
    return f"{attempt.turn}: " if attempt and attempt.turn.segment > 1 else ""


def _longest(state: RunState, now: float) -> str:
    """The running task that is nearest to its time limit."""
    running = [
        (attempt.seconds(now) or 0.0, attempt.limit_s, task, attempt)
        for task in state.tasks
        if task.state is State.RUNNING
        for attempt in task.attempts
        if attempt.record and attempt.record.state is JobState.RUNNING
    ]
    if not running:
        return ""
    used, limit, task, attempt = max(running, key=lambda entry: (entry[0] / entry[1] if entry[1] else 0.0, entry[0]))
    of = f" of {span(limit)} ({100 * used / limit:.0f} %)" if limit else ""
    where = f" on {attempt.record.node}" if attempt.record and attempt.record.node else ""
    which = f" ({attempt.turn})" if attempt.segments > 1 else ""
    return f"{task.label}{which} has run for {span(used)}{of}{where}"


# --- what has failed ------------------------------------------------------------------------------------------------


def _failures(state: RunState, seen_from: Path | None) -> Iterator[Failure]:
    for same in same_causes(task for task in state.tasks if task.state.is_cause):
        first = same.tasks[0]
        why = None if first.why else explanation(first)
        log = why.log if why else first.last.log if first.last and first.last.job_id else None
        never = [needing for needing in state.needing(*same.tasks) if needing.state is State.NEVER]
        yield Failure(
            cause=same.cause,
            labels=tuple(task.label for task in same.tasks),
            log=short_path(log, seen_from) if log else "",
            never=len(never),
        )
