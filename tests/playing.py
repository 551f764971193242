"""A run on the fake scheduler: submitted, followed to its end, and looked at from both sides."""

import json
import logging
import os
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from builders import POLICY
from fakes import Change, End, Ends, FakeClock, FakeJob, FakeSlurm, by_rule

from snakemake_executor_plugin_kempner import beginning
from snakemake_executor_plugin_kempner.layout import run_folders
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task
from snakemake_executor_plugin_kempner.run import latest, ledger, observer, opening, takeover
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.guard import guard
from snakemake_executor_plugin_kempner.run.opening import EarlierRuns, look_back
from snakemake_executor_plugin_kempner.run.outcome import Outcome, TaskEnded, TaskEvent
from snakemake_executor_plugin_kempner.run.release import release
from snakemake_executor_plugin_kempner.run.takeover import close_earlier
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.step.light.job import read_line

LOGGER = logging.getLogger("playing")
LONGEST = 180
"""Seconds between two queries, at most."""


@contextmanager
def told_by(clock: FakeClock) -> Iterator[None]:
    """The clock is everybody's, also of those who look at the time of day."""
    time = SimpleNamespace(time=clock.now, sleep=clock.sleep)
    with (
        patch.object(opening, "time", time),
        patch.object(takeover, "time", time),
        patch.object(latest, "time", time),
        patch.object(ledger, "time", time),
        patch.object(observer, "time", time),
        patch.object(beginning, "SystemClock", lambda: clock),
    ):
        yield


def leave_record(change: Change) -> None:
    """What the step writes down about its job, in the folder of the run: at its start, and when it ends by itself."""
    job, folder = change.job, change.job.options.get("output").partition("/logs/")[0]
    if ".attempt" not in job.options.get("output") or not job.runs or change.word == "PENDING":
        return
    record: dict[str, Any] = {"job_id": job.job_id, "task": task_of(job), "start": job.started, "node": job.node}
    if change.word == "COMPLETED" or (change.word == "FAILED" and job.end.exit_code):
        record |= {"end": change.time, "exit_code": job.end.exit_code}
    beside = Path(folder) / "ended" / f"{job.job_id}.json.new"
    beside.write_text(json.dumps(record))
    beside.replace(beside.with_suffix(""))


def left_over(tasks: Sequence[Task], slurm: FakeSlurm) -> list[Task]:
    """What is left to be done, as Snakemake finds it: a task that has succeeded is not part of the next run."""
    done = {task_of(job) for job in slurm.jobs.values() if job.word == "COMPLETED"}
    return [_without(task, done) for task in tasks if task.key not in done]


def task_of(job: FakeJob) -> str:
    """Key of the task, as the job's script names it, or the manifest of its array."""
    manifest = re.search(r"kempner\.step (\S+) <<", job.script)
    if job.index is not None and manifest:
        with Path(manifest[1]).open("rb") as file:
            return str(read_line(file, job.index)["task"])
    return "".join(job.script.splitlines()[1:2]).removeprefix("# ").partition(" · ")[0]


def _without(task: Task, done: Collection[str]) -> Task:
    over = [edge for edge in task.edges if edge.on in done]
    edges = tuple(edge for edge in task.edges if edge.on not in done)
    if any(edge.type is DependencyType.AFTERNOTOK for edge in over):
        return replace(task, edges=edges, attempts=(), not_needed="what it was to follow has succeeded")
    return replace(task, edges=edges)


