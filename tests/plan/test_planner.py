"""What waits for what."""

import json
from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task, chain, diamond, edge, retry_with_gate

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.plan.dependency import AllOf, AnyOf, Expression, Ref, render
from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.light import LightTask
from snakemake_executor_plugin_kempner.plan.model import Kind, Plan, Policy, Submission, log_path
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task

ALONE = replace(POLICY, keep_going=True)
"""Without a guard."""


def waits(plan: Plan) -> dict[str, str]:
    """For each submission, `align.2` for the second attempt and `align.gate`, what it waits for in these names."""
    return {_name(one.ref): _text(one.waits_for) for one in plan.submissions}


def _name(ref: Ref) -> str:
    return f"{ref.task}.{ref.attempt or 'gate'}"


def _text(expression: Expression | None) -> str:
    return render(expression, _name) if expression else ""


def of(plan: Plan, task: str, attempt: int = 1) -> Submission:
    return next(one for one in plan.submissions if one.ref == Ref(task, attempt))


# --- shapes ---------------------------------------------------------------------------------------------------------


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert a_plan().submissions == ()


def test_a_chain_waits_link_by_link() -> None:
    assert waits(a_plan(*chain(), policy=ALONE)) == {
        "fetch.1": "",
        "align.1": "afterok:fetch.1",
        "plot.1": "afterok:align.1",
    }


def test_a_fan_in_waits_for_all_in_one_list() -> None:
    plan = a_plan(*diamond(3), policy=ALONE)
    assert of(plan, "merge").waits_for is not None
    assert waits(plan)["merge.1"] == "afterok:align[sample=1].1:align[sample=2].1:align[sample=3].1"
    assert waits(plan)["align[sample=2].1"] == "afterok:split.1"


def test_a_fan_in_of_five_hundred_is_one_submission_each() -> None:
    plan = a_plan(*diamond(500), policy=ALONE)
    assert len(plan.submissions) == 502
    assert len(of(plan, "merge").waits_for.terms) == 500


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_every_dependency_comes_first_in_whatever_order_tasks_are_given(order: tuple[int, ...]) -> None:
    plan = a_plan(*(chain()[place] for place in order), policy=ALONE)
    assert [one.ref.task for one in plan.submissions] == ["fetch", "align", "plot"]


def test_a_chain_of_five_thousand_is_planned() -> None:
    tasks = [a_task("t0"), *(a_task(f"t{number}", f"t{number - 1}") for number in range(1, 5000))]
    assert len(a_plan(*tasks, policy=ALONE).submissions) == 5000


# --- attempts -------------------------------------------------------------------------------------------------------


def test_each_attempt_waits_for_the_failure_of_all_before_it() -> None:
    assert waits(a_plan(a_task("train", attempts=3), policy=ALONE)) == {
        "train.1": "",
        "train.2": "afternotok:train.1",
        "train.3": "afternotok:train.1:train.2",
    }


def test_each_attempt_waits_for_the_inputs_of_the_task_too() -> None:
    plan = a_plan(a_task("fetch"), a_task("train", "fetch", attempts=2), policy=ALONE)
    assert waits(plan)["train.2"] == "afterok:fetch.1,afternotok:train.1"


def test_a_task_behind_one_with_retries_waits_for_any_of_its_attempts() -> None:
    plan = a_plan(a_task("train", attempts=2), a_task("report", "train"), policy=ALONE)
    assert isinstance(of(plan, "report").waits_for, AnyOf)
    assert waits(plan)["report.1"] == "afterok:train.1?afterok:train.2"


def test_a_task_with_further_inputs_waits_for_a_gate() -> None:
    plan = a_plan(*retry_with_gate(), policy=ALONE)
    assert isinstance(of(plan, "report").waits_for, AllOf)
    assert waits(plan)["report.1"] == "afterok:train.gate:fetch.1"
    assert waits(plan)["train.gate"] == "afterok:train.1?afterok:train.2?afterok:train.3"


def test_a_task_with_retries_of_its_own_waits_for_a_gate() -> None:
    plan = a_plan(a_task("train", attempts=2), a_task("report", "train", attempts=2), policy=ALONE)
    assert waits(plan)["report.1"] == "afterok:train.1?afterok:train.2"
    assert waits(plan)["report.2"] == "afterok:train.gate,afternotok:report.1"


def test_tasks_share_the_gate_of_what_they_need() -> None:
    reports = [a_task(f"report{number}", "train", "fetch") for number in range(3)]
    plan = a_plan(a_task("train", attempts=2), a_task("fetch"), *reports, policy=ALONE)
    assert [one.kind for one in plan.submissions].count(Kind.GATE) == 1


