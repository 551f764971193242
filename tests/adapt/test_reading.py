"""Snakemake's DAG → tasks, with a real DAG and without Slurm."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from builders import a_plan
from reading import Read

from snakemake_executor_plugin_kempner.adapt.content import Contents
from snakemake_executor_plugin_kempner.adapt.dag import Reading
from snakemake_executor_plugin_kempner.adapt.possible import possible_tasks
from snakemake_executor_plugin_kempner.adapt.sources import Sources
from snakemake_executor_plugin_kempner.adapt.units import task_key
from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType

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


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("mem_mb=lambda wildcards, attempt: 1000 * attempt", [1000, 2000]),
        ("runtime=30", [8000, 8000]),
        ("mem_mb=lambda wildcards, input: 3 * input.size_mb", []),
    ],
)
def test_the_example_that_explains_how_resources_are_read_is_true(read: Read, text: str, memory: list[int]) -> None:
    rule = WIDE.replace("RESOURCES", f"retries: 1\n    resources: {text}")
    reading, _ = read(rule, ("mem_mb=min(max(2*input.size_mb, 1000), 8000)",))
    for task in of_rule(reading, "b"):
        assert [attempt.resources["mem_mb"] for attempt in task.attempts] == memory
    assert len(of_rule(reading, "b")) == (3 if memory else 0)
    assert len(reading.deferred) == (0 if memory else 3)


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


def test_content_of_a_group_does_not_depend_on_the_order_of_its_members(read: Read) -> None:
    """They are a set: the next head has them in another order."""
    _, dag = read(WIDE.replace("RESOURCES", 'group: "all"'))
    contents = Contents(dag.workflow.persistence, Sources(of_head=(), kept=""))
    members = [job for job in dag.jobs if job.rule.name in ("a", "b")]
    assert len(members) > 2
    assert contents.of(members) == contents.of(members[::-1])
    assert {"code", "input"} <= contents.of(members).keys()


def test_a_group_that_is_partly_in_the_queue_is_refused_and_one_that_is_wholly_there_is_that_job(read: Read) -> None:
    text = WIDE.replace("RESOURCES", "").replace("    shell", "    group: 'both'\n    shell")
    _, dag = read(text)
    made, behind = (
        task_key(job)
        for rule in "ab"
        for job in dag.jobs
        if (job.rule.name, *job.wildcards_dict.values()) == (rule, "0")
    )
    with pytest.raises(PlanError, match="some of its tasks are in the queue already, in the job of another group"):
        read(text, groups={made: "running"})
    found, _ = read(text, groups={made: "running", behind: "running"}, known={"running"}.__contains__)
    assert len(found.tasks) == 2


def test_a_task_in_flight_is_waited_for_where_its_files_look_finished(read: Read) -> None:
    keys = [task.key for task in of_rule(read(WIDE.replace("RESOURCES", ""))[0], "a")]
    Path("a").mkdir()
    for x in range(3):
        Path(f"a/{x}.txt").touch()
    reading, _ = read(WIDE.replace("RESOURCES", ""), in_flight=keys)
    assert {task.name for task in reading.tasks} == {"b"}
    assert all(len(task.edges) == 1 for task in reading.tasks)


BEHIND_A_CHECKPOINT = """
rule all:
    input: expand("c/{x}.txt", x=range(3))
checkpoint a:
    output: "a.txt"
    shell: "x"
rule b:
    input: "a.txt"
    output: "b/{x}.txt"
    RESOURCES
    shell: "x"
rule c:
    input: "b/{x}.txt", lambda wildcards: checkpoints.a.get().output[0]
    output: "c/{x}.txt"
    RESOURCES
    shell: "x"
"""


@pytest.mark.parametrize("text", ["resources: mem_mb=7, slurm_partition='no such'", "resources: mem_mb=lambda w: 7"])
def test_what_waits_behind_a_checkpoint_says_already_what_it_asks_for(read: Read, text: str) -> None:
    reading, _ = read(BEHIND_A_CHECKPOINT.replace("RESOURCES", text))
    assert [task.name for task in reading.tasks] == ["a"]
    expected = [one.task for one in reading.deferred if one.task]
    assert {task.attempts[0].resources["mem_mb"] for task in expected} == {7}
    assert {task.name for task in expected} == {"b"} | ({"c"} if "lambda" not in text else set())


@pytest.mark.parametrize(
    "text",
    [
        "resources: mem_mb=lambda w, input: open(input[0]).read()",
        "resources: mem_mb=lambda w: int(open('elsewhere').read())",
        "resources: mem_mb=lambda w: 1 / 0",
    ],
)
def test_what_a_task_behind_a_checkpoint_asks_for_may_be_known_later(read: Read, text: str) -> None:
    reading, _ = read(BEHIND_A_CHECKPOINT.replace("RESOURCES", text))
    assert [task.name for task in reading.tasks] == ["a"]
    assert not [one.task for one in reading.deferred if one.task]


def test_jobs_behind_a_checkpoint_are_left_as_they_were(read: Read) -> None:
    _, dag = read(
        BEHIND_A_CHECKPOINT.replace("RESOURCES", "retries: 2\n    resources: mem_mb=lambda w, attempt: attempt")
    )
    for job in [job for job in dag.jobs if not job.is_norun]:
        assert (job.attempt, job._resources) == (1, None)


POSSIBLE = """
rule all:
    input: lambda wildcards: checkpoints.a.get().output[0]
checkpoint a:
    output: "a.txt"
    shell: "x"
rule later:
    output: "later/{x}.txt"
    RESOURCES
    shell: "x"
