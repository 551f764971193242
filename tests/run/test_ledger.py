"""The record of a run: written line by line, read back as far as it goes."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import LedgerError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import VERSION, Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import latest_ledger, open_ledgers, taken_over

WHAT = {
    "kind": "task", "task": "k1", "label": "align[s=a]", "attempt": 1, "attempts": 1, "edges": [],
    "spared": False, "options": ["--mem=1M"], "log": "/flow/log.%j", "why": "",
}  # fmt: skip


def filled(folder: Path, **header: object) -> Ledger:
    ledger = Ledger(folder, run="run1", **header)
    ledger.intend("align.run1.1", **WHAT)
    ledger.submitted("align.run1.1", "7")
    return ledger


def test_each_line_is_json_with_a_time_and_the_version_comes_first(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    ledger.ended("7", state="FAILED", exit_code=3)
    ledger.cancelled({"9", "8"})
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert lines[0]["version"] == VERSION
    assert all("time" in line for line in lines)
    assert [next(iter(line)) for line in lines] == ["version", "intent", "submitted", "ended", "cancelled"]
    assert lines[-1]["cancelled"] == ["8", "9"]


def test_what_was_submitted_is_read_back(tmp_path: Path) -> None:
    filled(tmp_path, keep_going=True)
    record = read_ledger(tmp_path)
    assert record.header["keep_going"] is True
    (entry,) = record.entries
    assert (entry.job_id, entry.label, entry.options) == ("7", "align[s=a]", Options.of("--mem=1M"))


def test_an_intent_without_an_answer_is_kept_without_an_id(tmp_path: Path) -> None:
    filled(tmp_path).intend("plot.run1.2", **WHAT)
    assert [(one.job_name, one.job_id) for one in read_ledger(tmp_path).entries] == [
        ("align.run1.1", "7"),
        ("plot.run1.2", ""),
    ]


def test_a_run_knows_those_it_has_taken_over_directly_or_not(tmp_path: Path) -> None:
    for name, heir in (("first", "second"), ("second", "third"), ("third", ""), ("other", "")):
        (tmp_path / name).mkdir()
        filled(tmp_path / name).close(by=heir)
    assert {one.run for one in taken_over(read_ledger(tmp_path / "third"))} == {"first", "second", "third"}
    assert {one.run for one in taken_over(read_ledger(tmp_path / "other"))} == {"other"}


def test_a_run_is_open_until_it_is_closed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = filled(tmp_path / "old"), filled(tmp_path / "new")
    os.utime(old.path, (1, 1))
    assert [record.entries[0].job_id for record in open_ledgers(tmp_path)] == ["7", "7"]
    new.close()
    assert len(open_ledgers(tmp_path)) == 1


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    whole = ledger.path.read_bytes()
    for length in range(1, 40):
        ledger.path.write_bytes(whole + b'{"submitted": "plot.run1.2", "job_id": "8"}'[:length])
        assert len(read_ledger(tmp_path).entries) == 1


def test_a_version_that_this_package_does_not_know_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"version": 99}\n')
    with pytest.raises(LedgerError, match="has version 99; this package knows 1"):
        read_ledger(tmp_path)
    assert path.exists()


def test_what_slurm_knows_as_well_may_be_lost_and_that_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    ledger = Ledger(tmp_path, warn=said.append)
    ledger.path.unlink()
    ledger.path.symlink_to("/dev/full")
    ledger.ended("7", state="FAILED")
    ledger.cancelled(["8"])
    ledger.close()
    assert len(said) == 1
    assert "No space left on device" in said[0]
    with pytest.raises(LedgerError):
        ledger.submitted("align.run1.1", "9")


def test_an_empty_record_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        read_ledger(tmp_path)
    (tmp_path / "ledger.jsonl").touch()
    with pytest.raises(LedgerError, match="version None"):
        read_ledger(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.raises(LedgerError, match="/logs/align cannot be made"):
        make_folders(tmp_path, [str(tmp_path / "logs/align/a.log")])


def test_the_folders_of_all_logs_are_made_beforehand(tmp_path: Path) -> None:
    make_folders(tmp_path, [str(tmp_path / f"logs/{name}/x.%j.log") for name in "ab"])
    assert {one.name for one in (tmp_path / "logs").iterdir()} == {"a", "b"}
    assert (tmp_path / "ended").is_dir()


@given(label=st.text(st.characters(exclude_categories=())))
def test_whatever_a_label_holds_it_comes_back(tmp_path_factory: pytest.TempPathFactory, label: str) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder)
    ledger.intend("a", **{**WHAT, "label": label})
    ledger.submitted("a", "1")
    assert [entry.label for entry in read_ledger(folder).entries] == [label]


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_a_character_that_python_takes_for_a_line_end_does_not_tear_a_line(tmp_path: Path, character: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.intend("a", **{**WHAT, "label": f"align[s={character}]"})
    assert len(read_ledger(tmp_path).entries) == 1


def test_the_name_of_a_file_that_is_no_text_can_be_recorded(tmp_path: Path) -> None:
    """Python reads the byte 0xFF in a file's name as the lone surrogate U+DCFF, which UTF-8 cannot write."""
    Ledger(tmp_path).intend("a", **{**WHAT, "label": "align[s=\udcff]"})


