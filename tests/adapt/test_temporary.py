"""Which task removes which temporary file, and what is left to the jobs that go on with a run or end it."""

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from reading import Read
from snakefiles import Code, rule, snakefile, temp, wanted

from snakemake_executor_plugin_kempner.adapt.temporary import remove_unneeded
from snakemake_executor_plugin_kempner.plan.step import StepSpec

SHARED = snakefile(
    wanted("one.txt", "two.txt"),
    rule("make", output=(temp("made.tmp"), temp("unread.tmp")), shell="x"),
    rule("one", "made.tmp", shell="x"),
    rule(
        "two", "made.tmp", shell="x", resources={"mem_mb": Code("lambda wildcards, input: int(open(input[0]).read())")}
    ),
)
PLAIN = SHARED.replace("int(open(input[0]).read())", "1000")
AFTER_CHECKPOINT = """
def wanted(_):
    return open(checkpoints.decide.get().output[0]).read().split()
rule all:
    input: "one.txt", wanted
checkpoint decide:
    output: "decided.txt"
    shell: "x"
rule make:
    output: temp("made.tmp"), temp("unread.tmp")
    shell: "x"
rule one:
    input: "made.tmp"
    output: "one.txt"
    shell: "x"
"""
GROUP = snakefile(
    wanted("inside.txt", "outside.txt"),
    rule(
        "make",
        output=(temp("inside.tmp"), temp("both.tmp"), temp("unread.tmp"), Code('temp(directory("folder"))')),
        shell="x",
        group="pair",
    ),
    rule("inside", "inside.tmp", "both.tmp", shell="x", group="pair"),
    rule("outside", "both.tmp", shell="x"),
)


def steps(read: Read, snakefile: str, **scope: Any) -> dict[str, StepSpec]:
    """By rule, or name of the group."""
    reading, _ = read(snakefile, detached=True, ends_itself=True, **scope)
    return {task.name: task.attempts[0].step for task in reading.tasks}


def readers(step: StepSpec, of: dict[str, StepSpec]) -> dict[str, set[str]]:
    """Who reads each temporary input, as far as it is planned."""
    names = {one.mark: name for name, one in of.items()}
    return {path: {names.get(mark, "?") for mark in marks} for path, marks in step.temp_inputs}


def test_a_temporary_file_waits_for_readers_whose_resources_are_not_known_yet(read: Read) -> None:
    found = steps(read, SHARED)
    assert found.keys() == {"make", "one"}
    assert readers(found["one"], found) == {"made.tmp": {"one", "?"}}
    assert found["make"].temp_outputs == ("unread.tmp",)


def test_while_a_checkpoint_is_open_no_task_removes_anything(read: Read) -> None:
    found = steps(read, AFTER_CHECKPOINT)
    assert {"make", "one"} <= found.keys()
    for step in found.values():
        assert (step.temp_inputs, step.temp_outputs, step.arguments) == ((), (), ("snakemake",))
    assert "unread.tmp" in found["make"].outputs


def test_while_a_task_of_another_command_is_in_flight_no_task_removes_anything(read: Read) -> None:
    found = steps(read, PLAIN, targets=("two.txt",))
    assert readers(found["two"], found) == {"made.tmp": {"two"}}
    for step in steps(read, PLAIN, targets=("two.txt",), in_flight=["one that reads made.tmp"]).values():
        assert (step.temp_inputs, step.temp_outputs) == ((), ())


def test_a_task_in_flight_that_the_workflow_still_wants_keeps_nothing(read: Read) -> None:
    reading, _ = read(PLAIN)
    (one,) = (task.key for task in reading.tasks if task.name == "one")
    found = steps(read, PLAIN, in_flight=[one], known=lambda key: key == one)
    assert readers(found["two"], found) == {"made.tmp": {"two", "?"}}


def test_when_no_checkpoint_is_open_tasks_remove_what_they_can(read: Read) -> None:
    Path("decided.txt").touch()
    found = steps(read, AFTER_CHECKPOINT)
    assert readers(found["one"], found) == {"made.tmp": {"one"}}
    assert found["make"].temp_outputs == ("unread.tmp",)


