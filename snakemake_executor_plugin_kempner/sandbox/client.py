"""Calls Slurm's commands for a sandbox, and waits for conditions."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import daemons
from .errors import NotReady, SandboxError

USABLE = frozenset({"idle", "mixed", "allocated", "completing"})
PROBE = "sandbox-probe"
"""Name of the job that a sandbox runs before it counts as ready."""
PATIENCE = 60
"""Seconds to wait for an answer; a loaded machine is many times slower than an idle machine."""


@dataclass(frozen=True)
class Client:
    """Slurm's commands, with the environment of a sandbox."""

    conf: Path
    programs: daemons.Programs

    @property
    def environment(self) -> dict[str, str]:
        """A fresh copy of this process's environment, in which Slurm's commands speak to the sandbox."""
        path = os.environ.get("PATH", os.defpath)
        commands = str(Path(self.programs["sbatch"]).parent)
        if commands not in path.split(os.pathsep):
            path = f"{path}{os.pathsep}{commands}"
        return {**daemons.clean_environment(), "PATH": path, "SLURM_CONF": str(self.conf)}

    def run(self, *argv: str, stdin: str | None = None, timeout: float = PATIENCE) -> str:
        """Run a command to its end and return its output; a failure raises SandboxError."""
        return daemons.command(argv, environment=self.environment, stdin=stdin, timeout=timeout)

    def controller_answers(self) -> bool:
        """Whether slurmctld answers."""
        try:
            return "is UP" in self.run("scontrol", "ping", timeout=10)
        except SandboxError:
            return False

    def unusable_nodes(self, names: Iterable[str]) -> list[str]:
        """Return those of these nodes that cannot run a job now."""
        lines = self.run("sinfo", "-h", "-N", "-a", "-o", "%N %T").splitlines()
        states = dict(line.split() for line in lines)
        return [name for name in names if states.get(name) not in USABLE]

    def run_first_job(self) -> None:
        """Run a trivial job: only then does the controller really schedule."""
        words = ["sbatch", "--parsable", "-J", PROBE, "-o", "/dev/null", "-D", "/", "-t", "1", "-n", "1"]
        job = self.run(*words, stdin="#!/bin/sh\nexit 0\n").strip().partition(";")[0]

        def has_ended() -> bool:
            try:
                return not self.run("squeue", "-h", "-a", "-j", job).strip()
            except SandboxError:  # already forgotten
                return True

        until(has_ended, lambda: f"a first job is not run:\n{self.run('scontrol', 'show', 'job', job)}")

    def drain(self, *, timeout: float) -> None:
        """Cancel every job and return when the queue is empty."""

        def is_empty() -> bool:
            jobs = sorted(set(self.run("squeue", "-h", "-a", "-o", "%F").split()))
            if jobs:
                # Answers 0 for a job that ended meanwhile, too.
                self.run("scancel", *jobs)
            return not jobs

        until(is_empty, lambda: f"some jobs resist being cancelled:\n{self.run('squeue', '-a')}", timeout=timeout)


def until(is_so: Callable[[], bool], complaint: Callable[[], str], *, timeout: float = PATIENCE) -> None:
    """Return when the condition holds; raise NotReady with the complaint after the timeout."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise NotReady(complaint())
        time.sleep(0.05)
