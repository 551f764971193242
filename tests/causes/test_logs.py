"""Of the logs of a task, that of its rule and that of its job, the one counts that says why."""

import os
from pathlib import Path

import pytest
from test_words import PYTHON, a_log

from snakemake_executor_plugin_kempner.causes.logs import said_in, tail_of


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    job, rule = tmp_path / "job.log", tmp_path / "rule.log"
    job.write_text(a_log(""))
    return job, rule


def test_the_rules_own_log_says_why_and_the_jobs_how_its_command_ended(logs: tuple[Path, Path]) -> None:
    job, rule = logs
    rule.write_text(PYTHON)
    said = said_in(job, [rule])
    assert (said.log, said.words.cause, said.words.exit_code) == (rule, "ValueError: loss is NaN", 1)


def test_where_only_the_job_has_an_error_the_jobs_log_counts(logs: tuple[Path, Path]) -> None:
    job, rule = logs
    job.write_text(a_log(PYTHON))
    rule.write_text("Epoch 1\n")
    assert said_in(job, [rule]).log == job


def test_a_log_that_was_written_before_the_job_started_is_of_an_earlier_job(logs: tuple[Path, Path]) -> None:
    job, rule = logs
    rule.write_text(PYTHON)
    os.utime(rule, (1000, 1000))
    assert said_in(job, [rule], since=2000).log == job
    assert said_in(job, [rule], since=900).log == rule


def test_of_several_logs_of_a_rule_the_one_with_the_error_counts(logs: tuple[Path, Path], tmp_path: Path) -> None:
    job, rule = logs
    other = tmp_path / "other.log"
    rule.write_text("Epoch 1\n")
    other.write_text(PYTHON)
    assert said_in(job, [rule, other]).log == other
    assert said_in(job, [other, rule]).log == other


def test_a_missing_log_or_a_folder_is_no_error(tmp_path: Path) -> None:
    assert said_in(tmp_path / "none.log", [tmp_path]).words.cause == ""


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\n".join(f"line {number}" for number in range(100_000)))
    assert said_in(path).words.around[-1] == "line 99999"
    assert len(tail_of(path)) < 70_000


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"no end of line", b"\r\nprogress\r 1%\r 2%"])
def test_any_log_can_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    assert all(isinstance(line, str) for line in said_in(path).words.around)
