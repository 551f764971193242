"""The claim on a folder: a single process at a time (head, continuation or closing job) looks after its runs.

Snakemake's own lock does not say who holds it, remains after `kill -9`, and is not held between the jobs of a detached
run. This claim names its owner, and a claim whose owner is gone can be taken over. It uses the two operations that are
atomic on network file systems too: exclusive creation and rename.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ClaimLost, FolderInUse, LedgerError
from .belonging import user_name
from .clock import Clock, SystemClock, file_time

SILENCE = 300.0
"""Seconds without a renewal after which an owner on another machine counts as gone."""
CANCEL = "cancel"
"""What holds the claim is no process of a run, but a command that cancels."""
_BEAT = 10.0
_PAUSE = 1.0
_PATIENCE = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The process that holds a claim."""

    what: str
    """`head`, `continuation`, `closing`, or `cancel` for a command that cancels."""
    run: str
    host: str
    pid: int
    born: str
    """Start time of the process, in the kernel's clock ticks: the pid may belong to another process by now."""
    job_id: str = ""
    """The Slurm job that it runs in."""
    user: str = ""
    uid: int = -1
    """Negative if unknown."""

    @property
    def is_head(self) -> bool:
        return self.what == "head"

    def __str__(self) -> str:
        where = f"Slurm job {self.job_id}" if self.job_id else f"process {self.pid} on {self.host}"
        who = "A command that cancels" if self.what == CANCEL else f"The {self.what} of run {self.run}"
        return f"{who} ({where}{f', user {self.user}' if self.is_of_another_user else ''})"

    @property
    def is_of_another_user(self) -> bool:
        return self.uid >= 0 and self.uid != os.getuid()

    @property
    def is_consistent(self) -> bool:
        """Each value has its declared type; the file may contain anything."""
        return all(isinstance(value, _TYPES[name]) for name, value in asdict(self).items())


_TYPES = {"what": str, "run": str, "host": str, "pid": int, "born": str, "job_id": str, "user": str, "uid": int}
_NOBODY = Owner(what="head", run="", host="", pid=0, born="")
"""The owner of a claim that cannot be read."""


def _owner_in(path: Path) -> Owner:
    """Raises: OSError: the claim is gone or cannot be read."""
    try:
        owner = Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError):
        return _NOBODY
    return owner if owner.is_consistent else _NOBODY


def this_process(what: str, run: str, job_id: str = "") -> Owner:
    pid, uid = os.getpid(), os.getuid()
    born = _born(pid) or ""
    return Owner(
        what=what, run=run, host=socket.gethostname(), pid=pid, born=born, job_id=job_id, user=user_name(uid), uid=uid
    )


def this_head(run: str) -> Owner:
    """This process as the head of a run, perhaps inside a Slurm job of the user's."""
    return this_process("head", run, os.environ.get("SLURM_JOB_ID", ""))


def _born(pid: int) -> str | None:
    """Start time of a process on this machine; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]  # man 5 proc: field 22, counted behind the name


def _exists(pid: int) -> bool:
    """Whether another user's process exists: /proc may hide it, but kill(2) shows it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


