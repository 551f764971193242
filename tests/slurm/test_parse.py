"""Output of the real commands → records. The outputs in tests/recorded were written by Slurm itself."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.slurm.parse import (
    Record,
    parse_cluster,
    parse_job_id,
    parse_sacct,
    parse_squeue,
    record_of,
)
from snakemake_executor_plugin_kempner.slurm.states import JobState

RECORDED = Path(__file__).parents[1] / "recorded"
VERSIONS = sorted(path.parent.name for path in RECORDED.glob("*/jobs.json"))

W, R, OK, F, C = JobState.WAITING, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

#                           squeue: state, reason, exit code, signal                 sacct: state, exit code, signal
TABLE = {
    "succeeded": ((OK, "", 0, None), (OK, 0, None)),
    "failed": ((F, "NonZeroExitCode", 3, None), (F, 3, None)),
    "killed": ((F, "JobLaunchFailure", 0, 9), (F, 0, 9)),
    "over its memory": ((F, "JobLaunchFailure", 0, 9), (F, 0, 9)),
    "timed out": ((F, "TimeLimit", 0, 15), (F, 0, None)),
    "node failed": ((F, "NodeDown", 0, None), (F, 0, None)),
    "requeued": ((W, "BeginTime", None, None), (W, None, None)),
    "cancelled while running": ((C, "", 0, 15), (C, 0, None)),
    "cancelled while waiting": ((C, "JobHeldUser", 0, None), (C, 0, None)),
    "running": ((R, "", None, None), (R, None, None)),
    "held": ((W, "JobHeldUser", None, None), (W, None, None)),
    "begins later": ((W, "BeginTime", None, None), (W, None, None)),
    "never": ((W, "DependencyNeverSatisfied", None, None), (W, None, None)),
    "behind never": ((W, "Dependency", None, None), (W, None, None)),
    "removed": ((C, "DependencyNeverSatisfied", 0, None), (C, 0, None)),
}


IN_24_11 = TABLE | {
    "killed": ((F, "RaisedSignal:9(Killed)", 0, 9), (F, 0, 9)),
    "over its memory": ((F, "RaisedSignal:9(Killed)", 0, 9), (F, 0, 9)),
    "node failed": ((F, "NodeDown", 0, 1), (F, 1, None)),
    "cancelled while running": ((C, "", 143, None), (C, 0, None)),
}


def expected(recorded: Path, what: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return (IN_24_11 if recorded.name.startswith("24.") else TABLE)[what]


@pytest.fixture(params=VERSIONS)
def recorded(request: pytest.FixtureRequest) -> Path:
    return RECORDED / request.param


def jobs(recorded: Path) -> dict[str, str]:
    return json.loads((recorded / "jobs.json").read_text())


def squeue(recorded: Path) -> dict[str, Record]:
    return {record.job_id: record for record in parse_squeue((recorded / "squeue.txt").read_text())}


def sacct(recorded: Path) -> dict[str, Record]:
    return {record.job_id: record for record in parse_sacct((recorded / "sacct.txt").read_text())}


@pytest.mark.parametrize("what", TABLE)
def test_the_queue_tells_state_reason_and_end(recorded: Path, what: str) -> None:
    record = squeue(recorded)[jobs(recorded)[what]]
    assert (record.state, record.reason, record.exit_code, record.signal) == expected(recorded, what)[0]


@pytest.mark.parametrize("what", TABLE)
def test_accounting_tells_state_and_end(recorded: Path, what: str) -> None:
    record = sacct(recorded)[jobs(recorded)[what]]
    assert (record.state, record.exit_code, record.signal) == expected(recorded, what)[1]


def test_elements_of_an_array_are_records_of_their_own(recorded: Path) -> None:
    array = jobs(recorded)["array"]
    for records in (squeue(recorded), sacct(recorded)):
        assert [records[f"{array}_{index}"].state for index in (0, 1)] == [OK, F]


def test_every_line_becomes_a_record(recorded: Path) -> None:
    for name, parse in (("squeue", parse_squeue), ("sacct", parse_sacct)):
        text = (recorded / f"{name}.txt").read_text()
        assert len(parse(text)) == len(text.splitlines())
        assert all(record.state is not JobState.UNKNOWN for record in parse(text))


def test_what_has_no_node_yet_has_an_empty_one(recorded: Path) -> None:
    waiting = jobs(recorded)["held"]
    assert squeue(recorded)[waiting].node == ""
    assert sacct(recorded)[waiting].node == ""
    assert squeue(recorded)[jobs(recorded)["running"]].node == "n2"


def test_what_can_never_start_is_told_from_what_only_waits(recorded: Path) -> None:
    records = {name: squeue(recorded)[job_id] for name, job_id in jobs(recorded).items() if name in TABLE}
    assert {name for name, record in records.items() if record.never} == {"never", "removed"}


def test_accounting_tells_what_slurm_took_out_of_the_queue_from_what_somebody_cancelled(recorded: Path) -> None:
    records = {name: sacct(recorded)[job_id] for name, job_id in jobs(recorded).items() if name in TABLE}
    assert {name for name, record in records.items() if record.never and record.state is C} == {"removed"}


def test_the_mark_of_a_cluster_is_its_name_and_where_its_jobs_are_kept() -> None:
    told = "Configuration data as of 2026\nClusterName             = odyssey\nStateSaveLocation       = /state/a b\nx = 1\n"
    assert parse_cluster(told) == "cluster odyssey (/state/a b)"
    with pytest.raises(SlurmError, match="did not tell the name"):
        parse_cluster("slurm_load_ctl_conf error\n")


def test_the_answer_of_sbatch_is_a_job_id(recorded: Path) -> None:
    assert parse_job_id((recorded / "sbatch.txt").read_text()).isdigit()


# --- answers as sites have them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        ("123\n", "123"),
        ("123;cluster\n", "123"),
        ("Welcome to the cluster!\nYour quota: 93 %\n4700001\n", "4700001"),
        ("4700001\nThank you.", "4700001"),
    ],
)
def test_a_job_id_is_found_among_what_a_sites_wrapper_prints(answer: str, job_id: str) -> None:
    assert parse_job_id(answer) == job_id


@pytest.mark.parametrize("answer", ["", "\n", "Submitted batch job 12", "job 12", "-1", "1.5"])
def test_an_answer_without_a_job_id_is_an_error_that_shows_it(answer: str) -> None:
    with pytest.raises(SlurmError, match="where a job id was expected"):
        parse_job_id(answer)


@pytest.mark.parametrize("text", ["", "\n\n", "slurm_load_jobs: warning\n", "a|b\n", "|PENDING|None|0|\n"])
def test_lines_that_are_no_records_are_passed_over(text: str) -> None:
    assert parse_squeue(text) == ()
    assert parse_sacct(text) == ()


def test_elements_that_have_a_line_together_are_records_of_their_own() -> None:
    line = "7_[0-1,5%1]|CANCELLED|DependencyNeverSatisfied|0|"
    records = parse_squeue(line)
    assert [record.job_id for record in records] == ["7_0", "7_1", "7_5"]
    assert all(record.never for record in records)
    assert [record.job_id for record in parse_sacct(line.replace("|0|", "|0:0|"))] == ["7_0", "7_1", "7_5"]


def test_elements_are_not_left_out_in_silence() -> None:
    with pytest.raises(SlurmError, match="elements of an array"):
        parse_squeue("7_[0-1,5...]|PENDING|None|0|\n")


def test_an_element_that_is_missing_is_told_of_by_its_array_or_not_at_all() -> None:
    records = {
        one.job_id: one for one in parse_squeue("7_1|RUNNING|None|0|n1\n7|CANCELLED|None|0|\n8_0|RUNNING|None|0|\n")
    }
    assert record_of("7_1", records) == records["7_1"]
    missing = record_of("7_2", records)
    assert missing is not None
    assert (missing.job_id, missing.state) == ("7_2", C)
    assert record_of("8_1", records) is None
    assert record_of("8", records) is None


def test_a_state_that_nobody_knows_is_kept_as_unknown() -> None:
    (record,) = parse_squeue("7|ASCENDED|None|0|n1\n")
    assert (record.state, record.word, record.exit_code) == (JobState.UNKNOWN, "ASCENDED", None)


@pytest.mark.parametrize(
    ("ended", "code", "signal"), [("768", 3, None), ("9", 0, 9), ("0", 0, None), ("3:0", 3, None), ("0:9", 0, 9)]
)
def test_the_queue_tells_an_exit_code_as_either_version_of_slurm_prints_it(
    ended: str, code: int, signal: int | None
) -> None:
    (record,) = parse_squeue(f"7|FAILED|None|{ended}|n1\n")
    assert (record.exit_code, record.signal) == (code, signal)


@pytest.mark.parametrize("ended", ["", "x", "-1", "0:x"])
def test_an_exit_code_that_cannot_be_read_is_not_known(ended: str) -> None:
    (record,) = parse_squeue(f"7|FAILED|None|{ended}|n1\n")
    assert (record.exit_code, record.signal) == (None, None)


@given(st.text())
def test_no_output_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(SlurmError):
        parse_squeue(text)
        parse_sacct(text)
