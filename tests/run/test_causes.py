"""Each end that is no success has a cause that is told, whatever somebody does to the jobs of a run behind its back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import POLICY, a_task, chain
from fakes import FakeSlurm, Trouble, failed, takes
from playing import LOGGER, Play, told_by

from snakemake_executor_plugin_kempner import beginning
from snakemake_executor_plugin_kempner.errors import SlurmError, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.guard import guard
from snakemake_executor_plugin_kempner.run.outcome import Outcome, TaskEnded
from snakemake_executor_plugin_kempner.run.stopping import is_stopped, stopped_jobs

SUCCEEDED, FAILED, BLOCKED, CANCELLED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.BLOCKED, Outcome.CANCELLED
STOPPED, CUT_OFF = Outcome.STOPPED, Outcome.CUT_OFF
KILLS = pytest.mark.parametrize("kill", [True, False], ids=["kill", "no kill"])


def with_gate() -> tuple[Task, ...]:
    """`report` waits for a gate of `train`, and `archive` for `report`."""
    return a_task("train", attempts=2), a_task("fetch"), a_task("report", "train", "fetch"), a_task("archive", "report")


def ends(play: Play) -> dict[str, TaskEnded]:
    return {event.task: event for event in play.events if isinstance(event, TaskEnded)}


@KILLS
@pytest.mark.parametrize("keep_going", [True, False])
def test_what_waits_for_a_cancelled_gate_is_cut_off_and_says_so(tmp_path: Path, kill: bool, keep_going: bool) -> None:
    play = Play(tmp_path, {"train": takes(100)}, kill=kill, keep_going=keep_going)
    play.submit(*with_gate())
    (gate,) = (job for job in play.slurm.named("gate"))
    play.clock.sleep(5)
    play.slurm.cancel([gate.job_id])
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "fetch": SUCCEEDED, "report": CUT_OFF, "archive": BLOCKED}
    end = ends(play)["report"]
    assert end.outcome.is_cause
    assert f"Slurm job {gate.job_id} (gate of train)" in end.why


def test_a_gate_that_stands_for_a_failure_is_no_cause(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": failed(1)})
    play.submit(*with_gate())
    play.watch()
    assert play.ended() == {"train": FAILED, "fetch": SUCCEEDED, "report": BLOCKED, "archive": BLOCKED}


def test_what_slurm_removes_for_no_reason_is_a_cause_too(tmp_path: Path) -> None:
    """A controller that has lost its memory takes what was waited for as something that cannot come."""
    play = Play(tmp_path, {"fetch": takes(50)})
    bad = play.slurm.submit(Options.of("--job-name=other"), "exit 1")
    play.submit(*chain())
    play.slurm.depend(play.slurm.named("align")[0].job_id, f"afterok:{bad}")
    play.watch()
    assert play.ended() == {"fetch": SUCCEEDED, "align": CUT_OFF, "plot": BLOCKED}
    assert ends(play)["align"].why == ""


@pytest.mark.parametrize("word", ["missing", "accounting away"])
def test_a_cause_that_is_seen_later_is_waited_for(tmp_path: Path, word: str) -> None:
    """The controller has forgotten the failed task, but not yet what fell with it."""
    play = Play(tmp_path, {"fetch": failed(3, seconds=2)}, keeps_accounts=True, keeps_records=False)
    play.submit(*chain(), a_task("long"))
    play.slurm.ends = lambda job: takes(400) if job.rule == "long" else failed(3, seconds=2)
    play.clock.sleep(20)
    play.slurm.forgotten = {"1"}
    if word == "missing":
        play.slurm.keeps_accounts = False
    else:
        play.slurm.trouble("accounting", *3 * [SlurmUnreachable("sacct did not answer")])
    play.watch(5)
    assert play.ended()["align"] is BLOCKED
    assert play.ended()["plot"] is BLOCKED
    assert play.ended()["fetch"] is (Outcome.LOST if word == "missing" else FAILED)


# --- a run that stops -----------------------------------------------------------------------------------------------


def test_what_a_guard_takes_out_of_the_queue_is_stopped_and_what_somebody_cancelled_is_the_cause(
    tmp_path: Path,
) -> None:
    play = Play(tmp_path, {"long": takes(600)}, keep_going=False, max_running=1)
    play.submit(a_task("long"), a_task("one"), a_task("two"), a_task("three", "two"))
    play.clock.sleep(5)
    play.slurm.cancel([play.slurm.named("one")[0].job_id])
    guard(tmp_path, play.slurm, "99", pause=0)
    play.look()
    assert is_stopped(tmp_path)
    ended = play.ended()
    assert ended == {"one": CANCELLED, "two": STOPPED, "three": BLOCKED}
    assert [one for one, outcome in ended.items() if outcome.is_cause] == ["one"]


def test_without_keep_going_a_cancelled_gate_stops_the_run_when_nobody_watches(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(100), "long": takes(200)}, keep_going=False)
    play.submit(*with_gate(), a_task("long"), a_task("late", "long"))
    play.clock.sleep(5)
    play.slurm.cancel([play.slurm.named("gate")[0].job_id])
    play.run_headless()
    assert not play.slurm.named("late")[0].runs
    assert {job.word for rule in ("train", "long") for job in play.slurm.named(rule) if job.runs} == {"COMPLETED"}


def test_a_second_attempt_that_somebody_cancelled_stops_nothing_while_the_first_runs(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(100), "long": takes(300)}, keep_going=False, max_running=1)
    play.submit(a_task("train", attempts=2), a_task("long"))
    play.clock.sleep(5)
    play.slurm.cancel([play.slurm.named("train")[1].job_id])
    guard(tmp_path, play.slurm, "99", pause=0)
    assert not is_stopped(tmp_path)
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "long": SUCCEEDED}


def test_what_a_head_stops_is_written_down_before_it_is_cancelled(tmp_path: Path) -> None:
    play = Play(tmp_path, {"fetch": takes(100)})
    play.submit(*chain())
    play.clock.sleep(5)
    play.slurm.trouble("cancel", RuntimeError())
    with pytest.raises(RuntimeError):
        play.live.stop()
    assert {"2", "3"} <= stopped_jobs(tmp_path)


# --- a run that nobody watches --------------------------------------------------------------------------------------


def closing_view(play: Play) -> tuple[dict[str, Outcome], tuple[str, ...]]:
    """How each task has ended, and which have not succeeded, as the closing job finds it."""
    policy = replace(POLICY, folder=str(play.folder))
    with told_by(play.clock):
        live, events = beginning.go_on_with_run(policy, play.slurm, LOGGER)
    return {event.task: event.outcome for event in events if isinstance(event, TaskEnded)}, live.tasks.unfinished()


Meddle = Callable[[FakeSlurm], object]


@pytest.mark.parametrize(
    ("meddle", "cause"),
    [
        (lambda slurm: slurm.cancel([slurm.named("gate")[0].job_id]), ("report", CUT_OFF)),
        (lambda slurm: slurm.cancel([slurm.named("report")[0].job_id]), ("report", CANCELLED)),
        (lambda slurm: slurm.cancel([one.job_id for one in slurm.named("train")]), ("train", CANCELLED)),
    ],
    ids=["gate", "waiting task", "all attempts"],
)
@pytest.mark.parametrize("keep_going", [True, False])
def test_a_closing_job_finds_the_cause(
    tmp_path: Path, meddle: Meddle, cause: tuple[str, Outcome], keep_going: bool
) -> None:
    play = Play(tmp_path / "run1", {"train": takes(100)}, keep_going=keep_going, detached=True)
    play.submit(*with_gate())
    play.clock.sleep(5)
    meddle(play.slurm)
    play.run_headless()
    ended, unfinished = closing_view(play)
    assert [(task, outcome) for task, outcome in ended.items() if outcome.is_cause] == [cause]
    assert set(unfinished) == {task for task, outcome in ended.items() if outcome.is_failure}
    assert {"report", "archive"} <= set(unfinished)


def test_a_run_of_which_all_is_well_has_nothing_unfinished(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True)
    play.submit(*with_gate())
    play.run_headless()
    ended, unfinished = closing_view(play)
    assert set(ended.values()) == {SUCCEEDED}
    assert unfinished == ()


def test_a_task_that_cannot_be_submitted_has_failed_and_the_closing_job_knows(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": takes(100)}, detached=True)
    play.submit(a_task("train"))
    (end,) = play.live.refuse({"bad": ("bad[x=1]", "resource gpu=-1 is none")})
    assert (end.outcome, end.never_started, end.why) == (FAILED, True, "resource gpu=-1 is none")
    assert play.live.refuse({"bad": ("bad[x=1]", "again"), "train": ("train", "too late")}) == ()
    play.submit(a_task("bad"), a_task("plot", "bad"))
    assert not play.slurm.named("plot")
    play.run_headless()
    ended, unfinished = closing_view(play)
    assert ended == {"bad": FAILED, "train": SUCCEEDED}
    assert unfinished == ("bad[x=1]",)


def test_what_was_withdrawn_with_a_refused_job_is_no_cause(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"long": takes(30)}, detached=True, keep_going=False)
    play.submit(a_task("long"))
    play.clock.sleep(5)
    play.look()
    play.slurm.trouble("submit", None, Trouble.REFUSED)
    with pytest.raises(SlurmError) as caught:
        play.submit(a_task("long"), a_task("late", "long"), a_task("bad", "long"))
    (end,) = play.live.refuse(caught.value.by_task)
    play.live.stop()
    play.run_headless()
    ended, unfinished = closing_view(play)
    assert (end.task, ended) == ("bad", {"bad": FAILED, "long": SUCCEEDED, "late": STOPPED})
    assert set(unfinished) == {"bad", "late"}
