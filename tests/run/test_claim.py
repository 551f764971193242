"""Who looks after the runs of a folder, and who may take that over."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock

from snakemake_executor_plugin_kempner.errors import ClaimLost, FolderInUse, LedgerError
from snakemake_executor_plugin_kempner.run import claim as claims
from snakemake_executor_plugin_kempner.run.claim import (
    CANCEL,
    SILENCE,
    Claim,
    Owner,
    claim_folder,
    this_head,
    this_process,
)

HERE = this_process("head", "run1")
DEAD = replace(HERE, pid=2**22 + 1, run="run0")
ELSEWHERE = replace(HERE, host="login2", run="run0")


def a_claim(folder: Path, owner: Owner = HERE, *, runs: tuple[str, ...] = (), clock: FakeClock | None = None) -> Claim:
    return Claim(folder, owner, runs.__contains__, clock or FakeClock())


def held_by(folder: Path, owner: Owner, *, silent: float = 0.0) -> Path:
    """A claim of somebody else, whose last sign of life was so many seconds ago."""
    path = folder / "claim.json"
    path.write_text(json.dumps(asdict(owner)))
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))
    return path


def owner_in(folder: Path) -> Owner:
    return Owner(**json.loads((folder / "claim.json").read_text()))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- taking and leaving ---------------------------------------------------------------------------------------------


def test_a_free_folder_is_taken_and_given_back(tmp_path: Path) -> None:
    claim = a_claim(tmp_path)
    claim.take()
    assert owner_in(tmp_path) == HERE
    claim.release()
    assert names(tmp_path) == set()


def test_the_owner_is_named_with_the_place_where_it_runs() -> None:
    assert str(replace(HERE, pid=7, host="login1")) == "The head of run run1 (process 7 on login1)"
    assert str(replace(HERE, what="closing", job_id="42")) == "The closing of run run1 (Slurm job 42)"


def test_a_head_inside_a_slurm_job_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert this_head("run1").job_id == "42"
    assert this_head("run1").is_head


def test_a_claim_of_somebody_else_is_not_released(tmp_path: Path) -> None:
    claim = a_claim(tmp_path)
    claim.take()
    held_by(tmp_path, ELSEWHERE)
    claim.release()
    assert owner_in(tmp_path) == ELSEWHERE


def test_releasing_twice_or_what_is_gone_is_no_error(tmp_path: Path) -> None:
    claim = a_claim(tmp_path)
    claim.take()
    claim.release()
    claim.release()


def test_nobody_holds_a_folder_that_was_never_claimed(tmp_path: Path) -> None:
    assert a_claim(tmp_path).holder() is None


def test_a_folder_that_cannot_be_written_to_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no/such/folder cannot be written to"):
        a_claim(tmp_path / "no/such/folder").take()


# --- who lives ------------------------------------------------------------------------------------------------------


def test_a_living_process_of_this_machine_keeps_its_claim(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        owner = replace(HERE, pid=other.pid, born=claims._born(other.pid) or "", run="run0")
        held_by(tmp_path, owner, silent=100 * SILENCE)
        assert a_claim(tmp_path).holder() == owner
        with pytest.raises(FolderInUse, match="The head of run run0"):
            a_claim(tmp_path).take()
    finally:
        other.communicate()
    assert a_claim(tmp_path).holder() is None
    a_claim(tmp_path).take()
    assert owner_in(tmp_path) == HERE


GONE = {
    "a process that is gone": DEAD,
    "a process whose number another one has got": replace(HERE, born="1", run="run0"),
    "a job of this machine whose process is gone": replace(DEAD, job_id="7", what="closing"),
}


@pytest.mark.parametrize("who", GONE)
def test_the_claim_of_an_owner_that_is_gone_is_taken_over(tmp_path: Path, who: str) -> None:
    held_by(tmp_path, GONE[who])
    claim = a_claim(tmp_path, runs=("7",))
    assert claim.holder() is None
    claim.take()
    assert owner_in(tmp_path) == HERE
    assert names(tmp_path) == {"claim.json"}


@pytest.mark.parametrize(
    ("silent", "job_id", "lives"),
    [
        (0, "", True),
        (SILENCE - 30, "", True),
        (SILENCE + 30, "", False),
        (0, "7", True),
        (0, "8", False),
        (SILENCE + 30, "7", False),
    ],
)
def test_a_head_on_another_machine_lives_by_its_signs_of_life_and_its_job(
    tmp_path: Path, silent: float, job_id: str, lives: bool
) -> None:
    """Slurm job 7 runs, job 8 has ended."""
    held_by(tmp_path, replace(ELSEWHERE, job_id=job_id), silent=silent)
    claim = a_claim(tmp_path, runs=("7",))
    assert (claim.holder() is not None) is lives
    if lives:
        with pytest.raises(FolderInUse):
            claim.take()
    else:
        claim.take()


@pytest.mark.parametrize("what", ["continuation", "closing"])
@pytest.mark.parametrize(("job_id", "lives"), [("7", True), ("8", False)])
def test_a_job_of_ours_on_another_machine_lives_as_long_as_slurm_says_so(
    tmp_path: Path, what: str, job_id: str, lives: bool
) -> None:
    """It gives no sign of life while it reads the workflow."""
    held_by(tmp_path, replace(ELSEWHERE, what=what, job_id=job_id), silent=10 * SILENCE)
    assert (a_claim(tmp_path, runs=("7",)).holder() is not None) is lives


def test_a_sign_of_life_is_given_every_ten_seconds(tmp_path: Path) -> None:
    clock = FakeClock()
    claim = a_claim(tmp_path, clock=clock)
    claim.take()
    path = tmp_path / "claim.json"
    os.utime(path, (1, 1))
    clock.sleep(9)
    claim.renew()
    assert path.stat().st_mtime == 1
    clock.sleep(2)
    claim.renew()
    assert path.stat().st_mtime > 1


def test_a_sign_of_life_without_a_claim_is_no_error(tmp_path: Path) -> None:
    clock = FakeClock()
    claim = a_claim(tmp_path, clock=clock)
    clock.sleep(100)
    claim.renew()


# --- replaced while it was stopped ----------------------------------------------------------------------------------


def test_who_holds_the_claim_may_act(tmp_path: Path) -> None:
    claim = a_claim(tmp_path)
    claim.take()
    claim.check()
    assert claim.renew()


@pytest.mark.parametrize("run", ["run0", HERE.run])
def test_who_has_lost_the_claim_may_not_and_is_told_to_whom(tmp_path: Path, run: str) -> None:
    """Also to another process that looks after the same run: the run's own closing job."""
    clock = FakeClock()
    claim = a_claim(tmp_path, clock=clock)
    claim.take()
    path = held_by(tmp_path, replace(ELSEWHERE, run=run))
    os.utime(path, (1, 1))
    with pytest.raises(ClaimLost, match=rf"and The head of run {run} .* looks after it now"):
        claim.check()
    clock.sleep(1000)
    assert not claim.renew()
    assert path.stat().st_mtime == 1, "no sign of life is given for another one"
    claim.release()
    assert owner_in(tmp_path).host == "login2"


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "\x00"])
def test_a_claim_that_is_gone_or_that_nobody_can_read_is_lost(tmp_path: Path, text: str | None) -> None:
    """Who has taken over may be done by now."""
    claim = a_claim(tmp_path)
    claim.take()
    path = tmp_path / "claim.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ClaimLost, match="another process has looked after it meanwhile"):
        claim.check()


