"""What a new process makes of what earlier ones have left."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from builders import a_task, chain, edge
from fakes import OK, FakeSlurm, Trouble, failed, takes
from playing import LOGGER, Play, told_by

from snakemake_executor_plugin_kempner.beginning import settle_changes
from snakemake_executor_plugin_kempner.errors import SlurmError, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import latest_ledger, open_ledgers
from snakemake_executor_plugin_kempner.run.live import LiveRun
from snakemake_executor_plugin_kempner.run.opening import EarlierRuns, entries_in_queue, look_back
from snakemake_executor_plugin_kempner.run.outcome import Outcome, TaskEnded
from snakemake_executor_plugin_kempner.run.resume import go_on
from snakemake_executor_plugin_kempner.run.takeover import cancel_found, cancel_tasks, changes, without_tasks


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path / "run1", {"fetch": takes(100)})


@pytest.fixture(autouse=True)
def clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever waits here waits on the clock of the play."""
    if "play" not in request.fixturenames:
        yield
        return
    with told_by(request.getfixturevalue("play").clock):
        yield


def look(play: Play, *, since: float = 0.0, workdir: str = "", said: list[str] | None = None) -> EarlierRuns:
    warn = LOGGER.warning if said is None else said.append
    return look_back(play.folder.parent, workdir or os.getcwd(), play.slurm, since, warn)


def words(play: Play) -> dict[str, str]:
    return {job.rule: job.word for job in play.slurm.jobs.values()}