class Claim:
    """The claim on the runs below a folder.

    Args:
        folder: `.snakemake/kempner`.
        owner: this process.
        job_runs: whether a Slurm job still runs; raises no error.
        clock: time.
    """

    def __init__(self, folder: Path, owner: Owner, job_runs: Callable[[str], bool], clock: Clock) -> None:
        self._folder, self._path, self._owner = folder, folder / "claim.json", owner
        self._job_runs, self._clock = job_runs, clock
        self._beat = 0.0

    def take(self, patience: float = 0.0) -> None:
        """Become the owner; wait up to `patience` seconds for a live owner to leave.

        Raises:
            FolderInUse: another live process holds the claim.
            LedgerError: the claim cannot be written.
        """
        deadline = self._clock.now() + patience
        while not self._create():
            held = self._read()
            if held is not None and self._lives(*held):
                if self._clock.now() >= deadline:
                    raise FolderInUse(str(held[0]))
                self._clock.sleep(_PAUSE)
            elif held is not None:
                self._put_aside(held[0])
        self._beat = self._clock.now()

    def holder(self) -> Owner | None:
        """The other live process that holds the claim; None if there is none."""
        held = self._read()
        return held[0] if held is not None and self._lives(*held) else None

    def living_head(self) -> Owner | None:
        """The head that holds the claim, once it is certain to live; None if there is none, or if it has been silent.

        A recent claim may be of a head that has just died on another machine: wait for its next renewal.
        """
        held = self._read()
        while held is not None and held[0].is_head and self._lives(*held):
            owner, silence = held
            if owner.host == self._owner.host:
                return owner
            self._clock.sleep(_PAUSE)
            held = self._read()
            if held is not None and held[0] == owner and held[1] < silence:
                return owner
        return None

    def renew(self) -> bool:
        """Renew the claim, as a sign of life for other machines; False if another process holds the claim."""
        if self._clock.now() - self._beat < _BEAT:
            return True
        if self._present() != self._owner:
            return False
        self._beat = self._clock.now()
        with suppress(OSError):
            os.utime(self._path)
        return True

    def check(self) -> None:
        """Check that this process still holds the claim: if stopped for long, it may have been replaced.

        Raises:
            ClaimLost: another process has taken the claim, or it is gone.
        """
        holder = self._present()
        if holder is None:  # another process may have moved it away by mistake, and will put it back
            self._clock.sleep(_PAUSE)
            holder = self._present()
        if holder != self._owner:
            raise ClaimLost(str(self._owner), "" if holder in (None, _NOBODY) else str(holder))

    def _present(self) -> Owner | None:
        """The current owner; this process if the file system fails, since no other owner is known."""
        try:
            return _owner_in(self._path)
        except FileNotFoundError:
            return None
        except OSError:
            return self._owner

    def release(self) -> None:
        if self._present() == self._owner:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Create the claim, atomically with its content; False if a claim exists already."""
        draft = self._folder / f"claim.{uuid.uuid4().hex}"
        try:
            draft.write_text(json.dumps(asdict(self._owner)), encoding="utf-8")
            try:
                os.link(draft, self._path)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(f"The folder {self._folder} cannot be written to: {error.strerror}") from error
        return True

    def _read(self) -> tuple[Owner, float] | None:
        """The owner, and the seconds since its last renewal, by the file system's clock."""
        try:
            owner, renewed = _owner_in(self._path), self._path.stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{self._path} cannot be read ({error}); remove it if no snakemake runs here") from error
        now = file_time(self._folder)
        if now is None:
            raise LedgerError(f"{self._folder} cannot be written to, so it is unknown whether {self._path} is in use")
        silence = now - renewed
        if owner == _NOBODY and silence < SILENCE:
            raise LedgerError(f"{self._path} cannot be read (it is damaged); remove it if no snakemake runs here")
        return owner, silence

    def _lives(self, owner: Owner, silence: float) -> bool:
        if owner == self._owner:
            return False
        if owner.host == self._owner.host:
            return _born(owner.pid) == owner.born or (owner.is_of_another_user and _exists(owner.pid))
        # Jobs of other users cannot be seen in Slurm.
        if owner.job_id and not owner.is_of_another_user and not self._job_runs(owner.job_id):
            return False
        # Helper jobs do not renew while they read the workflow.
        return silence < SILENCE or (bool(owner.job_id) and not owner.is_head)

    def _put_aside(self, dead: Owner) -> None:
        """Remove the claim of a dead owner; if another process has taken it meanwhile, put that claim back."""
        held = self._read()
        if held is None or held[0] != dead:
            return
        aside = self._folder / f"claim.{uuid.uuid4().hex}"
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return
        try:
            if _owner_in(aside) != dead:
                with suppress(FileExistsError):
                    os.link(aside, self._path)
        finally:
            aside.unlink(missing_ok=True)


def claimed_by(folder: Path) -> str:
    """Name of the run whose process holds the claim below a folder, alive or dead; empty without a claim."""
    try:
        return str(json.loads((folder / "claim.json").read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""


def watcher(folder: Path, job_runs: Callable[[str], bool]) -> str:
    """The live process that holds the claim below a folder, for those who only look: nothing is written."""
    path = folder / "claim.json"
    try:
        owner, silence = _owner_in(path), time.time() - path.stat().st_mtime
    except OSError:
        return ""
    looking = Claim(folder, this_process("reader", ""), job_runs, SystemClock())
    return str(owner) if owner != _NOBODY and looking._lives(owner, silence) else ""  # noqa: SLF001 - of its own class


def claim_folder(folder: Path, owner: Owner, job_runs: Callable[[str], bool], say: Callable[[str], None]) -> Claim:
    """Take the claim for a head. It waits for jobs of an earlier run that hold it, but not for another head.

    Raises:
        FolderInUse: another process looks after this folder.
        LedgerError: the claim cannot be written.
    """
    claim = Claim(folder, owner, job_runs, SystemClock())
    holder = claim.holder()
    wait = holder is not None and not holder.is_head
    if wait:
        say(f"{holder} is at work in this folder; waiting for it.")
    claim.take(_PATIENCE if wait else 0.0)
    return claim
