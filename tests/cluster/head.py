"""A workflow, the head that runs it, and its jobs in the queue: what the tests of whole runs share."""

import os
import re
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from comparison import SECONDS_PER_RUN, SNAKEMAKE, Outcome, run_forked, run_snakemake

from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxError

PATIENCE = 240
"""Seconds until something that has to come true is taken for lost; a busy machine takes many of them."""
PAUSE = 0.4
"""Seconds between two looks at the queue; each costs as much as a tenth of a small job."""
SMALL = (Node(name="n1", cpus=8, memory_mb=16_000),)
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"})
HELPERS = frozenset({"gate", "release", "guard", "continuation", "closing"})
"""First words of the names of jobs that are not tasks of the workflow."""
UNTIL_GO = "until [ -e go ]; do sleep 0.2; done"
"""Shell: hold a task back until the test has seen enough and makes the file `go`."""


# --- a workflow and its head ----------------------------------------------------------------------------------------


def written(folder: Path, snakefile: str) -> Path:
    """A folder with this Snakefile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Snakefile").write_text(textwrap.dedent(snakefile))
    return folder


def arguments(*more: str, jobs: int = 20) -> tuple[str, ...]:
    return (
        "--executor",
        "kempner",
        "--jobs",
        str(jobs),
        "--latency-wait",
        "10",
        "--scheduler",
        "greedy",
        "--nocolor",
        *more,
    )


def run(slurm: Sandbox, folder: Path, *more: str, **extra: str) -> Outcome:
    """Run a workflow to its end; `extra` are environment variables."""
    return run_snakemake(folder, arguments(*more), {**slurm.environment, **extra})


def run_detached(slurm: Sandbox, folder: Path, *more: str, **extra: str) -> Outcome:
    """Let a head queue everything and leave, and wait for the end: the closing job's, and all that was said."""
    return closed(slurm, folder, run(slurm, folder, "--kempner-detach", *more, **extra))


def closed(slurm: Sandbox, folder: Path, left: Outcome) -> Outcome:
    """The end of a run whose head has left; what the head said itself where it did not leave anything behind."""
    found = re.search(r"Run (\w+) is in Slurm's hands", left.output)
    if found is None:
        return left
    deadline = time.monotonic() + SECONDS_PER_RUN
    while True:
        rows = (
            line.split("|") for line in slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%k|%T").splitlines()
        )
        jobs = [(name, state) for name, state in rows if f".{found[1]}." in name]
        if jobs and all(state in OVER for _, state in jobs):
            break
        assert time.monotonic() < deadline, f"still in the queue: {jobs}. The head said:\n{left.output}"
        time.sleep(PAUSE)
    ends = {int(name.rsplit(".", 1)[1]): state for name, state in jobs if name.startswith("closing.")}
    (log,) = folder.rglob(f".snakemake/kempner/{found[1]}/closing-job.log")
    assert read_ledger(log.parent).unread == 0, "the run has written what nobody can read"
    page = log.with_name("closing.log")
    said = log.read_text(errors="replace") + (page.read_text(errors="replace") if page.exists() else "")
    return Outcome(exit_code=0 if ends[max(ends)] == "COMPLETED" else 1, output=f"{left.output}\n{said}")


def asked(slurm: Sandbox, folder: Path, *more: str) -> Outcome:
    """What a command says that runs nothing: `--dry-run`, `--unlock`."""
    return run_forked(folder, arguments(*more), slurm.environment)


def assert_settled(slurm: Sandbox, folder: Path, *more: str) -> None:
    again = asked(slurm, folder, "--dry-run", *more)
    assert "Nothing to be done" in again.output, again.output