def forget(path: Path, text: str) -> None:
    """Take the lines with this text out of a file."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if text not in line))


# --- a list that leaves jobs out ------------------------------------------------------------------------------------


def test_what_squeue_leaves_out_is_adopted_all_the_same(play: Play) -> None:
    play.submit(*chain())
    play.slurm.tick()
    seen = {one.task for one in look(play).left}
    play.slurm.is_blind = True
    assert {one.task for one in look(play).left} == seen != set()


def test_an_array_that_squeue_leaves_out_is_adopted_all_the_same(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": takes(100)})
    with told_by(play.clock):
        play.submit(*(a_task("train", wildcards={"seed": str(seed)}) for seed in range(6)))
        play.slurm.is_blind = True
        assert len(look(play).left) == 6


def test_a_job_whose_answer_was_lost_is_found_where_squeue_leaves_it_out(play: Play) -> None:
    play.slurm.trouble("submit", None, Trouble.INTERRUPTED)
    play.slurm.trouble("find", SlurmError("away"), SlurmError("away"))
    with pytest.raises((SlurmError, KeyboardInterrupt)):
        play.submit(*chain())
    play.slurm.forgive("find")
    with_list = {one.task for one in look(play).left}
    play.slurm.is_blind = True
    assert {one.task for one in look(play).left} == with_list


def test_a_cancel_reaches_what_squeue_leaves_out(play: Play) -> None:
    play.submit(*chain())
    play.slurm.is_blind = True
    assert "Cancelled the 3 Slurm jobs" in cancel_found(look(play), play.slurm)
    assert not play.slurm.left


def test_where_one_source_does_not_answer_nothing_is_decided(play: Play) -> None:
    play.submit(*chain())
    play.slurm.is_blind = True
    play.slurm.trouble("show", SlurmError("scontrol did not answer"))
    with pytest.raises(SlurmError, match="did not answer"):
        look(play)


def test_what_accounting_holds_for_running_is_not_gone(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(1000)}, keeps_accounts=True)
    with told_by(play.clock):
        play.submit(a_task("fetch"))
        play.slurm.tick()
        play.slurm.forgotten = {"1"}
        with pytest.raises(SlurmError, match=r"accounting holds for queued or running: 1 \(fetch, RUNNING\)"):
            look(play)
        play.clock.sleep(1000)
        assert all(task.has_succeeded for task in look(play).left)


def test_what_was_cancelled_before_its_start_and_is_forgotten_is_gone(play: Play) -> None:
    play.submit(*chain())
    play.slurm.cancel(["1", "2", "3"])
    play.clock.sleep(1000)
    assert look(play).left == ()


def test_a_controller_that_does_not_answer_at_first_is_asked_again(play: Play) -> None:
    play.submit(*chain())
    said: list[str] = []
    play.slurm.trouble("queue", Trouble.UNREACHABLE, Trouble.NOT_TAKEN)
    assert look(play, said=said).left
    assert (
        [line for line in said if line.startswith("Slurm could not be asked about the runs of this folder, again in")]
        == said
        != []
    )


def test_a_controller_that_never_answers_is_given_up(play: Play) -> None:
    play.submit(*chain())
    play.slurm.down = True
    with pytest.raises(SlurmUnreachable):
        look(play)
    assert play.clock.now() > 800


# --- looking back ---------------------------------------------------------------------------------------------------


def test_nothing_was_left_where_nothing_was_run(tmp_path: Path) -> None:
    slurm = FakeSlurm()
    assert look_back(tmp_path, os.getcwd(), slurm, 0, print) == EarlierRuns(ledgers=(), left=())
    assert slurm.calls == []


def test_the_line_counts_what_finished_meanwhile_what_runs_and_what_waits(play: Play) -> None:
    play.submit(a_task("done"), a_task("seen"), *chain())
    play.slurm.advance(10)
    Ledger(play.folder).ended(play.slurm.named("seen")[0].job_id, state="COMPLETED")
    found = look(play, since=50)
    line = "Goes on with run run1: 1 finished meanwhile, 1 running, 2 queued, 3 to submit."
    assert found.line(to_submit=3) == line


def test_what_has_ended_after_the_new_process_looked_at_the_files_is_told_as_succeeded(play: Play) -> None:
    play.submit(a_task("align"), a_task("fetch"))
    play.slurm.advance(10)
    early, late = look(play, since=0), look(play, since=5)
    assert {one.task: one.has_succeeded for one in early.left} == {"align": True, "fetch": False}
    assert [one.task for one in late.left] == ["fetch"]


def test_the_record_of_a_copied_folder_is_passed_over_with_a_word(play: Play) -> None:
    play.submit(*chain())
    said: list[str] = []
    found = look(play, workdir="/a/copy", said=said)
    assert (found.left, found.ledgers, dict(found.jobs)) == ((), (), {})
    assert len(said) == 1
    assert said[0].startswith(f"The record of run run1 in this folder speaks of jobs started in {os.getcwd()}")
    assert not any(job.is_final for job in play.slurm.jobs.values())


def test_a_slurm_that_does_not_answer_says_nothing_of_what_is_left(play: Play) -> None:
    play.submit(*chain())
    play.slurm.trouble("queue", Trouble.REFUSED)
    with pytest.raises(SlurmError):
        look(play)


def test_an_intent_without_an_answer_is_waited_for_as_long_as_slurm_may_still_carry_it_out(play: Play) -> None:
    play.submit(a_task("fetch"))
    Ledger(play.folder).intend(
        "late.run1.9", kind="task", task="late", label="late", attempt=1, attempts=1, options=[], log="l", edges=[],
        spared=False,
    )  # fmt: skip
    said: list[str] = []
    look(play, said=said)
    assert 35 < play.clock.now() < 45
    assert said == ["The head before died while it submitted late; waiting whether Slurm still takes it."]
    look(play)
    assert play.clock.now() < 45


def test_a_job_whose_answer_was_lost_is_among_what_is_in_the_queue(play: Play) -> None:
    play.submit(*chain())
    path = play.folder / "ledger.jsonl"
    forget(path, '"submitted": "plot')
    assert {entry.task: job_id for job_id, entry in look(play).jobs.items() if entry.kind == "task"} == {
        "fetch": "1",
        "align": "2",
        "plot": "3",
    }
    assert len(entries_in_queue(read_ledger(play.folder), play.slurm)) == 3


# --- taking over ----------------------------------------------------------------------------------------------------


def test_the_earlier_run_is_closed_in_favour_of_the_new_one_after_it_has_submitted(play: Play) -> None:
    play.submit(*chain())
    first = play.folder
    play.resume()
    assert not read_ledger(first).closed
    play.submit(*chain(), a_task("show", "plot"))
    assert read_ledger(first).closed
    assert latest_ledger(first).run == "run2"
    assert len(play.slurm.jobs) == 4


def test_closing_jobs_and_continuations_of_earlier_runs_are_cancelled(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)}, detached=True)
    play.submit(*chain(), deferred=[Deferred("a checkpoint", frozenset({"plot"}))])
    assert {"continuation", "closing"} <= words(play).keys()
    play.policy = replace(play.policy, detached=False)
    play.resume()
    play.submit(*chain())
    assert {rule: word for rule, word in words(play).items() if word == "CANCELLED"} == {
        "continuation": "CANCELLED",
        "closing": "CANCELLED",
    }
    play.watch()
    assert set(play.ended().values()) == {Outcome.SUCCEEDED}


def test_what_can_no_longer_start_is_removed_where_slurm_does_not(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": [failed(1), OK]}, kill=False)
    play.live.submit(chain())
    play.slurm.cancel([job.job_id for job in play.slurm.named("guard")])  # the head has died before it was submitted
    play.slurm.advance(10)
    play.resume()
    play.submit(*chain())
    play.watch()
    assert [job.name for job in play.slurm.left] == []


# --- changes --------------------------------------------------------------------------------------------------------


def content(task: Task, **digests: str) -> Task:
    return replace(task, content={"code": "c1", "params": "p1", "input": "i1", **digests})


def left_of(play: Play, *, start: bool) -> EarlierRuns:
    play.submit(content(a_task("fetch", resources={"mem_mb": 1000})), content(a_task("align", "fetch")))
    if start:
        play.slurm.advance(10)
    return look(play, since=50)


NEW = {
    "code": ({"code": "c2"}, ("code",)),
    "params": ({"params": "p2"}, ("params",)),
    "both": ({"code": "c2", "params": "p2"}, ("code", "params")),
    "nothing": ({}, ()),
}


@pytest.mark.parametrize("what", NEW)
@pytest.mark.parametrize("start", [True, False], ids=["running", "queued"])
def test_what_has_changed_since_a_task_was_submitted_is_named(play: Play, what: str, start: bool) -> None:
    """One that waits reads the workflow as it was too, from the run's copy."""
    fetch = left_of(play, start=start).left[0]
    assert fetch.is_running is start
    digests, expected = NEW[what]
    assert changes(content(a_task("fetch", resources={"mem_mb": 1000}), **digests), fetch) == expected