def test_a_claim_that_is_away_for_a_moment_is_not_lost(tmp_path: Path) -> None:
    """Somebody has moved it aside, seen that its owner lives, and puts it back."""
    path = tmp_path / "claim.json"

    class PutsBack(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            (tmp_path / "aside").rename(path)

    claim = a_claim(tmp_path, clock=PutsBack())
    claim.take()
    path.rename(tmp_path / "aside")
    claim.check()


def test_a_file_system_that_does_not_answer_takes_no_claim_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = a_claim(tmp_path)
    claim.take()

    def stale(*_arguments: Any, **_options: Any) -> str:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "read_text", stale)
    claim.check()


# --- other users ----------------------------------------------------------------------------------------------------

THEIRS = replace(HERE, run="run0", user="somebody", uid=os.getuid() + 1)


def test_a_job_of_another_user_lives_though_slurm_does_not_tell_of_it(tmp_path: Path) -> None:
    held_by(tmp_path, replace(THEIRS, host="n1", what="closing", job_id="7"), silent=10 * SILENCE)
    holder = a_claim(tmp_path).holder()
    assert holder is not None
    assert "(Slurm job 7, user somebody)" in str(holder)


def test_a_process_of_another_user_lives_though_it_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_by(tmp_path, replace(THEIRS, pid=os.getppid(), born="17"))
    monkeypatch.setattr(claims, "_born", lambda _pid: None)
    assert a_claim(tmp_path).holder() is not None
    held_by(tmp_path, replace(THEIRS, pid=2**22 + 1))
    assert a_claim(tmp_path).holder() is None


