"""What has become of a run, for somebody who only looks: as the head would judge, from what is on disk and in the queue."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import a_task, chain, diamond, edge, sweep
from fakes import OK, OUT_OF_MEMORY, TIMEOUT, End, FakeSlurm, Trouble, failed, takes
from playing import Play

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.outcome import IN_THE_HEAD, Outcome
from snakemake_executor_plugin_kempner.state.judged import run_state
from snakemake_executor_plugin_kempner.state.model import RunState, State
from snakemake_executor_plugin_kempner.state.overview import overview, reason
from snakemake_executor_plugin_kempner.state.sources import read_sources

AGES = 10_000.0
"""Seconds after which Slurm has forgotten everything."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".snakemake" / "kempner" / "run1"


def looked_at(play: Play) -> RunState:
    return run_state(read_sources(read_ledger(play.folder), play.slurm))


def states(play: Play) -> dict[str, str]:
    return {task.key: task.state.value for task in looked_at(play).tasks}


def test_while_it_runs_each_task_is_done_running_or_waits_and_slurm_is_asked_once(folder: Path) -> None:
    play = Play(folder, {"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    before = len(play.slurm.calls)
    assert states(play) == {"fetch": "done", "align": "running", "plot": "waiting"}
    assert [call.command for call in play.slurm.calls[before:]] == ["listing"]


def test_an_attempt_in_reserve_is_not_expected_in_the_year_of_its_start_time(folder: Path) -> None:
    play = Play(folder, {"a": takes(600)})
    play.submit(*(a_task("a", wildcards={"i": str(place)}, attempts=2) for place in range(5)))
    play.clock.sleep(20)
    assert any(listed.starts and listed.starts > 10**9 for listed in play.slurm.listing())
    attempts = [attempt for task in looked_at(play).tasks for attempt in task.attempts]
    assert len(attempts) == 10
    assert all(attempt.expected is None for attempt in attempts)


@pytest.mark.parametrize("forgotten", [False, True], ids=["Slurm remembers", "Slurm has forgotten"])
@pytest.mark.parametrize("kill", [True, False], ids=["kill", "no kill"])
def test_what_failed_and_what_never_ran_because_of_it(folder: Path, kill: bool, forgotten: bool) -> None:
    play = Play(folder, {"fetch": failed(3)}, kill=kill)
    play.submit(*chain())
    play.run_headless()
    play.clock.sleep(AGES if forgotten else 0)
    state = looked_at(play)
    assert {task.key: task.state.value for task in state.tasks} == {
        "fetch": "failed",
        "align": "never",
        "plot": "never",
    }
    fetch, _, plot = state.tasks
    assert [task.key for task in state.roots(plot)] == ["fetch"]
    assert [task.key for task in state.needing(fetch)] == ["align", "plot"]
    assert not state.is_open


def test_a_task_whose_first_attempt_has_failed_waits_to_be_tried_again(folder: Path) -> None:
    play = Play(folder, {"train": [failed(3), OK]}, max_running=1)
    play.submit(a_task("train", attempts=2), a_task("other", resources={"runtime": 60}))
    play.slurm.ends = lambda job: failed(3) if ".1" in job.name and job.rule == "train" else takes(600)
    play.clock.sleep(3)
    task, _ = looked_at(play).tasks
    assert task.state in (State.RETRYING, State.RUNNING)
    assert task.attempts[0].word == "FAILED"


def test_a_segment_that_was_cut_short_is_no_failure_and_the_state_says_which_one_waits(folder: Path) -> None:
    play = Play(folder, {"train": [TIMEOUT, takes(100)]})
    play.submit(a_task("train", resources={"slurm_segments": 6, "gpu": 4}))
    play.slurm.advance(1)
    play.slurm.max_running = 0
    play.slurm.advance(10)
    (task,) = looked_at(play).tasks
    assert (task.state, task.attempts[0].word, task.pending.number) == (State.WAITING, "TIMEOUT", 2)
    assert reason(looked_at(play), task).startswith("segment 2 of 6: ")


def test_of_a_running_segment_the_state_says_which_it_is(folder: Path) -> None:
    play = Play(folder, {"train": [TIMEOUT, takes(100)]})
    play.submit(a_task("train", resources={"slurm_segments": 6, "gpu": 4}))
    play.slurm.advance(20)
    view = overview(looked_at(play), play.clock.now())
    assert view.longest.startswith("train (segment 2 of 6) has run for ")
    assert view.gpu_hours_lost == 0


def test_a_success_after_a_failure_is_done(folder: Path) -> None:
    play = Play(folder, {"train": [OUT_OF_MEMORY, OK]})
    play.submit(a_task("train", attempts=3), a_task("report", "train"))
    play.run_headless()
    assert states(play) == {"train": "done", "report": "done"}
    play.clock.sleep(AGES)
    assert states(play) == {"train": "done", "report": "done"}


def test_what_nobody_knows_is_unknown_and_never_done(folder: Path) -> None:
    play = Play(folder, keeps_records=False)
    play.submit(*chain())
    play.run_headless()
    play.clock.sleep(AGES)
    found = states(play)
    assert found["fetch"] == "unknown"
    assert "done" not in found.values()


def test_what_accounting_alone_knows_is_known(folder: Path) -> None:
    play = Play(folder, {"align": failed(1)}, keeps_records=False, keeps_accounts=True)
    play.submit(*chain())
    play.run_headless()
    play.clock.sleep(AGES)
    assert states(play) == {"fetch": "done", "align": "failed", "plot": "never"}


def test_without_an_answer_of_slurm_what_is_on_disk_is_shown_and_the_rest_is_unknown(folder: Path) -> None:
    play = Play(folder, {"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    play.slurm.trouble("listing", Trouble.REFUSED)
    state = looked_at(play)
    assert [task.state.value for task in state.tasks] == ["done", "unknown", "unknown"]
    assert "refused" in state.unanswered


def test_what_a_person_cancels_is_cancelled_and_what_needs_it_never_runs(folder: Path) -> None:
    play = Play(folder, {"train": takes(600)})
    play.submit(a_task("train"), a_task("report", "train"))
    play.clock.sleep(5)
    play.slurm.cancel(["1"])
    play.clock.sleep(30)
    found = states(play)
    assert (found["train"], found["report"]) == ("cancelled", "never")


def test_a_handler_that_was_not_needed_is_no_failure(folder: Path) -> None:
    play = Play(folder)
    play.submit(a_task("train"), a_task("tell", edge("afternotok", "train")))
    play.run_headless()
    assert states(play) == {"train": "done", "tell": "not needed"}


def test_a_run_that_has_taken_over_another_shows_the_tasks_of_both(folder: Path) -> None:
    play = Play(folder, {"plot": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    play.resume()
    play.submit(a_task("more"))
    play.clock.sleep(20)
    state = looked_at(play)
    assert {task.key: task.state.value for task in state.tasks} == {
        "fetch": "done", "align": "done", "plot": "running", "more": "done",
    }  # fmt: skip
    assert state.earlier == ("run1",)
    assert looked_at_folder(folder, play.slurm).taken_over_by == "run2"


def looked_at_folder(folder: Path, slurm: FakeSlurm) -> RunState:
    return run_state(read_sources(read_ledger(folder), slurm))


def test_a_task_that_could_not_be_submitted_says_why(folder: Path) -> None:
    play = Play(folder)
    play.submit(a_task("fetch"))
    Ledger(folder).refused("plot", "plot[x=1]", "resource gpu='many' takes a number of GPUs")
    plot = looked_at(play).tasks[-1]
    assert (plot.label, plot.state, plot.why) == (
        "plot[x=1]",
        State.FAILED,
        "resource gpu='many' takes a number of GPUs",
    )


def test_what_an_earlier_run_could_not_submit_is_judged_by_the_run_that_has_taken_over(folder: Path) -> None:
    """Its head has tried it once more: a local rule that had failed may have succeeded there."""
    play = Play(folder)
    play.submit(a_task("fetch"))
    Ledger(folder).refused("check", "check", IN_THE_HEAD)
    play.resume()
    play.submit(a_task("more"))
    assert "check" not in {task.label for task in looked_at(play).tasks}
    assert len(looked_at(play).tasks) == 2


SAME = {
    Outcome.SUCCEEDED: {State.DONE},
    Outcome.FAILED: {State.FAILED},
    Outcome.CANCELLED: {State.CANCELLED},
    Outcome.BLOCKED: {State.NEVER},
    Outcome.STOPPED: {State.NEVER},
    Outcome.NOT_NEEDED: {State.NOT_NEEDED},
    Outcome.LOST: {State.UNKNOWN},
    Outcome.CUT_OFF: {State.NEVER},
}

PLAYS: dict[str, tuple[Sequence[Task], dict[str, End | Sequence[End]]]] = {
    "a diamond": (diamond(3), {"align": [OK, failed(1), OK]}),
    "a sweep in arrays": (sweep(8), {"train": [OK, failed(1), OUT_OF_MEMORY, OK]}),
    "retries": ((a_task("train", attempts=3), a_task("fetch"), a_task("report", "train", "fetch")), {"train": failed(1)}),
    "a handler": ((a_task("train"), a_task("tell", edge("afternotok", "train")), a_task("eval", "train")), {"train": failed(1)}),
}  # fmt: skip


@pytest.mark.parametrize("keep_going", [True, False], ids=["keeps going", "stops"])
@pytest.mark.parametrize("name", PLAYS)
def test_who_looks_judges_as_the_head_does(folder: Path, name: str, keep_going: bool) -> None:
    tasks, ends = PLAYS[name]
    play = Play(folder, ends, keep_going=keep_going)
    play.submit(*tasks)
    play.watch(0.5)
    found = {task.key: task.state for task in looked_at(play).tasks}
    told = play.ended()
    assert {key for key in told if found[key] not in SAME[told[key]]} == set()
    play.clock.sleep(AGES)
    assert {task.key: task.state for task in looked_at(play).tasks} == found


def test_a_job_of_another_cluster_with_the_same_id_is_none_of_the_run(folder: Path) -> None:
    play = Play(folder, {"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    assert states(play)["align"] == "running"
    elsewhere = FakeSlurm(play.clock)
    for _ in range(4):
        elsewhere.submit(Options.of("--job-name=another", "--time=60"), "sleep 600")
    state = looked_at_folder(folder, elsewhere)
    assert [task.state.value for task in state.tasks] == ["done", "unknown", "never"]
    assert state.tasks[1].attempts[0].limit_s is None


def test_a_job_whose_answer_was_lost_is_found_by_its_name(folder: Path) -> None:
    play = Play(folder)
    play.submit(a_task("fetch"))
    play.clock.sleep(10)
    lines = (folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_text("".join(line for line in lines if '"submitted"' not in line))
    (task,) = looked_at(play).tasks
    assert (task.state, task.attempts[0].job_id, task.attempts[0].start) == (State.DONE, "1", 1.0)