def test_what_cannot_be_known_yet_does_not_count_as_changed(play: Play) -> None:
    fetch = left_of(play, start=True).left[0]
    assert changes(replace(a_task("fetch", resources={"mem_mb": 1000}), content={"input": "i1"}), fetch) == ()


@pytest.mark.parametrize("start", [True, False], ids=["running", "queued"])
def test_other_resources_are_a_change_for_every_task(play: Play, start: bool) -> None:
    fetch = left_of(play, start=start).left[0]
    assert changes(content(a_task("fetch", resources={"mem_mb": 2000})), fetch) == ("resources",)
    assert changes(content(a_task("fetch", resources={"mem_mb": 1000}, threads=4)), fetch) == ("resources",)


def test_a_change_is_said_and_the_task_goes_on_unless_it_is_to_be_replaced(play: Play) -> None:
    found, said = left_of(play, start=True), []
    changed = content(a_task("fetch", resources={"mem_mb": 1000}), code="c2")
    assert settle_changes(found, [changed], {}, None, said.append) == found
    assert len(said) == 1
    assert "code" in said[0]
    assert settle_changes(found, [changed], {}, without_tasks, said.append).left == ()
    assert "CANCELLED" not in words(play).values()
    assert settle_changes(found, [changed], {}, partial(cancel_tasks, slurm=play.slurm), said.append).left == ()
    assert words(play)["fetch"] == words(play)["align"] == "CANCELLED"


# --- cancelling -----------------------------------------------------------------------------------------------------


