"""Shows a plan before it is submitted: the sbatch options of each rule, and what waits for what."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .announcements import deferred_summary, plan_summary, requested_summary
from .phrases import count_of
from .plan.dependency import AnyOf, Expression, Ref
from .plan.model import Call, Kind, Plan, Submission
from .plan.reserves import is_reserve, takes_turns, unreserved
from .plan.slurm_extra import SET_BY_PLUGIN

_OURS = {
    Kind.RELEASE: "release job, which starts further attempts of what has failed",
    Kind.GUARD: "guard of the run",
    Kind.CONTINUATION: "continuation, which plans what has to wait",
    Kind.CLOSING: "closing job, the end of the run",
}
_RELEASED = ", each by itself: a task that fails releases its next attempt"
_TAKES_TURNS = ", which starts when the array before it has ended"


def _released(submission: Submission) -> str:
    if not is_reserve(submission.options):
        return ""
    return f"{_RELEASED}{_TAKES_TURNS if takes_turns(submission.options) else ''}"


@dataclass(slots=True)
class _Alike:
    """Counts submissions with equal names, options and dependencies."""

    tasks: int = 0
    arrays: int = 0
    alone: int = 0
    throttles: set[int] = field(default_factory=set)
    runs: Counter[str] = field(default_factory=Counter)
    """How many tasks run what in their jobs."""

    def add(self, call: Call) -> None:
        self.runs.update(_runs(submission) for submission in call.submissions)
        self.tasks += len(call.submissions)
        self.arrays += call.is_array
        self.alone += not call.is_array
        self.throttles |= {call.throttle} - {0}

    def __str__(self) -> str:
        arrays = count_of(self.arrays, "job array") if self.arrays else ""
        if arrays and self.throttles:
            arrays += f", at most {max(self.throttles)} at a time in one"
        jobs = count_of(self.alone, "job") if self.alone else ""
        return " and ".join(part for part in (jobs, arrays) if part)


def preview(plan: Plan, later: Iterable[str]) -> str:
    """What would be queued, a paragraph for each kind of job in the order of submission; then choices and warnings.

    Args:
        plan: what would be submitted.
        later: the reason for each task that would be queued later.
    """
    of_task = {submission.ref.task: submission.rule for submission in plan.submissions if submission.kind is Kind.TASK}
    names = {submission.ref: _name(submission, of_task) for submission in plan.submissions}
    alike: dict[tuple[str, str, str], _Alike] = {}
    for call in plan.calls:
        key = (
            names[call.first.ref],
            _waits_for(call.waits_for, names) + _released(call.first),
            str(unreserved(call.first.options).without(*SET_BY_PLUGIN)),
        )
        alike.setdefault(key, _Alike()).add(call)
    lines = [f"{plan_summary(plan, 'Would queue') if plan.calls else 'Nothing would be queued'}."]
    lines += requested_summary(plan)
    lines += deferred_summary(later)
    for (name, waits_for, options), jobs in alike.items():
        lines += ["", f"{name}: {_number(jobs, name)}{jobs}", f"  waits for  {waits_for}", f"  sbatch     {options}"]
        lines += [f"  runs       {text}" for text in _said(jobs.runs)]
    lines += ["", *plan.notices] if plan.notices else []
    return "\n".join([*lines, "", "This was a preview (--kempner-preview): nothing was submitted."])


def _number(jobs: _Alike, name: str) -> str:
    return "" if name in _OURS.values() or not jobs.arrays else f"{count_of(jobs.tasks, 'task')} as "


def _runs(submission: Submission) -> str:
    """What runs in the job of a task, if it says so."""
    if submission.step is None:
        return ""
    if submission.step.light is not None:
        return "its command alone, as a light job"
    why = submission.step.runs_snakemake
    return f"Snakemake in the job, because of {why}" if why else ""


def _said(runs: Mapping[str, int]) -> Iterator[str]:
    known = {text: number for text, number in runs.items() if text}
    for text, number in known.items():
        yield text if len(known) == 1 else f"{count_of(number, 'task')}: {text}"


def _name(submission: Submission, of_task: Mapping[str, str]) -> str:
    if submission.kind is Kind.GATE:
        return f"gate of {of_task.get(submission.ref.task, submission.label)}"
    if submission.kind is not Kind.TASK:
        return _OURS[submission.kind]
    is_alone = submission.ref.attempt == 1 and submission.segments == 1
    return submission.rule if is_alone else f"{submission.rule} ({submission.turn})"


def _waits_for(expression: Expression | None, names: Mapping[Ref, str]) -> str:
    if expression is None:
        return "nothing"
    words = dict.fromkeys(
        f"{term.type} {names.get(term.on, 'a job in the queue') if term.on else ''}".strip()
        + (f" + {term.minutes} min" if term.minutes else "")
        for term in expression.terms
    )
    return f"{'any of ' if isinstance(expression, AnyOf) and len(words) > 1 else ''}{', '.join(words)}"
