"""Somebody cancels or holds a job of a run behind its back: the run ends in the truth, with the cause, whoever looks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from head import UNTIL_GO, Head, Queued, all_over, closed, go, of_rule, queued, run, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOW = f"""
rule all:
    input:
        "report.txt",
        "other.txt",
        expand("part-{{n}}.txt", n=range(5)),

# With two attempts, so what needs it and something else waits for a gate.
rule train:
    output:
        "train.txt",
    retries:
        1
    shell:
        "{UNTIL_GO}; touch {{output}}"

rule fetch:
    output:
        "fetch.txt",
    shell:
        "touch {{output}}"

rule report:
    input:
        "train.txt",
        "fetch.txt",
    output:
        "report.txt",
    shell:
        "touch {{output}}"

rule other:
    input:
        "fetch.txt",
    output:
        "other.txt",
    shell:
        "touch {{output}}"

# A job array.
rule part:
    input:
        "train.txt",
    output:
        "part-{{n}}.txt",
    shell:
        "touch {{output}}"
"""
WATCHED = pytest.mark.parametrize("detached", [False, True], ids=["watched", "detached"])
KEEP_GOING = pytest.mark.parametrize("policy", [(), ("--keep-going",)], ids=["stops", "keeps going"])

Choose = Callable[[list[Queued]], str]
"""The job that something is done to, of all jobs of the run."""


def first(rule: str, number: int = 0) -> Choose:
    return lambda jobs: of_rule(jobs, rule)[number].job_id


def array(rule: str) -> Choose:
    return lambda jobs: of_rule(jobs, rule)[0].job_id.partition("_")[0]


def of_state(jobs: list[Queued], state: str) -> list[Queued]:
    return [one for one in jobs if one.state == state]


def end_after(
    slurm: Sandbox, folder: Path, choose: Choose, *policy: str, detached: bool, command: tuple[str, ...] = ("scancel",)
) -> tuple[int, str]:
    """Exit code and words of a run of which a job was treated so while `train` was running."""

    def meddle(jobs: list[Queued]) -> None:
        slurm.run(*command, choose(jobs))

    written(folder, WORKFLOW)
    if detached:
        left = run(slurm, folder, "--kempner-detach", *policy)
        meddle(queued(slurm, folder, helpers=True))
        go(folder)
        outcome = closed(slurm, folder, left)
        return outcome.exit_code, outcome.output
    with Head(slurm, folder, *policy) as head:
        head.until_queued()
        head.until(lambda: {one.state for one in of_rule(queued(slurm, folder), "train")} == {"RUNNING", "PENDING"})
        meddle(queued(slurm, folder, helpers=True))
        go(folder)
        code = head.end()
        return code, head.said


@WATCHED
@KEEP_GOING
@pytest.mark.parametrize(
    ("choose", "cause"),
    [
        (
            first("gate"),
            "report never started: Slurm removed its job, as if a job before it had failed, and no task has",
        ),
        (first("report"), "report was cancelled."),
        (array("part"), "part[n=3] was cancelled."),
    ],
    ids=["gate", "waiting task", "waiting array"],
)
def test_what_is_cancelled_is_a_failure_with_a_cause(
    slurm: Sandbox, tmp_path: Path, choose: Choose, cause: str, policy: tuple[str, ...], *, detached: bool
) -> None:
    folder = tmp_path / "run"
    code, said = end_after(slurm, folder, choose, *policy, detached=detached)
    assert code == 1, said
    assert cause in said
    assert "BUG" not in said
    assert not detached or "has failed: " in said
    assert (folder / "train.txt").exists()
    assert run(slurm, folder).exit_code == 0  # the same command runs what is missing
    assert (folder / "report.txt").exists()


@WATCHED
def test_an_element_that_vanishes_from_a_waiting_array_is_lost_and_not_done(
    slurm: Sandbox, tmp_path: Path, *, detached: bool
) -> None:
    code, said = end_after(slurm, tmp_path / "run", first("part", 2), "--keep-going", detached=detached)
    assert code == 1, said
    assert "part[n=2] is lost" in said or "part[n=2] was cancelled" in said
    assert not (tmp_path / "run/part-2.txt").exists()


@WATCHED
@pytest.mark.parametrize(
    ("choose", "command"),
    [
        (first("guard"), ("scancel",)),
        (first("train", 1), ("scancel",)),
    ],
    ids=["guard", "second attempt"],
)
def test_what_was_not_needed_may_be_cancelled(
    slurm: Sandbox, tmp_path: Path, choose: Choose, command: tuple[str, ...], *, detached: bool
) -> None:
    code, said = end_after(slurm, tmp_path / "run", choose, detached=detached, command=command)
    assert code == 0, said
    assert "BUG" not in said


@WATCHED
@pytest.mark.parametrize("choose", [first("gate"), array("part")], ids=["gate", "array"])
def test_what_is_held_goes_on_when_it_is_released(
    slurm: Sandbox, tmp_path: Path, choose: Choose, *, detached: bool
) -> None:
    folder = written(tmp_path / "run", WORKFLOW)
    with Head(slurm, folder, *(("--kempner-detach",) if detached else ())) as head:
        if detached:
            assert head.end() == 0, head.said
        head.until_queued()
        held = choose(queued(slurm, folder, helpers=True))
        slurm.run("scontrol", "hold", held)
        go(folder)
        head.until((folder / "other.txt").exists)
        slurm.run("scontrol", "release", held)
        assert head.end() == 0, head.said
        head.until(lambda: all_over(slurm, folder))
        assert not of_state(queued(slurm, folder, helpers=True), "FAILED")
    assert (folder / "report.txt").exists()
    assert (folder / "part-4.txt").exists()


CHECKPOINT = f"""
rule all:
    input:
        lambda wildcards: expand("made-{{n}}.txt", n=open(checkpoints.split.get().output[0]).read().split()),

checkpoint split:
    output:
        "names.txt",
    shell:
        "{UNTIL_GO}; echo 1 2 > {{output}}"

rule made:
    output:
        "made-{{n}}.txt",
    shell:
        "touch {{output}}"
"""


def test_a_closing_job_goes_on_where_a_continuation_was_cancelled(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", CHECKPOINT)
    left = run(slurm, folder, "--kempner-detach")
    slurm.run("scancel", first("continuation")(queued(slurm, folder, helpers=True)))
    go(folder)
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "made-2.txt").exists()


def test_a_run_without_its_closing_job_is_ended_by_the_same_command(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", WORKFLOW)
    run(slurm, folder, "--kempner-detach")
    slurm.run("scancel", first("closing")(queued(slurm, folder, helpers=True)))
    go(folder)
    again = run(slurm, folder)
    assert again.exit_code == 0, again.output
    assert (folder / "report.txt").exists()