def test_each_attempt_has_its_own_resources_and_knows_those_before() -> None:
    plan = a_plan(a_task("train", resources=[{"mem_mb": 1000}, {"mem_mb": 2000}], attempts=2), policy=ALONE)
    assert [one.options.get("mem") for one in plan.submissions] == ["1000M", "2000M"]
    assert [one.earlier for one in plan.submissions] == [(), (Ref("train", 1),)]


def test_a_gate_is_put_where_no_device_is_asked_for() -> None:
    train = a_task("train", attempts=2, resources={"slurm_partition": "gpu", "gpu": 1})
    fetch = a_task("fetch", resources={"slurm_partition": "shared", "slurm_account": "lab", "mem_mb": 9000})
    plan = a_plan(train, fetch, a_task("report", "train", "fetch"), policy=ALONE)
    options = of(plan, "train", 0).options
    assert options.only("partition", "account", "mem", "gres") == Options.of(
        "--partition=shared", "--account=lab", "--mem=50M"
    )


# --- declared edges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("afternotok", "afternotok:train.1:train.2"),
        ("afterany", "afterany:train.1:train.2"),
        ("after", "after:train.1"),
        ("afterok", "afterok:train.1?afterok:train.2"),
    ],
)
def test_a_task_with_retries_is_meant_as_a_whole(kind: str, expected: str) -> None:
    plan = a_plan(a_task("train", attempts=2), a_task("then", edge(kind, "train")), policy=ALONE)
    assert waits(plan)["then.1"] == expected


def test_a_delay_after_a_start_is_passed_on() -> None:
    plan = a_plan(a_task("train"), a_task("monitor", edge("after", "train", 10)), policy=ALONE)
    assert waits(plan)["monitor.1"] == "after:train.1+10"


def test_edges_of_different_types_are_all_waited_for() -> None:
    plan = a_plan(a_task("train"), a_task("fetch"), a_task("tell", "fetch", edge("afternotok", "train")), policy=ALONE)
    assert waits(plan)["tell.1"] == "afterok:fetch.1,afternotok:train.1"


# --- later plans of a run -------------------------------------------------------------------------------------------


def test_a_task_of_an_earlier_plan_is_named_by_what_is_left_of_it() -> None:
    policy = replace(ALONE, standing={"train": (Ref("train", 2), Ref("train", 3))}, first_number=7)
    plan = a_plan(a_task("report", "train"), policy=policy)
    assert waits(plan) == {"report.1": "afterok:train.2?afterok:train.3"}
    assert plan.submissions[0].job_name == "report.run1.7"


def test_a_later_plan_makes_a_gate_for_a_task_of_an_earlier_one() -> None:
    policy = replace(ALONE, standing={"train": (Ref("train", 1), Ref("train", 2))})
    plan = a_plan(a_task("fetch"), a_task("report", "train", "fetch"), policy=policy)
    assert waits(plan)["report.1"] == "afterok:train.gate:fetch.1"


# --- names, options, reasons ----------------------------------------------------------------------------------------


def test_job_names_are_unique_short_and_plain() -> None:
    tasks = [a_task("align: it's", wildcards={"s": str(number)}) for number in range(3)] + [a_task("x" * 300)]
    names = [one.job_name for one in a_plan(*tasks, policy=ALONE).submissions]
    assert names[:2] == ["align_it_s.run1.1", "align_it_s.run1.2"]
    assert len(set(names)) == len(names)
    assert all(len(name) < 80 for name in names)


def test_two_tasks_whose_wildcards_look_alike_have_logs_of_their_own() -> None:
    keys = ("aaaaaaaa1", "bbbbbbbb2")
    tasks = [replace(a_task("t", wildcards={"s": s}), key=key) for s, key in zip(("a b", "a/b"), keys, strict=True)]
    logs = {one.log for one in a_plan(*tasks, policy=ALONE).submissions}
    assert len(logs) == 2


def test_a_percent_sign_in_the_folder_is_no_replacement_of_slurm() -> None:
    plan = a_plan(a_task("fetch"), policy=replace(ALONE, folder="/flow/100%j"))
    (call,) = plan.calls
    assert log_path(call.log, "42").startswith("/flow/100%j/logs/fetch/")
    assert call.options.get("output").startswith("/flow/100%%j/logs/fetch/")
    assert log_path(call.log, "42").endswith(".42.log")


@pytest.mark.parametrize("kill", [True, False])
def test_killing_on_an_invalid_dependency_is_the_policys_choice(kill: bool) -> None:
    plan = a_plan(*chain(), policy=replace(ALONE, kill_on_invalid_dep=kill))
    assert {one.options.get("kill-on-invalid-dep") == "yes" for one in plan.submissions} == {kill}


