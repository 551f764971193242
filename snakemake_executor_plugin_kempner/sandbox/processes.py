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

NODE_MARK = "KEMPNER_SANDBOX_NODE"
"""Variable in the environment of each slurmd; its step daemons inherit it, their jobs do not."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for as long as this machine runs."""

    pid: int
    started: int
    """Clock ticks between boot and its start: field 22 of /proc/PID/stat, see proc(5)."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the identity of the process that has this id now, None without a living one."""
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
        """Whether it still runs; one that ended but was not yet waited for does not."""
        return ProcessId.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, to this process or to none."""
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


def kill_jobs(conf: str, nodes: frozenset[str]) -> None:
    """Kill what the jobs of this sandbox left on these nodes: Slurm's step daemons and all below them."""
    for _ in range(100):
        found = _job_processes(conf, nodes)
        if not found:
            return
        kill(found)
    msg = f"the jobs of the sandbox {conf} start processes faster than they can be killed"
    raise SandboxError(msg)


def _job_processes(conf: str, nodes: frozenset[str]) -> set[ProcessId]:
    """Find them by environment, and by descent for those that cleared it.

    Slurm gives every process of a job SLURM_CONF and SLURMD_NODENAME. A shell in which the user exported SLURM_CONF
    lacks the second, or, inside a job of a real cluster, has another node's name.
    """
    parents: dict[int, int] = {}
    roots: set[int] = set()
    for pid in _pids():
        fields = _stat(pid)
        if fields is None:
            continue
        parents[pid] = int(fields[1])
        environment = _environment(pid)
        if environment.get("SLURM_CONF") == conf and _node_of(pid, environment) in nodes:
            roots.add(pid)
    family = {pid for pid in parents if not roots.isdisjoint(_line(pid, parents))} - {os.getpid()}
    return {found for pid in family if (found := ProcessId.of(pid)) is not None}


def _node_of(pid: int, environment: dict[str, str]) -> str | None:
    """Return the node a job's process belongs to; a step daemon has no SLURMD_NODENAME, hence our mark."""
    return environment.get("SLURMD_NODENAME") or (environment.get(NODE_MARK) if _is_step_daemon(pid) else None)


def _is_step_daemon(pid: int) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name.startswith(STEP_DAEMON)
    except OSError:
        return False


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
