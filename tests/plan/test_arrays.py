"""Arrays never make a task wait for more, or for less, than it does alone."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task, diamond, sweep
from hypothesis import given
from hypothesis import strategies as st
from strategies import layers

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.plan.dependency import (
    AnyOf,
    DependencyType,
    Expression,
    Ref,
    Term,
    for_element,
)
from snakemake_executor_plugin_kempner.plan.model import Call, Kind, Plan, Policy
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.reserves import is_reserve, takes_turns
from snakemake_executor_plugin_kempner.plan.task import Attempt, Edge, Task

EAGER = replace(POLICY, array_from=2, keep_going=True)
"""Two tasks are an array already, and there is no guard."""
Meaning = tuple[type, frozenset[tuple[DependencyType, Ref | None, int | None]]] | None


def meaning(expression: Expression | None) -> Meaning:
    if expression is None:
        return None
    terms = frozenset((term.type, term.on, term.minutes) for term in expression.terms)
    return type(expression), terms


def meanings(plan: Plan) -> dict[Ref, Meaning]:
    """What each submission waits for by the call that it is part of, as Slurm reads that.

    An attempt in reserve: what it waits for when it is released.
    """
    home = {one.ref: call for call in plan.calls for one in call.submissions}
    found: dict[Ref, Meaning] = {}
    for call in plan.calls:
        for place, one in enumerate(call.submissions):
            terms = [own for term in _terms(call) for own in _meant(term, home, call.indices[place : place + 1])]
            if is_reserve(one.options):
                others = {earlier for array in _failed_before(call, home) for earlier in array} - set(one.earlier)
                terms = [own for own in terms if own[1] not in others]
            if one.kind is not Kind.RELEASE:
                found[one.ref] = (type(call.waits_for), frozenset(terms)) if call.waits_for else None
    return found


def _failed_before(call: Call, home: dict[Ref, Call]) -> list[list[Ref]]:
    before = [home[term.on] for term in _terms(call) if term.on and term.type is DependencyType.AFTERNOTOK]
    return [[one.ref for one in array.submissions] for array in before]


def submitted(plan: Plan) -> dict[Ref, Meaning]:
    """What each submission waits for alone."""
    return {one.ref: meaning(one.waits_for) for one in plan.submissions if one.kind is not Kind.RELEASE}


def _terms(call: Call) -> tuple[Term, ...]:
    return call.waits_for.terms if call.waits_for else ()


def _meant(
    term: Term, home: dict[Ref, Call], index: tuple[int, ...]
) -> list[tuple[DependencyType, Ref | None, int | None]]:
    if not term.whole or term.on is None:
        return [(term.type, term.on, term.minutes)]
    array = home[term.on]
    if term.type is not DependencyType.AFTERCORR:
        return [(term.type, one.ref, term.minutes) for one in array.submissions]
    partner = dict(zip(array.indices, array.submissions, strict=True))[index[0]]
    return [(DependencyType.AFTEROK, partner.ref, None)]


def shape(plan: Plan) -> dict[str, int]:
    """Number of calls by rule."""
    found: dict[str, int] = {}
    for call in plan.calls:
        found[call.first.rule] = found.get(call.first.rule, 0) + 1
    return found


def several(rule: str, after: list[list[str]], **options: object) -> list[Task]:
    return [
        a_task(rule, *keys, wildcards={"i": str(number)}, **options)  # type: ignore[arg-type]
        for number, keys in enumerate(after)
    ]


def keys(rule: str, *numbers: int) -> list[str]:
    return [f"{rule}[i={number}]" for number in numbers]


# --- the law --------------------------------------------------------------------------------------------------------


@given(layers(), st.sampled_from([2, 3, 5]), st.sampled_from([2, 4, 1000]))
def test_each_task_waits_for_exactly_what_it_waits_for_alone(tasks: list[Task], array_from: int, largest: int) -> None:
    plan = make_plan(tasks, replace(EAGER, array_from=array_from, largest_array=largest))
    found = meanings(plan)
    assert found == submitted(plan)
    assert found == submitted(make_plan(tasks, replace(EAGER, array_from=0)))


@given(layers(), st.sampled_from([2, 4, 1000]))
def test_each_submission_is_made_once_after_all_that_it_waits_for(tasks: list[Task], largest: int) -> None:
    plan = make_plan(tasks, replace(EAGER, largest_array=largest))
    alone = make_plan(tasks, replace(EAGER, array_from=0))
    assert submitted(plan).keys() == submitted(alone).keys()
    assert len(plan.submissions) == len({one.ref for one in plan.submissions})
    known: set[Ref | None] = {None}
    for call in plan.calls:
        assert {term.on for term in _terms(call)} <= known
        known |= {one.ref for one in call.submissions}


@given(layers(), st.sampled_from([2, 4, 1000]))
def test_the_elements_of_an_array_ask_for_the_same_and_have_indices_of_their_own(
    tasks: list[Task], largest: int
) -> None:
    for call in make_plan(tasks, replace(EAGER, largest_array=largest)).calls:
        assert len({(one.rule, one.options, one.ref.attempt) for one in call.submissions}) == 1
        if call.is_array:
            assert list(call.indices) == sorted(set(call.indices))
            assert len(call.indices) == len(call.submissions) <= largest
            assert call.indices[-1] < largest


# --- named shapes ---------------------------------------------------------------------------------------------------


def test_a_sweep_is_one_call_for_each_rule() -> None:
    plan = make_plan(sweep(1000), EAGER)
    assert shape(plan) == {"fetch": 1, "train": 1, "evaluate": 1, "report": 1}
    expressions = [_terms(call) for call in plan.calls]
    assert [[(term.type, term.whole) for term in terms] for terms in expressions] == [
        [], [(DependencyType.AFTEROK, False)], [(DependencyType.AFTERCORR, True)], [(DependencyType.AFTEROK, True)],
    ]  # fmt: skip


def test_a_fan_in_from_a_part_of_an_array_names_the_part() -> None:
    tasks = several("a", [[]] * 5)
    (call,) = (call for call in make_plan([*tasks, a_task("end", *keys("a", 1, 3))], EAGER).calls if not call.is_array)
    assert [(term.on, term.whole) for term in _terms(call)] == [
        (Ref("a[i=1]", 1), False),
        (Ref("a[i=3]", 1), False),
    ]


def test_elements_correspond_by_their_numbers_not_by_their_letters() -> None:
    first, second = several("a", [[]] * 12), several("b", [keys("a", number) for number in range(12)])
    plan = make_plan([*reversed(first), *second], EAGER)
    for call in plan.calls:
        assert [one.label for one in call.submissions] == keys(call.first.rule, *range(12))


def test_two_evaluations_of_each_training_are_two_arrays() -> None:
    trainings = several("train", [[]] * 4)
    evaluations = [
        a_task("evaluate", train.key, wildcards={**train.wildcards, "on": data})
        for train in trainings
        for data in ("x", "y")
    ]
    plan = make_plan([*trainings, *evaluations], EAGER)
    assert shape(plan) == {"train": 1, "evaluate": 2}
    assert [call.indices for call in plan.calls] == [(0, 1, 2, 3)] * 3


def test_what_all_need_from_another_array_is_named_not_followed() -> None:
    references = several("reference", [[]] * 2)
    samples = several("sample", [[]] * 6)
    maps = several("map", [[*keys("sample", number), *keys("reference", number % 2)] for number in range(6)])
    plan = make_plan([*references, *samples, *maps], EAGER)
    assert shape(plan) == {"reference": 1, "sample": 1, "map": 2}


def test_a_sliding_window_stays_single() -> None:
    tasks = [*several("a", [[]] * 6), *several("b", [keys("a", number, number + 1) for number in range(5)])]
    assert shape(make_plan(tasks, EAGER)) == {"a": 1, "b": 5}


def test_further_attempts_wait_in_reserve_and_a_job_releases_them() -> None:
    plan = make_plan(several("a", [[]] * 4, attempts=3), EAGER)
    first, second, third, release = plan.calls
    assert [len(call.submissions) for call in plan.calls] == [4, 4, 4, 1]
    assert [is_reserve(call.first.options) for call in plan.calls] == [False, True, True, False]
    assert second.indices == first.indices == third.indices
    assert texts(second) == ["afternotok a[i=0] 1 whole"]
    assert texts(third) == ["afternotok a[i=0] 1 whole", "afternotok a[i=0] 2 whole"]
    assert release.first.kind is Kind.RELEASE
    assert texts(release) == [f"afternotok a[i={number}] 1" for number in range(4)]
    assert [call.has_reserve for call in plan.calls] == [True, True, False, False]


def test_what_waits_for_tasks_with_retries_follows_all_their_attempts_element_by_element() -> None:
    plan = make_plan([*several("a", [[]] * 4, attempts=2), *several("b", [keys("a", n) for n in range(4)])], EAGER)
    (behind,) = (call for call in plan.calls if call.first.rule == "b")
    assert isinstance(behind.waits_for, AnyOf)
    assert texts(behind) == ["aftercorr a[i=0] 1 whole", "aftercorr a[i=0] 2 whole"]


def test_what_needs_all_tasks_with_retries_waits_for_an_array_of_gates() -> None:
    tasks = [*several("a", [[]] * 4, attempts=2), a_task("report", *keys("a", 0, 1, 2, 3))]
    plan = make_plan(tasks, EAGER)
    (gates,) = (call for call in plan.calls if call.first.kind is Kind.GATE)
    assert len(gates.submissions) == 4
    (report,) = (call for call in plan.calls if call.first.rule == "report")
    assert texts(report) == ["afterok a[i=0] 0 whole"]


def test_the_guard_knows_tasks_with_attempts_in_reserve_by_their_gates_and_starts_for_final_failures_only() -> None:
    tasks = [*several("a", [[]] * 4, attempts=2), a_task("b", attempts=2)]
    plan = make_plan(tasks, replace(POLICY, array_from=2))
    (guard,) = (call for call in plan.calls if call.first.kind is Kind.GUARD)
    assert texts(guard) == [*(f"afternotok a[i={number}] 0" for number in range(4)), "afternotok b 0"]


def test_calls_grow_with_rules_not_with_tasks_also_with_retries() -> None:
    def calls(number: int) -> int:
        first = several("a", [[]] * number, attempts=3)
        second = several("b", [keys("a", n) for n in range(number)], attempts=2)
        return len(make_plan([*first, *second, a_task("c", *keys("b", *range(number)))], EAGER).calls)

    assert calls(10) == calls(200) <= 12


def test_calls_grow_with_rules_also_where_tasks_take_turns() -> None:
    def calls(number: int) -> tuple[Call, ...]:
        first = several("a", [[]] * number, attempts=3)
        second = several("b", [keys("a", n) for n in range(number)], attempts=2)
        tasks = [*first, *second, a_task("c", *keys("b", *range(number)))]
        limited = replace(EAGER, limits={"_nodes": 5}, keep_going=False)
        return make_plan([replace(task, attempts=_counted(task.attempts)) for task in tasks], limited).calls

    assert len(calls(10)) == len(calls(200)) <= 16
    tried_again = [call for call in calls(10) if is_reserve(call.first.options)]
    assert [call.throttle for call in tried_again] == [5, 5, 5]
    assert all(takes_turns(call.first.options) for call in tried_again)


def test_further_attempts_that_take_more_of_a_limit_than_the_first_are_alone() -> None:
    limited = replace(EAGER, limits={"licence": 2})
    units = ({"licence": 1}, {"licence": 2})
    tasks = [
        replace(task, attempts=tuple(map(_taking, task.attempts, units))) for task in several("a", [[]] * 3, attempts=2)
    ]
    assert not any(is_reserve(call.first.options) for call in make_plan(tasks, limited).calls)


def _taking(attempt: Attempt, units: Mapping[str, int]) -> Attempt:
    return replace(attempt, units=units)


def _counted(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    return tuple(replace(attempt, units={"_nodes": 1}) for attempt in attempts)


def test_what_waits_for_the_end_of_all_attempts_need_not_wait_for_a_reserve() -> None:
    cleanup = [a_task("b", Edge(on=key, type=DependencyType.AFTERANY)) for key in keys("a", 0)]
    plan = make_plan([*several("a", [[]] * 4, attempts=2), *cleanup], EAGER)
    second = [call for call in plan.calls if call.first.rule == "a" and call.first.ref.attempt == 2]
    assert sorted(len(call.submissions) for call in second) == [1, 3]


def test_where_slurm_keeps_what_can_never_start_there_is_no_reserve() -> None:
    plan = make_plan(several("a", [[]] * 4, attempts=2), replace(EAGER, kill_on_invalid_dep=False))
    assert not any(is_reserve(call.first.options) for call in plan.calls)


def texts(call: Call) -> list[str]:
    found = (f"{term.type} {term.on.task} {term.on.attempt}{' whole' * term.whole}" for term in _terms(call) if term.on)
    return list(found)


def test_tasks_that_ask_for_different_things_are_different_arrays() -> None:
    small, large = several("a", [[]] * 3), several("b", [[]] * 3, resources={"mem_mb": 9000})
    mixed = [*small, *(replace(task, name="a") for task in large)]
    assert shape(make_plan(mixed, EAGER)) == {"a": 2}


def test_a_rule_has_its_own_say_about_arrays() -> None:
    never, early = ({"slurm_array": number} for number in (0, 2))
    assert shape(a_plan(*several("a", [[]] * 9, resources=never), policy=replace(EAGER, array_from=5))) == {"a": 9}
    assert shape(a_plan(*several("a", [[]] * 2, resources=early), policy=replace(EAGER, array_from=5))) == {"a": 1}
    assert shape(a_plan(*several("a", [[]] * 4), policy=replace(EAGER, array_from=5))) == {"a": 4}


@pytest.mark.parametrize("value", ["yes", -1, True, 1.5])
def test_what_a_rule_says_about_arrays_is_a_number(value: object) -> None:
    with pytest.raises(PlanError, match="slurm_array="):
        a_plan(a_task("a", resources={"slurm_array": value}))  # type: ignore[dict-item]


def test_singletons_take_turns_and_so_are_no_array() -> None:
    tasks = [replace(task, singleton=True) for task in several("a", [[]] * 6)]
    assert shape(make_plan(tasks, EAGER)) == {"a": 6}


def test_a_large_sweep_is_as_many_arrays_as_slurm_wants() -> None:
    plan = make_plan(sweep(25), replace(EAGER, largest_array=10))
    assert [len(call.submissions) for call in plan.calls] == [1, 10, 10, 5, 10, 10, 5, 1]
    (report,) = (call for call in plan.calls if call.first.rule == "report")
    assert [term.whole for term in _terms(report)] == [True] * 3


def test_the_guard_hears_of_the_first_failure_of_an_array_not_of_its_end() -> None:
    plan = make_plan(diamond(6), replace(POLICY, array_from=2))
    (guard,) = (call for call in plan.calls if call.first.kind is Kind.GUARD)
    assert not any(term.whole for term in _terms(guard))


def test_planning_arrays_is_linear() -> None:
    plan = make_plan(sweep(5000), Policy(**{**_fields(EAGER), "largest_array": 10_000}))
    assert len(plan.calls) == 4


def _fields(policy: Policy) -> dict[str, object]:
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}


# --- texts ----------------------------------------------------------------------------------------------------------


def test_what_corresponds_is_named_for_one_element() -> None:
    assert for_element("afterok:7,aftercorr:8:9,afterany:10", 4) == "afterok:7,afterok:8_4:9_4,afterany:10"
    assert for_element("afterok:7?afterok:8", 4) == "afterok:7?afterok:8"
