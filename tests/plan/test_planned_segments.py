"""A training that takes several jobs, one after the other: what is queued for it, and what cannot be."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task, edge

from snakemake_executor_plugin_kempner.announcements import plan_summary
from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.plan.dependency import Expression, render
from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.model import Plan, Submission
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.plan.task import Task, Turn
from snakemake_executor_plugin_kempner.preview_text import preview
from snakemake_executor_plugin_kempner.site.model import Partition, Site

ALONE = replace(POLICY, keep_going=True)
"""Without a guard."""


def in_three(*after: str, attempts: int = 1, **resources: int | str) -> Task:
    return a_task("train", *after, attempts=attempts, resources={"slurm_segments": 3, **resources})


def text_of(expression: Expression | None) -> str:
    return render(expression, lambda ref: f"{ref.task}.{ref.attempt or 'gate'}") if expression else ""


def of_train(plan: Plan) -> list[Submission]:
    return [submission for submission in plan.submissions if submission.rule == "train"]


def signal_of(site: Site | None = None, **resources: int | str) -> str:
    plan = a_plan(in_three(**resources), policy=replace(ALONE, site=site))
    return plan.submissions[0].options.get("signal")


def specs(plan: Plan) -> list[StepSpec]:
    """What the jobs of `plan` read, with job ids like `train.1`."""
    scripts = (call_script(call, plan.policy, lambda ref: f"{ref.task}.{ref.attempt}")[0] for call in plan.calls)
    return [
        StepSpec.from_dict(json.loads(script.partition("\n{")[2].join(["{", ""]).rpartition("END")[0]))
        for script in scripts
    ]


def test_each_segment_waits_until_all_before_it_have_not_succeeded() -> None:
    plan = a_plan(a_task("fetch"), in_three("fetch"), policy=ALONE)
    assert [text_of(submission.waits_for) for submission in of_train(plan)] == [
        "afterok:fetch.1",
        "afterok:fetch.1,afternotok:train.1",
        "afterok:fetch.1,afternotok:train.1:train.2",
    ]


def test_what_depends_on_the_task_waits_for_the_segment_that_succeeds() -> None:
    plan = a_plan(in_three(), a_task("evaluate", "train"), policy=ALONE)
    evaluate = next(submission for submission in plan.submissions if submission.rule == "evaluate")
    assert text_of(evaluate.waits_for) == "afterok:train.1?afterok:train.2?afterok:train.3"


def test_a_handler_waits_until_every_segment_has_ended() -> None:
    plan = a_plan(in_three(), a_task("tell", edge("afternotok", "train")), policy=ALONE)
    tell = next(submission for submission in plan.submissions if submission.rule == "tell")
    assert text_of(tell.waits_for) == "afternotok:train.1:train.2:train.3"


def test_every_attempt_has_all_segments_with_the_resources_of_that_attempt() -> None:
    more = [{"slurm_segments": 2, "mem_mb": memory} for memory in (1000, 2000)]
    plan = a_plan(a_task("train", attempts=2, resources=more), policy=ALONE)
    assert [(str(job.turn), job.options.get("mem")) for job in plan.submissions] == [
        ("segment 1 of 2", "1000M"),
        ("segment 2 of 2", "1000M"),
        ("attempt 2, segment 1 of 2", "2000M"),
        ("attempt 2, segment 2 of 2", "2000M"),
    ]


def test_a_job_knows_its_segment_and_of_which_attempt_the_jobs_before_it_are() -> None:
    plan = a_plan(a_task("train", attempts=2, resources={"slurm_segments": 2}), policy=ALONE)
    assert [(spec.attempt, spec.segment, spec.segments) for spec in specs(plan)] == [
        (1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2),
    ]  # fmt: skip
    assert specs(plan)[3].earlier_attempts == ("train.1", "train.2", "train.3")
    assert specs(plan)[3].earlier_tries == (1, 1, 2)


def test_a_failure_in_any_segment_of_the_last_attempt_may_stop_the_run() -> None:
    plan = a_plan(a_task("train", attempts=2, resources={"slurm_segments": 2}))
    assert [submission.stops for submission in of_train(plan)] == [False, False, True, True]


def test_logs_tell_attempt_and_segment() -> None:
    plan = a_plan(a_task("train", attempts=2, resources={"slurm_segments": 2}), policy=ALONE)
    assert plan.submissions[2].log.endswith(".attempt2.segment1.%j.log")


def test_first_segments_of_a_sweep_are_an_array_and_the_others_wait_each_for_its_own() -> None:
    sweep = [a_task("train", wildcards={"lr": str(lr)}, resources={"slurm_segments": 2}) for lr in range(5)]
    plan = a_plan(*sweep, policy=ALONE)
    assert [len(call.submissions) for call in plan.calls] == [5, 1, 1, 1, 1, 1]
    assert text_of(plan.calls[3].waits_for) == "afternotok:train[lr=2].1"


@pytest.mark.parametrize("segments", [1, "1"])
def test_a_single_segment_is_a_task_as_any_other(segments: int | str) -> None:
    plan = a_plan(a_task("train", resources={"slurm_segments": segments}), policy=ALONE)
    (job,) = plan.submissions
    assert (str(job.turn), "signal" in job.options) == ("attempt 1", False)


# --- the end is announced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "signal"),
    [
        ({}, "B:TERM@120"),
        ({"runtime": 600}, "B:TERM@120"),
        ({"runtime": 1}, "B:TERM@15"),
        ({"runtime": 600, "runtime_min": 4}, "B:TERM@60"),
        ({"runtime": 600, "slurm_signal": "B:USR1@300"}, "B:USR1@300"),
        ({"slurm_extra": "--signal=USR2@30"}, "USR2@30"),
    ],
)
def test_a_segment_hears_of_its_end_in_time(resources: Mapping[str, int | str], signal: str) -> None:
    assert signal_of(**resources) == signal


def test_a_short_segment_does_not_get_the_signal_that_its_partition_has_for_long_jobs() -> None:
    site = Site(partitions={"requeue": Partition(name="requeue", requeues=True, signal="B:TERM@120")})
    assert signal_of(site, slurm_partition="requeue", runtime=2) == "B:TERM@30"


def test_that_a_signal_was_added_is_said() -> None:
    assert "train gets --signal=B:TERM@120 (so that a segment hears of its end)." in a_plan(in_three()).notices


def test_a_segment_that_may_be_shorter_can_start_in_a_gap() -> None:
    (job, *_) = a_plan(in_three(runtime=600, runtime_min=30), policy=ALONE).submissions
    assert (job.options.get("time"), job.options.get("time-min")) == ("600", "30")


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 101, "six", "2.5", "2-3"])
def test_what_is_no_number_of_segments_is_an_error(value: int | str) -> None:
    with pytest.raises(
        PlanError, match=rf"train: resource slurm_segments={value!r} takes a number of jobs from 1 to 100"
    ):
        a_plan(a_task("train", resources={"slurm_segments": value}))


def test_a_least_time_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(PlanError, match="resource runtime_min='2h' takes minutes, or Slurm's D-HH:MM:SS"):
        a_plan(in_three(runtime_min="2h"))


def test_a_group_cannot_be_divided() -> None:
    with pytest.raises(PlanError, match="train: is a group of jobs, which slurm_segments cannot divide"):
        a_plan(replace(in_three(), members=("first", "second")))


def test_every_attempt_has_the_same_number_of_segments() -> None:
    with pytest.raises(PlanError, match=r"train: slurm_segments depends on the attempt \(2, 3\)"):
        a_plan(a_task("train", attempts=2, resources=[{"slurm_segments": 2}, {"slurm_segments": 3}]))


# --- what people read -----------------------------------------------------------------------------------------------


def test_a_preview_shows_each_segment() -> None:
    shown = preview(a_plan(in_three(), policy=ALONE), ())
    assert "train (segment 2 of 3): 1 job" in shown
    assert "waits for  afternotok train (segment 1 of 3)" in shown


def test_segments_and_retries_are_counted_apart() -> None:
    summary = plan_summary(a_plan(in_three(attempts=2), policy=ALONE))
    assert summary == "Queued 1 task as 6 Slurm jobs, 1 retry and 4 further segments among them"


@pytest.mark.parametrize(
    ("number", "segments", "words"),
    [(1, 1, "attempt 1"), (2, 1, "attempt 2"), (2, 6, "segment 2 of 6"), (7, 6, "attempt 2, segment 1 of 6")],
)
def test_a_job_is_named_as_people_count(number: int, segments: int, words: str) -> None:
    assert str(Turn.of(number, segments)) == words