def test_every_submission_that_waits_says_why() -> None:
    plan = a_plan(*retry_with_gate(), a_task("show", "report"))
    assert all(one.why for one in plan.submissions if one.waits_for)
    assert of(plan, "train", 2).why == "retry after attempt 1 has failed"


def test_raised_memory_is_said_once_for_all_rules() -> None:
    tasks = [a_task(name, wildcards={"s": "1"}, resources={"mem_mb": 10}) for name in ("b", "a", "c")]
    (notice,) = a_plan(*tasks, a_task("d", resources={"mem_mb": 4000})).notices
    assert "Memory raised to 500 MB for a, b, c" in notice


def test_a_job_that_runs_no_snakemake_gets_the_memory_that_its_rule_asks_for() -> None:
    light = LightTask(command="x", threads=1, outputs={}, logs=(), ensured={}, params=(), job_hash=1)

    def memory(asked: int) -> tuple[str, tuple[str, ...]]:
        (attempt,) = (task := a_task("a", resources={"mem_mb": asked})).attempts
        own = replace(task, attempts=(replace(attempt, step=replace(attempt.step, light=light)),))
        plan = a_plan(own)
        return plan.submissions[0].options.get("mem"), plan.notices

    assert memory(100) == ("100M", ())
    raised, (notice,) = memory(10)
    assert raised == "50M"
    assert notice.startswith("Memory raised to 50 MB for a")


# --- faults ---------------------------------------------------------------------------------------------------------


def faults(*tasks: Task, policy: Policy = POLICY) -> list[str]:
    with pytest.raises(PlanError) as caught:
        a_plan(*tasks, policy=policy)
    return [str(fault) for fault in caught.value.faults]


def test_a_circle_is_shown_whole() -> None:
    (fault,) = faults(a_task("a", "c"), a_task("b", "a"), a_task("c", "b"), a_task("d", "a"))
    ring = fault.removeprefix("workflow: tasks wait for each other in a circle: ").split(" → ")
    assert ring[0] == ring[-1]
    assert set(ring) == {"a", "b", "c"}


def test_a_task_that_is_not_part_of_the_run_is_a_fault() -> None:
    (fault,) = faults(a_task("align", "nothing"))
    assert fault.startswith("align: waits for a task that is not part of this run (nothing)")


def test_a_handler_of_a_handler_is_a_fault() -> None:
    """The first handler is taken out of the queue when it is not needed, which Slurm counts as "not ok"."""
    tell = a_task("tell", edge("afternotok", "train"))
    (fault,) = faults(a_task("train"), tell, a_task("shout", edge("afternotok", "tell")))
    assert "shout: is to run when tell fails, which is a failure handler itself" in fault


def test_all_faults_of_all_tasks_are_listed_at_once_and_each_once() -> None:
    bad = {"slurm_partition": "a b"}
    found = faults(
        a_task("a", resources=bad, attempts=2), a_task("b", "nothing", resources={"gpu": -1}), a_task("c", "c")
    )
    assert len(found) == 4


def test_the_message_counts_the_faults_and_says_that_nothing_was_submitted() -> None:
    with pytest.raises(PlanError, match=r"^1 fault found before anything was submitted:\n  - align: "):
        a_plan(a_task("align", resources={"gpu": -1}))
    with pytest.raises(PlanError, match=r"^2 faults found"):
        a_plan(a_task("align", resources={"gpu": -1, "runtime": "long"}))


# --- the guard ------------------------------------------------------------------------------------------------------


def guards(plan: Plan) -> list[str]:
    return [_text(one.waits_for) for one in plan.submissions if one.kind is Kind.GUARD]


def test_a_guard_waits_for_the_first_failure() -> None:
    assert guards(a_plan(a_task("a"), a_task("b"))) == ["afternotok:a.1?afternotok:b.1"]


def test_a_guard_knows_a_task_with_retries_by_its_gate_and_leaves_handlers_out() -> None:
    plan = a_plan(a_task("train", attempts=2), a_task("tell", edge("afternotok", "train")), a_task("after", "tell"))
    assert guards(plan) == ["afternotok:train.gate"]


def test_a_guard_looks_after_each_end_where_slurm_does_not_remove_jobs() -> None:
    plan = a_plan(a_task("a", attempts=2), policy=replace(POLICY, kill_on_invalid_dep=False))
    assert guards(plan) == ["afterany:a.1?afterany:a.2"]


def test_a_run_that_keeps_going_where_slurm_removes_jobs_needs_no_guard() -> None:
    assert guards(a_plan(*chain(), policy=replace(POLICY, keep_going=True))) == []


