"""Messages about the ends of tasks: what failed where and why, with the last lines of its log."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from .causes.alike import names
from .causes.explained import Explanation, explained
from .causes.meaning import requested_memory
from .phrases import count_of, short_path
from .plan.slurm_extra import SET_BY_PLUGIN
from .printable import printable
from .run.elsewhere import kept_off
from .run.outcome import IN_THE_HEAD, AttemptFailed, Job, Outcome, TaskEnded, TaskStuck
from .run.records import step_record
from .run.segments import is_to_be_continued
from .site.request import request_of
from .slurm.parse import Record, Usage
from .slurm.states import JobState

_FALLEN = 10
NOTHING_KNOWN = Usage()


def explanation_of(job: Job, record: Record, usage: Usage = NOTHING_KNOWN) -> Explanation:
    """Why a job ended, by its logs and its own record; with what accounting knows, if that was asked."""
    written = step_record(Path(job.folder), job.job_id)
    return explained(
        record,
        job.submission.options,
        job.log,
        job.rule_logs,
        since=written.start if written else 0.0,
        peak_memory_mb=usage.peak_memory_mb or (written.peak_memory_mb if written else None),
    )


def cause_of(event: TaskEnded) -> str:
    """Why a task has not succeeded, in a line."""
    if event.job is None or event.record is None or event.outcome is Outcome.CUT_OFF:
        return event.why or "never started"
    return explanation_of(event.job, event.record).cause


def failure_message(event: TaskEnded, usage: Usage, fallen: Sequence[str] = (), same: Sequence[str] = ()) -> str:
    """The end of a task that did not succeed: why, where, with what last words, and what fell with it.

    Args:
        event: the end.
        usage: what accounting knows of its last job.
        fallen: labels of the tasks that cannot run now.
        same: labels of other tasks that have failed for the same reason.
    """
    label, job, record = event.label, event.job, event.record
    if event.why == IN_THE_HEAD:
        return f"{label} failed: {event.why}.\n"
    if job is None or record is None:
        return f"{label} never started: {event.why or 'a task before it failed'}.\n"
    what = {
        Outcome.LOST: f"{label} is lost: Slurm does not know job {job.job_id} any more and it left no record. "
        "It counts as failed.",
        Outcome.CANCELLED: f"{label} was cancelled.",
        Outcome.CUT_OFF: f"{label} never started: Slurm removed its job, as if a job before it had failed, and no task has"
        f"{f' ({event.why})' if event.why else ''}.",
    }.get(event.outcome, f"{label} failed{_which_attempt(job)}.{_unfinished(job, record)}")
    alike = f"  {count_of(len(same), 'more task')} for the same reason: {names(same)}\n" if same else ""
    return _with_details(what, job, record, usage, has_failed=event.outcome is Outcome.FAILED) + alike + _fallen(fallen)


def _unfinished(job: Job, record: Record) -> str:
    """How far a task has come that takes more segments than it has, and what to type."""
    turn = job.submission.turn
    if turn.segments == 1 or not is_to_be_continued(record):
        return ""
    return (
        f"\n  It is not finished after {turn.segments} segments. Its work is kept in {short_path(job.checkpoints)}: give the same "
        "command again to go on from there, with a larger slurm_segments if it takes more jobs."
    )


def _fallen(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    return f"  {count_of(len(labels), 'task')} cannot run now: {_some(labels)}\n"


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _FALLEN} more" if len(labels) > _FALLEN else ""
    return ", ".join(labels[:_FALLEN]) + more


def unexplained_message(labels: Sequence[str]) -> str:
    """Tasks of an ended run have not succeeded, for an unknown reason."""
    return (
        f"{count_of(len(labels), 'task')} did not run to the end, and neither Slurm nor a record says why: "
        f"{_some(labels)}.\n  The run counts as failed. The same command runs what is missing.\n"
    )


def attempt_message(event: AttemptFailed, usage: Usage) -> str:
    """An attempt has failed, and another follows."""
    submission, next_ = event.job.submission, event.next.submission
    which, follows = str(submission.turn), f"{next_.turn} is Slurm job {event.next.job_id}"
    kept = kept_off(Path(event.next.folder), event.next.job_id)
    follows += f", which keeps off {', '.join(f'{node} ({why})' for node, why in kept.items())}." if kept else "."
    if event.goes_on:
        how = f"exit code {event.record.exit_code}" if event.record.word == "FAILED" else event.record.word
        return f"{which.capitalize()} of {submission.label} is to be continued ({how}); {follows}"
    return _with_details(
        f"{which.capitalize()} of {submission.label} failed; {follows}", event.job, event.record, usage
    )


def stuck_message(event: TaskStuck) -> str:
    """A job will stay pending until the user acts."""
    name = event.job.submission.options.get("clusters")
    where = f" --clusters={name}" if name else ""
    if event.is_held:
        return (
            f"{event.job.submission.label} (Slurm job {event.job.job_id}) is held: {event.reason}. It starts when it is released: "
            f"scontrol{where} release {event.job.job_id}. Ctrl-C cancels the run."
        )
    requested = event.job.submission.options.without(*SET_BY_PLUGIN)
    return (
        f"{event.job.submission.label} (Slurm job {event.job.job_id}) will not start as it is: {event.reason}. "
        f"It asks for {requested}; see 'sinfo{where} -N -l' for what there is. Ctrl-C cancels the run."
    )


def _which_attempt(job: Job) -> str:
    turn = job.submission.turn
    return f" ({turn})" if turn.attempt > 1 or turn.segments > 1 else ""


def _with_details(what: str, job: Job, record: Record, usage: Usage, *, has_failed: bool = True) -> str:
    why = explanation_of(job, record, usage)
    cause = next((str(meaning) for meaning in why.meanings if meaning.what == why.cause), why.cause)
    lines = [what, *([f"  cause: {printable(cause)}"] if has_failed else [])]
    lines.append(f"  Slurm job {job.job_id}: {_end(record, why)}")
    lines += [f"  {meaning}" for meaning in why.meanings if not has_failed or meaning.what != why.cause]
    lines += [f"  {line}" for line in _consumption(job, usage)]
    kept = kept_off(Path(job.folder), job.job_id)
    lines += [f"  it kept off {node}: {why}" for node, why in kept.items()]
    lines.append(f"  log: {short_path(why.log)}{f' (of the job: {short_path(job.log)})' if why.log != job.log else ''}")
    lines += [f"  | {line}" for line in why.around]
    return "\n".join(lines) + "\n"


def _end(record: Record, why: Explanation) -> str:
    parts = [record.word]
    number, code = record.signal or why.signal, why.exit_code or record.exit_code
    if record.reason and record.state is not JobState.CANCELLED:  # a cancelled job shows why it was pending
        parts.append(f"reason {record.reason}")
    if number:
        parts.append(f"signal {number}")
    elif code:
        parts.append(f"exit code {code}")
    if record.node:
        parts.append(f"on {record.node}")
    return ", ".join(parts)


def _consumption(job: Job, usage: Usage) -> Iterator[str]:
    """Time, and memory used and requested."""
    memory = requested_memory(request_of(job.submission.options))
    parts = [f"ran for {usage.elapsed}"] if usage.elapsed else []
    if usage.peak_memory_mb:
        parts.append(f"peak memory {usage.peak_memory_mb} MB{f' of {memory}' if memory else ''}")
    if parts:
        yield ", ".join(parts)
