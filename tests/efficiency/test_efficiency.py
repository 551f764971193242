"""What a person and a program read: the table, the advice, the rows, the command line."""

import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.efficiency.__main__ import main
from snakemake_executor_plugin_kempner.efficiency.advice import advice
from snakemake_executor_plugin_kempner.efficiency.groups import grouped
from snakemake_executor_plugin_kempner.efficiency.jobs import JobUse, RunUse
from snakemake_executor_plugin_kempner.efficiency.report import CELLS, use_message
from snakemake_executor_plugin_kempner.run.ledger import Ledger
from snakemake_executor_plugin_kempner.spreadsheet import as_csv

FITS = JobUse(
    label="train[n=1]", rule="train", attempt=1, job_id="7", state="COMPLETED", node="n1", elapsed_s=3000.0, limit_s=7200,
    cores=4, asked_cores=4, cpu_s=10_000.0, peak_memory_mb=3100, memory_mb=4000, is_peak_whole=True,
    given=frozenset({"mem", "time"}),
)  # fmt: skip
"""A job that has asked for what it needs."""


def said_of(*jobs: JobUse) -> list[str]:
    return list(advice(grouped(jobs)))


# --- advice ---------------------------------------------------------------------------------------------------------

LARGE = replace(FITS, memory_mb=64_000)
LONG = replace(FITS, limit_s=2 * 86_400, elapsed_s=1200.0, cpu_s=4000.0)
WIDE = replace(FITS, cores=16, asked_cores=16, cpu_s=3300.0)
IDLE = replace(FITS, gpus=1, gpu_utilisation=3.0)

ADVICE = {
    "what fits is not spoken of": ([FITS], []),
    "too much memory": ([LARGE], ["train asks for 62.5 GB and used 3 GB at most: mem_mb=4000 would do."]),
    "the largest job decides": (
        [LARGE, replace(LARGE, peak_memory_mb=20_000)],
        ["train asks for 62.5 GB and used 19.5 GB at most: mem_mb=25000 would do."],
    ),
    "one job needs its memory": ([LARGE, replace(LARGE, peak_memory_mb=40_000)], []),
    "for each core": (
        [replace(LARGE, given=frozenset({"mem-per-cpu", "time"}))],
        ["train asks for 62.5 GB and used 3 GB at most: mem_mb_per_cpu=1000 would do."],
    ),
    "by an option that no resource stands for": (
        [replace(LARGE, given=frozenset({"mem-per-gpu", "time"}))],
        ["train asks for 62.5 GB and used 3 GB at most: 4000M would do."],
    ),
    "little to save": ([replace(FITS, peak_memory_mb=300, memory_mb=2000)], []),
    "never less than the plugin asks for": (
        [replace(FITS, peak_memory_mb=80)],
        ["train asks for 3.9 GB and used 80 MB at most: mem_mb=500 would do."],
    ),
    "a peak of which Slurm has not seen all": ([replace(LARGE, is_peak_whole=False)], []),
    "a peak that nobody knows of one": ([LARGE, replace(LARGE, peak_memory_mb=None, is_peak_whole=False)], []),
    "memory that nobody knows": ([replace(FITS, memory_mb=None)], []),
    "what has failed early says nothing": ([replace(LARGE, state="FAILED")], []),
    "one had too little memory": (
        [LARGE, replace(LARGE, state="OUT_OF_MEMORY", memory_mb=4000)],
        ["train needed more memory than the 3.9 GB it had (1 job OUT_OF_MEMORY): raise mem_mb."],
    ),
    "too much time": (
        [LONG],
        ["train ran 20 min at most of 2 d asked for: runtime=40 would do, and may start sooner."],
    ),
    "time that nobody asked for": (
        [replace(LONG, given=frozenset())],
        ["train ran 20 min at most of 2 d that it may take: runtime=40 would do, and may start sooner."],
    ),
    "no time limit": ([replace(LONG, limit_s=None)], []),
    "a short limit": ([replace(LONG, limit_s=3000, elapsed_s=100.0)], []),
    "one met its limit": (
        [LONG, replace(LONG, state="TIMEOUT"), replace(LONG, state="TIMEOUT")],
        ["train needed more time than the 2 d it had (2 jobs TIMEOUT): raise runtime."],
    ),
    "idle cores": ([WIDE], ["train used 1.1 of 16 cores: fewer threads would do."]),
    "hardly any": ([replace(WIDE, cpu_s=90.0)], ["train used less than 0.1 of 16 cores: fewer threads would do."]),
    "one job needs its cores": ([WIDE, replace(WIDE, cpu_s=40_000.0)], []),
    "a core of two threads": ([replace(FITS, cores=2, asked_cores=1, cpu_s=2900.0)], []),
    "too short to judge cores": ([replace(WIDE, elapsed_s=50.0, limit_s=100, cpu_s=5.0)], []),
    "CPU time that nobody knows": ([replace(WIDE, cpu_s=None)], []),
    "what goes with a GPU": ([replace(WIDE, memory_mb=64_000, gpus=1)], []),
    "an idle GPU": ([IDLE], ["train used its GPU 3% of the time at most: does the work run on it?"]),
    "a GPU at work": ([IDLE, replace(IDLE, gpu_utilisation=60.0)], []),
    "a GPU of which nothing is known": ([IDLE, replace(IDLE, gpu_utilisation=None)], []),
    "attempts are told apart": (
        [replace(LARGE, state="FAILED"), replace(LARGE, attempt=2)],
        ["train (attempt 2) asks for 62.5 GB and used 3 GB at most: mem_mb=4000 would do."],
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_advice_is_given_where_it_is_clear(case: str) -> None:
    jobs, expected = ADVICE[case]
    assert said_of(*jobs) == expected


# --- the table ------------------------------------------------------------------------------------------------------


def test_a_table_by_rule_and_attempt() -> None:
    unknown = JobUse(label="fetch", rule="fetch", attempt=1, job_id="9", state="FAILED")
    jobs = (
        FITS,
        replace(FITS, job_id="8", elapsed_s=4000.0, state="TIMEOUT", peak_memory_mb=3500),
        unknown,
        replace(
            FITS, attempt=2, elapsed_s=90.0, limit_s=14_400, memory_mb=8000, cpu_s=1.0, gpus=2, gpu_utilisation=84.4
        ),
    )
    lines = use_message(RunUse(run="run1", jobs=jobs, open=1, lost=2)).splitlines()
    assert lines[0] == "What the jobs of run run1 used:"
    assert [" ".join(line.split()) for line in lines[3:6]] == [
        "train 1 2 1 COMPLETED, 1 TIMEOUT 58 min of 2 h 71% of 4 3.4 GB of 3.9 GB",
        "train 2 1 COMPLETED 1 min 30 s of 4 h <1% of 4 3 GB of 7.8 GB 84% on 2",
        "fetch 1 FAILED ? ? ?",
    ]
    assert lines[6:8] == [
        "  1 job has not ended, and is not counted.",
        "  2 jobs have started, and neither Slurm nor a record tells how they ended.",
    ]
    assert max(map(len, lines)) <= 120


def test_columns_that_say_nothing_are_left_out() -> None:
    text = use_message(RunUse(run="run1", jobs=(FITS,)))
    assert "attempt" not in text
    assert "GPU" not in text
    assert not text.endswith("\n")


def test_a_run_of_which_nothing_has_ended_says_so() -> None:
    assert use_message(RunUse(run="run1", open=3)).splitlines() == [
        "  No job of run run1 has ended yet.",
        "  3 jobs have not ended, and are not counted.",
    ]


def test_what_nobody_keeps_account_of_is_said() -> None:
    text = use_message(RunUse(run="run1", jobs=(replace(FITS, is_peak_whole=False, gpus=1),)))
    assert "Peak memory is that of each job's largest process" in text
    assert "Slurm has no account of how much the GPUs were used." in text


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_row_for_each_job_with_empty_cells_for_what_is_not_known() -> None:
    unknown = JobUse(label="fetch[a=1,b=x y]", rule="fetch", attempt=2, job_id="9_4", state="NODE_FAIL")
    known, other = csv.DictReader(io.StringIO(as_csv(CELLS, [replace(FITS, gpus=1, gpu_utilisation=84.0), unknown])))
    assert list(known.items()) == [
        ("task", "train[n=1]"), ("rule", "train"), ("attempt", "1"), ("job_id", "7"), ("state", "COMPLETED"),
        ("node", "n1"), ("elapsed_s", "3000.0"), ("limit_s", "7200"), ("cores", "4"), ("cpu_s", "10000.0"),
        ("cpu_efficiency", "0.8333"), ("peak_memory_mb", "3100"), ("memory_mb", "4000"), ("memory_efficiency", "0.775"),
        ("gpus", "1"), ("gpu_utilisation", "84.0"), ("segment", ""),
    ]  # fmt: skip
    assert other["task"] == "fetch[a=1,b=x y]"
    assert {name for name, value in other.items() if not value} == set(known) - {
        "task", "rule", "attempt", "job_id", "state", "gpus",
    }  # fmt: skip


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "no.conf"))
    for name in ("zz11", "aa22"):
        folder = tmp_path / ".snakemake/kempner" / name
        folder.mkdir(parents=True)
        Ledger(folder, run=name)
    return tmp_path


