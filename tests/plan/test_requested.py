"""The sum of what a plan asks for, and the limit on its GPU hours."""

from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task, edge
from kempner_site import SITE

from snakemake_executor_plugin_kempner.announcements import plan_messages
from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Deferred

GPU = {"gpu": 2, "runtime": 120}
WORKFLOW = (
    a_task("split", resources={"runtime": 30}),
    *(a_task("train", "split", wildcards={"seed": str(seed)}, resources=GPU, threads=4) for seed in range(3)),
    a_task("plot", "split", resources={"runtime": 60}),
    a_task("merge", *(f"train[seed={seed}]" for seed in range(3)), resources={"runtime": 10}),
)


def test_hours_are_those_of_whole_time_limits_and_the_chain_is_the_longest() -> None:
    what = a_plan(*WORKFLOW).requested
    assert what.all_gpu_hours == 3 * 2 * 2
    assert what.core_hours == pytest.approx(0.5 + 3 * 2 * 4 + 1 + 10 / 60)
    assert (what.chain_minutes, what.chain) == (160, ("split", "train", "merge"))
    assert str(what) == "12 GPU hours and 25.67 core hours; the longest chain takes 2 h 40 min: split, train, merge"


def test_the_first_message_of_a_run_says_the_sum_and_later_plans_do_not() -> None:
    plan = a_plan(*WORKFLOW)
    assert "  Requested: 12 GPU hours and 25.67 core hours; " in "\n".join(plan_messages(plan, (), set()))
    later = make_plan(WORKFLOW, replace(POLICY, first_number=9))
    assert "Requested" not in "\n".join(plan_messages(later, (), set()))


def test_segments_count_and_retries_do_not_and_that_is_said() -> None:
    what = a_plan(a_task("train", attempts=3, resources={**GPU, "slurm_segments": 4})).requested
    assert what.all_gpu_hours == 2 * 2 * 4
    assert str(what).endswith("(not counted: retries)")
    assert not a_plan(a_task("train", resources={**GPU, "slurm_segments": 4})).requested.has_retries


def test_the_rest_of_the_attempts_of_a_task_counts_nothing_a_second_time() -> None:
    task = a_task("train", attempts=3, resources=GPU)
    assert a_plan(replace(task, attempts=task.attempts[1:])).requested.all_gpu_hours == 0


def test_a_task_without_a_time_limit_is_named_as_not_counted() -> None:
    what = a_plan(a_task("split", resources={"runtime": 60}), a_task("train", resources={"gpu": 1})).requested
    assert str(what).endswith("1 h: split (not counted: 1 task without a time limit: train)")


def test_the_limit_of_the_partition_counts_where_a_task_sets_none() -> None:
    gpu = {"gpu": 1, "gpu_model": "h100", "slurm_account": "kempner_doe_lab"}
    limit = SITE.partitions["kempner_h100"].minutes
    what = make_plan([a_task("train", resources=gpu)], replace(POLICY, site=SITE)).requested
    assert limit
    assert what.all_gpu_hours == pytest.approx(limit / 60)


def test_a_monitor_that_starts_with_a_task_does_not_lengthen_the_chain() -> None:
    monitor = a_task("monitor", edge("after", "train"), resources={"runtime": 150})
    what = a_plan(a_task("train", resources={"runtime": 100}), monitor).requested
    assert (what.chain_minutes, what.chain) == (150, ("monitor",))


def test_a_plan_above_the_limit_is_refused_with_what_asks_for_most() -> None:
    tune = a_task("tune", resources={"gpu": 1, "runtime": 60})
    with pytest.raises(PlanError) as refused:
        make_plan([*WORKFLOW, tune], replace(POLICY, most_gpu_hours=12.5))
    text = "--kempner-max-gpu-hours is 12.5, and the run asks for 13: train for 12, tune for 1 "
    assert text in str(refused.value)
    assert refused.value.by_task.keys() == {"train[seed=0]", "train[seed=1]", "train[seed=2]", "tune"}
    assert make_plan([*WORKFLOW, tune], replace(POLICY, most_gpu_hours=13)).calls


def test_what_the_run_has_submitted_before_counts_and_so_does_what_waits_for_a_result() -> None:
    limit = replace(POLICY, most_gpu_hours=13)
    with pytest.raises(PlanError, match="asks for 14, 2 of them by what the run has submitted before: train for 12"):
        make_plan(WORKFLOW, replace(limit, earlier_gpu_hours=2))
    later = Deferred("a checkpoint decides", task=a_task("tune", resources={"gpu": 8, "runtime": 60}))
    with pytest.raises(PlanError, match="train for 12, tune for 8"):
        make_plan(WORKFLOW, limit, [later])


def test_gpus_without_a_time_limit_are_refused_under_a_limit() -> None:
    with pytest.raises(PlanError, match="the GPU hours of train are unknown without a time limit") as refused:
        make_plan([a_task("train", resources={"gpu": 1})], replace(POLICY, most_gpu_hours=1))
    assert "set runtime" in str(refused.value)
    assert make_plan([a_task("split")], replace(POLICY, most_gpu_hours=0)).calls
