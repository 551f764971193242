"""Which runs and jobs are of this folder and this user; everything else is left alone, or refused with a word."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import FakeSlurm
from test_ledger import WHAT

from snakemake_executor_plugin_kempner.errors import FolderInUse, LedgerError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.run import belonging
from snakemake_executor_plugin_kempner.run.belonging import (
    is_here,
    marks,
    other_path,
    refuse_other_users,
    refuse_unexplained,
    unexplained,
)
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers

RUN = "0123abcd"
SOMEBODY = 65534


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A working directory with an open run."""
    flow = tmp_path / "flow"
    begun(flow)
    return flow


def begun(flow: Path, run: str = RUN, **header: object) -> Path:
    folder = flow / ".snakemake/kempner" / run
    folder.mkdir(parents=True)
    ledger = Ledger(folder, run=run, **{**marks(str(flow)), **header})
    ledger.intend(f"align.{run}.1", **WHAT)
    ledger.submitted(f"align.{run}.1", "1")
    return folder


def runs_in(flow: Path) -> Path:
    return flow / ".snakemake/kempner"


# --- folders --------------------------------------------------------------------------------------------------------


def test_a_run_is_known_in_its_own_folder(flow: Path) -> None:
    ledger = read_ledger(runs_in(flow) / RUN)
    assert is_here(ledger, str(flow))
    assert other_path(ledger, str(flow)) == ""


