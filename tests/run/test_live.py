"""A run as its head sees it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task, chain, diamond, edge
from fakes import NODE_FAIL, OK, OUT_OF_MEMORY, REQUEUED, TIMEOUT, End, Trouble, failed, takes
from playing import LONGEST, Play

from snakemake_executor_plugin_kempner.errors import PlanError, SlurmError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run import withdrawn
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.outcome import (
    AttemptFailed,
    Outcome,
    TaskEnded,
    TaskRequeued,
    TaskRuns,
)
from snakemake_executor_plugin_kempner.run.result import Result
from snakemake_executor_plugin_kempner.run.watch import GRACE
from snakemake_executor_plugin_kempner.slurm.states import JobState
from snakemake_executor_plugin_kempner.state.judged import run_state
from snakemake_executor_plugin_kempner.state.model import State
from snakemake_executor_plugin_kempner.state.sources import read_sources

SUCCEEDED, FAILED, BLOCKED, CANCELLED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.BLOCKED, Outcome.CANCELLED


# --- the end of tasks -----------------------------------------------------------------------------------------------


def test_a_chain_that_succeeds_is_told_in_order(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(*chain())
    play.watch(0.5)
    assert list(play.ended().items()) == [("fetch", SUCCEEDED), ("align", SUCCEEDED), ("plot", SUCCEEDED)]


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "no kill"])
def test_what_needs_a_failed_task_is_blocked_down_to_the_end(tmp_path: Path, kill: bool) -> None:
    play = Play(tmp_path, {"fetch": failed(3)}, kill=kill)
    play.submit(*chain())
    play.watch()
    assert play.ended() == {"fetch": FAILED, "align": BLOCKED, "plot": BLOCKED}
    assert not play.slurm.left


@pytest.mark.parametrize("end", [failed(3), TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, End(word="FAILED", signal=9)])
def test_whatever_ends_an_attempt_badly_the_next_one_runs(tmp_path: Path, end: End) -> None:
    play = Play(tmp_path, {"train": [end, OK]})
    tasks = (a_task("train", attempts=3), a_task("report", "train"))
    play.submit(*tasks)
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}
    assert play.runs(tasks)["train"] == [end.word, "COMPLETED"]


def test_a_failed_attempt_is_told_with_the_job_that_comes_next(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": [failed(3), failed(4)]})
    play.submit(a_task("train", attempts=2))
    play.watch()
    (attempt,) = [event for event in play.events if isinstance(event, AttemptFailed)]
    assert (attempt.record.exit_code, attempt.job.job_id, attempt.next.job_id) == (3, "1", "2")
    (ended,) = [event for event in play.events if isinstance(event, TaskEnded)]
    assert (ended.outcome, ended.record.exit_code, ended.job.job_id) == (FAILED, 4, "2")


def test_one_failure_in_a_diamond_spares_its_siblings(tmp_path: Path) -> None:
    play = Play(tmp_path, {"align": [OK, failed(1), OK]})
    play.submit(*diamond(3))
    play.watch()
    outcomes = list(play.ended().values())
    assert outcomes.count(SUCCEEDED) == 3
    assert play.ended()["merge"] is BLOCKED


def test_each_start_of_a_job_is_told_and_a_requeued_job_ends_once(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": [REQUEUED, OK]})
    play.submit(a_task("train"))
    play.watch()
    assert [type(event) for event in play.events] == [TaskRuns, TaskRequeued, TaskRuns, TaskEnded]


def test_a_job_that_somebody_cancels_is_cancelled_and_not_tried_again(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(600)})
    play.submit(a_task("train", attempts=3), a_task("report", "train"))
    play.clock.sleep(5)
    play.slurm.cancel(["1"])
    play.watch()
    assert play.ended() == {"train": CANCELLED, "report": BLOCKED}
    assert [job.runs for job in play.slurm.named("train")] == [1, 0, 0]


# --- declared edges -------------------------------------------------------------------------------------------------


def test_a_handler_that_is_not_needed_is_neither_success_nor_failure(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(a_task("train"), a_task("tell", edge("afternotok", "train")), a_task("archive", "tell"))
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "tell": Outcome.NOT_NEEDED, "archive": Outcome.NOT_NEEDED}
    assert not Outcome.NOT_NEEDED.is_failure


def test_a_handler_runs_when_every_attempt_has_failed(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": failed(1)})
    play.submit(a_task("train", attempts=2), a_task("tell", edge("afternotok", "train")))
    play.watch()
    assert play.ended() == {"train": FAILED, "tell": SUCCEEDED}


def test_a_task_that_is_not_needed_in_this_run_is_not_submitted(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(replace(a_task("tell"), attempts=(), not_needed="train does not run, so it cannot fail"))
    assert not play.slurm.jobs
    ended = play.live.tasks["tell"].ended
    assert ended is not None
    assert (ended.outcome, ended.why) == (Outcome.NOT_NEEDED, "train does not run, so it cannot fail")


# --- later plans ----------------------------------------------------------------------------------------------------


def test_a_later_plan_does_not_name_what_has_ended(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(a_task("fetch"))
    play.watch()
    play.submit(a_task("fetch"), a_task("align", "fetch"))
    (align,) = play.slurm.named("align")
    assert align.options.get("dependency") == ""
    assert len(play.slurm.named("fetch")) == 1


def test_a_later_plan_waits_for_what_still_runs(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": [failed(1), takes(100)]})
    play.submit(a_task("train", attempts=3))
    play.clock.sleep(10)
    play.look()
    play.submit(a_task("train", attempts=3), a_task("report", "train"))
    assert play.slurm.named("report")[0].options.get("dependency") == "afterok:2?afterok:3"


def test_what_comes_behind_a_failed_task_is_not_submitted(tmp_path: Path) -> None:
    play = Play(tmp_path, {"fetch": failed(1)})
    play.submit(a_task("fetch"))
    play.watch()
    play.submit(*chain())
    assert not play.slurm.named("align")
    assert play.live.tasks["plot"].ended.outcome is BLOCKED


def test_a_task_that_is_forgotten_is_submitted_once_more(tmp_path: Path) -> None:
    play = Play(tmp_path, {"fetch": [failed(1), OK]})
    play.submit(a_task("fetch"))
    play.watch()
    play.live.forget("fetch")
    play.submit(a_task("fetch"))
    play.watch()
    assert play.ended() == {"fetch": SUCCEEDED}
    assert len({job.name for job in play.slurm.jobs.values()}) == 2


def test_a_plan_that_is_refused_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(a_task("fetch"))
    play.slurm.trouble("submit", None, Trouble.REFUSED)
    with pytest.raises(SlurmError):
        play.submit(*chain())
    assert not play.live.tasks.knows("align")
    play.submit(*chain())
    play.watch()
    assert set(play.ended().values()) == {SUCCEEDED}
    assert len(play.ended()) == 3


def test_a_plan_with_faults_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.slurm.calls.clear()
    with pytest.raises(PlanError):
        play.submit(a_task("fetch", resources={"gpu": -1}))
    assert not play.live.tasks.knows("fetch")
    assert not play.slurm.calls


# --- asking Slurm ---------------------------------------------------------------------------------------------------


def test_one_query_for_all_jobs_and_none_when_nothing_is_open(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.slurm.calls.clear()
    play.look()
    assert not play.slurm.calls
    play.submit(*diamond(50))
    play.slurm.calls.clear()
    play.look()
    assert [call.command for call in play.slurm.calls] == ["queue"]


@pytest.mark.parametrize(("is_away", "seconds"), [(False, 150), (True, 5 + 1)])
def test_a_slow_controller_is_asked_less_often_but_not_one_that_is_away(
    tmp_path: Path, is_away: bool, seconds: float
) -> None:
    play = Play(tmp_path, {"train": takes(1000)})
    play.submit(a_task("train"))
    queue = play.slurm.queue

    def slow_queue() -> object:
        play.clock.sleep(5)
        return queue()

    play.slurm.queue = slow_queue  # type: ignore[assignment,method-assign]
    play.look()
    play.slurm.down = is_away
    play.look()
    assert seconds_to_the_next_query(play) == pytest.approx(seconds, abs=1)


def test_a_query_that_fails_changes_nothing_and_is_said_less_and_less_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play = Play(tmp_path, {"train": takes(1000)})
    play.submit(a_task("train"))
    play.slurm.down = True
    for _ in range(20):
        assert play.look() == ()
        play.clock.sleep(GRACE)
    assert len([record for record in caplog.records if "could not be asked" in record.message]) == 5
    play.slurm.down = False
    play.watch()
    assert play.ended() == {"train": SUCCEEDED}


def test_a_job_that_is_missing_in_one_answer_is_not_over(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(100)})
    play.submit(a_task("train"))
    play.clock.sleep(3)
    play.look()
    play.slurm.hidden = {"1"}
    for _ in range(5):
        assert play.look() == ()
        play.clock.sleep(10)
    play.slurm.hidden = set()
    play.watch()
    assert play.ended() == {"train": SUCCEEDED}


def test_a_job_that_the_list_leaves_out_for_ever_is_followed_to_its_end(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(1000)}, keeps_records=False)
    play.submit(a_task("train"))
    play.slurm.is_blind = True
    play.watch(10)
    assert play.ended() == {"train": SUCCEEDED}


def test_a_job_is_not_lost_while_a_source_does_not_answer(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(1000)}, keeps_records=False)
    play.submit(a_task("train"))
    play.slurm.is_blind = True
    play.slurm.trouble("show", *[SlurmError("away")] * 20)
    for _ in range(20):
        play.look()
        play.clock.sleep(GRACE)
    assert play.ended() == {}


def test_what_the_controller_has_forgotten_is_asked_of_accounting(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": failed(3)}, keeps_accounts=True)
    play.submit(a_task("train"))
    play.clock.sleep(1000)
    play.watch()
    assert play.ended() == {"train": FAILED}
    assert play.slurm.asked("accounting")


@pytest.mark.parametrize(("code", "outcome"), [(0, SUCCEEDED), (3, FAILED)])
def test_without_accounting_the_jobs_own_record_counts(tmp_path: Path, code: int, outcome: Outcome) -> None:
    play = Play(tmp_path, keeps_records=False)
    play.submit(a_task("train"))
    (tmp_path / "ended/1.json").write_text(json.dumps({"exit_code": code, "node": "n1"}))
    play.slurm.forgotten = {"1"}
    play.watch()
    assert play.ended() == {"train": outcome}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"start": 1}', '{"exit_code": "0"}', "\xff"])
def test_a_record_that_says_nothing_of_the_end_is_no_success(tmp_path: Path, text: str) -> None:
    play = Play(tmp_path, keeps_records=False)
    play.submit(a_task("train"))
    (tmp_path / "ended/1.json").write_bytes(text.encode("latin-1"))
    play.slurm.forgotten = {"1"}
    play.watch()
    assert play.ended() == {"train": Outcome.LOST}


def seconds_to_the_next_query(play: Play) -> float:
    """By the calls that the scheduler gets from a head that looks each second."""
    began, calls = play.clock.now(), len(play.slurm.asked("queue"))
    while len(play.slurm.asked("queue")) == calls:
        play.glance()
        play.clock.sleep(1)
    return play.clock.now() - 1 - began


def test_the_pause_between_queries_grows_while_nothing_changes(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(10_000)}, keeps_records=False)
    play.submit(a_task("train"))
    assert seconds_to_the_next_query(play) == 0
    pauses = [seconds_to_the_next_query(play) for _ in range(40)]
    assert pauses == sorted(pauses)
    assert max(pauses) == LONGEST - 1


# --- records of jobs in place of queries ------------------------------------------------------------------------------


def stages(number: int) -> list[Task]:
    """A chain of trainings."""
    keys = [f"train[stage={stage}]" for stage in range(number)]
    return [
        a_task("train", *keys[max(0, stage - 1) : stage], wildcards={"stage": str(stage)}) for stage in range(number)
    ]


def test_a_chain_is_watched_without_a_query_for_each_of_its_tasks(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(60)})
    play.submit(*stages(60))
    play.watch(rounds=10_000)
    assert set(play.ended().values()) == {SUCCEEDED}
    assert play.clock.now() >= 3600
    assert len(play.slurm.asked("queue")) <= 40


def test_a_success_is_told_as_soon_as_slurm_has_started_what_waited_for_it(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(1000)})
    first, *others = stages(3)
    play.submit(first, *others)
    while first.key not in play.ended():
        play.glance()
        play.clock.sleep(1)
    _, second = (change.time for change in play.slurm.changes if change.word == "RUNNING")
    assert play.clock.now() - second <= 2


def test_a_success_by_its_own_record_counts_only_once_slurm_agrees(tmp_path: Path) -> None:
    """A job may be killed by memory or with its node after its work has ended well."""
    play = Play(tmp_path, {"train": End(word="OUT_OF_MEMORY", seconds=500)}, keeps_records=False)
    play.submit(a_task("train"), a_task("evaluate", "train"))
    play.glance()
    record = tmp_path / "ended/1.json.new"
    record.write_text(json.dumps({"start": 1, "end": 2, "exit_code": 0, "node": "n1"}))
    record.replace(tmp_path / "ended/1.json")
    while play.live.jobs:
        play.glance()
        play.clock.sleep(1)
    assert play.ended() == {"train": FAILED, "evaluate": Outcome.BLOCKED}


def test_where_records_are_not_seen_slurm_is_asked_as_often_as_before(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(100)}, keeps_records=False)
    play.submit(*stages(12))
    play.watch(rounds=10_000)
    assert set(play.ended().values()) == {SUCCEEDED}
    late = [change.time for change in play.slurm.changes if change.word == "COMPLETED"]
    assert play.clock.now() - late[-1] <= 20
    assert len(play.slurm.asked("queue")) > 60


def test_the_end_of_every_submission_is_written_down(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": [failed(3), OK]})
    play.submit(a_task("train", attempts=2), a_task("fetch"), a_task("report", "train", "fetch"))
    play.watch()
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert {line["ended"] for line in lines if "ended" in line} == set(play.slurm.jobs)


# --- stopping -------------------------------------------------------------------------------------------------------


def test_cancelling_the_run_cancels_every_job_of_it_and_no_other(tmp_path: Path) -> None:
    play = Play(tmp_path, {"fetch": takes(100)})
    other = play.slurm.submit(Options.of("--job-name=other"), "sleep 1000")
    play.submit(*chain())
    play.clock.sleep(5)
    play.look()
    play.live.cancel()
    assert [job.job_id for job in play.slurm.left] == [other]
    play.watch()
    assert set(play.ended().values()) <= {CANCELLED, BLOCKED}


@pytest.mark.parametrize(("lingers", "is_over"), [(2, True), (60, False)])
def test_a_cancelled_run_is_over_when_its_jobs_have_left_their_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lingers: int, is_over: bool
) -> None:
    """A training that gets SIGTERM may take half a minute to end: not as long as that is waited."""
    play = Play(tmp_path, {"train": takes(1000)})
    play.submit(a_task("train"))
    play.clock.sleep(5)
    play.look()
    play.live.cancel()
    queue, slept = play.slurm.queue, list[float]()
    running = tuple(replace(record, state=JobState.RUNNING, word="RUNNING") for record in queue())
    monkeypatch.setattr(play.slurm, "queue", lambda: running if len(slept) < lingers else queue())
    monkeypatch.setattr(withdrawn.time, "sleep", slept.append)
    assert play.live.end(Result.CANCELLED) is is_over
    assert len(slept) == (lingers if is_over else 10)
    assert read_ledger(tmp_path).closed is is_over


def test_stopping_spares_what_runs_and_what_was_declared_to_follow(tmp_path: Path) -> None:
    play = Play(tmp_path, {"train": takes(100)})
    clean = a_task("clean", replace(edge("afterany", "train"), declared=True))
    play.submit(a_task("train"), a_task("report", "train"), clean)
    play.clock.sleep(5)
    play.live.stop()
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "report": Outcome.STOPPED, "clean": SUCCEEDED}


def test_cancelling_what_slurm_does_not_take_names_the_jobs(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(*chain())
    play.slurm.trouble("cancel", Trouble.UNREACHABLE)
    with pytest.raises(SlurmError, match="scancel 1 2 3"):
        play.live.cancel()


# --- what the head was too late for ---------------------------------------------------------------------------------


def test_an_attempt_that_succeeded_before_the_cancelled_one_was_noticed_counts(tmp_path: Path) -> None:
    """Somebody cancels attempt 1, Slurm runs attempt 2 and what follows; the head looks a minute later."""
    play = Play(tmp_path, {"train": [takes(600), OK]})
    play.submit(a_task("train", attempts=2), a_task("report", "train"))
    play.clock.sleep(5)
    play.slurm.cancel(["1"])
    play.clock.sleep(60)
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}


def test_what_slurm_removed_is_blocked_also_when_only_accounting_knows_of_it(tmp_path: Path) -> None:
    """Sacct shows a job that was removed for its dependency as CANCELLED, with no word of why."""
    play = Play(tmp_path, {"fetch": failed(1)}, keeps_accounts=True)
    play.submit(*chain())
    play.clock.sleep(1000)
    play.watch()
    assert play.ended() == {"fetch": FAILED, "align": BLOCKED, "plot": BLOCKED}


def test_gpu_hours_are_kept_over_all_plans_of_a_run(tmp_path: Path) -> None:
    """What a checkpoint makes is planned later, and counts with what was submitted before."""
    play = Play(tmp_path)
    play.live.policy = replace(play.live.policy, most_gpu_hours=3)
    gpu = {"gpu": 1, "runtime": 120}
    play.submit(a_task("train", attempts=2, resources=gpu))
    with pytest.raises(PlanError, match="asks for 4, 2 of them by what the run has submitted before: tune for 2"):
        play.submit(a_task("tune", resources=gpu))
    assert {job.rule for job in play.slurm.jobs.values()} == {"train"}


@pytest.mark.parametrize("has_ended", [True, False], ids=["it had ended", "it ran"])
def test_a_job_whose_id_slurm_gives_to_another_one_ends_by_its_own_word_alone(tmp_path: Path, has_ended: bool) -> None:
    play = Play(tmp_path / "runs" / "run1", {"first": takes(5 if has_ended else 600), "second": takes(100)})
    play.submit(a_task("first"))
    play.slurm.advance(10)
    play.slurm.crash(since=0)
    play.submit(a_task("second"))
    play.watch()
    assert play.ended() == {"first": Outcome.SUCCEEDED if has_ended else Outcome.LOST, "second": Outcome.SUCCEEDED}
    tasks = run_state(read_sources(read_ledger(play.folder), play.slurm)).tasks
    assert {task.key: task.state for task in tasks} == {"first": State.UNKNOWN, "second": State.DONE}
