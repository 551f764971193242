"""A plan for a script that runs on its own: nobody releases attempts in reserve."""

from dataclasses import replace

from builders import POLICY, a_task

from snakemake_executor_plugin_kempner.export.released import released
from snakemake_executor_plugin_kempner.plan.concurrency import JOBS
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType, Expression, Ref, Term
from snakemake_executor_plugin_kempner.plan.model import Kind
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.reserves import is_reserve


def test_attempts_in_reserve_are_jobs_alone_because_nobody_releases_them_in_a_script() -> None:
    """Each waits for what it would wait for in a plan without arrays."""
    train = [a_task("train", attempts=3, wildcards={"n": str(n)}, resources=[{}] * 3) for n in range(3)]
    score = [a_task("score", task.key, wildcards=task.wildcards) for task in train]
    report = a_task("report", *(task.key for task in score))
    tasks = (*train, *score, report)
    policy = replace(POLICY, keep_going=True)
    plan = make_plan(tasks, replace(policy, array_from=2))
    assert any(is_reserve(call.first.options) for call in plan.calls)
    calls = released(plan.calls)
    assert [call.first.rule for call in calls if call.is_array] == ["train"], "the first attempts stay an array"
    assert not any(is_reserve(submission.options) for call in calls for submission in call.submissions)
    single = make_plan(tasks, replace(policy, array_from=0)).submissions
    alone = {submission.ref: submission.waits_for for submission in single}
    for call in calls:
        for submission in call.submissions:
            if submission.kind is not Kind.RELEASE:
                assert _conditions(call.waits_for) == _conditions(alone[submission.ref]), submission.ref
    assert len({call.job_name for call in calls}) == len(calls)


def test_what_takes_turns_waits_for_the_array_before_it_and_for_all_that_had_its_place() -> None:
    train = [a_task("train", attempts=2, wildcards={"n": str(n)}, resources=[{}] * 2) for n in range(5)]
    train = [
        replace(task, attempts=tuple(replace(attempt, units={JOBS: 1}) for attempt in task.attempts)) for task in train
    ]
    calls = released(make_plan(train, replace(POLICY, keep_going=True, array_from=2, limits={JOBS: 2})).calls)
    first, *again = (call for call in calls if call.first.rule == "train")
    assert (first.throttle, len(again)) == (2, 5)
    for number, call in enumerate(again):
        terms = set(call.waits_for.terms) if call.waits_for else set()
        own = train[number].key
        assert Term(type=DependencyType.AFTERNOTOK, on=Ref(own, 1)) in terms
        assert Term(type=DependencyType.AFTERANY, on=first.first.ref, whole=True) in terms
        taken = {term.on.task for term in terms if term.on and term.on.attempt == 2}
        assert taken == {train[other].key for other in range(number) if other % 2 == number % 2}


def test_a_limit_on_what_follows_retries_is_kept_through_gates() -> None:
    train = [a_task("train", attempts=2, wildcards={"n": str(n)}, resources=[{}] * 2) for n in range(5)]
    score = [a_task("score", task.key, wildcards=task.wildcards) for task in train]
    score = [
        replace(task, attempts=tuple(replace(attempt, units={"licence": 1}) for attempt in task.attempts))
        for task in score
    ]
    policy = replace(POLICY, keep_going=True, array_from=2, limits={"licence": 2})
    plan = make_plan([*train, *score], policy)
    assert [call.throttle for call in plan.calls if call.first.rule == "score"] == [2]
    calls = released(plan.calls)
    waits_for = {call.first.ref: call.waits_for for call in calls}
    alone = [call for call in calls if call.first.rule == "score" and call.first.kind is Kind.TASK]
    assert len(alone) == 5
    for number, call in enumerate(alone):
        turns = {term.on.task for term in _terms(call.waits_for) if term.on and term.type is DependencyType.AFTERANY}
        assert turns == {score[other].key for other in range(number) if other % 2 == number % 2}
        (needs,) = (
            (term.on for term in _terms(call.waits_for) if term.type is DependencyType.AFTEROK) if turns else (None,)
        )
        tried = waits_for[needs] if needs else call.waits_for
        assert {term.on for term in _terms(tried)} == {Ref(train[number].key, 1), Ref(train[number].key, 2)}


def _terms(expression: Expression | None) -> tuple[Term, ...]:
    return tuple(expression.terms) if expression else ()


def _conditions(expression: Expression | None) -> tuple[type, frozenset[tuple[DependencyType, Ref | None]]] | None:
    if expression is None:
        return None
    return type(expression), frozenset((term.type, term.on) for term in expression.terms)
