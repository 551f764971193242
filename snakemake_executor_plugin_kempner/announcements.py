"""Messages about a run: what was queued, what an earlier run has left, and how a head process leaves."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .layout import PAGE
from .phrases import command_line, count_of, listed, short_path
from .plan.model import Kind, Plan, Policy
from .printable import printable, quoted
from .run.adopt import QueuedTask
from .run.outcome import RuleJobs
from .slurm.ids import for_people

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
    extra = listed([count_of(number, noun) for noun, number in numbers.items() if number])
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
    what = (
        f"{left.label} ({state} as Slurm job {jobs}) was submitted with other {listed(words)} than the workflow has now"
    )
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