# --- runs that take over from each other ----------------------------------------------------------------------------


def test_what_was_adopted_is_read_back_as_it_was(tmp_path: Path) -> None:
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
    edges = [("k0", "afterany", True)]
    first = Ledger(tmp_path / "run1", run="run1")
    first.intend("align.run1.1", **{**WHAT, "edges": edges, "content": {"code": "abc"}, "spared": True})
    first.submitted("align.run1.1", "7")
    (entry,) = read_ledger(tmp_path / "run1").entries
    second = Ledger(tmp_path / "run2", run="run2")
    second.adopted(entry)
    (adopted,) = read_ledger(tmp_path / "run2").entries
    assert replace(adopted, time=entry.time) == entry
    assert adopted.folder == str(tmp_path / "run1")


def test_an_array_is_one_line_and_a_submission_for_each_element(tmp_path: Path) -> None:
    own = [{"index": index, "task": f"k{index}", "label": f"align[s={index}]", "edges": []} for index in (0, 3)]
    ledger = Ledger(tmp_path, run="run1")
    ledger.intend("align.run1.1", **{**WHAT, "options": ["--array=0,3", "--dependency=aftercorr:5"], "array": own})
    assert [one.job_id for one in read_ledger(tmp_path).entries] == ["", ""]
    ledger.submitted("align.run1.1", "7")
    entries = read_ledger(tmp_path).entries
    assert [(one.job_id, one.task, one.label, one.index) for one in entries] == [
        ("7_0", "k0", "align[s=0]", 0),
        ("7_3", "k3", "align[s=3]", 3),
    ]
    assert {one.job_name for one in entries} == {"align.run1.1"}
    assert [one.dependency for one in entries] == ["afterok:5_0", "afterok:5_3"]


def test_elements_of_an_array_are_adopted_one_by_one(tmp_path: Path) -> None:
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
    first, second = Ledger(tmp_path / "run1", run="run1"), Ledger(tmp_path / "run2", run="run2")
    own = [{"index": index, "task": f"k{index}", "label": f"align[s={index}]"} for index in range(3)]
    first.intend("align.run1.1", **{**WHAT, "array": own})
    first.submitted("align.run1.1", "7")
    entries = read_ledger(tmp_path / "run1").entries[1:]
    for entry in entries:
        second.adopted(entry)
    assert tuple(replace(one, time=0) for one in read_ledger(tmp_path / "run2").entries) == tuple(
        replace(one, time=0) for one in entries
    )


def test_a_run_that_was_taken_over_leads_to_the_one_that_looks_after_it_now(tmp_path: Path) -> None:
    ledgers = {}
    for name in ("run1", "run2", "run3"):
        (tmp_path / name).mkdir()
        ledgers[name] = Ledger(tmp_path / name, run=name)
    assert latest_ledger(tmp_path / "run1").run == "run1"
    ledgers["run1"].close(by="run2")
    assert read_ledger(tmp_path / "run1").taken_over_by == "run2"
    assert latest_ledger(tmp_path / "run1").run == "run2"
    ledgers["run2"].close(by="run3")
    assert latest_ledger(tmp_path / "run1").run == "run3"
    ledgers["run3"].close()
    assert latest_ledger(tmp_path / "run1").run == "run3"
    assert read_ledger(tmp_path / "run3").closed


def test_a_run_whose_successor_is_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "run1").mkdir()
    Ledger(tmp_path / "run1", run="run1").close(by="run2")
    with pytest.raises(LedgerError, match=r"run2/ledger.jsonl"):
        latest_ledger(tmp_path / "run1")


