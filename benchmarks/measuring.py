"""Runs a command that makes Slurm do something, and notes what that took."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from snakemake_executor_plugin_kempner.sandbox import Sandbox

COUNTED = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr", "srun")
"""Slurm's programs whose calls are counted."""
LOOK_EVERY = 0.02
SETTLING = 60
"""Seconds that a run's jobs may take to reach their final state in Slurm's accounting."""


class BenchmarkError(Exception):
    """A run that is worth no figure, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One command to measure, in a folder of its own that is empty before."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    outputs: Sequence[Path]
    """What exists when all is done. A line per step, each the time at which the step ran."""
    lines: int
    """How many lines an output has."""
    patience: float

    @property
    def log(self) -> Path:
        """What the command prints."""
        return self.folder / "head.log"

    @property
    def calls(self) -> Path:
        """One line per call of one of Slurm's programs."""
        return self.folder / "calls.log"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one attempt took; times are seconds from the command's start."""

    makespan: float
    """Until the last output existed."""
    returned: float
    """Until the command came back."""
    first_step: float
    """Until the first step ran."""
    edges: tuple[float, ...]
    """From each step to the one after it."""
    head_cpu: float
    """CPU seconds of the command and of everything it started and waited for."""
    job_cpu: float
    """CPU seconds of all jobs, as Slurm accounts for them."""
    calls: dict[str, int]
    """Calls of Slurm's programs by the command."""
    calls_in_jobs: dict[str, int]
    """Calls of Slurm's programs by the jobs themselves."""
    load: float
    """Load average of the machine just before."""


def measure(attempt: Attempt, sandbox: Sandbox) -> Measurement:
    """Run the command, wait for its outputs and its end, and add up.

    Raises:
        BenchmarkError: the command failed, or did not come to an end.
    """
    load = os.getloadavg()[0]
    environment = _with_wrappers(attempt)
    began = time.time()
    makespan, returned, head_cpu = _run(attempt, environment)
    job_cpu = _job_cpu(sandbox, attempt)  # waits until the jobs are over, so that the outputs are complete
    stamps = [_stamps(output, attempt.lines) for output in attempt.outputs]
    in_jobs, by_head = _count(attempt.calls)
    return Measurement(
        makespan=makespan,
        returned=returned,
        first_step=min(lane[0] for lane in stamps) - began,
        edges=tuple(later - earlier for lane in stamps for earlier, later in pairwise(lane)),
        head_cpu=head_cpu,
        job_cpu=job_cpu,
        calls=by_head,
        calls_in_jobs=in_jobs,
        load=load,
    )


def _run(attempt: Attempt, environment: Mapping[str, str]) -> tuple[float, float, float]:
    with attempt.log.open("wb") as log:
        began = time.monotonic()
        child = subprocess.Popen(
            attempt.argv, cwd=attempt.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        return _follow(attempt, child, began)
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _follow(attempt: Attempt, child: subprocess.Popen[bytes], began: float) -> tuple[float, float, float]:
    """Return makespan, time of return and CPU time. Looks itself: the end of a child tells nothing of its outputs."""
    makespan = returned = head_cpu = None
    while makespan is None or returned is None or head_cpu is None:
        elapsed = time.monotonic() - began
        if makespan is None and all(output.exists() for output in attempt.outputs):
            makespan = elapsed
        if returned is None:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
                returned, head_cpu = elapsed, usage.ru_utime + usage.ru_stime
                if child.returncode:
                    raise BenchmarkError(f"the command failed with {child.returncode}:\n{_tail(attempt.log)}")
        if elapsed > attempt.patience:
            raise BenchmarkError(f"no end after {attempt.patience:.0f} s:\n{_tail(attempt.log)}")
        time.sleep(LOOK_EVERY)
    return makespan, returned, head_cpu


def _with_wrappers(attempt: Attempt) -> dict[str, str]:
    """Put programs that count and then become the real ones first in PATH. Jobs inherit the path, hence the job id."""
    path = attempt.environment["PATH"]
    folder = attempt.folder / "wrappers"
    folder.mkdir()
    for name in COUNTED:
        wrapper = folder / name
        wrapper.write_text(_wrapper(name, _which(name, path), attempt))
        wrapper.chmod(0o755)
    return {**attempt.environment, "PATH": f"{folder}{os.pathsep}{path}"}


def _wrapper(name: str, program: Path, attempt: Attempt) -> str:
    """Return a script; it repeats where this Slurm is, which the slurm plugin clears away before it calls srun."""
    return f"""#!/bin/sh
echo "{name} $SLURM_JOB_ID" >> "{attempt.calls}"
export SLURM_CONF="{attempt.environment["SLURM_CONF"]}"
exec "{program}" "$@"
"""


def _which(name: str, path: str) -> Path:
    for folder in path.split(os.pathsep):
        if folder and os.access(program := Path(folder) / name, os.X_OK):
            return program
    raise BenchmarkError(f"{name} is not installed")


def _count(calls: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the calls from inside jobs and those of the head."""
    in_jobs: Counter[str] = Counter()
    by_head: Counter[str] = Counter()
    for line in calls.read_text().splitlines():
        name, _, job = line.partition(" ")
        (in_jobs if job else by_head)[name] += 1
    return dict(in_jobs), dict(by_head)


def _stamps(output: Path, lines: int) -> list[float]:
    stamps = [float(line) for line in output.read_text().split()]
    if len(stamps) != lines:
        raise BenchmarkError(f"{output.name} has {len(stamps)} lines where {lines} were expected")
    return stamps


def _job_cpu(sandbox: Sandbox, attempt: Attempt) -> float:
    """CPU seconds of the jobs whose working directory is the attempt's folder."""

    def all_have_ended() -> bool:
        return not sandbox.run("squeue", "--noheader").strip()

    def all_are_recorded() -> bool:
        states = [job[2] for job in _accounted(sandbox) if job[1] == str(attempt.folder)]
        return bool(states) and not any(state in ("PENDING", "RUNNING") for state in states)

    _until(all_have_ended, "some jobs do not end")
    _until(all_are_recorded, "sacct does not know how all jobs ended")
    lines = _accounted(sandbox)
    jobs = {line[0] for line in lines if line[1] == str(attempt.folder)}
    return sum(_seconds(line[3]) for line in lines if "." in line[0] and line[0].partition(".")[0] in jobs)


def _accounted(sandbox: Sandbox) -> list[list[str]]:
    """Jobs and, with a dot in their id, their steps; only jobs have a working directory."""
    words = ["sacct", "--noheader", "--parsable2", "--starttime=now-1days", "--format=JobID,WorkDir,State,TotalCPU"]
    return [line.split("|") for line in sandbox.run(*words).splitlines()]


def _seconds(text: str) -> float:
    """Slurm's `[[DD-]HH:]MM:SS.mmm` in seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return 86400 * int(days or 0) + seconds


def _until(is_so: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + SETTLING
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{complaint} within {SETTLING} s")
        time.sleep(0.5)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
