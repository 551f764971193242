"""Sources → the state of a run, with the judgements by which heads and closing jobs go. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..plan.dependency import Ref
from ..plan.model import LOOK_AFTER, Kind
from ..plan.reserves import is_reserve
from ..run import tasks as judging
from ..run.adopt import QueuedTask, all_of_chain, carried_out
from ..run.judge import Judge, View
from ..run.ledger_record import Entry
from ..run.outcome import Outcome
from ..run.tasks import Tasks
from ..run.watch import Change, Followed
from ..slurm.parse import Record
from ..slurm.states import JobState
from .model import Attempt, Helper, RunState, State, TaskState
from .sources import JobKey, Sources, key_of

_STATES = {
    Outcome.SUCCEEDED: State.DONE,
    Outcome.FAILED: State.FAILED,
    Outcome.CANCELLED: State.CANCELLED,
    Outcome.BLOCKED: State.NEVER,
    Outcome.STOPPED: State.NEVER,
    Outcome.CUT_OFF: State.NEVER,
    Outcome.LOST: State.UNKNOWN,
    Outcome.NOT_NEEDED: State.NOT_NEEDED,
}


def run_state(sources: Sources) -> RunState:
    """The state of a run."""
    ledger = sources.ledger
    queued = all_of_chain(sources.ledgers, sources.names)
    records = {key_of(entry): _record(sources, entry) for task in queued for entry in task.entries}
    tasks = _judged(queued, records, sources)
    # What an earlier run could not submit, this one has tried again.
    refused = {key: told for key, told in ledger.refused.items() if key not in tasks}
    command = ledger.header.get("command", ())
    helpers = tuple(_helpers(sources))
    return RunState(
        run=ledger.run,
        folder=ledger.folder,
        command=tuple(command),
        started_in=str(ledger.header.get("started_in", "")),
        ended=ledger.ended,
        since=float(next((earlier.header["time"] for earlier in sources.ledgers if "time" in earlier.header), 0.0)),
        closed=ledger.closed,
        result=ledger.result,
        taken_over_by=ledger.taken_over_by,
        keep_going=bool(ledger.header.get("keep_going")),
        watched_by=sources.watched_by,
        tasks=(
            *(_task(task, tasks[task.task], records, sources) for task in queued),
            *(TaskState(key=key, label=label, state=State.FAILED, why=why) for key, (label, why) in refused.items()),
        ),
        helpers=helpers,
        earlier=tuple(earlier.run for earlier in sources.earlier),
        unread=ledger.unread,
        unanswered=sources.unanswered,
        left_out=len(ledger.left_out) if any(helper.kind in LOOK_AFTER for helper in helpers) else 0,
    )


def _record(sources: Sources, entry: Entry) -> Record | None:
    """What is known of a job; a job that no source knows is lost, unless Slurm could not be asked."""
    known = sources.end(entry)
    if known is not None or sources.unanswered:
        return known
    return Record(job_id=entry.job_id, state=JobState.UNKNOWN, word="unknown to Slurm", node=_node(sources, entry))


def _node(sources: Sources, entry: Entry) -> str:
    written = sources.written.get(key_of(entry))
    return written.node if written else ""


def _judged(queued: tuple[QueuedTask, ...], records: Mapping[JobKey, Record | None], sources: Sources) -> Tasks:
    tasks = Tasks({task.task: judging.TaskState.of(task) for task in queued})
    events: list[Change] = []
    followed: dict[str, Followed] = {}
    for task in queued:
        for entry in task.entries:
            record, ref = records[key_of(entry)], Ref(task.task, entry.attempt)
            if record is None or record.state in (JobState.WAITING, JobState.RUNNING):
                state = record.state if record else JobState.UNKNOWN
                followed[entry.job_id] = Followed(ref=ref, job_id=entry.job_id, state=state)
            else:
                tasks[task.task].records[entry.attempt] = record
                events.append(Change(job=Followed(ref=ref, job_id=entry.job_id), record=record))
    judge = Judge(tasks=tasks, was_stopped=sources.stopped.__contains__, cancel=lambda _ids: None)
    judge.judge(events, View(followed=followed, was_answered=not sources.unanswered))
    judge.judge((), View(followed=followed, was_answered=not sources.unanswered))
    return tasks


def _task(
    queued: QueuedTask, judged: judging.TaskState, records: Mapping[JobKey, Record | None], sources: Sources
) -> TaskState:
    attempts = tuple(_attempt(entry, records[key_of(entry)], sources) for entry in queued.entries)
    return TaskState(
        key=queued.task,
        label=queued.label,
        state=_state(judged, attempts),
        attempts=attempts,
        edges=queued.edges,
        logs=queued.entries[-1].logs,
        why=judged.ended.why if judged.ended else "",
    )


def _state(judged: judging.TaskState, attempts: tuple[Attempt, ...]) -> State:
    if judged.ended is not None:
        return _STATES[judged.ended.outcome]
    records = [attempt.record for attempt in attempts]
    states = [record.state if record else JobState.UNKNOWN for record in records]
    if JobState.RUNNING in states:
        return State.RUNNING
    waiting = [record for record in records if record and record.state is JobState.WAITING]
    if waiting and all(record.never for record in waiting):
        return State.NEVER
    has_failed = any(
        state is JobState.FAILED and not attempt.is_cut_short for state, attempt in zip(states, attempts, strict=True)
    )
    if waiting:
        return State.RETRYING if has_failed else State.WAITING
    if JobState.FAILED in states and not judged.complete:
        return State.RETRYING  # its next attempt has not been submitted yet
    return State.NEVER if JobState.CANCELLED in states else State.UNKNOWN


def _attempt(entry: Entry, record: Record | None, sources: Sources) -> Attempt:
    listed, written = sources.in_list(entry), sources.written.get(key_of(entry))
    is_waiting = record is not None and record.state is JobState.WAITING
    start = written.start if written and written.start else None
    if start is None and listed is not None and listed.record.node:
        start = listed.starts
    if is_waiting:  # it was put back into the queue
        start = None
    is_over = record is not None and record.state not in (JobState.WAITING, JobState.RUNNING)
    end = (written.end if written else None) if is_over else None
    if is_over and end is None and start is not None and listed is not None:
        end = start + listed.used_s
    return Attempt(
        number=entry.attempt,
        segments=entry.segments,
        job_id=entry.job_id,
        record=replace(record, node=written.node)
        if record and written and not record.node and not is_waiting
        else record,
        options=entry.options,
        folder=entry.folder,
        log_pattern=entry.log,
        submitted=entry.time,
        start=start,
        end=end,
        # Of an attempt in reserve Slurm tells the start time that never comes.
        expected=listed.starts if listed and is_waiting and not is_reserve(entry.options) else None,
        limit_s=listed.limit_s if listed else None,
        peak_memory_mb=written.peak_memory_mb if written else None,
        restarts=written.restarts if written else 0,
    )


def _helpers(sources: Sources) -> Iterator[Helper]:
    for entry in carried_out(sources.ledger.entries, sources.names):
        listed = sources.in_list(entry)
        if entry.kind != Kind.TASK.value and listed is not None and not listed.record.state.is_final:
            yield Helper(kind=entry.kind, job_id=entry.job_id, record=listed.record)
