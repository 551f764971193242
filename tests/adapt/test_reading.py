"""Snakemake's DAG → tasks, with a real DAG and without Slurm."""

from pathlib import Path
from typing import Any

import pytest
from reading import Read

from snakemake_executor_plugin_kempner.adapt.dag import Reading

WIDE = """
rule all:
    input: expand("b/{x}.txt", x=range(3))
rule a:
    output: "a/{x}.txt"
    shell: "x"
rule b:
    input: "a/{x}.txt"
    output: "b/{x}.txt"
    RESOURCES
    shell: "x"
"""
MEMORY = "resources: mem_mb=1000, runtime='1h'"


def of_rule(reading: Reading, rule: str) -> list[Any]:
    found = [task for task in reading.tasks if task.name == rule]
    return sorted(found, key=lambda task: task.wildcards["x"])


def test_each_task_comes_after_those_that_it_waits_for(read: Read) -> None:
    reading, _ = read(WIDE.replace("RESOURCES", ""))
    for task in of_rule(reading, "b"):
        (before,) = (one for one in of_rule(reading, "a") if one.wildcards == task.wildcards)
        assert [edge.on for edge in task.edges] == [before.key]
        assert reading.tasks.index(before) < reading.tasks.index(task)


def test_tasks_come_in_the_order_in_which_the_workflow_asks_for_them(read: Read) -> None:
    """So that the queue looks the same each time, and what is asked for first is submitted first."""
    reading, _ = read(WIDE.replace("range(3)", "range(40)").replace("RESOURCES", ""))
    numbers = list(map(str, range(40)))
    assert [(task.name, task.wildcards["x"]) for task in reading.tasks] == [(rule, x) for rule in "ab" for x in numbers]


@pytest.mark.parametrize(
    "defaults", [(), ("slurm_partition=shared",), ("slurm_account='lab'", "disk_mb=input.size_mb")]
)
def test_tasks_of_a_rule_share_resources_that_are_the_same_for_all(read: Read, defaults: tuple[str, ...]) -> None:
    first, *others = of_rule(read(WIDE.replace("RESOURCES", MEMORY), defaults)[0], "b")
    for one in others:
        assert one.attempts[0].resources is first.attempts[0].resources
    assert first.attempts[0].resources["mem_mb"] == 1000


@pytest.mark.parametrize(
    "text",
    [
        "resources: mem_mb=lambda wildcards: 1000 + int(wildcards.x)",
        "threads: 4\n    resources: mem_mb=lambda w, threads: 250 * threads + int(w.x)",
    ],
)
def test_resources_that_depend_on_the_task_are_its_own(read: Read, text: str) -> None:
    tasks = of_rule(read(WIDE.replace("RESOURCES", text))[0], "b")
    assert [task.attempts[0].resources["mem_mb"] for task in tasks] == [1000, 1001, 1002]


@pytest.mark.parametrize(
    "expression", ["1000 + int(wildcards.x)", "(lambda: 1000 + int(wildcards.x))()", "int(f'100{wildcards.x}')"]
)
def test_a_default_that_depends_on_the_task_is_its_own(read: Read, expression: str) -> None:
    tasks = of_rule(read(WIDE.replace("RESOURCES", "resources: runtime=5"), (f"mem_mb={expression}",))[0], "b")
    assert [task.attempts[0].resources["mem_mb"] for task in tasks] == [1000, 1001, 1002]


def test_a_default_in_words_is_taken_as_it_is(read: Read) -> None:
    tasks = of_rule(read(WIDE.replace("RESOURCES", ""), ("slurm_partition=gpu-test,gpu", "mem_mb=1000"))[0], "b")
    assert {task.attempts[0].resources["slurm_partition"] for task in tasks} == {"gpu-test,gpu"}


def test_each_attempt_has_its_own_resources(read: Read) -> None:
    text = "retries: 2\n    resources: mem_mb=lambda wildcards, attempt: 1000 * attempt"
    for task in of_rule(read(WIDE.replace("RESOURCES", text))[0], "b"):
        assert [attempt.resources["mem_mb"] for attempt in task.attempts] == [1000, 2000, 3000]


def test_reading_leaves_jobs_as_they_were(read: Read) -> None:
    text = "retries: 2\n    params: lambda w: w.x\n    resources: mem_mb=lambda wildcards, attempt: 1000 * attempt"
    _, dag = read(WIDE.replace("RESOURCES", text))
    for job in [job for job in dag.jobs if not job.is_norun]:
        assert (job.attempt, job._resources, job._params) == (1, None, None)


def test_content_is_the_same_for_the_same_and_another_for_another(read: Read) -> None:
    first, second, _ = of_rule(read(WIDE.replace("RESOURCES", "params: x=lambda w: w.x"))[0], "b")
    assert first.content["code"] == second.content["code"]
    assert first.content["params"] != second.content["params"]
    assert first.content["input"] != second.content["input"]


def test_a_task_in_flight_is_waited_for_where_its_files_look_finished(read: Read) -> None:
    keys = [task.key for task in of_rule(read(WIDE.replace("RESOURCES", ""))[0], "a")]
    Path("a").mkdir()
    for x in range(3):
        Path(f"a/{x}.txt").touch()
    reading, _ = read(WIDE.replace("RESOURCES", ""), in_flight=keys)
    assert {task.name for task in reading.tasks} == {"b"}
    assert all(len(task.edges) == 1 for task in reading.tasks)
