"""A sweep goes to Slurm as arrays, and yet each of its tasks stays one: order, failure, retries, logs, cancelling."""

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, moments, ran, with_behaviour
from head import Head, cancel_all, run, run_detached

from snakemake_executor_plugin_kempner.sandbox import Sandbox

SWEEP = """
rule all:
    input:
        "report.txt",

rule report:
    input:
        expand("evaluated-{n}.txt", n=range(6)),
    output:
        "report.txt",
    shell:
        "./behave report && cat {input} > {output}"

rule evaluate:
    input:
        "trained-{n}.txt",
    output:
        "evaluated-{n}.txt",
    shell:
        "./behave evaluate-{wildcards.n} && cp {input} {output}"

rule train:
    output:
        MARK("trained-{n}.txt"),
    retries:
        RETRIES
    params:
        how=lambda wildcards: config.get(f"train_{wildcards.n}", "succeeds"),
    shell:
        "./behave train-{wildcards.n} {params.how} && echo {wildcards.n} > {output}"
"""


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    place = with_behaviour(tmp_path / "run", SWEEP.replace("RETRIES", "0").replace("MARK", ""))
    yield place
    cancel_all(slurm, place)


def hows(**how: str) -> tuple[str, ...]:
    """Command line for how trainings behave: `train_3="fails"`."""
    return ("--config", *(f"{name}={value}" for name, value in how.items()))


