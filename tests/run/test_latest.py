"""Which run a closing job ends when a head has died between taking over an earlier run and closing it."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task, chain, retry_with_gate
from fakes import OK, failed, takes
from playing import LOGGER, Play, told_by
from test_killed_heads import Killed, Mortal, life_of

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.plan.model import Kind
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task
from snakemake_executor_plugin_kempner.run.belonging import marks
from snakemake_executor_plugin_kempner.run.latest import is_latest, latest_run
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.ledger_record import Entry, LedgerRecord
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers

CHECKPOINT = Deferred("a checkpoint", frozenset({"plot"}))


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """A run that nobody watches, one of whose tasks takes a while."""
    return Play(tmp_path / "run1", {"fetch": takes(100)}, detached=True)


def adopts(play: Play, count: int | None = None) -> Path:
    """Let a second head die when it has adopted so many submissions, or all; before it closes the first run."""
    first = play.folder
    play.clock.sleep(1)  # no two heads begin at the same moment
    play.resume()
    lines = play.folder.joinpath("ledger.jsonl").read_text().splitlines(keepends=True)
    if count is not None:
        play.folder.joinpath("ledger.jsonl").write_text("".join(lines[: 1 + count]))
    return first


def closing_job(play: Play) -> str:
    return play.slurm.named("closing")[0].job_id


def latest(play: Play, folder: Path, own_job_id: str = "") -> LedgerRecord:
    """As the closing job of the run in the folder finds it."""
    with told_by(play.clock):
        return latest_run(folder, play.slurm, own_job_id or closing_job(play), LOGGER.warning)


def tasks(record: LedgerRecord) -> list[str]:
    return [entry.task for entry in record.of_kind(Kind.TASK)]


def is_once(record: LedgerRecord) -> bool:
    return set(Counter((entry.job_name, entry.index) for entry in record.entries).values()) == {1}


def left(play: Play) -> set[str]:
    return {job.rule for job in play.slurm.left}


def open_runs(play: Play) -> list[str]:
    return [record.run for record in open_ledgers(play.folder.parent)]


# --- one run --------------------------------------------------------------------------------------------------------


def test_where_only_its_own_run_is_open_nothing_is_asked_or_changed(play: Play) -> None:
    play.submit(*chain())
    calls, text = len(play.slurm.calls), (play.folder / "ledger.jsonl").read_text()
    assert latest(play, play.folder) == read_ledger(play.folder)
    assert len(play.slurm.calls) == calls
    assert (play.folder / "ledger.jsonl").read_text() == text


def test_runs_that_are_closed_do_not_count(play: Play) -> None:
    play.submit(*chain())
    play.resume()
    play.submit(*chain())
    calls = len(play.slurm.calls)
    assert latest(play, play.folder).run == "run2"
    assert len(play.slurm.calls) == calls


# --- two runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adopted", [0, 1, 2, None], ids=["none", "one", "two", "all"])
def test_the_closing_job_of_the_first_run_ends_the_second_which_takes_over_the_rest(
    play: Play, adopted: int | None
) -> None:
    play.submit(*chain())
    first = adopts(play, adopted)
    found = latest(play, first)
    assert found.run == "run2"
    assert tasks(found) == ["fetch", "align", "plot"]
    assert is_once(found)
    assert [entry.job_id for entry in found.of_kind(Kind.TASK)] == ["1", "2", "3"]
    assert {entry.folder for entry in found.of_kind(Kind.TASK)} == {str(first)}
    assert left(play) == {"fetch", "align", "plot", "closing"}
    assert len(play.slurm.jobs) == 4


def test_the_first_run_is_closed_by_the_name_of_the_second(play: Play) -> None:
    play.submit(*chain())
    first = adopts(play, 1)
    latest(play, first)
    assert open_runs(play) == ["run2"]
    assert (read_ledger(first).closed, read_ledger(first).taken_over_by) == (True, "run2")


def test_of_three_runs_the_last_one_takes_over_what_both_others_have_left(play: Play) -> None:
    play.submit(a_task("fetch"))
    first = adopts(play, 0)
    play.live.submit([a_task("other", resources={"mem_mb": 100}), a_task("behind", "other")])
    second = adopts(play, 0)
    found = latest(play, first)
    assert found.run == "run3"
    assert set(tasks(found)) == {"fetch", "other", "behind"}
    assert is_once(found)
    assert open_runs(play) == ["run3"]
    assert [read_ledger(folder).taken_over_by for folder in (first, second)] == ["run3", "run3"]


def test_what_the_second_run_has_submitted_itself_stays_as_it_is(play: Play) -> None:
    play.submit(a_task("fetch"))
    first = adopts(play, 0)
    play.live.submit([a_task("plot")])
    own = read_ledger(play.folder).entries
    found = latest(play, first)
    assert found.entries[: len(own)] == own
    assert sorted(tasks(found)) == ["fetch", "plot"]


def test_what_has_ended_is_not_taken_over(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"bad": failed(3), "long": takes(500)}, detached=True)
    play.submit(a_task("bad"), a_task("good"), a_task("behind", "bad"), a_task("long"))
    play.slurm.advance(30)
    first = adopts(play, 0)
    assert tasks(latest(play, first)) == ["long"]


def test_a_gate_that_tasks_wait_behind_is_taken_over_with_them(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"train": takes(500)}, detached=True)
    play.submit(*retry_with_gate())
    assert play.slurm.named("gate")
    first = adopts(play, 0)
    found = latest(play, first)
    assert [entry.job_id for entry in found.of_kind(Kind.GATE)] == [job.job_id for job in play.slurm.named("gate")]
    assert Counter(tasks(found)) == {"train": 3, "fetch": 1, "report": 1}
    assert is_once(found)


# --- arrays ---------------------------------------------------------------------------------------------------------


def parts(count: int) -> list[Task]:
    return [a_task("part", wildcards={"i": str(number)}) for number in range(count)]


@pytest.mark.parametrize("adopted", [0, 1, 4, 6])
def test_of_an_array_each_element_that_was_not_adopted_is_and_none_twice(tmp_path: Path, adopted: int) -> None:
    play = Play(tmp_path / "run1", {"part": takes(500)}, detached=True)
    play.submit(*parts(6))
    first = adopts(play, adopted)
    assert len(read_ledger(play.folder).entries) == adopted
    found = latest(play, first)
    array = play.slurm.named("part")[0].array_id
    assert {entry.job_id for entry in found.of_kind(Kind.TASK)} == {f"{array}_{index}" for index in range(6)}
    assert set(tasks(found)) == {task.key for task in parts(6)}
    assert is_once(found)


def test_an_element_that_has_ended_is_not_taken_over_with_the_others(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"part": [OK, failed(1), takes(500)]}, detached=True)
    play.submit(*parts(6))
    play.slurm.advance(30)
    found = latest(play, adopts(play, 1))
    assert {entry.index for entry in found.entries} == {2, 3, 4, 5}
    assert is_once(found)


# --- jobs of ours ---------------------------------------------------------------------------------------------------


def test_what_looks_after_the_first_run_is_cancelled_but_not_the_job_that_asks(play: Play) -> None:
    play.submit(*chain(), deferred=[CHECKPOINT])
    assert {"closing", "continuation"} <= left(play)
    latest(play, adopts(play))
    assert left(play) == {"fetch", "align", "plot", "closing"}


def test_what_looks_after_the_second_run_stays(play: Play) -> None:
    play.submit(a_task("fetch"))
    first, own = adopts(play, 0), closing_job(play)
    play.live.submit([a_task("plot")], [CHECKPOINT])
    helpers = {job.job_id for rule in ("closing", "continuation") for job in play.slurm.named(rule)}
    assert len(helpers) == 3
    latest(play, first, own)
    assert helpers <= {job.job_id for job in play.slurm.left}


def test_the_closing_job_of_the_second_run_cancels_that_of_the_first(play: Play) -> None:
    play.submit(a_task("fetch"))
    adopts(play, 0)
    play.live.submit([a_task("plot")])
    first, second = (job.job_id for job in play.slurm.named("closing"))
    found = latest(play, play.folder, second)
    assert (found.run, sorted(tasks(found))) == ("run2", ["fetch", "plot"])
    words = {job.job_id: job.word for job in play.slurm.named("closing")}
    assert words == {first: "CANCELLED", second: "PENDING"}


# --- other users, other folders -------------------------------------------------------------------------------------


def by_another(folder: Path, entry: Entry | None = None) -> Path:
    """An open run of another user in the same folder that has begun last."""
    folder.mkdir()
    user = {"user": "somebody", "uid": os.getuid() + 1}
    ledger = Ledger(folder, run=folder.name, **{**marks(os.getcwd()), **user})
    if entry is not None:
        ledger.adopted(replace(entry, job_name=f"theirs.{folder.name}.1", task="theirs", job_id="4711", kind="closing"))
    return folder


def test_an_open_run_of_another_user_is_neither_ended_nor_touched(play: Play) -> None:
    play.submit(*chain())
    with told_by(play.clock):
        theirs = by_another(play.folder.parent / "run2", read_ledger(play.folder).entries[0])
    text = (theirs / "ledger.jsonl").read_text()
    found = latest(play, play.folder)
    assert found == read_ledger(play.folder)
    assert not found.closed
    assert tasks(found) == ["fetch", "align", "plot"]
    assert (theirs / "ledger.jsonl").read_text() == text
    assert not play.slurm.asked("cancel")


def test_where_all_open_runs_are_those_of_others_the_own_one_is_the_latest(play: Play) -> None:
    play.submit(*chain())
    with told_by(play.clock):
        by_another(play.folder.parent / "run2")
        Ledger(play.folder).close()
    found = latest(play, play.folder)
    assert (found.run, found.closed) == ("run1", True)
    assert open_runs(play) == ["run2"]


def test_between_two_runs_of_ours_it_is_left_alone_too(play: Play) -> None:
    play.submit(*chain())
    with told_by(play.clock):
        theirs = by_another(play.folder.parent / "theirs")
    first = adopts(play, 1)
    found = latest(play, first)
    assert found.folder == play.folder
    assert tasks(found) == ["fetch", "align", "plot"]
    assert set(open_runs(play)) == {"theirs", found.run}
    assert read_ledger(theirs).taken_over_by == ""


def test_the_record_of_a_folder_that_was_copied_is_left_alone(play: Play) -> None:
    play.submit(*chain())
    copy = play.folder.parent / "copy"
    copy.mkdir()
    with told_by(play.clock):
        Ledger(copy, run="copy", workdir="/another/folder", inode=1)
    found = latest(play, play.folder)
    assert (found.run, found.closed) == ("run1", False)
    assert not read_ledger(copy).closed


# --- what may go wrong ----------------------------------------------------------------------------------------------


def test_where_slurm_does_not_answer_nothing_is_taken_over_or_closed(play: Play) -> None:
    play.submit(*chain())
    first = adopts(play, 1)
    before = read_ledger(play.folder)
    play.slurm.trouble("queue", SlurmError("away"))
    with pytest.raises(SlurmError, match="away"):
        latest(play, first)
    assert read_ledger(play.folder) == before
    assert len(open_runs(play)) == 2
    assert not play.slurm.asked("cancel")


def lives(folder: Path) -> tuple[Play, Path]:
    play = Play(folder / "run1", {"part": takes(500)}, detached=True)
    play.submit(*parts(3), a_task("plot", *(task.key for task in parts(3))), deferred=[CHECKPOINT])
    return play, adopts(play, 2)


def dies_at(place: int, play: Play, first: Path) -> bool:
    """Whether the closing job comes to that place, where it is killed."""
    slurm = Mortal(play.slurm, place)
    with life_of(slurm, play.clock):
        try:
            latest_run(first, slurm, closing_job(play), LOGGER.warning)
        except Killed:
            return True
    return False


def test_wherever_the_closing_job_is_killed_the_next_one_comes_to_the_same(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place, make = 0, tmp_path_factory.mktemp
    while True:
        play, first = lives(make("life"))
        is_killed = dies_at(place, play, first)
        found = latest(play, first)
        assert is_once(found), place
        assert (found.run, len(found.of_kind(Kind.TASK))) == ("run2", 4), place
        assert left(play) == {"part", "plot", "closing"}, place
        assert open_runs(play) == ["run2"], place
        if not is_killed:
            break
        place += 1
    assert place > 10


# --- is there a later one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        ((), {"run1": False, "run2": True}),
        (("run2",), {"run1": True, "run2": False}),
        (("run1",), {"run1": False, "run2": True}),
        (("run1", "run2"), {"run1": True, "run2": True}),
    ],
    ids=["both open", "the first open", "the second open", "none open"],
)
def test_a_run_is_the_latest_when_none_that_began_later_is_open(
    play: Play, close: tuple[str, ...], expected: dict[str, bool]
) -> None:
    play.submit(*chain())
    adopts(play)
    runs = play.folder.parent
    for run in close:
        Ledger(runs / run).close()
    assert {run: is_latest(runs / run) for run in ("run1", "run2")} == expected
