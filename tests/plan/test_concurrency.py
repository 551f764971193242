"""Limits on what runs at once become throttles and turns in a plan, and what cannot be kept so is said before."""

from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task, diamond, edge, sweep

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.plan.concurrency import JOBS
from snakemake_executor_plugin_kempner.plan.dependency import AllOf, DependencyType, Ref
from snakemake_executor_plugin_kempner.plan.model import Call, Kind, Plan, Policy
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Task

TWO = replace(POLICY, keep_going=True, limits={JOBS: 2})


def taking(task: Task, **units: int) -> Task:
    """The task, each of whose attempts takes a place and these units."""
    attempts = tuple(replace(one, units={JOBS: 1, **units}) for one in task.attempts)
    return replace(task, attempts=attempts)


def planned(*tasks: Task, policy: Policy = TWO, **units: int) -> Plan:
    return make_plan([taking(task, **units) for task in tasks], policy)


def waits(call: Call) -> list[tuple[str, str, bool]]:
    return [
        (term.type, term.on.task, term.whole) for term in (call.waits_for.terms if call.waits_for else ()) if term.on
    ]


def test_a_limit_that_nothing_reaches_changes_nothing() -> None:
    many = replace(TWO, limits={JOBS: 100})
    assert planned(*sweep(6), policy=many).calls == planned(*sweep(6), policy=replace(many, limits={})).calls
    assert planned(*sweep(6), policy=many).notices == ()


def test_an_array_is_throttled_and_the_next_one_waits_for_all_of_it() -> None:
    plan = planned(*sweep(6))
    train, evaluate = (call for call in plan.calls if call.is_array)
    assert train.options.get("array") == "0-5%2"
    assert ("aftercorr", "train[lr=1]", True) in waits(evaluate)
    assert ("afterany", "train[lr=1]", True) in waits(evaluate)
    assert plan.notices == (
        "To keep to --jobs=2, tasks of train, evaluate take turns. Slurm sees to it, also when nobody watches.",
    )


def test_single_tasks_hand_on_their_places() -> None:
    tasks = [a_task(name) for name in "abcd"]
    plan = planned(*tasks)
    assert [waits(call) for call in plan.calls] == [[], [], [("afterany", "a", False)], [("afterany", "b", False)]]
    assert plan.calls[2].first.why == "takes turns"


def test_a_chain_keeps_its_place_without_any_more_waiting() -> None:
    tasks = [a_task("a"), a_task("b", "a"), a_task("c", "b"), a_task("x"), a_task("y", "x"), a_task("z", "y")]
    alone = make_plan(tasks, replace(TWO, limits={}))
    assert [waits(call) for call in planned(*tasks).calls] == [waits(call) for call in alone.calls]


def test_retries_and_what_depends_on_them_take_turns_through_a_gate() -> None:
    one = replace(TWO, limits={JOBS: 1})
    plan = planned(a_task("train", attempts=2), a_task("report", "train"), a_task("other"), policy=one)
    (report,) = (call for call in plan.calls if call.first.ref == Ref("report", 1))
    assert report.waits_for is None or isinstance(report.waits_for, AllOf)
    gates = {call.first.ref: call for call in plan.calls if call.first.kind is Kind.GATE}
    reached = [gates[term.on].waits_for for term in report.waits_for.terms if term.on in gates]
    assert any({term.on for term in one.terms} == {Ref("train", 1), Ref("train", 2)} for one in reached)


def test_each_call_comes_after_all_that_it_waits_for() -> None:
    tasks = [*diamond(9), *(a_task(f"more{n}", attempts=2) for n in range(5)), a_task("end", "more1", "merge")]
    known: set[Ref | None] = {None}
    for call in planned(*tasks, policy=replace(TWO, keep_going=False, detached=True)).calls:
        assert {term.on for term in (call.waits_for.terms if call.waits_for else ())} <= known
        known |= {one.ref for one in call.submissions}


def test_what_is_in_the_queue_already_keeps_its_places() -> None:
    standing = {"old": (Ref("old", 1),)}
    policy = replace(TWO, limits={JOBS: 1}, standing=standing, standing_units=({JOBS: 1},))
    plan = planned(a_task("new"), policy=policy)
    assert waits(plan.calls[0]) == [("afterany", "old", True)]


def test_what_starts_with_another_task_is_not_taken_for_its_end() -> None:
    one = replace(TWO, limits={JOBS: 1})
    monitor = a_task("monitor", edge("after", "train"))
    plan = planned(a_task("train"), monitor, policy=one)
    assert {kind for kind, *_ in waits(plan.calls[1])} == {DependencyType.AFTER, DependencyType.AFTERANY}


def test_a_task_that_takes_more_than_there_is_is_a_fault() -> None:
    policy = replace(TWO, limits={"licence": 2})
    with pytest.raises(PlanError, match="needs 3 of licence, and --resources licence=2 allows less"):
        planned(a_task("solve"), policy=policy, licence=3)


def test_without_limits_nothing_takes_turns() -> None:
    assert all(not call.throttle for call in a_plan(*sweep(6)).calls)