def test_a_folder_is_the_same_by_another_path(flow: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(flow)
    ledger = read_ledger(runs_in(other) / RUN)
    assert is_here(ledger, str(other))
    assert f"was started in {flow}, which is this folder under another path" in other_path(ledger, str(other))
    assert ledger.entries[0].folder == str(runs_in(other) / RUN)


def test_a_folder_whose_first_path_leads_nowhere_is_known_by_its_number(flow: Path, tmp_path: Path) -> None:
    seen = flow.rename(tmp_path / "seen")
    ledger = read_ledger(runs_in(seen) / RUN)
    assert is_here(ledger, str(seen))
    assert "That path does not exist here" in other_path(ledger, str(seen))


@pytest.mark.parametrize("original", ["there", "removed", "another folder in its place"])
def test_a_copy_is_a_copy(flow: Path, tmp_path: Path, original: str) -> None:
    copy = Path(shutil.copytree(flow, tmp_path / "copy"))
    if original != "there":
        flow.rename(tmp_path / "elsewhere")
    if original == "another folder in its place":
        flow.mkdir()
    assert not is_here(read_ledger(runs_in(copy) / RUN), str(copy))


def test_a_folder_that_was_moved_away_is_not_that_of_the_jobs_that_write_to_the_new_one(
    flow: Path, tmp_path: Path
) -> None:
    moved = flow.rename(tmp_path / "moved")
    shutil.copytree(moved, flow)
    assert not is_here(read_ledger(runs_in(moved) / RUN), str(moved))
    assert is_here(read_ledger(runs_in(flow) / RUN), str(flow))


def test_two_folders_that_keep_their_records_in_one_place_are_two(flow: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".snakemake").symlink_to(flow / ".snakemake")
    assert not is_here(read_ledger(runs_in(other) / RUN), str(other))


# --- users ----------------------------------------------------------------------------------------------------------


def of_somebody(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    header, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps({**json.loads(header), "uid": SOMEBODY, "user": "somebody"}) + f"\n{rest}")


def test_an_open_run_of_another_user_is_refused(flow: Path) -> None:
    refuse_other_users(runs_in(flow), str(flow))
    of_somebody(runs_in(flow) / RUN)
    with pytest.raises(FolderInUse, match=rf"User \S+ looks after .* run {RUN} of \S+ is not closed"):
        refuse_other_users(runs_in(flow), str(flow))


def test_a_run_of_another_user_that_is_closed_or_of_another_folder_does_not_count(flow: Path, tmp_path: Path) -> None:
    of_somebody(runs_in(flow) / RUN)
    copy = Path(shutil.copytree(flow, tmp_path / "copy"))
    refuse_other_users(runs_in(copy), str(copy))
    Ledger(runs_in(flow) / RUN).close()
    refuse_other_users(runs_in(flow), str(flow))


def test_the_owner_of_the_file_counts_whatever_the_file_says(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody who may write to the folder may write a ledger in another's name."""
    owner = os.getuid()
    monkeypatch.setattr(belonging, "os", SimpleNamespace(**{**vars(os), "getuid": lambda: owner + 1}))
    monkeypatch.setattr(belonging, "_uid_of_my_files", lambda _folder: owner + 1)
    path = runs_in(flow) / RUN / "ledger.jsonl"
    header, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps({**json.loads(header), "uid": owner + 1}) + f"\n{rest}")
    with pytest.raises(FolderInUse):
        refuse_other_users(runs_in(flow), str(flow))


def test_where_the_file_system_shows_one_owner_for_all_files_the_ledger_is_believed(
    flow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, me = os.getuid(), os.getuid() + 1
    monkeypatch.setattr(belonging, "os", SimpleNamespace(**{**vars(os), "getuid": lambda: me}))
    path = runs_in(flow) / RUN / "ledger.jsonl"
    header, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps({**json.loads(header), "uid": me}) + f"\n{rest}")
    assert path.stat().st_uid == owner
    refuse_other_users(runs_in(flow), str(flow))


# --- jobs -----------------------------------------------------------------------------------------------------------


def queue(place: Path, *names: str) -> FakeSlurm:
    slurm = FakeSlurm()
    for name in names:
        slurm.submit(
            Options.of(f"--job-name={name.partition('.')[0]}", f"--comment={name}", f"--chdir={place}"), "sleep 1000"
        )
    return slurm


def found(flow: Path, slurm: FakeSlurm) -> dict[str, str]:
    runs = runs_in(flow)
    try:
        ledgers = [one for one in open_ledgers(runs) if is_here(one, str(flow))]
    except LedgerError:
        ledgers = []
    return unexplained(runs, str(flow), slurm, ledgers)


def test_jobs_that_a_ledger_tells_of_and_jobs_of_others_are_no_riddle(flow: Path, tmp_path: Path) -> None:
    slurm = queue(flow, f"align.{RUN}.1", "train.v2.1", "sort.py", "x")
    assert found(flow, slurm) == {}
    elsewhere = queue(tmp_path, "align.fedcba98.1")
    assert found(flow, elsewhere) == {}


DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda ledger: ledger.write_bytes(b""),
    "removed": lambda ledger: ledger.unlink(),
    "removed with its folder": lambda ledger: shutil.rmtree(ledger.parent),
    "removed with all records": lambda ledger: shutil.rmtree(ledger.parent.parent.parent),
    "garbled": lambda ledger: ledger.write_bytes(b"\xff\x00" * 99),
    "cut off behind the first line": lambda ledger: ledger.write_text(ledger.read_text().partition("\n")[0] + "\n"),
    "without its first line": lambda ledger: ledger.write_text(ledger.read_text().partition("\n")[2]),
    "of another version": lambda ledger: ledger.write_text(ledger.read_text().replace('"version": 1', '"version": 7')),
    "closed": lambda ledger: Ledger(ledger.parent).close(),
    "taken over by a run that is gone": lambda ledger: Ledger(ledger.parent).close(by="fedcba98"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_jobs_of_this_folder_that_no_ledger_tells_of_are_refused(flow: Path, how: str) -> None:
    slurm = queue(flow, f"align.{RUN}.1")
    DAMAGES[how](runs_in(flow) / RUN / "ledger.jsonl")
    assert found(flow, slurm) == {"1": f"align.{RUN}.1"}
    with pytest.raises(LedgerError, match=rf"record of their run \({RUN}\) is missing or damaged: Slurm jobs 1\."):
        refuse_unexplained(found(flow, slurm))
    slurm.cancel(["1"])
    refuse_unexplained(found(flow, slurm))


@pytest.mark.parametrize("how", DAMAGES)
def test_jobs_of_the_folder_that_this_one_was_copied_from_are_left_alone(flow: Path, tmp_path: Path, how: str) -> None:
    slurm = queue(flow, f"align.{RUN}.1")
    copy = Path(shutil.copytree(flow, tmp_path / "copy"))
    DAMAGES[how](runs_in(copy) / RUN / "ledger.jsonl")
    assert found(copy, slurm) == {}


def test_a_guard_of_a_run_that_is_closed_leaves_by_itself(flow: Path) -> None:
    ledger = Ledger(runs_in(flow) / RUN)
    ledger.intend(f"guard.{RUN}.2", **{**WHAT, "kind": "guard", "task": "guard"})
    ledger.close()
    assert found(flow, queue(flow, f"guard.{RUN}.2")) == {}


def test_a_job_whose_folder_cannot_be_seen_from_here_counts_where_its_run_does(flow: Path, tmp_path: Path) -> None:
    slurm = queue(Path("/seen/from/the/nodes"), f"align.{RUN}.1", "align.fedcba98.1")
    (runs_in(flow) / RUN / "ledger.jsonl").write_bytes(b"")
    assert found(flow, slurm) == {"1": f"align.{RUN}.1"}


def test_elements_of_an_array_are_told_by_the_array(flow: Path) -> None:
    slurm = FakeSlurm()
    slurm.submit(Options.of(f"--comment=sort.{RUN}.3", "--array=0-40", f"--chdir={flow}"), "sleep 1000")
    (runs_in(flow) / RUN / "ledger.jsonl").unlink()
    assert len(found(flow, slurm)) == 41
    with pytest.raises(LedgerError, match=r"Slurm jobs 1\."):
        refuse_unexplained(found(flow, slurm))