class Play:
    """One run.

    Args:
        folder: of the run.
        ends: by rule, or a function.
        kill: --kill-on-invalid-dep.
        keep_going: as Snakemake's flag.
        detached: nobody is going to watch.
        keeps_records: jobs write down how they end.
        slurm_options: of FakeSlurm.
    """

    def __init__(
        self,
        folder: Path,
        ends: Ends | dict[str, End | Sequence[End]] | None = None,
        *,
        kill: bool = True,
        keep_going: bool = True,
        detached: bool = False,
        keeps_records: bool = True,
        **slurm_options: Any,
    ) -> None:
        self.clock = FakeClock()
        function = by_rule(ends or {}) if ends is None or isinstance(ends, dict) else ends
        self.slurm = FakeSlurm(self.clock, ends=function, **slurm_options)
        if keeps_records:
            self.slurm.witness = leave_record
        self.policy = replace(
            POLICY, folder=str(folder), kill_on_invalid_dep=kill, keep_going=keep_going, detached=detached
        )
        self._helped: set[str] = set()
        self._begin(EarlierRuns(ledgers=(), left=()))

    def _begin(self, found: EarlierRuns) -> None:
        self.folder, self._found = Path(self.policy.folder), found
        make_folders(self.folder, ())
        with told_by(self.clock):
            self.live = beginning.begin_run(self.policy, found, self.slurm, LOGGER)
        self.events: list[TaskEvent] = []

    def resume(self, *, since: float | None = None) -> None:
        """Forget everything, as a head that died, and start the next run beside the first one, in the same queue.

        Args:
            since: when the new head began to look at files; now, if it is not said.
        """
        runs = self.folder.parent
        run = f"run{len(list(run_folders(runs))) + 1}"
        since = self.clock.now() if since is None else since
        with told_by(self.clock):
            found = look_back(runs, os.getcwd(), self.slurm, since, LOGGER.warning)
        self.policy = replace(self.policy, run=run, folder=str(runs / run))
        self._begin(found)

    def submit(self, *tasks: Task, deferred: Sequence[Deferred] = ()) -> None:
        with told_by(self.clock):
            self.live.submit(tasks, deferred)
            close_earlier(self._found, self.policy.run, self.slurm)
        self._found = EarlierRuns(ledgers=(), left=())

    # --- with a head ------------------------------------------------------------------------------------------------

    def look(self) -> tuple[TaskEvent, ...]:
        """Ask Slurm once; what it said is kept too."""
        events = self.live.observe()
        self.events += events
        return events

    def glance(self) -> tuple[TaskEvent, ...]:
        """As the head does each second: read what jobs have recorded, and ask Slurm if that is due."""
        self.slurm.advance(0)  # jobs run on while nobody asks
        self.run_helpers()
        events = self.live.watch(LONGEST, is_urgent=False)
        self.events += events
        return events

    def watch(self, seconds: float = 1.0, *, rounds: int = 3000) -> None:
        """Watch until nothing is open."""
        for _ in range(rounds):
            self.glance()
            if not self.live.jobs:
                return
            self.clock.sleep(seconds)
        raise AssertionError(f"still open: {self.live.jobs}")

    def ended(self) -> dict[str, Outcome]:
        return {event.task: event.outcome for event in self.events if isinstance(event, TaskEnded)}

    # --- without ----------------------------------------------------------------------------------------------------

    def run_headless(self, *, rounds: int = 3000) -> None:
        """Until nothing is left, with guards that do what guards do, and nobody else."""
        for _ in range(rounds):
            if not self.slurm.left:
                return
            self.slurm.tick()
            self.run_helpers()
        raise AssertionError(f"still in the queue: {[(job.name, job.reason) for job in self.slurm.left]}")

    def run_helpers(self) -> None:
        """Let guards and release jobs do what they do, each once."""
        for job in [*self.slurm.named("guard"), *self.slurm.named("release")]:
            if not job.is_running or job.runs > 1 or job.job_id in self._helped:
                continue
            self._helped.add(job.job_id)
            if job.rule == "guard":
                guard(self.folder, _Passing(self.slurm), job.job_id, pause=0)
            else:
                array = shlex.split(job.script.splitlines()[-1])[-1]
                release(self.folder, array, _Passing(self.slurm), job.name, self.clock)

    # --- what happened ----------------------------------------------------------------------------------------------

    def runs(self, tasks: Collection[Task]) -> dict[str, list[str]]:
        """For each task the states in which its jobs ended, in order of their start; jobs that never ran are left out."""
        started = sorted((job for job in self.slurm.jobs.values() if job.runs), key=self._first_start)
        return {task.key: [job.word for job in started if job.rule == task.name] for task in tasks}

    def places(self, rule: str, word: str) -> list[int]:
        """Where jobs of the rule came to that state, in the order of all that happened."""
        changes = enumerate(self.slurm.changes)
        return [place for place, change in changes if change.word == word and change.job.rule == rule]

    def _first_start(self, job: FakeJob) -> int:
        changes = enumerate(self.slurm.changes)
        return next(place for place, change in changes if change.job is job and change.word == "RUNNING")


class _Passing:
    """The scheduler as a job sees it: time passes between its questions."""

    def __init__(self, slurm: FakeSlurm) -> None:
        self._slurm = slurm
        self.submit, self.cancel, self.find, self.accounting = slurm.submit, slurm.cancel, slurm.find, slurm.accounting
        self.show, self.release, self.keep_off = slurm.show, slurm.release, slurm.keep_off

    def queue(self) -> tuple[Record, ...]:
        self._slurm.tick()
        return self._slurm.queue()