# --- waiting --------------------------------------------------------------------------------------------------------


def test_who_has_patience_waits_for_the_owner_to_leave(tmp_path: Path) -> None:
    path = held_by(tmp_path, ELSEWHERE)

    class Leaving(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now() > 5:
                path.unlink(missing_ok=True)

    clock = Leaving()
    a_claim(tmp_path, clock=clock).take(patience=60)
    assert 5 < clock.now() < 10
    assert owner_in(tmp_path) == HERE


def test_patience_ends(tmp_path: Path) -> None:
    held_by(tmp_path, ELSEWHERE)
    clock = FakeClock()
    with pytest.raises(FolderInUse):
        a_claim(tmp_path, clock=clock).take(patience=60)
    assert 60 <= clock.now() < 65
    assert owner_in(tmp_path) == ELSEWHERE


def test_a_head_does_not_wait_for_another_head_but_for_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = FakeClock(), []
    monkeypatch.setattr(claims, "SystemClock", lambda: clock)
    held_by(tmp_path, ELSEWHERE)
    with pytest.raises(FolderInUse):
        claim_folder(tmp_path, HERE, lambda _job: True, said.append)
    assert (clock.now(), said) == (0, [])
    path = held_by(tmp_path, replace(ELSEWHERE, what="closing", job_id="7"))
    monkeypatch.setattr(clock, "sleep", lambda _seconds: path.unlink())
    claim_folder(tmp_path, HERE, lambda _job: True, said.append)
    assert said == ["The closing of run run0 (Slurm job 7) is at work in this folder; waiting for it."]
    assert owner_in(tmp_path) == HERE


def test_whoever_comes_while_a_command_cancels_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = FakeClock(), []
    monkeypatch.setattr(claims, "SystemClock", lambda: clock)
    path = held_by(tmp_path, replace(ELSEWHERE, what=CANCEL, pid=7))
    monkeypatch.setattr(clock, "sleep", lambda _seconds: path.unlink())
    claim_folder(tmp_path, replace(HERE, what=CANCEL), lambda _job: True, said.append)
    assert said == ["A command that cancels (process 7 on login2) is at work in this folder; waiting for it."]


def test_a_command_that_was_killed_while_it_cancelled_on_another_machine_holds_the_folder_for_five_minutes(
    tmp_path: Path,
) -> None:
    held_by(tmp_path, replace(ELSEWHERE, what=CANCEL), silent=SILENCE + 1)
    a_claim(tmp_path).take()
    assert owner_in(tmp_path) == HERE


# --- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", '{"what": "head", "run"', "[]", '{"what": "head"}', "null", "\xff"])
def test_a_claim_that_cannot_be_read_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    """None of ours is ever half written, so nobody knows whose it is."""
    path = tmp_path / "claim.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LedgerError, match=r"claim.json cannot be read .* remove it if no snakemake runs here"):
        a_claim(tmp_path).take()
    assert names(tmp_path) == {"claim.json"}


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "\xff", '{"what": 7}', "[" * 100_000, json.dumps({**asdict(DEAD), "born": None})]
)
def test_a_claim_that_cannot_be_read_and_gives_no_sign_of_life_is_taken_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claim.json"
    path.write_bytes(text.encode("latin-1"))
    then = path.stat().st_mtime - SILENCE - 30
    os.utime(path, (then, then))
    a_claim(tmp_path).take()
    assert owner_in(tmp_path) == HERE
    assert names(tmp_path) == {"claim.json"}


