"""What is done by the record of a run: nothing that no job has said of itself, and all that one has."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_ledger import WHAT

from snakemake_executor_plugin_kempner.errors import LedgerError
from snakemake_executor_plugin_kempner.run.clock import file_time
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.ledger_record import Entry
from snakemake_executor_plugin_kempner.run.settled import (
    Settled,
    has_succeeded,
    is_unwritten,
    note_up_to_date,
    settled,
    succeeded_before,
)

STARTED = {"start": 10.0, "node": "n1"}
NONE: frozenset[str] = frozenset()


class Run:
    """The folder of a run, as its head and its jobs have left it.

    Args:
        folder: of all runs.
        name: of this one.
        planned: its head came as far as a plan, in which nothing was up to date.
    """

    def __init__(self, folder: Path, name: str = "run1", *, planned: bool = True) -> None:
        self.folder = folder / name
        make_folders(self.folder, ())
        self.ledger = Ledger(self.folder, run=name)
        self._numbers = 0
        if planned:
            note_up_to_date(self.folder, ())

    def submit(self, task: str, job_id: str, **what: Any) -> str:
        """Write down that a task was submitted; gives the name of its job."""
        self._numbers += 1
        name = f"job.{self.folder.name}.{self._numbers}"
        self.ledger.intend(name, **{**WHAT, "task": task, "label": task, "edges": [], **what})
        if job_id:
            self.ledger.submitted(name, job_id)
        return name

    def end(self, job_id: str, exit_code: Any = 0, **more: Any) -> None:
        """Write down what a job says of its end."""
        self.leave(job_id, json.dumps({**STARTED, "end": 12.0, "exit_code": exit_code, **more}))

    def leave(self, job_id: str, text: str) -> None:
        (self.folder / "ended" / f"{job_id}.json").write_bytes(text.encode("latin-1"))

    def adopt(self, entry: Entry) -> None:
        self.ledger.adopted(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return read_ledger(self.folder).entries

    @property
    def settled(self) -> Settled:
        return settled(read_ledger(self.folder))

    @property
    def succeeded(self) -> set[str]:
        return set(self.settled.succeeded)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


# --- what has succeeded ---------------------------------------------------------------------------------------------


def test_what_a_job_has_ended_well_is_done(run: Run) -> None:
    run.submit("align", "7")
    run.end("7")
    assert run.succeeded == {"align"}
    assert "align" in run.settled
    assert "plot" not in run.settled


@pytest.mark.parametrize("code", [1, 137, -9, 256])
def test_what_has_failed_is_not_done(run: Run, code: int) -> None:
    run.submit("align", "7")
    run.end("7", code)
    assert run.succeeded == NONE
    assert "align" not in run.settled


def test_what_was_cancelled_is_not_done(run: Run) -> None:
    run.submit("align", "7")
    run.end("7", 143, cancelled=True)
    assert run.succeeded == NONE


def test_what_has_not_started_or_still_runs_is_not_done(run: Run) -> None:
    run.submit("queued", "7")
    run.submit("running", "8")
    run.leave("8", json.dumps(STARTED))
    assert run.succeeded == NONE


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "0", '"exit_code"', "\xff\xfe", '{"exit_code": 0', '["exit_code", 0]', "[" * 100_000],
    ids=range(10),
)
def test_a_record_that_cannot_be_read_proves_nothing(run: Run, text: str) -> None:
    run.submit("align", "7")
    run.leave("7", text)
    assert run.succeeded == NONE


@pytest.mark.parametrize("code", ["0", "", None, False, [], [0], {}, 10**400, float("nan")], ids=repr)
def test_an_exit_code_that_is_no_number_proves_nothing(run: Run, code: object) -> None:
    run.submit("align", "7")
    run.end("7", code)
    assert run.succeeded == NONE


def test_the_record_of_another_job_proves_nothing(run: Run) -> None:
    run.submit("align", "7")
    for other in ("77", "07", "7_0", "17"):
        run.end(other)
    assert run.succeeded == NONE


def test_a_submission_whose_answer_was_lost_is_not_done(run: Run) -> None:
    run.submit("align", "")
    run.end("")
    assert run.succeeded == NONE
    (entry,) = run.entries
    assert not has_succeeded(entry)


def test_jobs_that_are_no_tasks_do_not_count(run: Run) -> None:
    run.submit("gate", "7", kind="gate")
    run.submit("closing", "8", kind="closing")
    run.end("7")
    run.end("8")
    assert run.succeeded == NONE


def test_each_element_of_an_array_counts_for_itself(run: Run) -> None:
    own = [{"index": index, "task": f"part{index}", "label": f"part{index}"} for index in (0, 3, 4)]
    run.submit("", "7", array=own)
    run.end("7_0")
    run.end("7_3", 1)
    run.end("7")  # of no element
    assert run.succeeded == {"part0"}


def test_with_a_group_its_members_are_done(run: Run) -> None:
    run.submit("group", "7", members=["a", "b"])
    run.submit("other group", "8", members=["c"])
    run.end("7")
    run.end("8", 1)
    assert run.succeeded == {"group", "a", "b"}


# --- several attempts, several submissions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "is_done"),
    [((1, 0), True), ((0, None), True), ((0, 1), True), ((1, 1), False), ((1, None), False)],
)
def test_a_task_is_done_by_any_of_its_attempts(run: Run, codes: tuple[int | None, ...], is_done: bool) -> None:
    for number, code in enumerate(codes, start=1):
        run.submit("align", str(number), attempt=number, attempts=len(codes))
        if code is not None:
            run.end(str(number), code)
    assert ("align" in run.settled) is is_done


@pytest.mark.parametrize(("codes", "is_done"), [((1, 0), True), ((0, None), False), ((0, 1), False), ((0, 0), True)])
def test_what_is_submitted_once_more_is_done_by_the_last_submission(
    run: Run, codes: tuple[int | None, ...], is_done: bool
) -> None:
    """Its output may be gone: that is why it was submitted again."""
    for number, code in enumerate(codes, start=1):
        run.submit("align", str(number), members=["a"])
        if code is not None:
            run.end(str(number), code)
    assert run.succeeded == ({"align", "a"} if is_done else NONE)


def test_an_adopted_job_is_done_by_the_record_in_the_folder_of_the_run_that_submitted_it(tmp_path: Path) -> None:
    first, second = Run(tmp_path, "run1"), Run(tmp_path, "run2")
    first.submit("align", "7")
    first.submit("plot", "8")
    for entry in first.entries:
        second.adopt(entry)
    first.end("7")
    second.end("8")  # lies where no job of the first run writes
    assert second.succeeded == {"align"}


def test_what_was_adopted_and_then_submitted_anew_is_done_by_the_new_job(tmp_path: Path) -> None:
    first, second = Run(tmp_path, "run1"), Run(tmp_path, "run2")
    first.submit("align", "7")
    first.end("7")
    second.adopt(*first.entries)
    assert second.succeeded == {"align"}
    second.submit("align", "9")
    assert second.succeeded == NONE
    second.end("9")
    assert second.succeeded == {"align"}


# --- what was up to date --------------------------------------------------------------------------------------------


def test_what_was_up_to_date_is_done_but_has_not_succeeded_in_the_run(run: Run) -> None:
    note_up_to_date(run.folder, ["a", "b"])
    note_up_to_date(run.folder, ["c"])
    assert run.settled == Settled(succeeded=NONE, up_to_date=frozenset("abc"))
    assert "c" in run.settled
    assert "" not in run.settled


def test_what_cannot_be_noted_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot be written to .*nowhere"):
        note_up_to_date(tmp_path / "nowhere", ["a"])


def test_a_run_without_submissions_has_done_nothing(tmp_path: Path) -> None:
    assert Run(tmp_path, planned=False).settled == Settled(succeeded=NONE, up_to_date=NONE)


# --- a head that died before it had a plan --------------------------------------------------------------------------


def earlier_and(tmp_path: Path, *, planned: bool) -> tuple[Run, Run]:
    """A run with one task done and one up to date, and one that has taken it over."""
    first, second = Run(tmp_path, "run1"), Run(tmp_path, "run2", planned=planned)
    first.submit("align", "7")
    first.end("7")
    note_up_to_date(first.folder, ["a"])
    first.ledger.close(by="run2")
    return first, second


def test_before_there_is_a_plan_the_run_that_was_taken_over_tells(tmp_path: Path) -> None:
    _, second = earlier_and(tmp_path, planned=False)
    assert second.settled == Settled(succeeded=frozenset({"align"}), up_to_date=frozenset({"a"}))


def test_with_a_plan_only_the_run_itself_tells(tmp_path: Path) -> None:
    """An empty one too: what had succeeded before and is missing there has been wanted again."""
    _, second = earlier_and(tmp_path, planned=True)
    assert second.settled == Settled(succeeded=NONE, up_to_date=NONE)


def test_each_run_on_the_way_tells(tmp_path: Path) -> None:
    first, second = earlier_and(tmp_path, planned=False)
    third = Run(tmp_path, "run3", planned=False)
    second.submit("plot", "8")
    second.end("8")
    second.ledger.close(by="run3")
    assert third.succeeded == {"align", "plot"}
    assert "a" in third.settled
    assert first.succeeded == {"align"}


def test_what_the_run_has_submitted_itself_it_tells_itself(tmp_path: Path) -> None:
    _, second = earlier_and(tmp_path, planned=False)
    second.submit("align", "9")
    assert second.succeeded == NONE
    second.end("9", 1)
    assert second.succeeded == NONE
    second.end("9")
    assert second.succeeded == {"align"}


def test_an_attempt_of_an_earlier_run_says_nothing_of_a_task_that_was_submitted_anew(tmp_path: Path) -> None:
    first, second = Run(tmp_path, "run1"), Run(tmp_path, "run2", planned=False)
    first.submit("align", "7", attempt=2, attempts=2)
    first.end("7")
    first.ledger.close(by="run2")
    assert second.succeeded == {"align"}
    second.submit("align", "9", attempt=1, attempts=2)
    assert second.succeeded == NONE


def test_what_has_only_been_adopted_goes_on_with_the_record_of_its_job(tmp_path: Path) -> None:
    first, second = earlier_and(tmp_path, planned=False)
    second.adopt(*first.entries)
    assert second.succeeded == {"align"}


@pytest.mark.parametrize("by", ["", "run9"])
def test_a_run_that_was_not_taken_over_by_this_one_is_not_asked(tmp_path: Path, by: str) -> None:
    other, second = Run(tmp_path, "run1"), Run(tmp_path, "run2", planned=False)
    other.submit("align", "7")
    other.end("7")
    note_up_to_date(other.folder, ["a"])
    other.ledger.close(by=by)
    assert second.settled == Settled(succeeded=NONE, up_to_date=NONE)


def test_runs_that_were_taken_over_tell_what_has_succeeded_before(tmp_path: Path) -> None:
    first, second, third = (Run(tmp_path, name) for name in ("first", "second", "third"))
    first.submit("prepare", "1", members=["prepare[a]", "prepare[b]"])
    first.end("1")
    first.submit("train", "2")
    first.end("2", 1)
    first.ledger.close(by="second")
    second.submit("train", "3")
    second.end("3")
    second.ledger.close(by="third")
    third.submit("plot", "4")
    third.end("4")
    assert succeeded_before(read_ledger(third.folder)) == {"prepare", "prepare[a]", "prepare[b]", "train"}
    assert succeeded_before(read_ledger(first.folder)) == NONE


@pytest.mark.parametrize("ahead", [-600.0, 0.0, 600.0], ids=["behind", "right", "ahead"])
def test_whether_a_file_was_written_in_the_run_does_not_depend_on_the_clock_of_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    (tmp_path / "old.txt").touch()
    begun = file_time(tmp_path)
    assert begun is not None
    os.utime(tmp_path / "old.txt", (begun - 5, begun - 5))
    monkeypatch.setattr("time.time", lambda: begun + ahead)
    make_folders(tmp_path / "run1", ())
    Ledger(tmp_path / "run1", run="run1", workdir=str(tmp_path), file_time=begun)
    (tmp_path / "new.txt").touch()
    record = read_ledger(tmp_path / "run1")
    assert [is_unwritten(f"{name}.txt", record) for name in ("old", "new", "missing")] == [True, False, False]
