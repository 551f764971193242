"""The ways in which the feature matrix runs a case on Slurm: its columns."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from cases import COLUMNS
from comparison import SECONDS_PER_RUN, SNAKEMAKE, Outcome, run_forked, run_snakemake
from head import OVER, PATIENCE, PAUSE, closed, queued

from snakemake_executor_plugin_kempner.sandbox import Sandbox

Call = Callable[[Path, Iterable[str], Mapping[str, str]], Outcome]
"""Calls Snakemake in a folder with arguments and an environment."""


def detached(slurm: Sandbox) -> Call:
    """The head leaves when all is queued; the end is that of the closing job."""

    def call(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
        return closed(slurm, folder, run_snakemake(folder, (*arguments, "--kempner-detach"), environment))

    return call


def killed(slurm: Sandbox) -> Call:
    """The head is killed when it has queued something, and nothing is typed; the end is that of the closing job."""

    def call(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
        outcome = _kill_head(folder, arguments, environment)
        found = re.search(r"\(run (\w+)\)", outcome.output)
        if outcome.exit_code != -signal.SIGKILL or found is None:
            return outcome
        said = f"{outcome.output}\nRun {found[1]} is in Slurm's hands"
        return closed(slurm, folder, Outcome(exit_code=0, output=said))

    return call


def given_again(slurm: Sandbox) -> Call:
    """The head is killed when it has queued something, and the command is given once more.

    If nothing is left for that command, the closing job of the first ends the run.
    """

    def call(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
        arguments = tuple(arguments)
        first = _kill_head(folder, arguments, environment)
        if first.exit_code != -signal.SIGKILL:
            return first
        run_forked(folder, (*arguments, "--unlock"), environment)
        second = run_snakemake(folder, (*arguments, "--rerun-incomplete"), environment)
        if "Nothing to be done" in second.output:
            _until_empty(slurm, folder)
        return Outcome(exit_code=second.exit_code, output=first.output + second.output)

    return call


CALLS: Mapping[str, Callable[[Sandbox], Call]] = dict(
    zip(COLUMNS, (lambda _slurm: run_snakemake, detached, killed, given_again), strict=True)
)


def _until_empty(slurm: Sandbox, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS_PER_RUN
    while left := [job for job in queued(slurm, folder, helpers=True) if job.state not in OVER]:
        assert time.monotonic() < deadline, f"still in the queue: {left}"
        time.sleep(PAUSE)


def _kill_head(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
    """A head that is killed as soon as it has queued something; one that queues nothing ends by itself."""
    here = str(Path(sys.executable).parent)
    env = {**environment, "PATH": os.pathsep.join((here, environment.get("PATH", os.defpath)))}
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [*SNAKEMAKE, *arguments],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        said = partial(Path(log.name).read_text, errors="replace")
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and "Queued" not in said() and time.monotonic() < deadline:
            time.sleep(PAUSE)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        return Outcome(exit_code=process.wait(PATIENCE), output=said())
