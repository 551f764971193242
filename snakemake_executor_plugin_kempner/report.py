"""Messages for the user: what was queued, and what failed where and why, with the last lines of its log."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .causes.alike import names
from .causes.explained import Explanation, explained
from .causes.meaning import requested_memory
from .layout import PAGE
from .plan.model import Kind, Plan, Policy
from .plan.slurm_extra import SET_BY_PLUGIN
from .printable import printable, quoted
from .run.adopt import QueuedTask
from .run.elsewhere import kept_off
from .run.outcome import IN_THE_HEAD, AttemptFailed, Job, Outcome, RuleJobs, TaskEnded, TaskStuck
from .run.records import step_record
from .run.segments import is_to_be_continued
from .site.request import request_of
from .slurm.ids import for_people
from .slurm.parse import Record, Usage
from .slurm.states import JobState

_FALLEN = 10
NOTHING_KNOWN = Usage()
NO_ROOM = "there is no room for more jobs in the queue"


def plan_messages(plan: Plan, reasons: Iterable[str], said: set[str]) -> Iterator[str]:
    """Lines about a plan: what was queued, how many tasks will be queued later and why, and each notice once."""
    if plan.calls:
        yield f"{plan_summary(plan)} (run {plan.policy.run})."
        yield from requested_summary(plan)
        yield from deferred_summary(reasons)
    yield from (notice for notice in plan.notices if notice not in said)
    said.update(plan.notices)


def plan_summary(plan: Plan, verb: str = "Queued") -> str:
    """`Queued 5 tasks as 9 Slurm jobs, 2 retries, 1 gate and 1 guard among them`."""
    submissions = plan.submissions
    kinds = Counter(submission.kind for submission in submissions)
    tasks = len(plan.tasks)
    helpers = (Kind.GATE, Kind.RELEASE, Kind.GUARD, Kind.CONTINUATION, Kind.CLOSING)
    names = {Kind.RELEASE: "release job", Kind.CLOSING: "closing job"}
    turns = [submission.turn for submission in submissions if submission.kind is Kind.TASK]
    segments = sum(1 for turn in turns if turn.segment > 1)
    numbers = {
        "retry": kinds[Kind.TASK] - tasks - segments,
        "further segment": segments,
        **{names.get(kind, kind.value): kinds[kind] for kind in helpers},
    }
    text = f"{verb} {count_of(tasks, 'task')} as {count_of(len(submissions), 'Slurm job')}"
    extra = _listed([count_of(number, noun) for noun, number in numbers.items() if number])
    return f"{text}, {extra} among them" if extra else text


def requested_summary(plan: Plan) -> Iterator[str]:
    """A line about the hours that the first plan of a run asks for: `  Requested: 36 GPU hours and 410 core hours; …`."""
    if str(plan.requested) and plan.policy.first_number == 1:
        yield f"  Requested: {plan.requested}."


def deferred_summary(reasons: Iterable[str]) -> Iterator[str]:
    """A line for each reason why tasks are not in the queue yet."""
    for reason, number in Counter(reasons).items():
        yield f"  {count_of(number, 'task')} will be queued later: {printable(reason)}"


def changed_message(left: QueuedTask, words: Sequence[str], *, is_replaced: bool) -> str:
    """A queued or running task has changed in the workflow since it was submitted."""
    jobs = ", ".join(job.job_id for job in left.jobs.values())
    state = "running" if left.is_running else "queued"
    what = f"{left.label} ({state} as Slurm job {jobs}) was submitted with other {_listed(words)} than the workflow has now"
    if is_replaced:
        return f"{what}: it is cancelled and submitted anew."
    return f"{what}. It goes on as it is; --kempner-replace-changed submits it anew."


def kept_message(label: str, reader: QueuedTask, *, is_replaced: bool) -> str:
    """A task is outdated while a queued task reads its outputs."""
    jobs = ", ".join(job.job_id for job in reader.jobs.values())
    what = f"{label} is outdated, and {reader.label} (Slurm job {jobs}) in the queue reads what it has made"
    if is_replaced:
        return f"{what}: {reader.label} is cancelled, and both are submitted anew."
    return (
        f"{what}: {label} is not run again now. Give this command again when {reader.label} has ended, or "
        "--kempner-replace-changed."
    )


def unplanned_message(run: str, command: Sequence[str]) -> str:
    """An earlier run, of another command, still had tasks to plan after a checkpoint."""
    return (
        f"Run {run} still had tasks to submit, which wait for a result, for: {command_line(command)}\n"
        "What it has in the queue goes on as part of this run; for the rest, give that command again."
    )


def needs_head_message() -> str:
    """A watched run has no closing job, because only the head process can record what has made the outputs."""
    return (
        "This run needs this process until its end, because --shared-fs-usage is without persistence, so no closing job is "
        "queued. If the process dies, the jobs in the queue finish, but what has made their outputs is not recorded and "
        "their temporary files stay; hooks and what is below checkpoints wait until you give the same command again."
    )


def detached_message(rows: Sequence[RuleJobs], policy: Policy, seen_from: str) -> str:
    """The last message of a detached head: a table of the queued jobs, and where the end of the run is reported.

    Args:
        rows: of the table.
        policy: of the run.
        seen_from: the folder in which the command was given.
    """
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only here
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("rule", "tasks", "Slurm jobs", "waits for", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        name = printable(row.rule) if row.tasks or len(row.job_ids) == 1 else count_of(len(row.job_ids), row.rule)
        waits = ", ".join(row.waits_for) or ("" if row.tasks else _HELPERS_WAIT_FOR.get(row.rule, ""))
        table.add_row(name, str(row.tasks) if row.tasks else "", for_people(row.job_ids), waits)
    console = Console(width=100, no_color=True, highlight=False, force_terminal=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    folder = printable(os.path.relpath(policy.folder, seen_from))
    place = os.path.relpath(policy.workdir, seen_from)
    look = "kempner" if place == "." else f"kempner -C {quoted(place)}"
    return "\n".join([
        *lines, "",
        f"Run {policy.run} is in Slurm's hands; nothing of {printable(Path(policy.workdir).name)} needs this terminal or this machine.",
        f"  its end:  {folder}/{PAGE}",
        f"  watch:    {look}",
        f"  cancel:   {look} cancel {policy.run}",
    ])  # fmt: skip


_HELPERS_WAIT_FOR = {
    Kind.GATE.value: "an attempt that succeeds",
    Kind.RELEASE.value: "an attempt that fails",
    Kind.GUARD.value: "the first failure",
    Kind.CONTINUATION.value: "checkpoint results",
    Kind.CLOSING.value: "all jobs",
}


def left_message(policy: Policy, jobs: int, command: Sequence[str]) -> str:
    """The last message of a head that is told to end while its jobs stay in the queue."""
    again = command_line(command)
    end = (
        f"Its closing job ends it: {short_path(Path(policy.folder) / PAGE)}"
        if policy.ends_itself
        else "Hooks, temporary files and what is below checkpoints wait until the same command is given again"
    )
    return (
        f"Leaving: {count_of(jobs, 'Slurm job')} of run {policy.run} stay in the queue. {end}.\n"
        f"  watch again:  {again}\n"
        f"  cancel:       {again} --kempner-cancel"
    )


def command_line(command: Sequence[str]) -> str:
    """A command as the user would type it."""
    if not command:
        return "the same command"
    program = os.path.basename(command[0])
    return " ".join(map(quoted, ["snakemake" if program == "__main__.py" else program, *command[1:]]))


def short_path(path: Path, seen_from: Path | None = None) -> str:
    """The path relative to a folder, by default the working directory, if it is below."""
    try:
        return printable(str(path.relative_to(seen_from or Path.cwd())))
    except ValueError:
        return printable(str(path))


def count_of(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`, `2 retries`, `2 job arrays`."""
    plural = re.sub(r"(?<![aeiou])y$", "ie", noun) + "s"
    return f"{number} {noun if number == 1 else plural}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


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