def test_tasks_are_cancelled_with_all_that_waits_for_them(play: Play) -> None:
    free = a_task("free", "other")
    play.submit(*chain(), a_task("other"), free, a_task("clean", edge("afterany", "align")))
    found = cancel_tasks(look(play), ["align"], play.slurm)
    assert {one.task for one in found.left} == {"fetch", "other", "free"}
    gone = {rule for rule, word in words(play).items() if word == "CANCELLED"}
    assert gone == {"align", "plot", "clean"}


def test_what_does_not_leave_its_node_is_an_error_that_names_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.submit(*chain())
    found = look(play)
    monkeypatch.setattr(play.slurm, "cancel", lambda _ids: None)
    with pytest.raises(SlurmError, match=r"have not left the queue after 60 s: 1 2 3"):
        cancel_tasks(found, ["fetch"], play.slurm)


def test_all_that_earlier_runs_have_left_is_cancelled_and_closed(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"fetch": takes(100)}, detached=True, keep_going=False)
    play.submit(*chain())
    other = play.slurm.submit(Options.of("--job-name=other"), "sleep 1000")
    with told_by(play.clock):
        said = cancel_found(look(play), play.slurm)
    assert said == "Cancelled the 5 Slurm jobs of run run1."  # a guard and a closing job among them
    assert [job.job_id for job in play.slurm.left] == [other]
    assert open_ledgers(tmp_path) == ()
    lines = [json.loads(line) for line in (tmp_path / "run1/ledger.jsonl").read_text().splitlines()]
    assert next(line for line in lines if "cancelled" in line)["cancelled"] == ["1", "2", "3", "4", "5"]
    with told_by(play.clock):
        assert cancel_found(look(play), play.slurm) == "No job of an earlier run in this folder is in the queue."


def test_a_job_whose_answer_was_lost_is_cancelled_with_the_others(play: Play) -> None:
    play.submit(*chain())
    path = play.folder / "ledger.jsonl"
    forget(path, '"submitted": "plot')
    assert cancel_found(look(play), play.slurm) == "Cancelled the 3 Slurm jobs of run run1."
    assert play.slurm.left == []


# --- one of the run's own jobs goes on ------------------------------------------------------------------------------


def own(play: Play) -> tuple[LiveRun, dict[str, Outcome]]:
    """The run as its closing job, or a continuation, sees it."""
    policy = replace(play.policy, detached=True)
    live = LiveRun(policy, play.slurm, Ledger(play.folder), play.clock, LOGGER)
    events = go_on(live, play.slurm, play.clock, LOGGER.warning)
    return live, {event.task: event.outcome for event in events if isinstance(event, TaskEnded)}


def test_a_job_of_the_run_learns_what_has_become_of_every_task(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"bad": failed(3), "long": takes(500)}, detached=True)
    play.submit(a_task("good"), a_task("bad"), a_task("behind", "bad"), a_task("long"))
    play.slurm.advance(10)
    live, ended = own(play)
    assert ended == {"good": Outcome.SUCCEEDED, "bad": Outcome.FAILED, "behind": Outcome.BLOCKED}
    assert live.open_tasks == 1
    assert live.tasks.fallen("bad") == ("behind",)


@pytest.mark.parametrize("keeps_accounts", [True, False])
def test_jobs_that_slurm_has_forgotten_are_known_by_accounting_or_by_their_own_word(
    tmp_path: Path, keeps_accounts: bool
) -> None:
    play = Play(tmp_path / "run1", {"bad": failed(3)}, detached=True, keeps_accounts=keeps_accounts)
    play.submit(a_task("good"), a_task("bad"), a_task("behind", "bad"))
    play.slurm.advance(10_000)
    _, ended = own(play)
    assert ended == {"good": Outcome.SUCCEEDED, "bad": Outcome.FAILED, "behind": Outcome.BLOCKED}


def test_a_forgotten_job_without_a_word_is_lost_at_once_and_no_success(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True, keeps_records=False)
    play.submit(a_task("good"))
    play.slurm.advance(10_000)
    before = play.clock.now()
    _, ended = own(play)
    assert ended == {"good": Outcome.LOST}
    assert play.clock.now() == before