@pytest.mark.parametrize(
    ("resources", "warned"),
    [({"slurm_partition": "kempner_requeue"}, True), ({"requeue": 1}, True), ({"slurm_partition": "kempner"}, False)],
)
def test_a_folder_of_a_rule_that_may_be_requeued_is_warned_of(resources: dict[str, str | int], warned: bool) -> None:
    """Snakemake empties it before each start, with the checkpoints of the run before."""
    task = replace(a_task("train", resources=resources), folders=("runs/a",))
    notices = [one for one in a_plan(task).notices if "runs/a" in one]
    assert len(notices) == warned
    assert all("Rule train may be requeued" in one and "KEMPNER_CHECKPOINT_DIR" in one for one in notices)


# --- runs that nobody watches ---------------------------------------------------------------------------------------

DETACHED = replace(ALONE, detached=True)


def awaits(*keys: str) -> Deferred:
    return Deferred("it cannot be planned yet", frozenset(keys))


def detached(*tasks: Task, deferred: tuple[Deferred, ...] = (), **policy: object) -> Plan:
    return make_plan(tasks, replace(DETACHED, **policy), deferred)


def test_a_closing_job_waits_for_the_end_of_every_job_however_it_ends() -> None:
    plan = detached(*chain())
    assert plan.submissions[-1].kind is Kind.CLOSING
    assert waits(plan)["closing.1"] == "afterany:fetch.1:align.1:plot.1"
    assert plan.closing_waits_for is None


def test_a_closing_job_waits_for_all_attempts_and_for_no_job_of_ours() -> None:
    plan = detached(*retry_with_gate(), keep_going=False)
    kinds = [one.kind for one in plan.submissions]
    assert kinds[-2:] == [Kind.GUARD, Kind.CLOSING]
    assert Kind.GATE in kinds
    assert sorted(waits(plan)["closing.1"].removeprefix("afterany:").split(":")) == [
        "fetch.1",
        "report.1",
        "train.1",
        "train.2",
        "train.3",
    ]


def test_a_closing_job_waits_for_what_earlier_plans_have_left() -> None:
    plan = detached(a_task("align"), standing={"fetch": (Ref("fetch", 2), Ref("fetch", 3))})
    assert waits(plan)["closing.1"] == "afterany:fetch.2:fetch.3:align.1"


def test_a_run_that_is_watched_has_no_closing_job() -> None:
    plan = make_plan(chain(), ALONE, [awaits("fetch")])
    assert {one.kind for one in plan.submissions} == {Kind.TASK}
    assert plan.closing_waits_for is None


def test_a_run_without_tasks_has_no_closing_job() -> None:
    assert detached().submissions == ()
    assert detached(deferred=(awaits(),)).submissions == ()


def test_a_closing_job_is_spared_when_the_run_stops_and_a_continuation_is_not() -> None:
    plan = detached(*chain(), deferred=(awaits("fetch"),))
    assert {one.kind: one.spared for one in plan.submissions} == {
        Kind.TASK: False,
        Kind.CONTINUATION: False,
        Kind.CLOSING: True,
    }


CONTINUATIONS = {
    "one task": ((awaits("fetch"),), "afterok:fetch.1"),
    "a task with retries": ((awaits("train"),), "afterok:train.1?afterok:train.2"),
    "one of two tasks": ((awaits("fetch"), awaits("plot")), "afterok:fetch.1?afterok:plot.1"),
    "the same task twice": ((awaits("fetch"), awaits("fetch")), "afterok:fetch.1"),
    "two tasks together": ((awaits("plot", "fetch"),), "afterok:fetch+plot.gate"),
    "two tasks together, or a third": (
        (awaits("fetch", "plot"), awaits("train")),
        "afterok:fetch+plot.gate?afterok:train.1?afterok:train.2",
    ),
    "nothing but the head": ((awaits(),), None),
}


@pytest.mark.parametrize("what", CONTINUATIONS)
def test_a_continuation_waits_for_what_decides_over_something(what: str) -> None:
    deferred, expected = CONTINUATIONS[what]
    tasks = (a_task("fetch"), a_task("plot"), a_task("train", attempts=2))
    plan = detached(*tasks, deferred=deferred)
    assert waits(plan).get("continuation.1") == expected
    assert [one.kind for one in plan.submissions].count(Kind.CONTINUATION) == (expected is not None)
    ends = {"fetch.1", "plot.1", "train.1", "train.2", *(["continuation.1"] if expected else [])}
    assert set(waits(plan)["closing.1"].removeprefix("afterany:").split(":")) == ends


