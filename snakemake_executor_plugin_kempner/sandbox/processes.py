"""Which processes are ours, and how to end exactly them. Starts none.

A bare process id is never trusted: it may have been given to somebody else since. What is kept is the id together
with the process's start time, and the pair is looked at again right before each signal.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import SandboxError

STEP_DAEMON = "slurmstepd"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for as long as this machine runs."""

    pid: int
    started: int
    """Clock ticks between boot and its start: field 22 of /proc/PID/stat, see proc(5)."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the identity of the process that has this id now, None if there is no live process."""
        fields = _stat(pid)
        return None if fields is None else cls(pid, int(fields[19]))

    @classmethod
    def this(cls) -> "ProcessId":
        """Return the identity of the running process."""
        me = cls.of(os.getpid())
        assert me is not None, "a process that runs is alive"
        return me

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; False for a zombie."""
        return ProcessId.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process if it still runs."""
        # No pidfd: os.pidfd_open is missing from Pythons built against old kernel headers, as conda's are.
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def kill(processes: Iterable[ProcessId], *, timeout: float = 10) -> None:
    """Kill these and return when all are gone."""
    doomed = list(processes)
    for process in doomed:
        process.send(signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while left := [process.pid for process in doomed if process.is_alive]:
        if time.monotonic() > deadline:
            msg = f"these processes of the sandbox cannot be killed: {left}"
            raise SandboxError(msg)
        time.sleep(0.01)


@dataclass(frozen=True, kw_only=True, slots=True)
class Jobs:
    """How the processes of a sandbox's jobs are recognised."""

    conf: Path
    """Their SLURM_CONF."""
    log: Path
    """The folder of the daemons' logs."""
    nodes: frozenset[str]


def kill_jobs(jobs: Jobs) -> None:
    """Kill what these jobs left running: Slurm's step daemons and all below them."""
    for _ in range(100):
        found = _processes_of(jobs)
        if not found:
            return
        # First the daemons: a daemon that outlives its job would report a failure to slurmctld.
        step_daemons = {process for process in found if _is_step_daemon(process.pid)}
        kill(step_daemons)
        kill(found - step_daemons)
    msg = f"the jobs of the sandbox {jobs.conf} start processes faster than they can be killed"
    raise SandboxError(msg)


def _processes_of(jobs: Jobs) -> set[ProcessId]:
    """Find the step daemons, the processes whose environment tells where they belong, and the descendants of both."""
    logs = {str(jobs.log.resolve() / f"{node}.log") for node in jobs.nodes}
    parents: dict[int, int] = {}
    roots: set[int] = set()
    for pid in _pids():
        fields = _stat(pid)
        if fields is None:
            continue
        parents[pid] = int(fields[1])
        if _is_of_job(pid, jobs) or (_is_step_daemon(pid) and not logs.isdisjoint(_open_files(pid))):
            roots.add(pid)
    family = {pid for pid in parents if not roots.isdisjoint(_line(pid, parents))} - {os.getpid()}
    return {found for pid in family if (found := ProcessId.of(pid)) is not None}


def _is_of_job(pid: int, jobs: Jobs) -> bool:
    """Whether a process has the environment of any of the jobs.

    A shell in which the user exported SLURM_CONF lacks SLURMD_NODENAME or, inside a job of a real cluster, has
    another node's.
    """
    environment = _environment(pid)
    return environment.get("SLURM_CONF") == str(jobs.conf) and environment.get("SLURMD_NODENAME") in jobs.nodes


def _is_step_daemon(pid: int) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name.startswith(STEP_DAEMON)
    except OSError:
        return False


def _open_files(pid: int) -> set[str]:
    """Return the files a process has open.

    A step daemon is known by its log: it overwrites its environment with its title (Slurm 24.11).
    """
    folder = f"/proc/{pid}/fd"
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"{folder}/{name}").removesuffix(" (deleted)"))
    return found


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    seen: set[int] = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        yield pid
        pid = parents[pid]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """Return /proc/PID/stat of a living process from the third field (the state) on.

    The second field is a name that may hold spaces and brackets. A process that ended and was not yet waited for
    (state Z) counts as gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def _environment(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)