def test_open_runs_come_in_the_order_in_which_they_began_whatever_was_written_last(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        filled(tmp_path / name)
        time.sleep(0.002)
    os.utime(tmp_path / "b/ledger.jsonl")
    assert [record.run for record in open_ledgers(tmp_path)] == ["b", "a"]


def test_of_two_heads_with_different_clocks_the_later_run_is_that_of_the_file_systems_time(tmp_path: Path) -> None:
    for name, began in (("first", 1000.0), ("second", 1001.0)):
        (tmp_path / name).mkdir()
        Ledger(tmp_path / name, run=name, file_time=began)
        if name == "first":
            path = tmp_path / name / "ledger.jsonl"
            path.write_text(path.read_text().replace('"time": 1', '"time": 2', 1))  # in the year 2066
    assert [record.run for record in open_ledgers(tmp_path)] == ["first", "second"]


@pytest.mark.parametrize("text", ["", "{", '{"version": 1, "ru'])
def test_a_ledger_without_a_whole_line_is_passed_over(tmp_path: Path, text: str) -> None:
    for name in ("torn", "whole"):
        (tmp_path / name).mkdir()
    filled(tmp_path / "whole")
    (tmp_path / "torn/ledger.jsonl").write_text(text)
    assert [record.run for record in open_ledgers(tmp_path)] == ["whole"]


def test_an_unknown_version_among_earlier_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1/ledger.jsonl").write_text('{"version": 99}\n')
    with pytest.raises(LedgerError, match="has version 99"):
        open_ledgers(tmp_path)


# --- hooks, ends ----------------------------------------------------------------------------------------------------


def test_a_hook_is_known_to_have_been_run_before_it_runs(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    assert read_ledger(tmp_path).hooks == frozenset()
    ledger.hook("onsuccess")
    ledger.hook("onsuccess")
    assert read_ledger(tmp_path).hooks == {"onsuccess"}


def test_a_hook_that_cannot_be_recorded_is_an_error_so_that_it_does_not_run_twice(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    ledger.path.unlink()
    ledger.path.symlink_to("/dev/full")
    with pytest.raises(LedgerError):
        ledger.hook("onerror")


def test_ends_that_a_head_has_seen_are_known(tmp_path: Path) -> None:
    filled(tmp_path).ended("7", state="FAILED", exit_code=3)
    assert read_ledger(tmp_path).noted == {"7"}


# --- killed at any byte ---------------------------------------------------------------------------------------------


def long_ledger(folder: Path) -> bytes:
    ledger = filled(folder, keep_going=True)
    ledger.intend("plöt.run1.2", **{**WHAT, "label": "plöt[s=ü]"})
    ledger.submitted("plöt.run1.2", "8")
    ledger.ended("7", state="COMPLETED", exit_code=0)
    ledger.close(by="run2")
    return ledger.path.read_bytes()


def test_cut_off_at_any_byte_it_can_be_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    whole = long_ledger(tmp_path)
    path = tmp_path / "ledger.jsonl"
    first = whole.index(b"\n")
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        record = read_ledger(tmp_path)
        # A line whose end of line alone is missing counts.
        lines = [
            json.loads(line) for line in f"{whole[:length].decode(errors='ignore')}\n".split("\n") if is_json(line)
        ]
        assert len(record.entries) == sum("intent" in line for line in lines)
        assert sum(bool(entry.job_id) for entry in record.entries) == sum("submitted" in line for line in lines)
        assert record.closed == any("closed" in line for line in lines)


def test_cut_off_at_any_byte_it_can_be_continued(tmp_path: Path) -> None:
    """What comes next is not swallowed by the half line before it."""
    whole = long_ledger(tmp_path)
    path = tmp_path / "ledger.jsonl"
    for length in range(whole.index(b"\n"), len(whole)):
        path.write_bytes(whole[:length])
        ledger = Ledger(tmp_path)
        ledger.intend("late.run1.9", **WHAT)
        ledger.submitted("late.run1.9", "99")
        last = read_ledger(tmp_path).entries[-1]
        assert (last.job_name, last.job_id) == ("late.run1.9", "99")


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_the_logs_of_a_rule_are_read_back_and_a_ledger_without_them_is_read_too(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    ledger.intend("plot.run1.2", **{**WHAT, "logs": ["logs/plot.log"]})
    first, second = read_ledger(tmp_path).entries
    assert (first.logs, second.logs) == ((), ("logs/plot.log",))
    ledger.adopted(second)
    assert read_ledger(tmp_path).entries[-1].logs == ("logs/plot.log",)


def test_a_line_whose_logs_are_no_names_is_passed_over(tmp_path: Path) -> None:
    with filled(tmp_path).path.open("a") as file:
        file.write(json.dumps({"intent": "plot.run1.2", **WHAT, "logs": [1]}) + "\n")
    record = read_ledger(tmp_path)
    assert [entry.job_name for entry in record.entries] == ["align.run1.1"]
    assert record.unread == 1