def calls(folder: Path) -> list[dict[str, str]]:
    """What was asked of sbatch, a mapping of its options for each call, those for helpers left out."""
    lines = [
        json.loads(line)
        for ledger in sorted(folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl"))
        for line in ledger.read_text().splitlines()
    ]
    return [
        dict(option.partition("=")[::2] for option in line["options"])
        for line in lines
        if line.get("kind") == "task" and "folder" not in line
    ]


def each(rule: str, *numbers: int) -> set[str]:
    return {f"{rule}-{number}" for number in numbers}


def elements(slurm: Sandbox, folder: Path) -> Mapping[str, str]:
    """State of each job of the folder by its id, but for the closing job, which waits for all of them."""
    lines = slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%T|%j|%Z").splitlines()
    rows = (line.split("|") for line in lines if line.count("|") == 3)
    return {job_id: state for job_id, state, name, at in rows if at == str(folder) and "closing" not in name}


def test_each_evaluation_starts_when_its_own_training_has_ended(slurm: Sandbox, folder: Path) -> None:
    with Head(slurm, folder, *hows(train_0="waits:go")) as head:
        head.until(lambda: each("evaluate", 1, 2, 3, 4, 5) <= moments(folder, "ended").keys())
        assert not each("evaluate", 0) & ran(folder)
        (folder / "go").touch()
        assert head.end() == 0, head.said
    assert ran(folder) == {*each("train", *range(6)), *each("evaluate", *range(6)), "report"}
    assert (folder / "report.txt").read_text().split() == list("012345")
    assert [call.get("--array") for call in calls(folder)] == ["0-5", "0-5", None]
    logs = {path.name.partition(".")[0] for path in folder.glob(".snakemake/kempner/[0-9a-f]*/logs/train/n=*.log")}
    assert logs == {f"n={number}" for number in range(6)}


@pytest.mark.parametrize("off", [("--kempner-array-from", "0"), ("--set-resources", "train:slurm_array=0")])
def test_arrays_can_be_left_out_for_all_or_for_one_rule(slurm: Sandbox, folder: Path, off: tuple[str, ...]) -> None:
    with Head(slurm, folder, *hows(**{f"train_{number}": "waits:go" for number in range(6)}), *off) as head:
        head.until_queued()
        assert [call.get("--array") for call in calls(folder)] == [None] * 13


def test_what_fails_takes_only_its_own_evaluation_with_it_and_only_that_is_run_again(
    slurm: Sandbox, folder: Path
) -> None:
    failed = run(slurm, folder, "--keep-going", *hows(train_2="fails"))
    assert failed.exit_code != 0
    assert "train[n=2] failed" in failed.output
    assert "2 tasks cannot run now: evaluate[n=2], report" in failed.output
    assert ran(folder) == {*each("train", *range(6)), *each("evaluate", 0, 1, 3, 4, 5)}
    assert_nothing_is_left(slurm, folder)
    (folder / "times").unlink()
    mended = run(slurm, folder)
    assert mended.exit_code == 0, mended.output
    assert ran(folder) == {*each("train", 2), *each("evaluate", 2), "report"}


@pytest.mark.parametrize("dies", [False, True], ids=["head lives", "head is dead"])
def test_only_the_element_that_has_failed_is_tried_again(slurm: Sandbox, tmp_path: Path, *, dies: bool) -> None:
    snakefile = SWEEP.replace("RETRIES", "1").replace("MARK", "").replace("{params.how}", "$(./how {wildcards.n})")
    folder = with_behaviour(tmp_path / "run", snakefile)
    (folder / "how").write_text("#!/bin/sh\n[ $1 = 4 ] && ! grep -q 'train-4 ended' times && echo fails:go || echo\n")
    (folder / "how").chmod(0o755)
    with Head(slurm, folder) as head:
        head.until_queued()
        if dies:
            head.kill()
        (folder / "go").touch()
        if not dies:
            assert head.end() == 0, head.said
        assert_nothing_is_left(slurm, folder, within=120)
    starts = {name: len(times) for name, times in moments(folder, "started").items()}
    assert starts == {
        **dict.fromkeys({*each("train", *range(6)), *each("evaluate", *range(6)), "report"}, 1),
        "train-4": 2,
    }


def test_without_keep_going_a_failure_stops_the_elements_that_have_not_started(slurm: Sandbox, folder: Path) -> None:
    held = {f"train_{number}": "waits:go" for number in range(6)}
    with Head(slurm, folder, *hows(**{**held, "train_1": "fails:fail"})) as head:
        head.until(lambda: ran(folder) >= each("train", *range(6)))
        head.kill()
        (folder / "fail").touch()
        head.until(lambda: not any(state == "PENDING" for state in elements(slurm, folder).values()))
        (folder / "go").touch()
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == each("train", *range(6))
    assert len(moments(folder, "ended")) == 6  # what ran was let to its end


def test_the_next_head_goes_on_with_the_elements_that_are_left(slurm: Sandbox, folder: Path) -> None:
    held = hows(**{f"train_{number}": "waits:go" for number in (1, 3)})
    with Head(slurm, folder, *held) as head:
        head.until(lambda: each("evaluate", 0, 2, 4, 5) <= moments(folder, "ended").keys())
        head.kill()
        with Head(slurm, folder, "--nolock", "--rerun-incomplete", *held) as second:
            second.until(lambda: "Goes on with run" in second.said)
            (folder / "go").touch()
            assert second.end() == 0, second.said
    assert ran(folder) == {*each("train", *range(6)), *each("evaluate", *range(6)), "report"}


def test_ctrl_c_cancels_every_element(slurm: Sandbox, folder: Path) -> None:
    with Head(slurm, folder, *hows(**{f"train_{number}": "waits:go" for number in range(6)})) as head:
        head.until(lambda: len(ran(folder)) >= 2)
        head.signal(signal.SIGINT)
        head.end()
        assert_nothing_is_left(slurm, folder)
    assert not moments(folder, "ended")
    assert set(elements(slurm, folder).values()) == {"CANCELLED"}


def test_with_nobody_watching_temporary_files_go_and_the_end_is_reported(slurm: Sandbox, tmp_path: Path) -> None:
    folder = with_behaviour(tmp_path / "run", SWEEP.replace("RETRIES", "0").replace("MARK", "temp"))
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert "13 of 13 tasks done" in outcome.output
    assert not list(folder.glob("trained-*"))
    assert (folder / "report.txt").read_text().split() == list("012345")
