"""A job by its own account."""

import json
import time
from pathlib import Path

import pytest
from builders import a_step

from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.records import StepRecord, step_record
from snakemake_executor_plugin_kempner.slurm.states import JobState
from snakemake_executor_plugin_kempner.step.light.around import Record

WHOLE = {"start": 10.0, "end": 12.5, "exit_code": 3, "node": "n1", "peak_memory_mb": 700, "cpu_seconds": 1.5}


def written(folder: Path, text: str) -> StepRecord | None:
    make_folders(folder, ())
    (folder / "ended/7.json").write_bytes(text.encode("latin-1"))
    return step_record(folder, "7")


def test_all_that_was_written_is_read(tmp_path: Path) -> None:
    assert written(tmp_path, json.dumps(WHOLE)) == StepRecord(job_id="7", **WHOLE)


def test_what_the_step_writes_is_read_at_its_start_and_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(tmp_path, ())
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    before = time.time()
    record = Record(a_step(records=str(tmp_path / "ended")))
    record.write()
    started = step_record(tmp_path, "7")
    assert started is not None
    assert (started.end, started.exit_code, started.node, started.as_record()) == (None, None, "n1", None)
    record.write(exit_code=0)
    ended = step_record(tmp_path, "7")
    assert ended is not None
    assert ended.end is not None
    assert before <= ended.start <= ended.end <= time.time()
    assert ended.exit_code == 0
    assert ended.cpu_seconds is not None


@pytest.mark.parametrize(
    ("code", "state", "word"),
    [(0, JobState.SUCCEEDED, "COMPLETED"), (3, JobState.FAILED, "FAILED"), (137, JobState.FAILED, "FAILED")],
)
def test_the_end_is_told_as_slurm_would_tell_it(tmp_path: Path, code: int, state: JobState, word: str) -> None:
    record = written(tmp_path, json.dumps({**WHOLE, "exit_code": code}))
    assert record is not None
    told = record.as_record()
    assert told is not None
    assert (told.job_id, told.state, told.word, told.exit_code, told.node) == ("7", state, word, code, "n1")


def test_a_job_that_has_not_started_has_no_record(tmp_path: Path) -> None:
    assert step_record(tmp_path, "7") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"done"', "\xff\xfe", '{"start": 1', "[" * 100_000])
def test_what_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text) is None


@pytest.mark.parametrize("value", ["0", None, [], {}, False, True, 10**400, float("nan")])
def test_an_exit_code_that_is_no_number_says_nothing_of_the_end(tmp_path: Path, value: object) -> None:
    record = written(tmp_path, json.dumps({**WHOLE, "exit_code": value, "end": value, "start": value}))
    assert record is not None
    assert (record.exit_code, record.end, record.start, record.as_record()) == (None, None, 0.0, None)


def test_a_record_cut_off_at_any_byte_is_no_success(tmp_path: Path) -> None:
    whole = json.dumps({**WHOLE, "exit_code": 0})
    assert all(written(tmp_path, whole[:length]) is None for length in range(len(whole)))
