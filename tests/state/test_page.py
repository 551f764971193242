"""The page about the end of a run: what it says, in which order, and in how many lines."""

import re
from dataclasses import replace

import pytest

from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState
from snakemake_executor_plugin_kempner.state.model import Attempt, RunState, State, TaskState
from snakemake_executor_plugin_kempner.state.overview import overview
from snakemake_executor_plugin_kempner.state.page import page, subject

HOUR = 3600.0
BEGIN = 1_795_000_000.0
HOSTILE = "a\x1b]0;title\x07\x1b[2J\nb\r\x9bc\u202ed\udcff"


def attempt(
    begin: float, end: float, *, ends: JobState = JobState.SUCCEEDED, number: int = 1, gpus: int = 0
) -> Attempt:
    """An attempt that ran from one hour of the run to another."""
    record = Record(job_id=str(number), state=ends, word=ends.name, exit_code=int(ends is JobState.FAILED), node="n1")
    return Attempt(
        number=number, job_id=str(number), record=record, options=Options.of(f"--gres=gpu:{gpus}") if gpus else NO_OPTIONS,
        folder="/lab/sweep/.snakemake/kempner/run1", log_pattern="/lab/sweep/log", start=BEGIN + begin * HOUR,
        end=BEGIN + end * HOUR,
    )  # fmt: skip


def a_run(*tasks: TaskState, **more: object) -> RunState:
    from pathlib import Path

    run = RunState(
        run="run1", folder=Path("/lab/sweep/.snakemake/kempner/run1"), command=("snakemake", "--jobs", "9"),
        started_in="/lab/sweep", since=BEGIN, ended=BEGIN + 10 * HOUR, closed=True, tasks=tasks, result="failed",
    )  # fmt: skip
    return replace(run, **more)


def shown(run: RunState, *notes: str) -> str:
    from pathlib import Path

    return page(overview(run, BEGIN + 20 * HOUR, Path("/lab/sweep")), notes)


def done(label: str, *attempts: Attempt) -> TaskState:
    return TaskState(key=label, label=label, state=State.DONE, attempts=attempts)


def failed(label: str, why: str) -> TaskState:
    return TaskState(key=label, label=label, state=State.FAILED, why=why)


def test_the_result_comes_first_with_the_folder_and_the_counts_of_the_whole_run() -> None:
    text = shown(
        a_run(done("prep"), failed("train[seed=1]", "ValueError: NaN"), failed("train[seed=2]", "ValueError: NaN"))
    )
    assert text.splitlines()[:2] == [
        "Run run1 of sweep has failed: 1 of 3 tasks done, 2 failed",
        "  folder  /lab/sweep",
    ]
    assert re.search(r"^train +2 +· +2$", text, re.MULTILINE)
    assert "  2 × ValueError: NaN: train[seed=1-2]\n" in text


def test_the_time_of_a_run_is_split_into_computing_and_waiting() -> None:
    """Jobs that run at the same time compute once; the hours before, between and after them are waited for."""
    run = a_run(done("a", attempt(1, 3)), done("b", attempt(2, 4)), done("c", attempt(6, 7)), result="succeeded")
    assert "10 h: computing 4 h, waiting 6 h\n" in shown(run)


def test_gpu_hours_count_each_attempt_and_say_what_was_lost_in_failed_attempts() -> None:
    train = done("train", attempt(0, 3, ends=JobState.FAILED, gpus=4), attempt(3, 4, number=2, gpus=4))
    assert "  GPUs    16.00 GPU hours, 12.00 of them in failed attempts\n" in shown(a_run(train))
    assert "GPU" not in shown(a_run(done("prep", attempt(0, 3))))


def test_what_to_type_is_the_last_that_is_said() -> None:
    lines = shown(a_run(failed("train", "exit code 3"))).splitlines()
    assert lines[-3:] == [
        "What to type, in /lab/sweep:",
        "  kempner why failed  # each cause in full",
        "  snakemake --jobs 9  # goes on, once the cause is mended: what has succeeded is kept",
    ]
    elsewhere = shown(a_run(failed("train", "exit code 3"), started_in="/lab"))
    assert "What to type, in /lab:\n  kempner -C sweep why failed" in elsewhere


def test_of_a_run_that_goes_on_without_this_process_it_says_how_to_look() -> None:
    running = TaskState(key="a", label="a", state=State.RUNNING)
    assert shown(a_run(running, closed=False, ended=0.0, watched_by="the head")).splitlines()[-1] == (
        "  kempner  # how far it is"
    )


@pytest.mark.parametrize("rules", [3, 60])
def test_a_page_has_at_most_40_lines_however_much_has_failed(rules: int) -> None:
    tasks = [
        failed(
            f"rule{rule}[seed={seed}]", f"{3 * 'abcdefghijklmnopqrstuvwxyz'[rule % 26]}Error: {'in a long line ' * 40}"
        )
        for rule in range(rules)
        for seed in range(5)
    ]
    text = shown(a_run(*tasks, unread=3, earlier=("run0",)), "a note", "another")
    assert len(text.splitlines()) <= 40, text
    assert max(map(len, text.splitlines())) < 400
    assert f"0 of {rules * 5} tasks done" in text


def test_of_many_rules_those_that_are_not_done_are_shown() -> None:
    text = shown(a_run(*(done(f"rule{number}") for number in range(30)), failed("last", "exit code 1")))
    assert re.search(r"^last +1 +· +1$", text, re.MULTILINE)
    assert re.search(r"^23 more rules +23 +23 +·$", text, re.MULTILINE)


def test_a_page_is_harmless_to_a_terminal_and_to_a_mail() -> None:
    view = overview(a_run(failed(f"train[x={HOSTILE}]", f"cannot do {HOSTILE}")), BEGIN)
    for text in (page(view, [HOSTILE]), subject(view)):
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()


def test_the_subject_of_the_mail_is_the_folder_and_the_result() -> None:
    assert subject(overview(a_run(done("prep"), result="succeeded"), BEGIN)) == (
        "sweep has succeeded: 1 of 1 task done (run run1)"
    )
