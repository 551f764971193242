"""Runs a command until the work that it has queued is done, and notes what that took."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from head import BenchmarkError, Command, Head

from snakemake_executor_plugin_kempner.notation import seconds
from snakemake_executor_plugin_kempner.sandbox import Sandbox

LOOK_EVERY = 0.02
SETTLING = 60
"""Seconds that a run's jobs may take to reach their final state in Slurm's accounting."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run took; times are seconds from the command's start."""

    began: float
    """Time of the command's start."""
    makespan: float
    """Until the last output existed."""
    returned: float
    """Until the command came back."""
    head_cpu: float
    """CPU seconds of the command and of everything it started and waited for."""
    head_peak_mb: float
    """Most memory of the command's own process."""
    job_cpu: float
    """CPU seconds of all jobs, as Slurm accounts for them."""
    calls: dict[str, int]
    """Calls of Slurm's programs by the command."""
    calls_in_jobs: dict[str, int]
    """Calls of Slurm's programs by the jobs themselves."""
    load: float
    """Load average of the machine just before."""

    def figures(self) -> dict[str, Any]:
        """What is written down."""
        return {key: value for key, value in asdict(self).items() if key != "began"}


def measure(command: Command, outputs: Sequence[str], patience: float, sandbox: Sandbox) -> Measurement:
    """Run the command, wait for its outputs and its end, and add up.

    Raises:
        BenchmarkError: the command failed, or did not come to an end.
    """
    load = os.getloadavg()[0]
    with Head(command) as head:
        makespan, returned = _follow(head, [command.folder / output for output in outputs], patience)
    return Measurement(
        began=head.began,
        makespan=makespan,
        returned=returned,
        head_cpu=head.cpu,
        head_peak_mb=head.peak_mb,
        job_cpu=_job_cpu(sandbox, command.folder, len(outputs)),  # waits until the jobs are over: all outputs are there
        calls=head.calls(),
        calls_in_jobs=head.calls_in_jobs(),
        load=load,
    )


def _follow(head: Head, outputs: Sequence[Path], patience: float) -> tuple[float, float]:
    """Return makespan and time of return; the end of the command tells nothing of its outputs."""
    missing = list(outputs)
    makespan = None
    while head.runs() or makespan is None:
        elapsed = head.elapsed
        missing = [output for output in missing if not output.exists()]
        if makespan is None and not missing:
            makespan = elapsed
        if elapsed > patience:
            raise BenchmarkError(f"no end after {patience:.0f} s:\n{head.tail()}")
        time.sleep(LOOK_EVERY)
    return makespan, head.returned or 0.0


_GOING_ON = {"PENDING", "RUNNING"}


def _job_cpu(sandbox: Sandbox, folder: Path, at_least: int) -> float:
    """CPU seconds of the jobs whose working directory is this folder, at least so many.

    slurmdbd hears of the elements of an array one after the other, a little after they have ended.
    """

    def all_have_ended() -> bool:
        return not sandbox.run("squeue", "--noheader").strip()

    def all_are_recorded() -> bool:
        lines = _accounted(sandbox)
        states = {job: state for job, place, state, _ in lines if place == str(folder)}
        over = {step.partition(".")[0] for step, _, state, _ in lines if "." in step and state not in _GOING_ON}
        completed = {job for job, state in states.items() if state == "COMPLETED"}
        return len(completed) >= at_least and not set(states.values()) & _GOING_ON and completed <= over

    _until(all_have_ended, "some jobs do not end")
    _until(all_are_recorded, "sacct does not know how all jobs ended")
    lines = _accounted(sandbox)
    jobs = {line[0] for line in lines if line[1] == str(folder)}
    return sum(seconds(line[3]) for line in lines if "." in line[0] and line[0].partition(".")[0] in jobs)


def _accounted(sandbox: Sandbox) -> list[list[str]]:
    """Jobs and, with a dot in their id, their steps; only jobs have a working directory."""
    words = ["sacct", "--noheader", "--parsable2", "--starttime=now-1days", "--format=JobID,WorkDir,State,TotalCPU"]
    return [line.split("|") for line in sandbox.run(*words).splitlines()]


def _until(is_so: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + SETTLING
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{complaint} within {SETTLING} s")
        time.sleep(0.5)