def test_without_an_answer_nothing_is_lost_and_slurm_is_asked_again(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True)
    play.submit(a_task("good"))
    play.slurm.advance(10)
    play.slurm.trouble("queue", None, Trouble.UNREACHABLE, Trouble.UNREACHABLE)
    _, ended = own(play)
    assert ended == {"good": Outcome.SUCCEEDED}


def test_what_a_continuation_submits_is_waited_for_by_the_closing_job_that_waits_already(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"gather": takes(50), "continuation": takes(5)}, detached=True)
    play.submit(a_task("split"), a_task("long"), deferred=[Deferred("a checkpoint", frozenset({"split"}))])
    while not any(job.is_running for job in play.slurm.named("continuation")):
        play.slurm.tick()
    live, _ = own(play)
    live.submit([a_task("gather")])
    (closing,) = play.slurm.named("closing")
    (update,) = play.slurm.asked("depend")
    assert update.about[0] == closing.job_id
    gather, continuation = play.slurm.named("gather")[0], play.slurm.named("continuation")[0]
    assert set(update.about[1].removeprefix("afterany:").split(":")) == {gather.job_id, continuation.job_id}
    play.slurm.run_dry()
    assert closing.started is not None
    assert gather.ended is not None
    assert gather.ended <= closing.started


def test_a_closing_job_that_runs_is_not_put_off_but_followed_by_another(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"closing": takes(50)}, detached=True)
    play.submit(a_task("split"))
    while not any(job.is_running for job in play.slurm.named("closing")):
        play.slurm.tick()
    live, _ = own(play)
    plan = live.submit([a_task("gather")])
    assert [one.kind.value for one in plan.submissions] == ["task", "closing"]
    assert play.slurm.asked("depend") == []
    first, second = play.slurm.named("closing")
    text = second.options.get("dependency")
    assert set(text.removeprefix("afterany:").split(":")) == {first.job_id, play.slurm.named("gather")[0].job_id}


def test_submissions_are_numbered_on(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True)
    play.submit(*chain())
    live, _ = own(play)
    live.submit([*chain(), a_task("show", "plot")])
    assert play.slurm.named("show")[0].name == "show.run1.5"


def test_a_job_of_the_run_asks_again_when_slurm_does_not_answer(play: Play) -> None:
    """Its closing job took a query that failed for a run that had failed."""
    play.submit(*chain())
    play.watch()
    play.slurm.trouble("queue", Trouble.UNREACHABLE, Trouble.NOT_TAKEN)
    _, ended = own(play)
    assert ended == dict.fromkeys(("fetch", "align", "plot"), Outcome.SUCCEEDED)


def test_a_continuation_gives_no_name_twice_though_the_one_before_died_in_the_middle(tmp_path: Path) -> None:
    class Killed(BaseException): ...

    play = Play(tmp_path / "run1", {"part": takes(500)}, detached=True)
    play.live.policy = replace(play.policy, array_from=0)
    tasks = [a_task("part", wildcards={"i": str(number)}, attempts=3) for number in range(10)]
    play.slurm.trouble("submit", *[None] * 12, Killed())
    play.slurm.trouble("find", Killed())  # a process that is killed withdraws nothing
    with pytest.raises(Killed):
        play.submit(*tasks)
    live = LiveRun(play.live.policy, play.slurm, Ledger(play.folder), play.clock, LOGGER)
    go_on(live, play.slurm, play.clock, LOGGER.warning)
    live.submit(tasks)
    assert not play.slurm.doubles
    entries = [entry for entry in read_ledger(play.folder).entries if entry.job_id]
    assert len({entry.job_id for entry in entries}) == len(entries) == len(play.slurm.left)


def test_an_option_whose_name_begins_as_one_of_the_plugins_own_is_no_change(play: Play) -> None:
    task = a_task("fetch", resources={"slurm_extra": "--export-file=variables"})
    play.submit(task)
    assert changes(task, look(play).left[0]) == ()