# --- killed on the way ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """kill -9."""


@pytest.mark.parametrize("number", range(12))
def test_wherever_one_is_killed_that_takes_a_claim_over_the_next_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    held_by(tmp_path, DEAD)
    left = [number]

    def mortal(carry_out: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any, **options: Any) -> Any:
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return carry_out(*arguments, **options)

        return do

    with monkeypatch.context() as patches:
        patches.setattr(claims.os, "link", mortal(os.link))
        patches.setattr(claims.os, "rename", mortal(os.rename))
        patches.setattr(Path, "unlink", mortal(Path.unlink))
        patches.setattr(Path, "write_text", mortal(Path.write_text))
        with contextlib.suppress(Killed):
            a_claim(tmp_path, replace(HERE, born="0")).take()
    a_claim(tmp_path).take()
    assert owner_in(tmp_path) == HERE


# --- two at once ----------------------------------------------------------------------------------------------------


def test_of_two_threads_that_take_over_a_dead_claim_one_gets_it(tmp_path: Path) -> None:
    for round_ in range(15):
        folder = tmp_path / str(round_)
        folder.mkdir()
        held_by(folder, DEAD)
        got: list[Owner] = []
        gate = threading.Barrier(2)
        owners = [replace(HERE, run=f"run{number}") for number in range(2)]

        def take(owner: Owner, folder: Path = folder, gate: threading.Barrier = gate, got: list[Owner] = got) -> None:
            gate.wait()
            try:
                a_claim(folder, owner).take()
            except FolderInUse:
                return
            got.append(owner)

        threads = [threading.Thread(target=take, args=(owner,)) for owner in owners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        assert owner_in(folder) == got[0]
        assert names(folder) == {"claim.json"}


TAKE = """
import sys
from pathlib import Path
from snakemake_executor_plugin_kempner.errors import FolderInUse
from snakemake_executor_plugin_kempner.run.claim import Claim, this_process
from snakemake_executor_plugin_kempner.run.clock import SystemClock

claim = Claim(Path(sys.argv[1]), this_process("head", sys.argv[2]), lambda job: True, SystemClock())
print("ready", flush=True)
sys.stdin.readline()
try:
    claim.take()
    print("took", flush=True)
except FolderInUse:
    print("left", flush=True)
sys.stdin.readline()
"""


def test_of_two_processes_that_take_over_a_dead_claim_one_gets_it(tmp_path: Path) -> None:
    held_by(tmp_path, DEAD)
    argv = [sys.executable, "-c", TAKE, str(tmp_path)]
    both = {
        run: subprocess.Popen([*argv, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for run in ("run1", "run2")
    }
    try:
        said = {run: [tell(process, "")] for run, process in both.items()}
        for process in both.values():
            tell(process, "go")
        for run, process in both.items():
            said[run].append(tell(process, ""))
    finally:
        for process in both.values():
            process.communicate(timeout=30)
    assert sorted(words[1] for words in said.values()) == ["left", "took"]
    assert said[owner_in(tmp_path).run] == ["ready", "took"]


def tell(process: "subprocess.Popen[str]", word: str) -> str:
    """Say a word to a process, or hear its next one."""
    assert process.stdin
    assert process.stdout
    if not word:
        return process.stdout.readline().strip()
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return ""


def test_a_claim_that_was_taken_while_its_dead_owner_was_looked_at_is_put_back(tmp_path: Path) -> None:
    """Two saw the dead owner; the first one has taken over when the second one moves the file away."""
    held_by(tmp_path, ELSEWHERE)
    a_claim(tmp_path)._put_aside(DEAD)
    assert owner_in(tmp_path) == ELSEWHERE
    assert names(tmp_path) == {"claim.json"}


def test_a_claim_in_a_folder_where_nothing_can_be_written_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by(tmp_path, DEAD, silent=10 * SILENCE)
    monkeypatch.setattr(claims, "file_time", lambda _folder: None)
    with pytest.raises(LedgerError, match="cannot be written to, so it is unknown whether"):
        a_claim(tmp_path).holder()