def test_the_run_that_began_last_is_taken_or_the_one_that_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert "run aa22" in capsys.readouterr().out
    assert main(["zz11", "--csv", "rows.csv"]) == 0
    assert "run zz11" in capsys.readouterr().out
    assert (runs / "rows.csv").read_text().startswith("task,rule,")
    assert main(["zz11", "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("task,rule,")


def test_a_run_that_is_not_there_is_an_error_that_names_those_that_are(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bb33"]) == 1
    assert "There are: aa22, zz11" in capsys.readouterr().err
    assert main(["zz11", "--csv", "no/such/folder.csv"]) == 1
    assert "no/such/folder.csv" in capsys.readouterr().err


def test_where_nothing_has_run_the_command_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake_executor_plugin_kempner.efficiency"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "call this in the folder where snakemake was called" in done.stderr


def test_the_segments_of_an_attempt_count_as_a_single_job_whose_time_is_their_sum() -> None:
    first, second, third = (
        replace(
            FITS, job_id=str(number), segment=number, state=state, elapsed_s=7200.0, cpu_s=20_000.0, peak_memory_mb=peak
        )
        for number, state, peak in ((1, "TIMEOUT", 3000), (2, "TIMEOUT", 3500), (3, "COMPLETED", 3000))
    )
    (group,) = grouped([first, second, third])
    assert (group.ends, group.time, group.cpu, group.memory) == ("COMPLETED", "6 h", "69% of 4", "3.4 GB of 3.9 GB")
    assert said_of(first, second, third) == []
    assert said_of(first) == []  # a segment that meets its limit has no need of more time
