"""A plan as text that a person can check, for golden files."""

from snakemake_executor_plugin_kempner.plan.dependency import AnyOf, Ref, Term
from snakemake_executor_plugin_kempner.plan.model import Call, Kind, Plan


def describe(plan: Plan) -> str:
    """Each call of sbatch with what it waits for, why, and its own options; what all have in common comes first."""
    every = [set(call.first.options.argv) for call in plan.calls]
    common = [option for option in plan.calls[0].first.options.argv if all(option in of_job for of_job in every)]
    lines = ["every job: " + " ".join(common)]
    for number, call in enumerate(plan.calls, start=1):
        lines += ["", f"{number}. {call.job_name}: {_what(call)}"]
        lines += [f"   {name}: {text}" for name, text in _details(plan, call, common) if text]
    lines += [f"\nnotice: {notice}" for notice in plan.notices]
    return "\n".join(lines) + "\n"


def _what(call: Call) -> str:
    first = call.first
    if first.kind is Kind.GATE:
        return f"array of {len(call.submissions)} gates" if call.is_array else f"gate of {first.label}"
    if first.kind is Kind.GUARD:
        return "guard of the run"
    if first.kind is not Kind.TASK:
        return f"{first.kind.value} of the run"
    if call.is_array:
        return f"array of {len(call.submissions)} tasks of {first.rule}, attempt {first.ref.attempt}"
    return f"{first.label}, attempt {first.ref.attempt}"


def _details(plan: Plan, call: Call, common: list[str]) -> list[tuple[str, str]]:
    array = call.options.only("array").argv
    elements = zip(call.indices, call.submissions, strict=False)
    return [
        *(("element", f"{index} {one.label}") for index, one in elements),
        ("shown as", call.first.shown_name),
        ("waits for", _waits_for(plan, call)),
        ("why", call.first.why),
        ("options", " ".join([*array, *(option for option in call.first.options.argv if option not in common)])),
        ("log", call.log),
    ]


def _waits_for(plan: Plan, call: Call) -> str:
    expression = call.waits_for
    if expression is None:
        return "nothing"
    names = {
        one.ref: (str(number), f"[{call.indices[place]}]" if call.is_array else "")
        for number, call in enumerate(plan.calls, start=1)
        for place, one in enumerate(call.submissions)
    }
    several = "" if len(expression.terms) == 1 else "any of " if isinstance(expression, AnyOf) else "all of "
    return several + ", ".join(_term(term, names) for term in expression.terms)


def _term(term: Term, names: dict[Ref, tuple[str, str]]) -> str:
    if term.on is None:
        return str(term.type)
    delay = f" + {term.minutes} min" if term.minutes else ""
    number, element = names.get(term.on, (str(term.on), ""))
    return f"{term.type} {number}{'' if term.whole else element}{delay}"
