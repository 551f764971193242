"""What becomes of attempts that wait in reserve, by what has become of those before them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task
from fakes import OUT_OF_MEMORY, Trouble, failed, takes
from playing import Play

from snakemake_executor_plugin_kempner.errors import SlurmRefused
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.concurrency import JOBS
from snakemake_executor_plugin_kempner.plan.model import Kind
from snakemake_executor_plugin_kempner.plan.reserves import is_reserve
from snakemake_executor_plugin_kempner.plan.task import Attempt
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.ledger_record import Entry
from snakemake_executor_plugin_kempner.run.release import due, release_next, release_one
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState

RESERVE, IN_TURN = Options.of("--begin=2037-01-01"), Options.of("--begin=2037-01-02")
W, R, OK, BAD, GONE = (
    JobState.WAITING, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED,
)  # fmt: skip
TABLE = {
    "nothing has ended": ((R, W, W), "", "undecided 1 undecided 2"),
    "the first has failed": ((BAD, W, W), "failed 2 after 1", "undecided 2"),
    "both have failed": ((BAD, BAD, W), "failed 3 after 2", ""),
    "the second runs": ((BAD, R, W), "", "undecided 2"),
    "the first has succeeded": ((OK, W, W), "unneeded 2 3", ""),
    "the second has succeeded": ((BAD, OK, W), "unneeded 3", ""),
    "a person has cancelled the first": ((GONE, W, W), "as it is 2", "undecided 2"),
    "nobody knows the first": ((None, W, W), "as it is 2", "undecided 2"),
    "all have failed": ((BAD, BAD, BAD), "", ""),
    "Slurm has cancelled the rest": ((OK, GONE, GONE), "", ""),
}
"""States of the three attempts of a task; what is to be done; which jobs are waited for."""


def entry(attempt: int) -> Entry:
    options = RESERVE if attempt > 1 else Options({})
    return Entry(
        kind=Kind.TASK.value, task="a", label="a", attempt=attempt, attempts=3, segments=1, edges=(), members=(), logs=(),
        spared=False, options=options, log="", job_name="a", index=None, job_id=str(attempt), folder="", content={},
        units={}, time=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("what", TABLE)
def test_an_attempt_in_reserve_follows_a_failure_and_nothing_else(what: str) -> None:
    states, to_do, waited_for = TABLE[what]
    seen = {
        str(number): Record(job_id=str(number), state=state, word=state.value)
        for number, state in enumerate(states, start=1)
        if state is not None
    }
    found = due([entry(number) for number in (1, 2, 3)], seen)
    done = [f"failed {job_id} after {before}" for job_id, before in found.failed.items()]
    done += [f"as it is {job_id}" for job_id in found.never_ran]
    done += [f"unneeded {' '.join(found.unneeded)}"] if found.unneeded else []
    assert " ".join(done) == to_do
    assert " ".join(f"undecided {undecided.job_id}" for undecided in found.undecided) == waited_for


def sweep_of(tmp_path: Path, number: int = 5, **options: object) -> Play:
    play = Play(tmp_path / "run1", **options)  # type: ignore[arg-type]
    play.submit(*(a_task("a", wildcards={"i": str(place)}, attempts=2) for place in range(number)))
    return play


def test_without_a_head_what_is_killed_is_tried_again_before_the_others_have_ended(tmp_path: Path) -> None:
    ends = {"a": [OUT_OF_MEMORY, takes(600), takes(600), takes(600), takes(600), takes(1)]}
    play = sweep_of(tmp_path, ends=ends)
    play.run_headless()
    second = next(job for job in play.slurm.named("a") if is_reserve(job.options) and job.runs)
    assert second.started is not None
    assert second.started < 60
    assert [job.word for job in play.slurm.named("a") if job.runs] == ["OUT_OF_MEMORY", *["COMPLETED"] * 5]


def test_a_sweep_without_a_failure_leaves_nothing_and_asks_nothing(tmp_path: Path) -> None:
    play = sweep_of(tmp_path)
    play.run_headless()
    assert not [job for job in play.slurm.named("release") if job.runs]
    assert not play.slurm.asked("release")


def test_a_release_job_waits_for_a_controller_that_does_not_answer(tmp_path: Path) -> None:
    play = sweep_of(tmp_path, ends={"a": [OUT_OF_MEMORY, *[takes(600)] * 9]})
    play.slurm.trouble("show", *[Trouble.NOT_TAKEN] * 9)
    play.slurm.trouble("queue", *[Trouble.NOT_TAKEN] * 9)
    play.run_headless()
    assert [job.word for job in play.slurm.named("a") if job.runs] == ["OUT_OF_MEMORY", *["COMPLETED"] * 5]


def test_calls_grow_with_failures(tmp_path: Path) -> None:
    play = sweep_of(tmp_path, 40, ends={"a": [failed(), failed(), *[takes(5)] * 60]})
    planned = len(play.slurm.asked("submit"))
    play.run_headless()
    assert len(play.slurm.asked("submit")) - planned <= 2
    assert len(play.slurm.asked("release")) <= 2 * 2


def test_a_job_releases_its_own_successor_which_waits_for_its_end(tmp_path: Path) -> None:
    play = sweep_of(tmp_path, ends={"a": takes(600)})
    play.slurm.tick()
    play.slurm.tick()
    release_next(play.folder, play.slurm, "1_2")
    second = play.slurm.jobs["2_2"]
    for _ in range(10):
        play.slurm.tick()
    assert [condition.on for condition in second.conditions] == ["1_2"]
    assert second.is_pending  # the job before it runs, and may yet be put back into the queue
    assert all(job.begin > 10**9 for job in play.slurm.named("a") if is_reserve(job.options) and job is not second)


def test_where_slurm_has_forgotten_the_job_before_it_nothing_is_waited_for(tmp_path: Path) -> None:
    play = sweep_of(tmp_path, ends={"a": takes(600)}, refuses_unknown_ids=True)
    play.slurm.forgotten.add("1_2")
    release_one(play.slurm, "2_2", RESERVE, "1_2")
    assert play.slurm.jobs["2_2"].conditions == ()


def test_an_attempt_that_takes_turns_waits_for_all_of_the_array_before_it(tmp_path: Path) -> None:
    play = sweep_of(tmp_path, ends={"a": takes(600)}, refuses_unknown_ids=True)
    release_one(play.slurm, "2_2", IN_TURN, "1_2")
    assert {condition.on for condition in play.slurm.jobs["2_2"].conditions} == {"1_2", "1"}
    play.slurm.forgotten.add("1_3")
    release_one(play.slurm, "2_3", IN_TURN, "1_3")
    assert {condition.on for condition in play.slurm.jobs["2_3"].conditions} == {"1"}


def test_a_sweep_that_takes_turns_has_as_many_running_as_it_may_and_tries_again_in_the_end(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"a": [OUT_OF_MEMORY, *[takes(60)] * 20]})
    play.live.policy = replace(play.policy, limits={JOBS: 3})
    tasks = [a_task("a", wildcards={"i": str(place)}, attempts=3) for place in range(9)]
    play.submit(*(replace(task, attempts=tuple(map(taking_a_place, task.attempts))) for task in tasks))
    assert len(play.slurm.asked("submit")) <= 7
    play.run_headless()
    assert Counter(job.word for job in play.slurm.named("a") if job.runs) == {"COMPLETED": 9, "OUT_OF_MEMORY": 1}
    (again,) = (job for job in play.slurm.named("a") if is_reserve(job.options) and job.runs)
    assert again.started >= max(job.ended for job in play.slurm.named("a") if job.runs and job is not again)
    assert not play.slurm.left


def taking_a_place(attempt: Attempt) -> Attempt:
    return replace(attempt, units={JOBS: 1})


def test_a_refusal_for_another_reason_is_told(tmp_path: Path) -> None:
    play = sweep_of(tmp_path)
    play.slurm.trouble("release", Trouble.REFUSED)
    with pytest.raises(SlurmRefused):
        release_one(play.slurm, "2_2", RESERVE, "1_2")


def test_a_run_that_is_read_again_knows_its_reserves(tmp_path: Path) -> None:
    play = sweep_of(tmp_path)
    entries = read_ledger(play.folder).entries
    assert [is_reserve(entry.options) for entry in entries if entry.kind == "task"] == [False] * 5 + [True] * 5
