"""A plan as text that a person can check, for golden files."""

from snakemake_executor_plugin_kempner.plan.dependency import AnyOf, Ref, Term
from snakemake_executor_plugin_kempner.plan.model import Kind, Plan, Submission


def describe(plan: Plan) -> str:
    """Each submission with what it waits for, why, and its own options; what all have in common comes first."""
    common = [one for one in _options(plan.submissions[0]) if all(one in _options(s) for s in plan.submissions)]
    lines = ["every job: " + " ".join(common)]
    for number, submission in enumerate(plan.submissions, start=1):
        lines += ["", f"{number}. {submission.job_name}: {_what(submission)}"]
        lines += [f"   {name}: {text}" for name, text in _details(plan, submission, common) if text]
    lines += [f"\nnotice: {notice}" for notice in plan.notices]
    return "\n".join(lines) + "\n"


def _options(submission: Submission) -> list[str]:
    return [option for option in submission.options if not option.startswith("--output=")]


def _what(submission: Submission) -> str:
    if submission.kind is Kind.GATE:
        return f"gate of {submission.label}"
    if submission.kind is Kind.GUARD:
        return "guard of the run"
    if submission.kind is not Kind.TASK:
        return f"{submission.kind.value} of the run"
    return f"{submission.label}, attempt {submission.ref.attempt}"


def _details(plan: Plan, submission: Submission, common: list[str]) -> list[tuple[str, str]]:
    return [
        ("shown as", submission.shown_name),
        ("waits for", _waits_for(plan, submission)),
        ("why", submission.why),
        ("options", " ".join(option for option in _options(submission) if option not in common)),
        ("log", submission.log),
    ]


def _waits_for(plan: Plan, submission: Submission) -> str:
    expression = submission.waits_for
    if expression is None:
        return "nothing"
    numbers = {one.ref: number for number, one in enumerate(plan.submissions, start=1)}
    several = "" if len(expression.terms) == 1 else "any of " if isinstance(expression, AnyOf) else "all of "
    return several + ", ".join(_term(term, numbers) for term in expression.terms)


def _term(term: Term, numbers: dict[Ref, int]) -> str:
    if term.on is None:
        return str(term.type)
    delay = f" + {term.minutes} min" if term.minutes else ""
    return f"{term.type} {numbers.get(term.on, term.on)}{delay}"
