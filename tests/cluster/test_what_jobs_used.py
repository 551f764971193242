"""What the jobs of a real run used, said by the head, by the closing job, and by the command."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from head import cancel_all, closed, run, written

from snakemake_executor_plugin_kempner.efficiency.jobs import JobUse
from snakemake_executor_plugin_kempner.efficiency.suggestion import History, suggestion
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


# --- requests for the next runs -------------------------------------------------------------------------------------

GREEDY = """
rule all:
    input: expand("{size}-{n}.txt", size=["small", "large"], n=range(3)), "once.txt"

rule doze:
    output: "{size}-{n}.txt"
    resources: mem_mb=2000, runtime=600
    shell: "sleep 12; touch {output}"

rule once:
    output: "once.txt"
    resources: mem_mb=2000, runtime=600
    shell: "sleep 1; touch {output}"
"""


def test_suggested_requests_are_a_profile_that_snakemake_reads(slurm_with_accounting: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "greedy", GREEDY)
    outcome = run(slurm_with_accounting, folder)
    assert outcome.exit_code == 0, outcome.output
    profile = folder / "learned/config.yaml"
    profile.parent.mkdir()
    argv = [sys.executable, "-m", "snakemake_executor_plugin_kempner", "report", "--suggest", "-o", str(profile)]
    environment = os.environ | slurm_with_accounting.environment
    subprocess.run(argv, cwd=folder, env=environment, check=True)
    text = profile.read_text()
    assert yaml.safe_load(text) == {"set-resources": {"doze": {"mem_mb": 500, "runtime": 10}}}, text
    assert "once: 1 successful job, it takes 3" in text
    assert "GB hours of memory less" in text

    shown = run(slurm_with_accounting, folder, "--forceall", "--kempner-preview", "--profile", "learned")
    assert shown.exit_code == 0, shown.output
    options = [line for line in shown.output.splitlines() if line.startswith("  sbatch ") and "--time=" in line]
    assert sum("--time=10 " in line and "--mem=500M" in line for line in options) == 1, shown.output
    assert sum("--time=600 " in line and "--mem=2000M" in line for line in options) == 1, shown.output


def test_a_suggestion_by_a_wildcard_is_an_expression_that_snakemake_evaluates(
    slurm_with_accounting: Sandbox, tmp_path: Path
) -> None:
    folder = written(tmp_path / "greedy", GREEDY)
    jobs = [
        JobUse(
            label=f"doze[size={size},n={n}]", rule="doze", attempt=1, job_id=f"{size}{n}", state="COMPLETED", elapsed_s=60.0,
            limit_s=36_000, memory_mb=9000, peak_memory_mb=peak, is_peak_whole=True, given=frozenset({"mem", "time"}),
        )
        for size, peak in (("small", 100), ("large", 3000)) for n in range(3)
    ]  # fmt: skip
    (folder / "learned").mkdir()
    text = suggestion(History(jobs=jobs, runs=1, more_memory=frozenset({"doze"})))
    (folder / "learned/config.yaml").write_text(text)
    shown = run(slurm_with_accounting, folder, "--kempner-preview", "--profile", "learned")
    assert shown.exit_code == 0, shown.output
    assert {size for size in ("500M", "4000M") if f"--mem={size}" in shown.output} == {"500M", "4000M"}, shown.output


def test_a_run_above_its_gpu_hours_leaves_nothing_in_the_queue(slurm_with_accounting: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "budget", 'rule train:\n    output: "x"\n    resources: gpu=1, runtime=90\n    shell: "touch x"\n'
    )
    refused = run(slurm_with_accounting, folder, "--kempner-max-gpu-hours", "1", "--kempner-checks", "off")
    assert refused.exit_code == 1
    assert "--kempner-max-gpu-hours is 1, and the run asks for 1.5: train for 1.5" in refused.output
    assert slurm_with_accounting.run("squeue", "--me", "-h", "-o", "%Z").count(str(folder)) == 0
