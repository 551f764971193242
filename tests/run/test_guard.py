"""What is done about a failure when nobody watches."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task, chain, edge
from fakes import failed, takes
from playing import Play

from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.guard import stop

gap = pytest.mark.xfail(reason="not yet", strict=True)


def test_a_failure_stops_what_has_not_started_and_spares_what_runs(tmp_path: Path) -> None:
    play = Play(tmp_path, {"bad": failed(1), "long": takes(600)}, keep_going=False, max_running=3)
    play.submit(a_task("bad"), a_task("long"), a_task("late", "long"), a_task("free", "late"))
    play.run_headless()
    assert play.runs([a_task("long"), a_task("late"), a_task("free")]) == {
        "long": ["COMPLETED"],
        "late": [],
        "free": [],
    }


def test_a_run_without_a_failure_needs_no_guard(tmp_path: Path) -> None:
    play = Play(tmp_path, keep_going=False)
    play.submit(*chain())
    play.run_headless()
    (guard,) = play.slurm.named("guard")
    assert (guard.word, guard.runs) == ("CANCELLED", 0)


def test_a_failed_attempt_with_another_one_to_come_stops_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": [failed(1), takes(1)]}, keep_going=False)
    tasks = (a_task("train", attempts=2), a_task("report", "train"))
    play.submit(*tasks)
    play.run_headless()
    assert play.runs(tasks) == {"train": ["FAILED", "COMPLETED"], "report": ["COMPLETED"]}


def test_what_was_declared_to_follow_a_failure_is_spared(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": failed(1), "long": takes(60)}, keep_going=False)
    tell, clean, late = (
        a_task("tell", edge("afternotok", "train")),
        a_task("clean", edge("afterany", "long")),
        a_task("late", "long"),
    )
    tell, clean = _declared(tell), _declared(clean)
    play.submit(a_task("train"), a_task("long"), tell, clean, late)
    play.run_headless()
    assert play.runs([tell, clean, late]) == {"tell": ["COMPLETED"], "clean": ["COMPLETED"], "late": []}


def test_what_a_head_cancels_is_no_failure_and_the_guard_stands_again(tmp_path: Path) -> None:
    ends = {"replaced": takes(600), "short": takes(20), "bad": failed(1, seconds=60), "long": takes(100)}
    play = Play(tmp_path, ends, keep_going=False, max_running=9)
    waiting, late = a_task("waiting", "short"), a_task("late", "long")
    play.submit(a_task("replaced"), a_task("short"), a_task("bad"), a_task("long"), waiting, late)
    replaced = play.live.tasks["replaced"].next_job
    assert replaced is not None
    play.live.cancel([replaced.job_id])
    play.run_headless()
    assert play.runs([waiting, late]) == {"waiting": ["COMPLETED"], "late": []}


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["it has failed", "somebody cancels it"])
def test_a_task_that_ends_stops_the_run_only_if_it_has_failed_by_itself(tmp_path: Path, is_cancelled: bool) -> None:
    play = Play(tmp_path, {"bad": takes(600), "first": takes(600)}, keep_going=False, max_running=2)
    play.submit(a_task("bad"), a_task("first"), a_task("free", "first"))
    play.slurm.advance(1)
    bad = play.live.tasks["bad"].next_job
    assert bad is not None
    if is_cancelled:
        play.slurm.cancel([bad.job_id])
    stop(tmp_path, play.slurm, bad.job_id)
    (free,) = play.slurm.named("free")
    assert free.word == ("PENDING" if is_cancelled else "CANCELLED")


def test_where_slurm_does_not_remove_jobs_the_guard_sweeps_a_chain(tmp_path: Path) -> None:
    play = Play(tmp_path, {"fetch": failed(1)}, kill=False, keep_going=True)
    play.submit(*chain())
    play.run_headless()
    assert [job.word for job in play.slurm.jobs.values() if job.rule in ("align", "plot")] == ["CANCELLED", "CANCELLED"]


def test_where_slurm_does_not_remove_jobs_the_guard_stands_again_until_nothing_is_left(tmp_path: Path) -> None:
    play = Play(tmp_path, {"a": takes(10), "b": [takes(50)], "c": failed(1, seconds=90)}, kill=False, keep_going=True)
    play.submit(a_task("a"), a_task("b"), a_task("c"), a_task("d", "c"))
    play.run_headless()
    assert len(play.slurm.named("guard")) > 1
    assert not play.slurm.left


def _declared(task: Task) -> Task:
    return replace(task, edges=tuple(replace(one, declared=True) for one in task.edges))


# --- known gaps -----------------------------------------------------------------------------------------------------


def test_a_job_that_ends_while_the_guard_looks_leaves_nothing_behind(tmp_path: Path) -> None:
    """The first attempt has ended, Slurm has not yet said of the second that it will never start: it is waited for."""
    play = Play(tmp_path, {"b": failed(1), "train": takes(3)}, kill=False, keep_going=True)
    play.submit(a_task("a"), a_task("b"), a_task("train", attempts=2))
    play.run_headless()


def test_a_first_attempt_that_slurm_has_forgotten_does_not_hide_the_failure_of_the_last(tmp_path: Path) -> None:
    """Attempts take hours, and the controller forgets a job five minutes after its end."""
    play = Play(tmp_path, {"train": failed(1, seconds=1000), "long": takes(5000)}, keep_going=False)
    late = a_task("late", "long")
    play.submit(a_task("train", attempts=2), a_task("long"), late)
    play.run_headless(rounds=9000)
    assert play.runs([late]) == {"late": []}


def test_the_guard_stands_again_in_a_folder_with_a_quote(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    play = Play(folder, {"a": takes(10), "b": takes(50)}, kill=False, keep_going=True)
    play.submit(a_task("a"), a_task("b"))
    play.run_headless()
    again = play.slurm.named("guard")[1].script
    assert shlex.split(again.splitlines()[-1])[-1] == str(folder)
