"""What the jobs of a real run used, said by the head, by the closing job, and by the command."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from head import cancel_all, closed, run, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOW = """
rule all:
    input: "burnt.txt", "slept.txt"

rule burn:
    output: "burnt.txt"
    threads: 2
    resources: mem_mb=1000, runtime=30
    shell: "timeout 6 {sys.executable} -c 'while True: pass' || touch {{output}}"

rule doze:
    output: "slept.txt"
    resources: mem_mb=8000, runtime=600
    shell: "sleep 6; touch {{output}}"
"""
REPORT = "--kempner-efficiency-report"


@pytest.fixture
def folder(slurm_with_accounting: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """Where the workflow lies; nothing that was queued there outlives the test."""
    place = written(tmp_path / "run", WORKFLOW.format(sys=sys))
    yield place
    cancel_all(slurm_with_accounting, place)


def command(slurm: Sandbox, folder: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "snakemake_executor_plugin_kempner.efficiency", *words]
    done = subprocess.run(
        argv, cwd=folder, env=os.environ | slurm.environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def rows(text: str) -> dict[str, dict[str, str]]:
    return {row["rule"]: row for row in csv.DictReader(io.StringIO(text))}


def test_a_watched_run_says_at_its_end_what_its_jobs_used(slurm_with_accounting: Sandbox, folder: Path) -> None:
    outcome = run(slurm_with_accounting, folder, REPORT)
    assert outcome.exit_code == 0, outcome.output
    assert "What the jobs of run" in outcome.output
    (left,) = folder.glob(".snakemake/kempner/[0-9a-f]*/efficiency.csv")
    assert rows(left.read_text()).keys() == {"burn", "doze"}

    found = rows(command(slurm_with_accounting, folder, "--csv", "-"))
    burn, doze = found["burn"], found["doze"]
    assert {row["state"] for row in found.values()} == {"COMPLETED"}
    assert (burn["cores"], burn["memory_mb"], burn["limit_s"]) == ("2", "1000", "1800")
    assert float(burn["elapsed_s"]) >= 6
    # How much the machine gives is its own matter; the sleeper gets next to nothing in any case.
    assert float(burn["cpu_s"]) > 1.2 * float(doze["cpu_s"])
    assert 0 < float(burn["cpu_efficiency"]) <= 1
    assert 0 < int(doze["peak_memory_mb"]) < 2000

    said = command(slurm_with_accounting, folder, left.parent.name)
    assert "doze asks for 7.8 GB and used" in said
    assert "doze ran" in said
    assert "burn asks" not in said


def test_a_run_that_nobody_watches_says_it_in_its_closing_log(slurm_with_accounting: Sandbox, folder: Path) -> None:
    outcome = closed(
        slurm_with_accounting, folder, run(slurm_with_accounting, folder, REPORT, "--kempner-detach", "burnt.txt")
    )
    assert outcome.exit_code == 0, outcome.output
    (log,) = folder.glob(".snakemake/kempner/[0-9a-f]*/closing.log")
    assert "What the jobs of run" in log.read_text()
    (left,) = folder.glob(".snakemake/kempner/[0-9a-f]*/efficiency.csv")
    assert rows(left.read_text())["burn"]["state"] == "COMPLETED"