def _hear_ctrl_c() -> None:
    """A shell that starts something in the background lets it ignore SIGINT, and so what that starts in turn."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nor does what `nohup` starts


class Head:
    """A head process that a test watches and mistreats; at the end neither it nor a job of it is left."""

    def __init__(self, slurm: Sandbox, folder: Path, *more: str, jobs: int = 20, **extra: str) -> None:
        self._slurm, self._folder = slurm, folder
        self._may_be_gone = False
        self._log = folder.parent / f"{folder.name}.head-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*SNAKEMAKE, *arguments(*more, jobs=jobs)],
                cwd=folder,
                env={**slurm.environment, **extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - the test has no threads
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Signal the head and all it has started, as a terminal does."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self._may_be_gone = True
        self.signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def until_queued(self) -> None:
        """Everything that can be queued has been, the guard too, and the record of it is complete."""
        self.until(lambda: "Queued" in self.said)

    def end(self) -> int:
        """The exit code, once it ends by itself."""
        self._may_be_gone = True
        try:
            return self._process.wait(SECONDS_PER_RUN)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the head does not end. It said:\n{self.said}") from None

    def until(self, is_so: Callable[[], object], *, timeout: float = PATIENCE) -> None:
        """Wait for something to come true; when it does not, show what the head and the queue say."""
        deadline = time.monotonic() + timeout
        while not is_so():
            if time.monotonic() > deadline or not (self.lives or self._may_be_gone or is_so()):
                queue = _shown(self._slurm, self._folder)
                raise AssertionError(f"it never came true. The queue:\n{queue}\nThe head said:\n{self.said}")
            time.sleep(PAUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.lives:
            self.kill()
        cancel_all(self._slurm, self._folder)


# --- its jobs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """A job as squeue shows it."""

    job_id: str
    rule: str
    state: str
    memory: str
    """As squeue writes it: `1200M`."""
    reason: str
    """Why it waits."""
    waits_for: frozenset[tuple[str, str]]
    """Type and job id of each dependency that is still open."""

    @property
    def is_over(self) -> bool:
        """It has ended, or is a closing job that has seen a living head and will come again."""
        return self.state in OVER or (self.rule == "closing" and self.reason == "BeginTime")


def queued(slurm: Sandbox, folder: Path, *, helpers: bool = False) -> list[Queued]:
    """The tasks of this folder, also those that have ended, in the order of submission; on demand all of its jobs."""
    lines = slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%j|%T|%m|%r|%E|%Z").splitlines()
    rows = (
        line.split("|", 6) for line in lines if line.count("|") >= 6
    )  # a folder of another test may have a line break
    found = [
        Queued(
            job_id=job_id,
            rule=name.rsplit(".", 2)[0],
            state=state,
            memory=memory,
            reason=reason,
            waits_for=frozenset(re.findall(r"(after\w*):(\d+(?:_\d+)?)", dependency)),
        )
        for job_id, name, state, memory, reason, dependency, workdir in rows
        if workdir == str(folder)
    ]
    return sorted(
        (one for one in found if helpers or one.rule not in HELPERS),
        key=lambda one: [int(part) for part in one.job_id.split("_")],
    )


def of_rule(jobs: list[Queued], rule: str) -> list[Queued]:
    return [one for one in jobs if one.rule == rule]


def states(slurm: Sandbox, folder: Path) -> dict[str, str]:
    """State by rule, for workflows in which each rule has one job."""
    return {one.rule: one.state for one in queued(slurm, folder)}


def all_over(slurm: Sandbox, folder: Path) -> bool:
    return all(one.is_over for one in queued(slurm, folder, helpers=True))


def ended(slurm: Sandbox, folder: Path, *, within: float = PATIENCE) -> list[Queued]:
    """The tasks of this folder, once the last of its jobs has ended.

    A head leaves when it knows what it has to know. Slurm takes what waited for a failed task out of the queue seconds
    later, and the guard may still be at work.
    """
    deadline = time.monotonic() + within
    while not all_over(slurm, folder):
        assert time.monotonic() < deadline, f"still in the queue after {within} s:\n{_shown(slurm, folder)}"
        time.sleep(PAUSE)
    return queued(slurm, folder)


def ends(slurm: Sandbox, folder: Path) -> dict[str, str]:
    """State by rule, once the last job of this folder has ended, for workflows in which each rule has one job."""
    return {one.rule: one.state for one in ended(slurm, folder)}


def _shown(slurm: Sandbox, folder: Path) -> str:
    try:
        return "\n".join(map(str, queued(slurm, folder, helpers=True)))
    except SandboxError as error:  # the controller of a private Slurm may be down
        return str(error)


def cancel_all(slurm: Sandbox, folder: Path) -> None:
    """Leave nothing of a test in the queue."""
    try:
        left = [one.job_id for one in queued(slurm, folder, helpers=True) if not one.is_over]
        if left:
            slurm.run("scancel", *left)
    except SandboxError:  # the controller of a private Slurm may be down
        return


def go(folder: Path) -> None:
    (folder / "go").touch()


def start_again(slurm: Sandbox, head: Head, job_id: str) -> None:
    """Start a job that was put back into the queue: Slurm would keep it for two minutes, its owner may ask for less."""
    head.until(lambda: slurm.run("squeue", "-h", "-o", "%T", "-j", job_id).strip() == "PENDING")
    time.sleep(2.1)  # slurmd refuses a start within the second in which it has ended the first run, and the job fails
    slurm.run("scontrol", "update", f"JobId={job_id}", "StartTime=now")


@dataclass(frozen=True, slots=True)
class Times:
    """When accounting says that a job was submitted, started and ended: texts that sort."""

    submit: str
    start: str
    end: str


def accounted(slurm: Sandbox, job_ids: list[str]) -> Mapping[str, Times]:
    """Accounting lags behind the controller: ask until each job has its end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        words = ("sacct", "-X", "-n", "-P", "-o", "JobID,Submit,Start,End", "-j", ",".join(job_ids))
        rows = (line.split("|") for line in slurm.run(*words).splitlines())
        found = {job_id: Times(*times) for job_id, *times in rows}
        if found.keys() == set(job_ids) and all(one.end != "Unknown" for one in found.values()):
            return found
        assert time.monotonic() < deadline, f"accounting never knew the ends: {found}"
        time.sleep(0.5)


@contextmanager
def bystander(slurm: Sandbox, folder: Path, *, name: str) -> Iterator[str]:
    """A running job of the same user that has nothing to do with the run."""
    deadline = time.monotonic() + PATIENCE
    words = ("sbatch", "--parsable", "-D", str(folder), "-o", "/dev/null", "-J", name, "--mem=50")
    job_id = slurm.run(*words, stdin="#!/bin/bash\nsleep 600\n").strip()
    try:
        while slurm.run("squeue", "-h", "-o", "%T", "-j", job_id).strip() != "RUNNING":
            assert time.monotonic() < deadline, "the bystander never started"
            time.sleep(0.2)
        yield job_id
    finally:
        slurm.run("scancel", job_id)