"""


@pytest.mark.parametrize(
    ("text", "defaults", "asked"),
    [
        ("resources: gpu=2, runtime='2h', mem='4GB'", (), {"gpu": 2, "runtime": 120, "mem_mb": 4000}),
        ("threads: 3\n    resources: gpu=1", ("runtime=1h",), {"gpu": 1, "runtime": 60}),
        ("", ("slurm_partition=shared", "mem_mb=2000"), {"slurm_partition": "shared", "mem_mb": 2000}),
        ("resources: gpu=lambda wildcards: int(wildcards.x)", (), None),
        ("threads: lambda wildcards: int(wildcards.x)", (), None),
        ("resources: gpu=1", ("runtime=5*attempt",), None),
    ],
)
def test_a_rule_that_may_come_later_says_what_is_the_same_for_all_its_jobs(
    read: Read, text: str, defaults: tuple[str, ...], asked: Mapping[str, Any] | None
) -> None:
    _, dag = read(POSSIBLE.replace("RESOURCES", text), defaults)
    tasks = possible_tasks(dag.workflow)
    assert [task.name for task in tasks] == (["later"] if asked is not None else [])
    for task in tasks:
        (attempt,) = task.attempts
        assert dict(attempt.resources) | (asked or {}) == dict(attempt.resources)
        assert attempt.threads == (3 if "threads: 3" in text else 1)


def test_without_a_checkpoint_no_rule_comes_later(read: Read) -> None:
    text = POSSIBLE.replace("checkpoint a", "rule a").replace("RESOURCES", "")
    _, dag = read(text.replace("lambda wildcards: checkpoints.a.get().output[0]", '"a.txt"'))
    assert possible_tasks(dag.workflow) == ()


def test_a_group_behind_a_checkpoint_says_what_it_asks_for(read: Read) -> None:
    text = "group: 'both'\n    resources: mem_mb=700, runtime=5"
    reading, _ = read(BEHIND_A_CHECKPOINT.replace("RESOURCES", text))
    expected = [one.task for one in reading.deferred if one.task]
    # Snakemake puts one or two members of a group beside each other, by how it has found them.
    assert {task.attempts[0].resources["mem_mb"] for task in expected} in ({700}, {700, 1400})


def test_a_task_knows_the_logs_of_its_rule(read: Read) -> None:
    reading, _ = read(WIDE.replace("RESOURCES", 'log: "logs/{x}.out", err="logs/{x}.err"'))
    assert [task.logs for task in of_rule(reading, "b")][1] == ("logs/1.out", "logs/1.err")


# --- segments -------------------------------------------------------------------------------------------------------

SEGMENTED = """
rule train:
    output: "model"
    retries: 1
    resources: slurm_segments=3, mem_mb=lambda wildcards, attempt: 1000 * attempt
    shell: "train {output}"
"""


def test_each_segment_has_the_resources_and_the_number_of_its_attempt(read: Read) -> None:
    (task,) = read(SEGMENTED)[0].tasks
    assert [(attempt.number, attempt.step.attempt, attempt.step.segment) for attempt in task.attempts] == [
        (1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 1), (5, 2, 2), (6, 2, 3),
    ]  # fmt: skip
    assert [attempt.resources["mem_mb"] for attempt in task.attempts] == [1000] * 3 + [2000] * 3
    assert len({attempt.step.checkpoints for attempt in task.attempts}) == 1


def test_segments_may_come_from_a_profile(read: Read) -> None:
    plain = SEGMENTED.replace("slurm_segments=3, ", "").replace("retries: 1", "")
    (task,) = read(plain, defaults=("slurm_segments=2",))[0].tasks
    assert [attempt.step.segment for attempt in task.attempts] == [1, 2]


PIPED = """
rule all:
    input: "b"

rule a:
    output: pipe("a")
    resources: slurm_segments=2
    shell: "echo > {output}"

rule b:
    input: "a"
    output: "b"
    shell: "cat {input} > {output}"
"""


@pytest.mark.parametrize(
    "text", [PIPED, PIPED.replace('pipe("a")', '"a"').replace("    shell", "    group: 'both'\n    shell")]
)
def test_a_group_and_a_pipe_with_segments_are_an_error_before_anything_is_submitted(read: Read, text: str) -> None:
    found, _ = read(text)
    with pytest.raises(PlanError, match="is a group of jobs, which slurm_segments cannot divide"):
        a_plan(*found.tasks)


UPDATED = """
rule all:
    input: "db.txt", "early.txt", "late.txt"

rule extend:
    input: "new.txt"
    output: update("db.txt")
    shell: "echo >> {output}"

rule early:
    input: before_update("db.txt")
    output: "early.txt"
    shell: "cp {input} {output}"

rule read:
    input: "db.txt"
    output: "read.txt"
    shell: "cp {input} {output}"

rule late:
    input: before_update("db.txt"), "read.txt"
    output: "late.txt"
    shell: "cp {input[0]} {output}"
"""


def test_a_file_is_updated_after_those_that_read_it_as_it_is_before(read: Read) -> None:
    """`late` needs the updated file too, so it can only come after."""
    Path("new.txt").touch()
    Path("db.txt").touch()
    os.utime("db.txt", (1000, 1000))
    known = "resources: mem_mb=100, disk_mb=100\n    shell"
    reading, _ = read(UPDATED.replace("shell", known))
    tasks = {task.name: task for task in reading.tasks}
    assert [(edge.on, edge.type) for edge in tasks["extend"].edges] == [(tasks["early"].key, DependencyType.AFTERANY)]
    assert list(tasks).index("early") < list(tasks).index("extend")
