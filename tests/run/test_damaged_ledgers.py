"""A ledger that somebody or something has damaged: nothing but LedgerError is raised, and no job id of a whole line is lost."""

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_laws import MEMORY, law
from test_ledger import WHAT

from snakemake_executor_plugin_kempner.errors import LedgerError
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger, write_manifest
from snakemake_executor_plugin_kempner.run.ledger_record import LedgerRecord
from snakemake_executor_plugin_kempner.run.ledgers import all_ledgers, latest_ledger, open_ledgers, taken_over
from snakemake_executor_plugin_kempner.slurm.ids import array_id


def lines_of_a_run() -> list[bytes]:
    """A ledger with a line of each kind."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        ledger = Ledger(Path(folder), run="run1", workdir="/flow", command=["snakemake"], keep_going=True)
        ledger.numbered(4)
        ledger.intend("align.run1.1", **WHAT)
        ledger.submitted("align.run1.1", "17")
        own = [{"index": index, "task": f"k{index}", "label": f"söre[s={index}]"} for index in (0, 3)]
        ledger.intend("sort.run1.2", **{**WHAT, "edges": [("k1", "afterok", False)], "array": own})
        ledger.submitted("sort.run1.2", "18")
        ledger.intend("plot.run0.9", **WHAT, job_id="12", folder="/flow/.snakemake/kempner/run0", index=None)
        ledger.left_out(["plöt.txt"])
        ledger.ended("17", state="COMPLETED", exit_code=0)
        ledger.cancelled(["18"])
        ledger.hook("onsuccess")
        return ledger.path.read_bytes().splitlines()


LINES = lines_of_a_run()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
GARBAGE = st.sampled_from([
    b"\x00" * 5000, b"[" * 100_000, b'{"submitted": ' + b"9" * 10_000 + b"}", b'{"version": 1}', b"null", b"[]", b"{}", b'"text"',
    b'{"intent": []}', b'{"intent": "a", "array": {}}', b'{"submitted": "align.run1.1", "job_id": 17}', b'{"by": "../../elsewhere", "closed": true}',
    b'{"submitted": "align.run1.1", "job_id": "$(reboot)"}', b'{"cancelled": 7}', b'{"ended": {"a": 1}}', b'{"numbered": 1e999}', "sö".encode()[:2],
]) | st.binary(max_size=60).map(lambda data: data.replace(b"\n", b""))  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, line: bytes) -> bytes:
    match draw(st.sampled_from(["cut", "flipped", "garbage", "value", "without"])):
        case "cut":
            return line[: draw(st.integers(0, len(line) - 1))]
        case "flipped":
            place = draw(st.integers(0, len(line) - 1))
            return line[:place] + draw(st.binary(min_size=1, max_size=3)).replace(b"\n", b"") + line[place + 1 :]
        case "garbage":
            return draw(GARBAGE)
        case "value":
            entry: dict[str, Any] = json.loads(line)
            entry[draw(st.sampled_from(sorted(entry)))] = draw(JSON)
            return json.dumps(entry).encode()
    entry = json.loads(line)
    del entry[draw(st.sampled_from(sorted(entry)))]
    return json.dumps(entry).encode()


@st.composite
def damages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """All lines of a damaged ledger, and those of them that nothing has happened to."""
    hit = draw(st.sets(st.integers(0, len(LINES) - 1), min_size=1, max_size=4))
    lines = [draw(damaged(line)) if number in hit else line for number, line in enumerate(LINES)]
    for place in draw(st.lists(st.integers(0, len(lines)), max_size=2)):
        lines.insert(place, draw(GARBAGE))
    whole = [line for number, line in enumerate(LINES) if number not in hit]
    return lines[: draw(st.integers(1, len(lines)))] if draw(st.booleans()) else lines, whole


def ids_in(line: bytes) -> set[str]:
    entry = json.loads(line)
    return {entry["job_id"]} if entry.get("job_id") else set()


def ids_of(record: LedgerRecord) -> set[str]:
    of_entries = {array_id(entry.job_id) for entry in record.entries if entry.job_id}
    return of_entries | {job_id for _, job_id in record.unexplained}


def folder_with(lines: list[bytes]) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(dir=MEMORY)
    (Path(folder.name) / "run1").mkdir()
    (Path(folder.name) / "run1/ledger.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


@law
@given(damages())
def test_reading_a_damaged_ledger_raises_nothing_else_and_loses_no_id_of_a_whole_line(
    lines: tuple[list[bytes], list[bytes]],
) -> None:
    damaged_lines, whole = lines
    with folder_with(damaged_lines) as name:
        folder = Path(name)
        for read in (read_ledger, latest_ledger):
            try:
                record = read(folder / "run1")
            except LedgerError:
                continue
            if read is read_ledger:
                left = [line for line in whole if line in damaged_lines]
                assert set().union(*map(ids_in, left)) <= ids_of(record)
        for read_all in (open_ledgers, lambda runs: taken_over(next(iter(all_ledgers(runs))))):
            try:
                read_all(folder)
            except (LedgerError, StopIteration):
                continue


def test_a_ledger_without_its_first_line_still_tells_of_its_jobs() -> None:
    with folder_with(LINES[1:]) as name:
        record = read_ledger(Path(name) / "run1")
    assert {entry.job_id for entry in record.entries} == {"17", "18_0", "18_3", "12"}
    assert record.header == {}


def test_an_id_whose_job_no_line_describes_is_kept_with_its_name() -> None:
    with folder_with([line for line in LINES if b'"intent": "align' not in line]) as name:
        record = read_ledger(Path(name) / "run1")
    assert record.unexplained == {("align.run1.1", "17")}
    assert record.unread == 0


def test_lines_that_cannot_be_read_are_counted() -> None:
    with folder_with([*LINES[:3], b"\x00\xff", b'{"submitted": 7}', *LINES[3:]]) as name:
        record = read_ledger(Path(name) / "run1")
    assert record.unread == 2
    assert len(record.entries) == 4


def test_runs_that_claim_to_have_taken_over_each_other_do_not_go_round_for_ever(tmp_path: Path) -> None:
    for run, heir in (("run1", "run2"), ("run2", "run1")):
        (tmp_path / run).mkdir()
        Ledger(tmp_path / run, run=run).close(by=heir)
    assert latest_ledger(tmp_path / "run1").run == "run2"
    assert {one.run for one in taken_over(read_ledger(tmp_path / "run1"))} == {"run1", "run2"}


def test_a_ledger_that_is_a_device_is_none(tmp_path: Path) -> None:
    """It would be read until no memory is left."""
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / "ledger.jsonl").symlink_to("/dev/zero")
    make_folders(tmp_path / "run2", ())
    Ledger(tmp_path / "run2", run="run2").close(by="run3")
    assert [ledger.run for ledger in all_ledgers(tmp_path)] == ["run2"]


def test_a_name_is_not_given_twice_after_the_line_that_sets_numbers_aside_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run1"
    folder.mkdir()
    ledger = Ledger(folder, run="run1")
    ledger.intend("align.run1.7", **WHAT)
    assert read_ledger(folder).last_number == 7
    ledger.submitted("align.run1.9", "17")
    assert read_ledger(folder).last_number == 9


# --- who may read it ------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_holds_the_command_line_or_the_configuration_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        make_folders(tmp_path / "run1", [str(tmp_path / "run1/logs/align/a.log")])
        ledger = Ledger(tmp_path / "run1", run="run1", command=["snakemake", "--config", "password=sesame"])
        write_manifest(tmp_path / "run1/arrays/align.run1.1", b"password=sesame")
    finally:
        os.umask(before)
    assert mode(ledger.path) == 0o600
    assert mode(tmp_path / "run1/arrays/align.run1.1") == 0o600
    assert mode(tmp_path / "run1/logs/align") == 0o775, "a group reads the logs of a project that it shares"


@pytest.mark.parametrize("closed", [True, False])
def test_the_ledger_that_another_user_keeps_to_himself_is_passed_over_when_he_has_closed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    (tmp_path / "theirs").mkdir()
    ledger = Ledger(tmp_path / "theirs", run="theirs")
    if closed:
        ledger.close()

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    if closed:
        assert open_ledgers(tmp_path) == ()
        return
    with pytest.raises(LedgerError, match=r"theirs/ledger.jsonl: Permission denied"):
        open_ledgers(tmp_path)
