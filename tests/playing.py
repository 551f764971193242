"""A run on the fake scheduler: submitted, followed to its end, and looked at from both sides."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders import POLICY
from fakes import End, Ends, FakeClock, FakeJob, FakeSlurm, by_rule

from snakemake_executor_plugin_kempner.plan.model import Task
from snakemake_executor_plugin_kempner.run.adopt import left_in_queue
from snakemake_executor_plugin_kempner.run.guard import guard
from snakemake_executor_plugin_kempner.run.ledger import Ledger, make_folders, open_ledgers
from snakemake_executor_plugin_kempner.run.live import LiveRun, Outcome, TaskEnded, TaskEvent
from snakemake_executor_plugin_kempner.slurm.parse import Record

LOGGER = logging.getLogger("playing")


class Play:
    """One run.

    Args:
        folder: of the run.
        ends: by rule, or a function.
        kill: --kill-on-invalid-dep.
        keep_going: as Snakemake's flag.
        slurm_options: of FakeSlurm.
    """

    def __init__(
        self,
        folder: Path,
        ends: Ends | dict[str, End | Sequence[End]] | None = None,
        *,
        kill: bool = True,
        keep_going: bool = True,
        **slurm_options: Any,
    ) -> None:
        self.clock = FakeClock()
        function = by_rule(ends or {}) if ends is None or isinstance(ends, dict) else ends
        self.slurm = FakeSlurm(self.clock, ends=function, **slurm_options)
        self.policy = replace(POLICY, folder=str(folder), kill_on_invalid_dep=kill, keep_going=keep_going)
        self._guarded: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self.folder = Path(self.policy.folder)
        make_folders(self.folder, ())
        header = {"keep_going": self.policy.keep_going, "kill_on_invalid_dep": self.policy.kill_on_invalid_dep}
        self.live = LiveRun(self.policy, self.slurm, Ledger(self.folder, **header), self.clock, LOGGER)
        self.events: list[TaskEvent] = []

    def resume(self) -> None:
        """Forget everything, as a head that died, and start the next run beside the first one, in the same queue."""
        earlier = open_ledgers(self.folder.parent)
        number = len(list(self.folder.parent.iterdir())) + 1
        folder = str(self.folder.parent / f"run{number}")
        self.policy = replace(self.policy, run=f"run{number}", folder=folder)
        self._begin()
        queue = {record.job_id: record for record in self.slurm.queue()}
        self.live.adopt(left_in_queue(earlier, queue, self.slurm.names()))

    def submit(self, *tasks: Task) -> None:
        self.live.submit(tasks)

    # --- with a head ------------------------------------------------------------------------------------------------

    def look(self) -> tuple[TaskEvent, ...]:
        """Observe once; what it said is kept too."""
        events = self.live.observe()
        self.events += events
        return events

    def watch(self, seconds: float = 1.0, *, rounds: int = 3000) -> None:
        """Observe until nothing is open."""
        for _ in range(rounds):
            self.look()
            if not self.live.open_jobs:
                return
            self.clock.sleep(seconds)
        raise AssertionError(f"still open: {self.live.open_jobs}")

    def ended(self) -> dict[str, Outcome]:
        return {event.task: event.outcome for event in self.events if isinstance(event, TaskEnded)}

    # --- without ----------------------------------------------------------------------------------------------------

    def run_headless(self, *, rounds: int = 3000) -> None:
        """Until nothing is left, with guards that do what guards do, and nobody else."""
        for _ in range(rounds):
            if not self.slurm.left:
                return
            self.slurm.tick()
            for job in self.slurm.named("guard"):
                if job.is_running and job.runs == 1 and job.job_id not in self._guarded:
                    self._guarded.add(job.job_id)
                    guard(self.folder, _Passing(self.slurm), job.job_id, pause=0)
        raise AssertionError(f"still in the queue: {[(job.name, job.reason) for job in self.slurm.left]}")

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

    def queue(self) -> tuple[Record, ...]:
        self._slurm.tick()
        return self._slurm.queue()
