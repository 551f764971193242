"""Which processes are ours, and how to end exactly them. Starts none.

A bare process id is never trusted: it may have been given to somebody else since. What is kept is the id together
with the process's start time, and the pair is looked at again right before each signal.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from .errors import SandboxError

STEP_DAEMON = "slurmstepd"
_OVER = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for as long as this machine runs."""

    pid: int
    started: int
    """Hundredths of a second between boot and its start."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the identity of the process that has this id now, None if there is no live process."""
        # Since boot, not since 1970: setting the machine's clock changes the latter.
        boot = psutil.boot_time()
        try:
            process = psutil.Process(pid)
            return None if process.status() in _OVER else cls(pid, round(100 * (process.create_time() - boot)))
        except psutil.NoSuchProcess:
            return None

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
    """Their SLURM_CONF; the sockets of their step daemons are in the same folder."""
    log: Path
    """The folder of the daemons' logs."""
    nodes: frozenset[str]


def kill_jobs(jobs: Jobs) -> None:
    """Kill what these jobs left running: Slurm's step daemons and all below them."""
    for _ in range(100):
        step_daemons, others = _processes_of(jobs)
        if not step_daemons | others:
            return
        # First the daemons: a daemon that outlives its job would report a failure to slurmctld.
        kill(step_daemons)
        kill(others)
    msg = f"the jobs of the sandbox {jobs.conf} start processes faster than they can be killed"
    raise SandboxError(msg)


def _processes_of(jobs: Jobs) -> tuple[set[ProcessId], set[ProcessId]]:
    """Find the step daemons, and the other processes: their descendants, and what has the environment of a job."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process not in found and (_is_of_job(process, jobs) or _is_step_daemon_of(process, jobs)):
                found |= {process, *process.children(recursive=True)}
    found.discard(psutil.Process())
    step_daemons = {process for process in found if _is_step_daemon(process)}
    return _identities(step_daemons), _identities(found - step_daemons)


def _identities(processes: Iterable[psutil.Process]) -> set[ProcessId]:
    return {identity for process in processes if (identity := ProcessId.of(process.pid)) is not None}


def _is_of_job(process: psutil.Process, jobs: Jobs) -> bool:
    """Whether a process has the environment of any of the jobs.

    A shell in which the user exported SLURM_CONF lacks SLURMD_NODENAME or, inside a job of a real cluster, has
    another node's.
    """
    environment = process.environ()
    return environment.get("SLURM_CONF") == str(jobs.conf) and environment.get("SLURMD_NODENAME") in jobs.nodes


def _is_step_daemon(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return Path(process.exe()).name.startswith(STEP_DAEMON)
    return False


def _is_step_daemon_of(process: psutil.Process, jobs: Jobs) -> bool:
    """Whether a process is a step daemon on any of the nodes.

    It is known by its log, which it opens first, and by its socket, which also tells when the folder has been removed.
    Its environment does not tell: a step daemon overwrites it with its title (Slurm 24.11).
    """
    if not _is_step_daemon(process):
        return False
    logs = {str(jobs.log.resolve() / f"{node}.log") for node in jobs.nodes}
    spools = tuple(f"{jobs.conf.parent}/spool/{node}/" for node in jobs.nodes)
    return any(file.path in logs for file in process.open_files()) or any(
        str(connection.laddr).startswith(spools) for connection in process.net_connections("unix")
    )
