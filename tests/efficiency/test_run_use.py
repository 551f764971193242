"""Which jobs count, and who is believed about what: accounting, the job itself, the queue."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_kempner.efficiency.jobs import JobUse, RunUse, run_use
from snakemake_executor_plugin_kempner.efficiency.report import report_at_end
from snakemake_executor_plugin_kempner.errors import SlurmUnreachable
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.slurm.consumption import Consumption
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState

OPTIONS = ("--mem=4000M", "--cpus-per-task=4", "--time=120", "--gres=gpu:a100:1")
ENDED = {"start": 100.0, "end": 160.5, "exit_code": 0, "node": "n1", "peak_memory_mb": 700, "cpu_seconds": 90.0}
STARTED = {"start": 100.0, "node": "n1"}
ACCOUNT = Consumption(
    job_id="7", state=JobState.SUCCEEDED, word="COMPLETED", node="n2", elapsed_s=62, limit_s=7200, cores=8, cpu_s=91.2,
    peak_memory_mb=900, memory_mb=4000, gpus=1, gpu_utilisation=84.0,
)  # fmt: skip
GOES_ON = replace(ACCOUNT, state=JobState.RUNNING, word="RUNNING", elapsed_s=10, cpu_s=None, peak_memory_mb=None)
WAITS = replace(GOES_ON, state=JobState.WAITING, word="PENDING")
NEVER = Consumption(job_id="7", state=JobState.CANCELLED, word="CANCELLED")


class Told:
    """A Slurm that says what it is told to."""

    def __init__(
        self, accounts: Sequence[Consumption] = (), queue: Sequence[Record] = (), *, answers: bool = True
    ) -> None:
        self.accounts, self.records, self.answers, self.asked = accounts, queue, answers, list[str]()

    def consumption(self, job_ids: Collection[str]) -> tuple[Consumption, ...]:
        self._ask("sacct")
        return tuple(one for one in self.accounts if one.job_id in job_ids)

    def queue(self) -> tuple[Record, ...]:
        self._ask("squeue")
        return tuple(self.records)

    def _ask(self, program: str) -> None:
        self.asked.append(program)
        if not self.answers:
            raise SlurmUnreachable(f"{program} did not answer")


def in_queue(state: JobState, word: str) -> Record:
    return Record(job_id="7", state=state, word=word, node="n1")


def a_run(place: Path, own: dict[str, Any] | None = None, *, kind: str = "task", **what: Any) -> Path:
    """A run of one job, and what that has written down."""
    make_folders(place, ())
    ledger = Ledger(place, run=place.name)
    known = {
        "kind": kind,
        "task": "k",
        "label": "train[n=1]",
        "attempt": 1,
        "attempts": 1,
        "edges": [],
        "spared": False,
    }
    ledger.intend("train.run1.1", **known, options=OPTIONS, log="", **what)
    ledger.submitted("train.run1.1", "7")
    if own is not None:
        (place / "ended/7.json").write_text(json.dumps(own))
    return place


def use_of(folder: Path, slurm: Any, warnings: list[str] | None = None) -> RunUse:
    return run_use(read_ledger(folder), slurm, ([] if warnings is None else warnings).append)


def only(folder: Path, slurm: Any) -> JobUse:
    (job,) = use_of(folder, slurm).jobs
    return job


def test_accounting_says_what_it_knows_and_nobody_looks_into_the_queue(tmp_path: Path) -> None:
    slurm = Told([ACCOUNT])
    job = only(a_run(tmp_path / "run1", ENDED), slurm)
    assert job == JobUse(
        label="train[n=1]", rule="train", attempt=1, job_id="7", state="COMPLETED", node="n2", elapsed_s=62, limit_s=7200,
        cores=8, asked_cores=4, cpu_s=91.2, peak_memory_mb=900, memory_mb=4000, gpus=1, gpu_utilisation=84.0,
        is_peak_whole=True, given=frozenset({"mem", "cpus-per-task", "time", "gres"}),
    )  # fmt: skip
    assert job.cpu_efficiency == pytest.approx(91.2 / (62 * 8))
    assert job.memory_efficiency == pytest.approx(0.225)
    assert slurm.asked == ["sacct"]


def test_without_accounting_the_job_tells_itself_beside_what_its_options_ask_for(tmp_path: Path) -> None:
    job = only(a_run(tmp_path / "run1", ENDED), Told())
    assert (job.state, job.node, job.elapsed_s, job.cpu_s, job.peak_memory_mb) == ("COMPLETED", "n1", 60.5, 90.0, 700)
    assert (job.limit_s, job.cores, job.memory_mb, job.gpus) == (7200, 4, 4000, 1)
    assert (job.gpu_utilisation, job.is_peak_whole) == (None, False)


def test_a_record_of_an_older_version_leaves_a_gap(tmp_path: Path) -> None:
    job = only(a_run(tmp_path / "run1", {**STARTED, "exit_code": 0}), Told())
    assert (job.elapsed_s, job.cpu_s, job.cpu_efficiency, job.peak_memory_mb, job.memory_efficiency) == (None,) * 5


def test_what_the_job_has_seen_counts_where_slurm_has_seen_less(tmp_path: Path) -> None:
    seldom = replace(ACCOUNT, cpu_s=0.004, peak_memory_mb=None)
    job = only(a_run(tmp_path / "run1", ENDED), Told([seldom]))
    assert (job.cpu_s, job.peak_memory_mb, job.is_peak_whole) == (90.0, 700, False)


@pytest.mark.parametrize("spread", [{"nodes": 2}, {"sruns": 2}])
def test_a_peak_may_be_higher_where_processes_are_spread(tmp_path: Path, spread: dict[str, int]) -> None:
    assert not only(a_run(tmp_path / "run1"), Told([replace(ACCOUNT, **spread)])).is_peak_whole


ENDS = [
    # accounting     own record                      queue       jobs           open  lost
    ((ACCOUNT,), None, (), ("COMPLETED",), 0, 0),
    ((replace(ACCOUNT, word="TIMEOUT", state=JobState.FAILED),), STARTED, (), ("TIMEOUT",), 0, 0),
    ((NEVER,), None, (), (), 0, 0),
    ((GOES_ON,), STARTED, (), (), 1, 0),
    ((GOES_ON,), ENDED, (), ("COMPLETED",), 0, 0),
    ((GOES_ON,), {**ENDED, "exit_code": 3}, (), ("FAILED",), 0, 0),
    ((WAITS,), None, (), (), 1, 0),
    ((WAITS,), ENDED, (), ("COMPLETED",), 0, 0),
    ((WAITS,), {**ENDED, "exit_code": 143}, (), (), 1, 0),  # put back into the queue
    ((), STARTED, (in_queue(JobState.RUNNING, "RUNNING"),), (), 1, 0),
    ((), STARTED, (in_queue(JobState.FAILED, "NODE_FAIL"),), ("NODE_FAIL",), 0, 0),
    ((GOES_ON,), STARTED, (in_queue(JobState.CANCELLED, "CANCELLED"),), ("CANCELLED",), 0, 0),
    ((), None, (in_queue(JobState.CANCELLED, "CANCELLED"),), (), 0, 0),
    ((), None, (in_queue(JobState.WAITING, "PENDING"),), (), 1, 0),
    ((), STARTED, (), (), 0, 1),
    ((), None, (), (), 0, 0),
]


@pytest.mark.parametrize("case", ENDS)
def test_a_job_counts_when_it_has_run_and_ended_by_whoever_knows(tmp_path: Path, case: Any) -> None:
    accounts, own, queue, *expected = case
    use = use_of(a_run(tmp_path / "run1", own), Told(accounts, queue))
    assert [tuple(job.state for job in use.jobs), use.open, use.lost] == expected


def test_accounting_that_is_behind_does_not_shorten_a_job(tmp_path: Path) -> None:
    assert only(a_run(tmp_path / "run1", ENDED), Told([GOES_ON])).elapsed_s == 60.5


def test_a_slurm_that_does_not_answer_is_said_and_the_records_are_read(tmp_path: Path) -> None:
    warnings: list[str] = []
    use = use_of(a_run(tmp_path / "run1", ENDED), Told(answers=False), warnings)
    assert [job.job_id for job in use.jobs] == ["7"]
    assert len(warnings) == 1
    assert "sacct did not answer" in warnings[0]


def test_records_of_an_adopted_job_lie_with_the_run_that_submitted_it(tmp_path: Path) -> None:
    earlier = a_run(tmp_path / "earlier", ENDED)
    later = a_run(tmp_path / "later", folder=str(earlier))
    assert only(later, Told()).elapsed_s == 60.5


@pytest.mark.parametrize("kind", ["gate", "guard", "continuation", "closing"])
def test_jobs_that_are_no_tasks_do_not_count(tmp_path: Path, kind: str) -> None:
    assert use_of(a_run(tmp_path / "run1", ENDED, kind=kind), Told([ACCOUNT])) == RunUse(run="run1")


# --- at the end of a run --------------------------------------------------------------------------------------------


def test_the_report_is_said_and_the_rows_lie_in_the_folder_of_the_run(tmp_path: Path) -> None:
    said, warned = list[str](), list[str]()
    folder = a_run(tmp_path / "run1", ENDED)
    report_at_end(folder, Told([ACCOUNT]), said.append, warned.append)
    assert "train" in said[0]
    assert (
        (folder / "efficiency.csv").read_text().splitlines()[1].startswith("train[n=1],train,1,7,COMPLETED,n2,62,7200")
    )
    assert warned == []


def test_whatever_goes_wrong_with_the_report_is_one_warning(tmp_path: Path) -> None:
    said, warned = list[str](), list[str]()
    report_at_end(tmp_path / "no such run", Told(), said.append, warned.append)
    report_at_end(a_run(tmp_path / "run1"), None, said.append, warned.append)
    assert said == []
    assert len(warned) == 2
    assert all(one.startswith("What the jobs used cannot be reported: ") for one in warned)
