"""`kempner why TASK`: back to the root, attempt by attempt, with what to type."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..causes.alike import names
from ..causes.explained import Explanation
from ..phrases import command_line, count_of, short_path
from ..printable import quoted
from ..run.elsewhere import kept_off
from ..run.stopping import is_stopped
from ..slurm.states import JobState, is_held
from ..state.explanation import cause_of, explanation, same_causes
from ..state.model import Attempt, RunState, State, TaskState
from ..state.overview import reason
from ..state.wording import moment, span
from .output import console, print_json, text
from .places import Place, chosen

if TYPE_CHECKING:
    from rich.text import Text

_BAD = frozenset({State.FAILED, State.NEVER, State.CANCELLED, State.UNKNOWN})
_MOST = 10
"""Tasks that are explained in full; further ones by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """An attempt, explained."""

    number: int
    which: str
    """`attempt 2`, `segment 2 of 6`."""
    job_id: str
    word: str
    node: str
    seconds: float | None
    exit_code: int | None
    signal: int | None
    peak_memory_mb: int | None
    cause: str
    what_to_do: tuple[str, ...]
    log: str
    around: tuple[str, ...]
    kept_off: tuple[str, ...] = ()
    """Nodes that have failed an attempt before it, each with the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """A task, explained."""

    task: str
    state: State
    why: str
    attempts: tuple[Try, ...]
    waits_for: tuple[str, ...]
    roots: tuple[str, ...]
    """Tasks whose end explains the end of this task."""
    cannot_run: tuple[str, ...]
    """Tasks that need it."""
    same: tuple[str, ...]
    """Other tasks that have failed for the same reason; they are not explained again."""
    to_type: tuple[str, ...]
    """What looks further into it."""


def why(place: Place, run: str, words: tuple[str, ...], *, as_json: bool) -> None:
    """Explain tasks, those that have failed for the same reason together."""
    state = place.state(run)
    tasks = chosen(state, words)
    where = place.slurm_of(place.ledger(state.run)).where
    found = tuple(explained_tasks(state, tasks, time.time(), each=as_json, where=where))
    if as_json:
        print_json(found)
        return
    out = console()
    if not found:
        out.print(text("No task of this run has failed.", "ok"))
    for explained in found[:_MOST]:
        out.print(*_shown(explained), sep="\n", end="\n\n")
    if any(explained.state in _BAD for explained in found):
        out.print(text(f"When the cause is mended: {command_line(state.command)}", "strong"))
    if len(found) > _MOST:
        rest = names(explained.task for explained in found[_MOST:])
        out.print(text(f"and {len(found) - _MOST} more: {rest}", "faint"))


def explained_tasks(
    state: RunState, tasks: tuple[TaskState, ...], now: float, *, each: bool, where: str = ""
) -> Iterator[Why]:
    """Explanations: `each` task by itself, or those of the same cause once; `where` as `Slurm.where`."""
    failed = [] if each else [task for task in tasks if task.state is State.FAILED]
    others = [task for task in tasks if task not in failed] if failed else list(tasks)
    for same in same_causes(failed):
        first, *rest = same.tasks
        yield _why(state, first, now, tuple(rest), where)
    for task in others[: None if each else 10 * _MOST]:
        yield _why(state, task, now, (), where)


def _why(state: RunState, task: TaskState, now: float, same: tuple[TaskState, ...], where: str) -> Why:
    roots = tuple(root for root in state.roots(task) if root.key != task.key)
    return Why(
        task=task.label,
        state=task.state,
        why=_in_a_line(state, task, roots, now),
        attempts=tuple(_try(task, attempt, now) for attempt in task.attempts if attempt.start or _is_alone(task)),
        waits_for=tuple(f"{before.label} ({before.state})" for before in state.waits_for(task)),
        roots=tuple(root.label for root in roots),
        cannot_run=tuple(needing.label for needing in state.needing(task, *same) if needing.state is not State.DONE),
        same=tuple(other.label for other in same),
        to_type=tuple(_to_type(state, task, roots, where)),
    )


def _is_alone(task: TaskState) -> bool:
    return all(attempt.start is None for attempt in task.attempts) and len(task.attempts) == 1


def _in_a_line(state: RunState, task: TaskState, roots: tuple[TaskState, ...], now: float) -> str:
    if task.state.is_cause:
        return cause_of(task)
    if task.state is State.NEVER:
        return _why_never(state, task, roots)
    return {State.RUNNING: _how_long, State.WAITING: _until_when, State.RETRYING: _until_when}.get(
        task.state, lambda _state, task, _now: task.why or _WORDS[task.state]
    )(state, task, now)


_WORDS = {State.DONE: "it has succeeded", State.NOT_NEEDED: "nothing has failed that it was for"}


def _why_never(state: RunState, task: TaskState, roots: tuple[TaskState, ...]) -> str:
    if roots:
        return f"it needs {names(root.label for root in roots)}: {cause_of(roots[0])}"
    if is_stopped(state.folder):
        return task.why or "the run was stopped after the failure of another task"
    return task.why or "it was taken out of the queue before it could start"


def _until_when(state: RunState, task: TaskState, now: float) -> str:
    expected = task.pending.expected if task.pending else None
    when = f"; Slurm expects to start it {moment(expected, now)}" if expected else ""
    kept = f"; it keeps off {', '.join(_kept_off(task.pending))}" if task.pending and _kept_off(task.pending) else ""
    return f"{reason(state, task)}{when}{kept}"


def _how_long(_state: RunState, task: TaskState, now: float) -> str:
    attempt = task.last
    used = (attempt.seconds(now) if attempt else None) or 0.0
    limit = attempt.limit_s if attempt else None
    return f"it has run for {span(used)}{f' of {span(limit)}' if limit else ''}"


def _try(task: TaskState, attempt: Attempt, now: float) -> Try:
    found = None if attempt.record and attempt.record.state is JobState.SUCCEEDED else explanation(task, attempt)
    has_ended = attempt.record is not None and attempt.record.state.is_final
    known = found if has_ended else None
    record = attempt.record
    return Try(
        number=attempt.number,
        which=str(attempt.turn),
        job_id=attempt.job_id,
        word=attempt.word,
        node=record.node if record else "",
        seconds=attempt.seconds(now),
        exit_code=_code(known, attempt),
        signal=(record.signal if record else None) or (known.signal if known else None),
        peak_memory_mb=attempt.peak_memory_mb,
        # An earlier attempt whose words were in the rule's log, which is written anew, has nothing to say.
        cause=known.cause if known and attempt.start and (known.around or attempt is task.last) else "",
        what_to_do=tuple(str(meaning) for meaning in known.meanings) if known else (),
        log=short_path(known.log if known else attempt.log) if attempt.start else "",
        around=known.around if known else (),
        kept_off=_kept_off(attempt),
    )


def _kept_off(attempt: Attempt) -> tuple[str, ...]:
    return tuple(f"{node}: {why}" for node, why in kept_off(Path(attempt.folder), attempt.job_id).items())


def _code(known: Explanation | None, attempt: Attempt) -> int | None:
    own = known.exit_code if known else None
    return own if own is not None else attempt.record.exit_code if attempt.record else None


def _to_type(state: RunState, task: TaskState, roots: tuple[TaskState, ...], where: str) -> Iterator[str]:
    record = task.pending.record if task.pending else None
    again = command_line(state.command)
    if record and is_held(record.word, record.reason):
        yield f"scontrol{where} release {record.job_id}"
    elif record and record.stuck:
        yield f"it asks for what it cannot get. Mend the rule, then: {again} --kempner-replace-changed"
    elif task.state is State.NEVER and roots:
        yield f"kempner why {quoted(roots[0].label)}"
    elif task.state is State.FAILED and not task.why:
        yield f"kempner logs {quoted(task.label)}"


def _shown(explained: Why) -> Iterator["Text"]:
    title = text(f"{explained.task} ", "strong")
    title.append_text(text(explained.state.value, explained.state))
    title.append_text(text(f": {explained.why}"))
    yield title
    for attempt in explained.attempts:
        yield from _shown_attempt(attempt, explained.why)
    if explained.waits_for:
        yield text(f"  waits for: {_some(explained.waits_for)}")
    if explained.same:
        yield text(f"  the same: {count_of(len(explained.same), 'more task')}: {names(explained.same)}")
    if explained.cannot_run:
        yield text(
            f"  cannot run without it: {count_of(len(explained.cannot_run), 'task')}: {names(explained.cannot_run)}"
        )
    for line in explained.to_type:
        yield text(f"  → {line}", "strong")


def _some(words: tuple[str, ...]) -> str:
    return ", ".join(words[:_MOST]) + (f" and {len(words) - _MOST} more" if len(words) > _MOST else "")


def _shown_attempt(attempt: Try, said: str) -> Iterator["Text"]:
    how = (
        f"signal {attempt.signal}" if attempt.signal else f"exit code {attempt.exit_code}" if attempt.exit_code else ""
    )
    memory = f"peak memory {attempt.peak_memory_mb} MB" if attempt.peak_memory_mb else ""
    ran = f"ran for {span(attempt.seconds)}" if attempt.seconds is not None else ""
    node = f"on {attempt.node}" if attempt.node else ""
    job = f"Slurm job {attempt.job_id or '(none yet)'}"
    parts = [f"{job}: {attempt.word}", how, node, ran, memory]
    yield text(f"  {attempt.which}: {', '.join(filter(None, parts))}")
    if attempt.cause not in ("", said) and not any(line.startswith(attempt.cause) for line in attempt.what_to_do):
        yield text(f"    {attempt.cause}", State.FAILED)
    yield from (text(f"    {line}") for line in attempt.what_to_do)
    yield from (text(f"    kept off {line}") for line in attempt.kept_off)
    if attempt.log:
        yield text(f"    log: {attempt.log}", "faint")
    yield from (text(f"    | {line}", "faint") for line in attempt.around)