def test_what_a_checkpoint_has_made_outlives_its_readers(read: Read) -> None:
    """The closing job builds the DAG once more, and would run the checkpoint again."""
    text = PLAIN.replace("rule make", "checkpoint make")
    Path("made.tmp").touch()
    Path("unread.tmp").touch()
    found = steps(read, text)
    assert found.keys() == {"one", "two"}
    assert not any(step.temp_inputs for step in found.values())


def test_a_group_removes_what_nobody_outside_reads(read: Read) -> None:
    found = {name.partition("_")[0]: step for name, step in steps(read, GROUP).items()}
    pair, outside = found["pair"], found["outside"]
    assert set(pair.temp_outputs) == set(pair.arguments[1:]) == {"inside.tmp", "unread.tmp", "folder"}
    assert readers(outside, found) == {"both.tmp": {"pair", "outside"}}
    tasks = {task.name.partition("_")[0]: task for task in read(GROUP)[0].tasks}
    assert len(tasks["pair"].members) == 2
    assert tasks["outside"].members == ()


def test_outputs_of_a_rule_that_is_asked_for_by_its_name_stay(read: Read) -> None:
    found = steps(read, SHARED.replace("rule all", "rule none"), targets=("make",))
    assert found["make"].temp_outputs == ()


# --- what is left ---------------------------------------------------------------------------------------------------


@pytest.fixture
def left(read: Read) -> Callable[..., set[str]]:
    """Temporary files that are there after `remove_unneeded`, of a workflow whose files all exist."""

    def left(
        snakefile: str,
        succeeded: Collection[str],
        *,
        is_over: bool,
        missing: Collection[str] = (),
        failed: Collection[str] = (),
    ) -> set[str]:
        temporary = ("made.tmp", "unread.tmp")
        for age, name in enumerate(("two.txt", "one.txt", *temporary, "decided.txt")):
            if name not in missing:
                Path(name).touch()
                os.utime(name, times=(1000 - age, 1000 - age))
        _, dag = read(snakefile)
        asyncio.run(
            remove_unneeded(
                dag,
                lambda job: job.rule.name in succeeded,
                is_over=is_over,
                has_failed=lambda job: job.rule.name in failed,
            )
        )
        return {name for name in temporary if Path(name).exists()}

    return left


ALL = ("make", "one", "two", "decide")


@pytest.mark.parametrize("is_over", [True, False])
def test_what_all_have_read_goes(left: Callable[..., set[str]], *, is_over: bool) -> None:
    assert left(PLAIN, ALL, is_over=is_over) == set()


def test_what_a_task_still_has_to_read_stays(left: Callable[..., set[str]]) -> None:
    assert left(PLAIN, ("make", "one"), is_over=True, missing=["two.txt"]) == {"made.tmp"}


def test_what_a_failed_task_has_read_stays_though_its_outputs_are_there(left: Callable[..., set[str]]) -> None:
    """As with --keep-incomplete: Snakemake finds nothing to be done."""
    assert left(PLAIN, ("make", "one"), is_over=True, failed=["two"]) == {"made.tmp"}


def test_before_the_end_a_file_stays_whose_reader_is_not_known_to_have_succeeded(left: Callable[..., set[str]]) -> None:
    """It may be in the queue, forced to run again."""
    assert left(PLAIN, ("make", "one"), is_over=False) == {"made.tmp"}


def test_what_no_task_of_this_run_has_made_or_read_stays(left: Callable[..., set[str]]) -> None:
    assert left(PLAIN, (), is_over=True) == {"made.tmp", "unread.tmp"}


def test_a_file_of_an_earlier_run_goes_with_its_reader(left: Callable[..., set[str]]) -> None:
    assert left(PLAIN, ("one", "two"), is_over=True) == {"unread.tmp"}


@pytest.mark.parametrize("is_over", [True, False])
def test_nothing_goes_while_a_checkpoint_has_not_succeeded(left: Callable[..., set[str]], *, is_over: bool) -> None:
    missing = ["decided.txt"]
    assert left(AFTER_CHECKPOINT, ("make", "one"), is_over=is_over, missing=missing) == {"made.tmp", "unread.tmp"}


def test_behind_a_checkpoint_what_nobody_reads_any_more_goes(left: Callable[..., set[str]]) -> None:
    assert left(AFTER_CHECKPOINT, ALL, is_over=False) == set()
