"""Slurm's words for states."""

import re
import shutil
import subprocess

import pytest

from snakemake_executor_plugin_kempner.slurm.states import NEVER, STUCK_REASONS, JobState, is_held, job_state

TABLE = {
    "PENDING": JobState.WAITING,
    "REQUEUED": JobState.WAITING,
    "SPECIAL_EXIT": JobState.WAITING,
    "CONFIGURING": JobState.RUNNING,
    "RUNNING": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "BOOT_FAIL": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
}


@pytest.mark.parametrize(("word", "state"), TABLE.items())
def test_a_word_means(word: str, state: JobState) -> None:
    assert job_state(word) is state


@pytest.mark.parametrize("reason", ["JobArrayTaskLimit", "Dependency", "JobHeldUser", "Resources", "Priority"])
def test_a_job_that_may_still_start_is_not_stuck(reason: str) -> None:
    assert reason not in STUCK_REASONS | {NEVER}


@pytest.mark.parametrize("word", ["REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"])
def test_a_state_may_say_that_a_job_is_held(word: str) -> None:
    assert is_held(word, "")
    assert not is_held("PENDING", "Dependency")


@pytest.mark.parametrize("word", ["CANCELLED by 1000", "CANCELLED+", "cancelled", " CANCELLED ", "CANCELLED by 0"])
def test_a_word_is_recognised_in_each_of_its_spellings(word: str) -> None:
    assert job_state(word) is JobState.CANCELLED


@pytest.mark.parametrize("word", ["", " ", "DONE", "SUCCESS", "COMPLETED_BUT", "None", "42"])
def test_a_word_that_nobody_knows_is_unknown_and_neither_final_nor_a_success(word: str) -> None:
    assert job_state(word) is JobState.UNKNOWN
    assert not JobState.UNKNOWN.is_final


def test_only_completed_is_a_success() -> None:
    words = [word for word in TABLE if job_state(word) is JobState.SUCCEEDED]
    assert words == ["COMPLETED"]


def test_a_state_is_final_when_nothing_comes_after_it() -> None:
    assert {state for state in JobState if state.is_final} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


@pytest.mark.cluster
def test_every_state_of_the_manual_is_in_the_table() -> None:
    """Needs Slurm's manual pages."""
    if shutil.which("man") is None:
        pytest.skip("no manual pages here")
    manual = subprocess.run(["man", "squeue"], capture_output=True, text=True, check=False).stdout
    section = manual.partition("JOB STATE CODES")[2].partition("\nENVIRONMENT")[0]
    words = re.findall(r"^\s+[A-Z]{1,2}\s+([A-Z_]{4,})\b", section, re.MULTILINE)
    if not words:
        pytest.skip("the manual page of squeue is not installed")
    assert [word for word in words if job_state(word) is JobState.UNKNOWN] == []
