"""A run whose head has died goes on with the next one, and nothing is done twice."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import a_task, chain, edge
from fakes import OK, Trouble, failed, takes
from playing import Play, left_over

from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.outcome import Outcome

gap = pytest.mark.xfail(reason="not yet", strict=True)


class Killed(BaseException):
    """kill -9: nothing is tidied up."""


def submit_and_die(play: Play, tasks: Sequence[Task], number: int, *, accepted: bool) -> None:
    """The head is killed at its n-th sbatch, before or after it was carried out; or after the last one."""
    play.slurm.trouble("submit", *[None] * number, Trouble.INTERRUPTED if accepted else Killed())
    play.slurm.trouble("find", Killed())
    play.slurm.trouble("cancel", Killed())
    with contextlib.suppress(Killed, KeyboardInterrupt):
        play.submit(*tasks)
    for command in ("submit", "find", "cancel"):
        play.slurm.forgive(command)


# --- by example -----------------------------------------------------------------------------------------------------


def test_what_is_left_in_the_queue_is_followed_and_not_submitted_again(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    play.submit(*chain())
    play.clock.sleep(10)
    play.resume()
    play.submit(*chain())
    assert len(play.slurm.jobs) == 3
    play.watch()
    assert play.ended() == dict.fromkeys(("fetch", "align", "plot"), Outcome.SUCCEEDED)


def test_what_was_not_submitted_waits_for_what_was(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    play.submit(chain()[0])
    play.resume()
    play.submit(*chain())
    assert [job.options.get("dependency") for job in play.slurm.jobs.values()] == ["", "afterok:1", "afterok:2"]


def test_an_attempt_that_has_failed_is_not_waited_for(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": [failed(1), takes(100)]})
    play.submit(a_task("train", attempts=3))
    play.clock.sleep(10)
    play.resume()
    play.submit(a_task("train", attempts=3), a_task("report", "train"))
    assert play.slurm.named("report")[0].options.get("dependency") == "afterok:2?afterok:3"
    play.watch()
    assert play.ended() == {"train": Outcome.SUCCEEDED, "report": Outcome.SUCCEEDED}


def test_a_job_whose_id_was_never_written_down_is_found_by_its_name(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    submit_and_die(play, chain(), 0, accepted=True)
    assert len(play.slurm.jobs) == 1
    play.resume()
    play.submit(*chain())
    assert len(play.slurm.named("fetch")) == 1


def test_an_intent_that_never_reached_slurm_is_submitted(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1")
    submit_and_die(play, chain(), 1, accepted=False)
    play.resume()
    play.submit(*left_over(chain(), play.slurm))
    play.watch()
    assert {name: len(play.slurm.named(name)) for name in ("fetch", "align", "plot")} == {
        "fetch": 1,
        "align": 1,
        "plot": 1,
    }


def test_a_job_of_another_cluster_with_the_same_number_is_not_ours(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    play.submit(*chain())
    other = Play(tmp_path / "elsewhere", {"other": takes(100)})
    other.submit(a_task("other"))
    play.slurm = other.slurm
    play.clock = other.clock
    play.resume()
    play.submit(*chain())
    assert len(play.slurm.named("fetch")) == 1
    assert len(play.slurm.jobs) == 4


def test_what_can_never_start_is_submitted_anew(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": [failed(1), OK]}, kill=False)
    play.submit(*chain()[:2])
    play.slurm.advance(10)
    assert play.slurm.named("align")[0].reason == "DependencyNeverSatisfied"
    play.resume()
    play.submit(*chain()[:2])
    play.watch()
    assert play.ended() == {"fetch": Outcome.SUCCEEDED, "align": Outcome.SUCCEEDED}


def test_what_waits_behind_a_job_that_can_never_start_is_submitted_anew(tmp_path: Path) -> None:
    """Where Slurm does not remove jobs, `plot` waits with the plain reason "Dependency", for a job that nobody removes."""
    play = Play(tmp_path / "run1", {"fetch": [failed(1), OK]}, kill=False)
    play.submit(*chain())
    play.slurm.advance(10)
    play.resume()
    play.submit(*chain())
    play.watch(rounds=100)
    assert play.ended() == dict.fromkeys(("fetch", "align", "plot"), Outcome.SUCCEEDED)


def test_cancelling_cancels_what_was_adopted(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    play.submit(*chain())
    play.resume()
    play.live.cancel()
    assert not play.slurm.left


def test_a_handler_that_was_adopted_and_is_not_needed_is_no_failure(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": takes(100)})
    tasks = (a_task("train"), a_task("tell", edge("afternotok", "train")))
    play.submit(*tasks)
    play.clock.sleep(10)
    play.resume()
    play.submit(*tasks)
    play.watch()
    assert play.ended() == {"train": Outcome.SUCCEEDED, "tell": Outcome.NOT_NEEDED}


def test_a_task_of_which_only_the_first_attempt_was_submitted_gets_the_others(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": [failed(1, seconds=60), OK]})
    tasks = (a_task("train", attempts=2), a_task("report", "train"))
    submit_and_die(play, tasks, 1, accepted=False)
    play.resume()
    play.submit(*tasks)
    play.watch()
    assert play.ended() == {"train": Outcome.SUCCEEDED, "report": Outcome.SUCCEEDED}


def test_a_task_that_has_succeeded_needs_no_further_attempt_though_not_all_were_submitted(tmp_path: Path) -> None:
    """It succeeded after the new process had looked at the files."""
    play = Play(tmp_path / "run1", {"train": takes(5)})
    submit_and_die(play, (a_task("train", attempts=3),), 2, accepted=False)
    since = play.clock.now()
    play.slurm.advance(20)
    play.resume(since=since)
    play.submit(a_task("train", attempts=3))
    assert [job.word for job in play.slurm.jobs.values()] == ["COMPLETED", "CANCELLED"]
