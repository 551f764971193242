"""Of two nodes, one fails what it gets: with `retries`, the workflow succeeds on the other."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from head import PATIENCE, PAUSE, Head, run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxOptions

TWO = (Node(name="n1", cpus=8, memory_mb=8000), Node(name="n2", cpus=8, memory_mb=8000))
OPTION = "--kempner-exclude-failed-nodes"
LAST = -1

WORKFLOW = """
rule all:
    input: "done.txt"

rule train:
    output: "model-{n}.txt"
    resources: mem_mb=500, runtime=10, slurm_light=%(light)d
    retries: 2
    shell: "echo $SLURMD_NODENAME >> nodes-{wildcards.n}.txt; [ $SLURMD_NODENAME != n1 ] && touch {output}"

rule gather:
    input: expand("model-{n}.txt", n=range(6))
    output: "done.txt"
    resources: mem_mb=500, runtime=10, slurm_extra="--nodelist=n2"
    shell: "touch {output}"
"""


@pytest.fixture(scope="module")
def two() -> Iterator[Sandbox]:
    """A sandbox of two nodes; Slurm fills the first before it takes the second."""
    with Sandbox.start(options=SandboxOptions(nodes=TWO)) as slurm:
        yield slurm


@pytest.fixture(autouse=True)
def both_nodes_are_idle(two: Sandbox) -> None:
    """On a node that still ends a job of the test before, Slurm starts none."""
    deadline = time.monotonic() + PATIENCE
    while set(two.run("sinfo", "-h", "-N", "-o", "%T").split()) != {"idle"}:
        assert time.monotonic() < deadline, two.run("sinfo", "-N", "-l")
        time.sleep(PAUSE)


def flow(folder: Path, *, light: bool = True) -> Path:
    return written(folder, WORKFLOW % {"light": light})


def nodes(folder: Path) -> list[list[str]]:
    """Where the attempts of each training ran."""
    return [(folder / f"nodes-{n}.txt").read_text().split() for n in range(6)]


def assert_it_went_elsewhere(folder: Path) -> None:
    assert (folder / "done.txt").exists()
    ran = nodes(folder)
    assert all(of_task[0] == "n1" and of_task[LAST] == "n2" for of_task in ran), ran
    assert all(len(of_task) <= 3 for of_task in ran), ran
    assert any(len(of_task) == 2 for of_task in ran), ran


def why(slurm: Sandbox, folder: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "snakemake_executor_plugin_kempner", "why", *words]
    done = subprocess.run(
        argv, cwd=folder, env=os.environ | slurm.environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("light", [True, False], ids=["light", "full"])
def test_a_watched_run_succeeds_on_the_other_node_and_says_so(two: Sandbox, tmp_path: Path, light: bool) -> None:
    folder = flow(tmp_path / "run", light=light)
    outcome = run(two, folder)
    assert outcome.exit_code == 0, outcome.output
    assert_it_went_elsewhere(folder)
    assert "which keeps off n1 (" in outcome.output
    assert "jobs of this run failed there within a minute of their start" in outcome.output
    assert "kept off n1: " in why(two, folder, "train")


def test_a_detached_run_succeeds_on_the_other_node(two: Sandbox, tmp_path: Path) -> None:
    folder = flow(tmp_path / "run")
    outcome = run_detached(two, folder)
    assert outcome.exit_code == 0, outcome.output
    assert_it_went_elsewhere(folder)


def test_a_run_whose_head_is_killed_succeeds_on_the_other_node(two: Sandbox, tmp_path: Path) -> None:
    folder = flow(tmp_path / "run")
    with Head(two, folder) as head:
        head.until_queued()
        head.kill()
        head.until((folder / "done.txt").exists)
    assert_it_went_elsewhere(folder)


def test_without_the_option_no_attempt_keeps_off_a_node(two: Sandbox, tmp_path: Path) -> None:
    """Which nodes Slurm chooses is its own affair: each attempt says what it is kept off."""
    kept_off = 'grep -o "ExcNodeList=[^ ]*" <(scontrol show job $SLURM_JOB_ID) >> kept-off-{wildcards.n}.txt; false'
    fails = WORKFLOW.replace("[ $SLURMD_NODENAME != n1 ] && touch {output}", kept_off.replace('"', "'"))
    folder = written(tmp_path / "run", fails % {"light": 1})
    outcome = run(two, folder, OPTION, "no")
    assert outcome.exit_code == 1, outcome.output
    said = [(folder / f"kept-off-{n}.txt").read_text().split() for n in range(6)]
    assert {word for of_task in said for word in of_task} == {"ExcNodeList=(null)"}
    assert all(said), said
    assert [len(of_task) for of_task in nodes(folder)] == [3] * 6
    assert "keeps off" not in outcome.output


def test_a_job_that_no_other_node_can_run_stays_where_it_may(two: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "run", (WORKFLOW % {"light": 1}).replace("slurm_light=1", 'constraint="", exclude="n2"')
    )
    outcome = run(two, folder)
    assert outcome.exit_code == 1, outcome.output
    assert {node for of_task in nodes(folder) for node in of_task} == {"n1"}
    assert "keeps off" not in outcome.output


NO_PROGRAM_ON_N1 = ("--precommand", "[ $SLURMD_NODENAME != n1 ]")
WAITS = """
rule train:
    output: "done.txt"
    threads: lambda wildcards, attempt: 1 if attempt == 1 else 8
    resources: mem_mb=500, runtime=10
    retries: 1
    shell: "echo $SLURMD_NODENAME > {output}"
"""


def busy(slurm: Sandbox, folder: Path, node: str, cpus: int) -> None:
    """Take cores of a node until the file of its name appears."""
    until = f"until [ -e free-{node} ]; do sleep 0.2; done"
    slurm.run(
        "sbatch", "-w", node, "-c", str(cpus), "-D", str(folder), "-o", "/dev/null", "--mem=100", f"--wrap={until}"
    )


def test_a_head_keeps_an_attempt_that_waits_off_a_node_on_which_no_program_starts(two: Sandbox, tmp_path: Path) -> None:
    """The first attempt dies on n1. The next waits for all cores of a node, and n1 has them first."""
    folder = written(tmp_path / "run", WAITS)
    busy(two, folder, "n1", 1)
    busy(two, folder, "n2", 8)
    with Head(two, folder, *NO_PROGRAM_ON_N1) as head:
        head.until(lambda: "which keeps off n1 (a job ended there before its program had started)" in head.said)
        assert "; it keeps off n1: " in why(two, folder, "train")
        (folder / "free-n1").touch()
        head.until(lambda: two.run("squeue", "-h", "-w", "n1", "-t", "running", "-o", "%i") == "")
        (folder / "free-n2").touch()
        assert head.end() == 0, head.said
    assert (folder / "done.txt").read_text() == "n2\n"