def test_a_set_of_tasks_has_one_gate_in_which_a_task_with_retries_has_its_own() -> None:
    deferred = (awaits("fetch", "train"), awaits("train", "fetch"))
    plan = detached(a_task("fetch"), a_task("train", attempts=2), deferred=deferred)
    assert waits(plan)["fetch+train.gate"] == "afterok:fetch.1:train.gate"
    assert waits(plan)["train.gate"] == "afterok:train.1?afterok:train.2"
    assert [one.kind for one in plan.submissions].count(Kind.GATE) == 2


def test_a_continuation_may_wait_for_a_task_of_an_earlier_plan() -> None:
    plan = detached(a_task("align"), deferred=(awaits("split"),), standing={"split": (Ref("split", 2),)})
    assert waits(plan)["continuation.1"] == "afterok:split.2"
    assert waits(plan)["closing.1"] == "afterany:split.2:align.1:continuation.1"


def test_a_closing_job_that_still_waits_is_put_off_and_no_second_one_is_queued() -> None:
    policy = {"closing": Ref("closing", 1), "first_number": 5, "standing": {"fetch": (Ref("fetch", 1),)}}
    plan = detached(a_task("align", "fetch"), deferred=(awaits("align"),), **policy)
    assert [one.kind for one in plan.submissions] == [Kind.TASK, Kind.CONTINUATION]
    assert _text(plan.closing_waits_for) == "afterany:fetch.1:align.1:continuation.5"
    assert detached(**policy).closing_waits_for is None  # nothing new


def test_a_prefix_stands_before_the_name_of_each_job() -> None:
    tasks = [*retry_with_gate(), a_task("alone")]
    plan = make_plan([replace(tasks[-1], singleton=True), *tasks[:-1]], replace(POLICY, detached=True, prefix="doe-"))
    assert all(one.job_name.startswith("doe-") for one in plan.submissions)
    assert [one.shown_name for one in plan.submissions if one.shown_name] == ["doe-alone"]


def test_names_of_jobs_of_ours_are_numbered_on_in_later_plans() -> None:
    plan = detached(a_task("align"), deferred=(awaits("align"),), first_number=5)
    assert [one.job_name for one in plan.submissions] == ["align.run1.5", "continuation.run1.6", "closing.run1.7"]
    assert {one.ref.attempt for one in plan.submissions[1:]} == {5}


def test_mail_about_a_task_is_that_tasks_alone() -> None:
    mail = {"slurm_extra": "--mail-type=ALL --mail-user=me@lab.edu"}
    plan = detached(a_task("fetch"), a_task("train", resources=mail))
    assert plan.submissions[-1].options.only("mail-type", "mail-user") == NO_OPTIONS
    assert detached(*chain()).submissions[-1].options.only("mail-type", "mail-user") == NO_OPTIONS


def test_options_for_the_closing_job_count_for_it_alone() -> None:
    options = Options.of("--time=5", "--mail-type=ALL", "--no-requeue")
    plan = detached(*chain(), deferred=(awaits("fetch"),), closing_options=options)
    *others, closing = (one.options for one in plan.submissions)
    assert closing.only("time", "mail-type", "no-requeue", "requeue") == options
    assert not any(of_job.get("time") == "5" or "mail-type" in of_job for of_job in others)


def test_jobs_that_look_after_the_run_ask_for_no_device() -> None:
    train = a_task("train", resources={"slurm_partition": "gpu", "gpu": 1})
    fetch = a_task("fetch", resources={"slurm_partition": "shared"})
    for one in detached(train, fetch, deferred=(awaits("fetch"),)).submissions[-2:]:
        asked = one.options.only("partition", "time", "mem", "gres")
        assert asked == Options.of("--partition=shared", "--time=60", "--mem=2000M")
        name = "closing-job" if one.kind is Kind.CLOSING else one.kind.value
        assert one.log == f"/flow/.snakemake/kempner/run1/{name}.log"


def test_a_log_whose_path_slurm_would_not_read_as_a_pattern_is_opened_by_the_job() -> None:
    """Slurm takes a path with a backslash as it is, without the backslashes: `%j` stays, and all jobs have one file."""
    policy = replace(POLICY, folder="/fl\\ow/%j")
    (call,) = a_plan(a_task("fetch"), policy=policy).calls[:1]
    script, _ = call_script(call, policy, {}.__getitem__)
    assert call.options.get("output") == f"/fl\\\\ow/%j/logs/fetch/{call.job_name}.log"
    assert json.dumps(call.log) in script
    assert log_path(call.log, "42").startswith("/fl\\ow/%j/logs/fetch/")
