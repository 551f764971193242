"""A command that makes Slurm do something, while it runs: its output, its CPU time, its memory, its calls of Slurm's programs."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

COUNTED = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr", "srun")
"""Slurm's programs whose calls are counted."""


class BenchmarkError(Exception):
    """A run that is worth no figure, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, in a folder of its own that exists and is empty."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


class Head:
    """The running command; as a context manager it is killed at the end, with all that it has started."""

    def __init__(self, command: Command) -> None:
        self._calls = command.folder / "calls"
        self._log = command.folder / "head.log"
        environment = _with_wrappers(command, self._calls)
        with self._log.open("wb") as log:
            self.began = time.time()
            self._clock = time.monotonic()
            self._child = subprocess.Popen(
                command.argv, cwd=command.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.cpu = 0.0
        """CPU seconds of the command and of everything it started and waited for; known when it has ended."""
        self.peak_mb = 0.0
        """Most memory that the command's own process has held, as far as it was looked at."""
        self.returned: float | None = None
        """Seconds until the command came back, as far as it was looked at."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def elapsed(self) -> float:
        """Seconds since the command's start."""
        return time.monotonic() - self._clock

    def runs(self) -> bool:
        """Look at the command, and say whether it still runs.

        Raises:
            BenchmarkError: it has failed.
        """
        if self.returned is None:
            # Of its own memory image: what a child holds between fork and exec is this process's memory.
            self.peak_mb = max(self.peak_mb, _peak_mb(self._child.pid))
            self._collect(os.WNOHANG)
            if self._child.returncode:
                raise BenchmarkError(f"the command failed with {self._child.returncode}:\n{self.tail()}")
        return self.returned is None

    def kill(self) -> None:
        """End it as a power cut does, and collect what it has used. Twice is fine."""
        if self.returned is None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._collect(0)

    def _collect(self, how: int) -> None:
        # Looks itself: the module subprocess does not tell what a child has used.
        pid, status, usage = os.wait4(self._child.pid, how)
        if pid:
            self._child.returncode = os.waitstatus_to_exitcode(status)
            self.returned, self.cpu = self.elapsed, usage.ru_utime + usage.ru_stime

    def calls(self) -> dict[str, int]:
        """Return how often each of Slurm's programs was called by the command itself."""
        return dict(Counter(name for name, job in self._all_calls() if not job))

    def calls_in_jobs(self) -> dict[str, int]:
        """Return how often each was called from inside a job."""
        return dict(Counter(name for name, job in self._all_calls() if job))

    def last_call(self, name: str) -> float | None:
        """Seconds from the start until the latest call of that program: for sbatch until its end, else its start."""
        try:
            return (self._calls / name).stat().st_mtime - self.began
        except FileNotFoundError:
            return None

    def _all_calls(self) -> list[tuple[str, str]]:
        return [
            (name, job.strip())
            for name in COUNTED
            if (file := self._calls / name).exists()
            for job in file.read_text().splitlines()
        ]

    def tail(self) -> str:
        """Return the last lines of what it has printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


def _with_wrappers(command: Command, calls: Path) -> dict[str, str]:
    """Put programs that count and then become the real ones first in PATH. Jobs inherit the path, hence the job id."""
    path = command.environment["PATH"]
    folder = command.folder / "wrappers"
    folder.mkdir()
    calls.mkdir()
    for name in COUNTED:
        wrapper = folder / name
        wrapper.write_text(_wrapper(_which(name, path), calls / name, command.environment["SLURM_CONF"]))
        wrapper.chmod(0o755)
    return {**command.environment, "PATH": f"{folder}{os.pathsep}{path}"}


def _wrapper(program: Path, calls: Path, conf: str) -> str:
    """Return a script; it repeats where this Slurm is, which the slurm plugin clears away before it calls srun."""
    note = f'echo "$SLURM_JOB_ID" >> "{calls}"'
    if program.name == "sbatch":  # the time of the note is when all is queued
        run = f'"{program}" "$@"\ncode=$?\n{note}\nexit $code'
    else:
        run = f'{note}\nexec "{program}" "$@"'
    return f'#!/bin/sh\nexport SLURM_CONF="{conf}"\n{run}\n'


def _which(name: str, path: str) -> Path:
    for folder in path.split(os.pathsep):
        if folder and os.access(program := Path(folder) / name, os.X_OK):
            return program
    raise BenchmarkError(f"{name} is not installed")
