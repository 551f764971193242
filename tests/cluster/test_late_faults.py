"""What is wrong with tasks that are submitted later: found before the first job where it can be, and theirs alone where not."""

import re
from pathlib import Path

import pytest
from comparison import Outcome
from head import run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOW = """
rule all:
    input:
        lambda wildcards: expand("made-{n}.txt", n=open(checkpoints.split.get().output[0]).read().split()),
        "late.txt",

checkpoint split:
    output:
        "names.txt",
    shell:
        "echo 1 2 > {output}"

rule made:
    output:
        "made-{n}.txt",
    resources:
        OF_MADE,
    shell:
        "touch {output}"

rule late:
    input:
        "names.txt",
    output:
        "late.txt",
    resources:
        OF_LATE,
    shell:
        "touch {output}"
"""
WATCHED = pytest.mark.parametrize("detached", [False, True], ids=["watched", "detached"])


def workflow(*, of_made: str = "runtime=5", of_late: str = "runtime=5") -> str:
    return WORKFLOW.replace("OF_MADE", of_made).replace("OF_LATE", of_late)


def end(slurm: Sandbox, folder: Path, *policy: str, detached: bool) -> Outcome:
    return (run_detached if detached else run)(slurm, folder, *policy)


@WATCHED
@pytest.mark.parametrize("resource", ["gpu=-1", 'slurm_partition="nowhere"', "mem_mb=10**9"])
def test_a_task_behind_a_checkpoint_is_checked_before_anything_is_submitted(
    slurm: Sandbox, tmp_path: Path, resource: str, *, detached: bool
) -> None:
    folder = written(tmp_path / "run", workflow(of_late=resource))
    outcome = end(slurm, folder, detached=detached)
    assert outcome.exit_code == 1
    assert "1 fault found before anything was submitted:\n  - late: " in outcome.output
    assert not (folder / "names.txt").exists()


def test_a_rule_that_may_be_needed_later_is_checked_too(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", workflow(of_made='slurm_partition="nowhere"'))
    outcome = run(slurm, folder)
    assert "Not needed yet, but it could not be submitted: made: partition nowhere does not exist" in outcome.output
    assert outcome.exit_code == 1
    assert (folder / "names.txt").exists()


@WATCHED
@pytest.mark.parametrize("policy", [(), ("--keep-going",)], ids=["stops", "keeps going"])
@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        ("gpu=lambda wildcards: -int(wildcards.n == '1')", "resource gpu=-1 takes a number of GPUs"),
        ("constraint=lambda wildcards: 'none' if wildcards.n == '1' else ''", "Slurm refused its job: "),
    ],
    ids=["checked", "refused"],
)
def test_a_fault_that_shows_itself_later_is_that_of_its_own_task(
    slurm: Sandbox, tmp_path: Path, policy: tuple[str, ...], resource: str, fault: str, *, detached: bool
) -> None:
    folder = written(tmp_path / "run", workflow(of_made=resource))
    outcome = end(slurm, folder, *policy, detached=detached)
    assert outcome.exit_code == 1
    assert f"made[n=1] never started: {fault}" in outcome.output
    assert "made[n=2] never" not in outcome.output
    assert "BUG" not in outcome.output
    assert not policy or (folder / "made-2.txt").exists(), outcome.output
    assert not detached or re.search(rf"^  1 × {fault}.*: made\[n=1\]$", outcome.output, re.MULTILINE), outcome.output
