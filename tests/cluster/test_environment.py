"""What a run does depends on nothing that the user's environment says to Slurm's programs, nor on one list of jobs."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from head import UNTIL_GO, Head, closed, run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

CHAIN = f"""
    rule all:
        input: "z.txt"
    rule a:
        output: "a.txt"
        shell: "{UNTIL_GO}; echo a >> runs; echo a > {{output}}"
    rule z:
        input: "a.txt"
        output: "z.txt"
        shell: "echo z >> runs; cat {{input}} > {{output}}"
"""
HIDING = {
    "SQUEUE_PARTITION": "nowhere", "SQUEUE_STATES": "FAILED", "SQUEUE_FORMAT": "%j", "SQUEUE_USERS": "nobody",
    "SQUEUE_NAMES": "other", "SCANCEL_PARTITION": "nowhere", "SCANCEL_STATE": "SUSPENDED", "SCANCEL_NAME": "other",
    "SACCT_LOCAL": "1", "SLURM_TIME_FORMAT": "%s",
}  # fmt: skip


def _blind(slurm: Sandbox, folder: Path) -> dict[str, str]:
    """A squeue that lists nothing and says that all is well."""
    wrapper = folder.parent / "bin" / "squeue"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text("#!/bin/sh\nexit 0\n")
    wrapper.chmod(0o755)
    return {"PATH": f"{wrapper.parent}{os.pathsep}{slurm.environment['PATH']}"}


@pytest.mark.parametrize("how", ["by its environment", "by a wrapper"])
def test_a_second_head_runs_nothing_twice_where_squeue_hides_the_jobs(slurm: Sandbox, tmp_path: Path, how: str) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    hiding = HIDING if how == "by its environment" else _blind(slurm, folder)
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        with Head(slurm, folder, "--rerun-incomplete", "--nolock", **hiding) as second:
            second.until(lambda: "Goes on with run" in second.said)
            (folder / "go").touch()
            assert second.end() == 0, second.said
    assert (folder / "runs").read_text().split() == ["a", "z"]


@pytest.mark.parametrize("how", ["by its environment", "by a wrapper"])
def test_a_cancel_leaves_no_job_where_squeue_hides_them(slurm: Sandbox, tmp_path: Path, how: str) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    hiding: Mapping[str, str] = HIDING if how == "by its environment" else _blind(slurm, folder)
    left = run(slurm, folder, "--kempner-detach")
    found = re.search(r"Run (\w+) is in Slurm's hands", left.output)
    assert found, left.output
    cancelled = run(slurm, folder, "--kempner-cancel", **hiding)
    assert cancelled.exit_code == 0, cancelled.output
    assert "Cancelled the 4 Slurm jobs" in cancelled.output, f"{left.output}\n{cancelled.output}"
    rows = slurm.run("squeue", "--me", "-h", "-o", "%j").split()
    assert not [name for name in rows if f".{found[1]}." in name]


def test_each_task_runs_once_whatever_sbatch_is_told_by_variables(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    (folder / "go").touch()
    told = {
        "SBATCH_ARRAY_INX": "1-3", "SBATCH_ERROR": str(tmp_path / "elsewhere"), "SBATCH_DEBUG": "1", "SBATCH_WAIT": "1",
        "SBATCH_GET_USER_ENV": "1", "SBATCH_OUTPUT": "x", "SBATCH_EXPORT": "NONE", "SBATCH_TIMELIMIT": "5",
    }  # fmt: skip
    outcome = run(slurm, folder, **told)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "runs").read_text().split() == ["a", "z"]
    assert "SBATCH_ARRAY_INX=1-3 is not passed on to sbatch: it makes an array of every job." in outcome.output
    assert "SBATCH_TIMELIMIT=5 (--time)" in outcome.output
    assert not (tmp_path / "elsewhere").exists()


def test_a_head_that_is_to_leave_does_not_wait_for_jobs(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    began = time.monotonic()
    left = run(slurm, folder, "--kempner-detach", SBATCH_WAIT="1")
    assert left.exit_code == 0, left.output
    assert not (folder / "a.txt").exists(), f"after {time.monotonic() - began:.0f} s"
    (folder / "go").touch()
    assert closed(slurm, folder, left).exit_code == 0


def test_a_detached_run_ends_well_where_every_squeue_lists_nothing(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    (folder / "go").touch()
    outcome = run_detached(slurm, folder, **_blind(slurm, folder))
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "runs").read_text().split() == ["a", "z"]
