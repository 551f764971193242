"""What a person reads of a plan before anything of it is submitted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from builders import POLICY, a_plan, a_task
from kempner_site import SITE

from snakemake_executor_plugin_kempner.plan.light import LightTask
from snakemake_executor_plugin_kempner.plan.model import Plan
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.preview_text import preview

LIGHT = LightTask(command="x", threads=1, outputs={}, logs=(), ensured={}, params=(), job_hash=1)
Golden = Callable[[str, str], None]


def paragraphs(plan: Plan, *later: str) -> list[str]:
    return preview(plan, later).split("\n\n")


def running(task: Task, **what: Any) -> Task:
    """The task with that in its jobs."""
    return replace(task, attempts=tuple(replace(one, step=replace(one.step, **what)) for one in task.attempts))


def test_golden_preview(golden: Golden) -> None:
    """An array, a retry behind a gate, a GPU whose partition and account follow, in a run that nobody watches."""
    gpu = {"gpu": 1, "gpu_model": "h100", "runtime": 60}
    seeds = [a_task("train", "split", wildcards={"seed": str(seed)}, resources=gpu) for seed in range(6)]
    tune = a_task("tune", *(one.key for one in seeds), attempts=2, resources={"runtime": 30})
    plot = running(a_task("plot", "tune"), runs_snakemake="script:")
    seeds = [running(one, light=LIGHT) for one in seeds]
    tasks = (a_task("split", resources={"runtime": 10}), *seeds, tune, a_task("report", "tune"), plot)
    policy = replace(POLICY, site=SITE, detached=True, workdir="/n/holylabs/doe_lab/flow")
    golden("preview", preview(make_plan(tasks, policy), ["a checkpoint decides"]))


def test_a_rule_of_a_thousand_tasks_is_one_paragraph() -> None:
    tasks = [a_task("train", wildcards={"seed": str(seed)}) for seed in range(1000)]
    assert len(paragraphs(make_plan(tasks, replace(POLICY, array_from=0)))) == len(paragraphs(a_plan(*tasks)))
    assert "train: 1000 tasks as 1 job array" in preview(a_plan(*tasks), ())


def test_tasks_of_a_rule_that_ask_for_different_things_are_apart() -> None:
    tasks = [a_task("train", wildcards={"seed": str(one)}, resources={"runtime": 60 * one}) for one in (1, 2)]
    shown = paragraphs(a_plan(*tasks))
    assert sum(one.startswith("train: 1 job\n") for one in shown) == 2


def test_what_follows_later_is_counted_by_reason() -> None:
    shown = preview(a_plan(a_task("train")), ["a checkpoint decides"] * 3)
    assert "3 tasks will be queued later: a checkpoint decides" in shown


def test_a_rule_with_light_jobs_and_others_says_how_many_of_each() -> None:
    tasks = [a_task("train", wildcards={"seed": str(seed)}) for seed in range(3)]
    mixed = [
        running(tasks[0], light=LIGHT),
        *(running(one, runs_snakemake="params: that read files") for one in tasks[1:]),
    ]
    shown = preview(a_plan(*mixed), ())
    assert "  runs       1 task: its command alone, as a light job\n" in shown
    assert "  runs       2 tasks: Snakemake in the job, because of params: that read files" in shown


def test_an_empty_plan_says_so() -> None:
    assert paragraphs(a_plan())[0] == "Nothing would be queued."
