"""Plans tasks and submits the plan: as much as there is room for in the queue; the rest later."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..plan.dependency import Ref
from ..plan.model import Kind, Plan, Policy, Submission
from ..plan.task import Deferred, Task
from ..slurm.client import Slurm
from ..slurm.site_limits import SiteLimits
from .clock import Clock
from .folders import make_folders
from .jobs import OpenJobs
from .ledger import Ledger
from .outcome import Job
from .submit import Submitter
from .tasks import Tasks
from .waves import QueueRoom
from .withdrawn import Withdrawal


class Dispatcher:
    """Submits the tasks of a run.

    Args:
        slurm: the scheduler.
        ledger: the run's record.
        clock: time.
        logger: told about busy controllers and full queues.
        limits: knows how many jobs may be in the queue; without it, sbatch tells when it refuses.
        folder: of the run.
        tasks: of the run; they get their jobs.
        jobs: gets what was submitted.
    """

    def __init__(
        self, *, slurm: Slurm, ledger: Ledger, clock: Clock, logger: logging.Logger, limits: SiteLimits | None,
        folder: Path, tasks: Tasks, jobs: OpenJobs,
    ) -> None:  # fmt: skip
        self._ledger, self._tasks, self._jobs = ledger, tasks, jobs
        self._room = QueueRoom(slurm, clock, logger, limits)
        self._submitter = Submitter(slurm, ledger, clock, logger)
        self.withdrawal = Withdrawal(folder, slurm, ledger, self._submitter)
        self.ids: dict[Ref, str] = {}
        """Job id of each submission, those of earlier processes among them."""
        self.later: dict[str, Task] = {}
        """Tasks that there was no room for."""
        self.left_out: tuple[str, ...] = ()
        """As the last plan of the whole DAG has left it."""
        self._count = 0
        self._helpers: dict[str, tuple[Ref, ...]] = {}

    def go_on(self, helpers: Mapping[Ref, str], submitted: int) -> None:
        """Go on where another process of the run has stopped.

        Args:
            helpers: jobs of ours that have not ended: the end of the run waits for them.
            submitted: the highest number that a submission of the run has so far.
        """
        self.ids |= helpers
        self._helpers = {ref.task: (ref,) for ref in helpers if ref != self._jobs.closing}
        self._count = submitted

    def submit(
        self, tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred], left_out: Iterable[str]
    ) -> Plan:
        """As `LiveRun.submit`, under that policy."""
        self.left_out = tuple(left_out)
        fresh = self._tasks.settle(tasks)
        standing = {**self._tasks.standing(), **self._helpers}
        current = replace(
            policy,
            standing=standing,
            standing_units=self._tasks.units(),
            first_number=self._count + 1,
            closing=self._jobs.closing,
            earlier_gpu_hours=self._tasks.gpu_hours(),
        )
        now = self._room.wave(fresh, current, self._tasks.decidable(deferred, {task.key for task in fresh}))
        plan = now.plan
        if policy.ends_itself:
            self._ledger.left_out(
                (*self.left_out, *(file for task in now.later for file in task.attempts[0].step.outputs))
            )
        make_folders(Path(policy.folder), {call.log for call in plan.calls})
        self._count += len(plan.submissions)
        self._ledger.numbered(self._count)
        with self.withdrawal.submitting():  # until all of it is followed: an interrupt may come in between
            ids, refused = self._submitter.submit(plan, self.ids)
            self.ids |= ids
            made = self.ids.keys() | self._submitter.unneeded
            self.later = self._tasks.submitted(fresh, made, absent={task.key for task in now.later})
            for call in plan.calls:
                for submission in call.submissions:
                    if submission.ref in ids:
                        self._follow(submission, ids[submission.ref], policy.folder, call.log)
        if refused is not None:
            self._room.learn(len(refused.submissions))
            if policy.detached:
                return self.submit(tasks, policy, deferred, self.left_out)
        if plan.closing_waits_for and self._jobs.closing:
            self._submitter.put_off(self.ids[self._jobs.closing], plan.closing_waits_for, self.ids)
        return plan

    def is_worth_it(self, policy: Policy) -> bool:
        """Whether there is room for a good part of what is to be submitted later.

        Raises:
            SlurmError: Slurm did not answer.
        """
        return bool(self.later) and self._room.is_worth_it(policy, len(self.later), len(self._jobs))

    def _follow(self, submission: Submission, job_id: str, folder: str, log: str) -> None:
        ref = submission.ref
        self._jobs.follow(job_id, ref, spared=submission.spared)
        if submission.kind is Kind.TASK:
            job = Job(submission=submission, job_id=job_id, folder=folder, log_pattern=log)
            self._tasks[ref.task].jobs[ref.attempt] = job
        elif submission.kind is Kind.GATE:
            self._jobs.gates[job_id] = submission.label
        elif submission.kind is Kind.CLOSING:
            self._jobs.closing = ref
