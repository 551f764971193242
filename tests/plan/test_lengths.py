"""However much a job waits for, Slurm takes it."""

from dataclasses import replace
from functools import cache

import pytest
from builders import POLICY, a_task

from snakemake_executor_plugin_kempner.plan import lengths
from snakemake_executor_plugin_kempner.plan.dependency import AllOf, AnyOf, DependencyType, Ref, Term, render
from snakemake_executor_plugin_kempner.plan.model import Kind, Plan
from snakemake_executor_plugin_kempner.plan.planner import make_plan

SLURM_TAKES = 128 * 1024


def fan_in(width: int, **policy: object) -> Plan:
    parts = [a_task("part", wildcards={"i": str(number)}) for number in range(width)]
    return make_plan([*parts, a_task("end", *(one.key for one in parts))], replace(POLICY, array_from=0, **policy))


@cache
def wide() -> Plan:
    return fan_in(10_001, detached=True)


def reached(plan: Plan, ref: Ref) -> tuple[type, set[Ref | None]]:
    """What a submission waits for, through gates."""
    found: set[Ref | None] = set()
    (call,) = (call for call in plan.calls if call.first.ref == ref)
    assert call.waits_for is not None
    gates = {one.first.ref: one for one in plan.calls if one.first.kind is Kind.GATE}
    for term in call.waits_for.terms:
        if term.on in gates:
            assert term.type is DependencyType.AFTEROK
            assert isinstance(gates[term.on].waits_for, type(call.waits_for))
            found |= {own.on for own in gates[term.on].first.waits_for.terms}
        else:
            found.add(term.on)
    return type(call.waits_for), found


def test_a_wide_fan_in_waits_for_all_of_it_in_pieces() -> None:
    plan = wide()
    parts = {Ref(f"part[i={number}]", 1) for number in range(10_001)}
    assert reached(plan, Ref("end", 1)) == (AllOf, parts)
    (guard,) = (one.ref for one in plan.submissions if one.kind is Kind.GUARD)
    assert reached(plan, guard) == (AnyOf, {*parts, Ref("end", 1)})


def test_no_dependency_is_longer_than_slurm_takes() -> None:
    for call in wide().calls:
        if call.waits_for is not None:
            assert len(render(call.waits_for, lambda _ref: "1234567890_12345")) <= SLURM_TAKES
            assert len(call.waits_for.terms) <= lengths.LONGEST


def test_what_is_short_enough_gets_no_gate() -> None:
    assert not any(one.kind is Kind.GATE for one in fan_in(100).submissions)


def test_each_gate_comes_before_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "LONGEST", 3)
    plan = fan_in(10, detached=True)
    known: set[Ref | None] = {None}
    for call in plan.calls:
        assert {term.on for term in (call.waits_for.terms if call.waits_for else ())} <= known
        known |= {one.ref for one in call.submissions}
    assert len({one.job_name for one in plan.submissions}) == len(plan.submissions)


def test_an_array_of_an_earlier_plan_is_named_once() -> None:
    terms = tuple(Term(type=DependencyType.AFTERANY, on=Ref(str(index), 1), whole=True) for index in range(9))
    assert render(AllOf(terms), lambda ref: f"7_{ref.task}") == "afterany:7"
