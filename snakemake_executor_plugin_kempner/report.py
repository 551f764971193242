"""What a person reads: what was queued, and what, where and how something failed, with the last lines of its log."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from .plan.model import Kind, Plan
from .run.live import AttemptFailed, Job, Outcome, TaskEnded
from .slurm.parse import Record
from .slurm.states import JobState

_TAIL_LINES = 15
_AFTER_LINES = 3
_TAIL_BYTES = 20_000


def plan_summary(plan: Plan) -> str:
    """`Queued 5 tasks as 7 Slurm jobs: 2 retries, 1 gate`."""
    tasks = len({one.ref.task for one in plan.submissions if one.kind is Kind.TASK})
    gates = sum(one.kind is Kind.GATE for one in plan.submissions)
    retries = len(plan.submissions) - gates - tasks
    extra = [_count(number, noun) for number, noun in ((retries, "retry"), (gates, "gate")) if number]
    text = f"Queued {_count(tasks, 'task')} as {_count(len(plan.submissions), 'Slurm job')}"
    return f"{text}, {' and '.join(extra)} among them" if extra else text


def deferred_summary(reasons: Iterable[str]) -> Iterator[str]:
    """One line per reason for which tasks are not in the queue yet."""
    for reason, number in Counter(reasons).items():
        yield f"  {_count(number, 'task')} will be queued later: {reason}"


def _count(number: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def failure_message(event: TaskEnded) -> str:
    """The end of a task that did not succeed."""
    label, job, record = event.label, event.job, event.record
    if job is None or record is None:
        return f"{label} never started: {event.why or 'a task before it failed'}.\n"
    what = {
        Outcome.LOST: f"{label} is lost: Slurm does not know job {job.job_id} any more and it left no record. "
        "It counts as failed.",
        Outcome.CANCELLED: f"{label} was cancelled.",
    }.get(event.outcome, f"{label} failed{_which_attempt(job)}.")
    return _with_details(what, job, record)


def attempt_message(event: AttemptFailed) -> str:
    """The end of an attempt after which there is another one."""
    ref = event.next.submission.ref
    what = f"Attempt {event.job.submission.ref.attempt} of {event.job.submission.label} failed; "
    return _with_details(f"{what}attempt {ref.attempt} is Slurm job {event.next.job_id}.", event.job, event.record)


def _which_attempt(job: Job) -> str:
    attempt = job.submission.ref.attempt
    return f" (attempt {attempt})" if attempt > 1 else ""


def _with_details(what: str, job: Job, record: Record) -> str:
    lines = [what, f"  Slurm job {job.job_id}: {_end(record)}", f"  log: {job.log}"]
    lines += [f"  | {line}" for line in tail(job.log)]
    return "\n".join(lines) + "\n"


def _end(record: Record) -> str:
    parts = [record.word]
    if record.reason and record.state is not JobState.CANCELLED:  # a cancelled job shows what it was waiting for
        parts.append(f"reason {record.reason}")
    if record.signal:
        parts.append(f"signal {record.signal}")
    elif record.exit_code:
        parts.append(f"exit code {record.exit_code}")
    if record.node:
        parts.append(f"on {record.node}")
    return ", ".join(parts)


_AFTER_THE_CAUSE = re.compile(r"RuleException|WorkflowError|Error in (rule|group)")
"""Where the job's own Snakemake begins to speak of a failure: what the rule itself said stands before it."""


def tail(path: Path) -> list[str]:
    """The last lines that a failed rule wrote to its log; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    said = [line for line in text.splitlines() if line.strip()]
    cause = next((number for number, line in enumerate(said) if _AFTER_THE_CAUSE.match(line)), 0)
    return said[max(0, cause - _TAIL_LINES) : cause + _AFTER_LINES] if cause else said[-_TAIL_LINES:]
