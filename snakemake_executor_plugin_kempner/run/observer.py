"""Asks Slurm what has become of a run's jobs, and says what that means for its tasks."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from ..errors import SlurmError
from ..plan.dependency import Ref
from ..plan.reserves import is_reserve
from ..slurm.client import Slurm
from ..slurm.parse import Record
from ..slurm.states import JobState
from .clock import Clock
from .jobs import OpenJobs
from .judge import Judge, View
from .ledger import Ledger
from .look import look
from .outcome import Outcome, TaskEvent
from .pace import Pace
from .records import step_record
from .release import release_one
from .stopping import StoppedJobs
from .tasks import Tasks
from .telling import Evidence, Telling
from .watch import Change, Followed, step, told


class Observer:
    """Follows the jobs of a run until they end, and records their ends.

    Args:
        slurm: the scheduler.
        ledger: gets the end of each job.
        clock: time.
        logger: told about queries that fail and jobs that are held.
        folder: of the run.
        tasks: of the run; they get the ends of their attempts.
        jobs: to follow.
        cancel: cancels jobs.
    """

    def __init__(
        self, *, slurm: Slurm, ledger: Ledger, clock: Clock, logger: logging.Logger, folder: Path,
        tasks: Tasks, jobs: OpenJobs, cancel: Callable[[Collection[str]], object],
    ) -> None:  # fmt: skip
        self._slurm, self._ledger, self._clock, self._logger = slurm, ledger, clock, logger
        self._folder, self._tasks, self._jobs = folder, tasks, jobs
        self.pace = Pace(clock, logger)
        self.stopped = StoppedJobs(folder)
        """Jobs that were cancelled because the run stops."""
        self._doomed: set[str] = set()
        self._released: set[str] = set()
        """Attempts in reserve that this process has released."""
        self._telling = Telling(self._folder_of)
        self._evidence = Evidence(tasks=tasks, known=self._telling.known, since=time.time())
        self._is_told = True
        """Jobs' records are seen here, and nothing has failed: what happens needs no query."""
        self._displaced: list[Change] = []
        self._jobs.when_displaced = self._displace
        self._judge = Judge(tasks=tasks, was_stopped=self.stopped.__contains__, cancel=cancel)

    def watch(self, longest: float, *, is_urgent: bool) -> tuple[TaskEvent, ...]:
        """Say what has changed by the records of jobs, and ask Slurm if that is due.

        Args:
            longest: seconds between two queries, at most.
            is_urgent: something in this process waits for the ends of tasks.
        """
        fresh = self._telling.read(self._jobs)
        if self.pace.is_due(longest, is_calm=self._is_calm(is_urgent=is_urgent)):
            return self.observe()
        if not (records := self._evidence.certain(fresh, self._jobs)):
            return ()
        return self._judged(*told(self._jobs, records))

    def _is_calm(self, *, is_urgent: bool) -> bool:
        """Whether nothing has happened that only Slurm can tell, or that somebody waits for."""
        if not (self._is_told and self.pace.was_answered):
            return False
        ended = [job_id for job_id in self._jobs if self._has_ended(job_id)]
        if not ended:
            return True
        has_failed = any(self._telling.known[job_id].exit_code for job_id in ended)
        return not (has_failed or is_urgent or len(ended) >= len(self._tasks.standing()))

    def _has_ended(self, job_id: str) -> bool:
        record = self._telling.known.get(job_id)
        return record is not None and record.exit_code is not None

    def observe(self) -> tuple[TaskEvent, ...]:
        """Ask Slurm once for everything and say what has changed.

        A query that fails is reported and changes nothing: it is never read as the end of a task.
        """
        if not self._jobs:
            return ()
        asked = self._clock.now()
        try:
            found = look(self._slurm, self._jobs, self._folder_of)
        except SlurmError as error:
            self.pace.failed(error, is_away=True)
            return ()
        if found.failure is None:
            self.pace.answered(asked)
        else:
            self.pace.failed(found.failure, is_away=False)
        self._doomed |= found.never
        left, changes = step(self._jobs, found.seen, self._clock.now())
        displaced, self._displaced = self._displaced, []
        return self._judged(left, (*displaced, *changes), was_answered=found.failure is None)

    def _judged(
        self, left: Mapping[str, Followed], changes: Sequence[Change], *, was_answered: bool = True
    ) -> tuple[TaskEvent, ...]:
        for job_id in self._jobs.keys() - left.keys():
            del self._jobs[job_id]
        self._jobs.update(left)
        if changes:
            self.pace.changed()
        for change in changes:
            self._note(change)
        self.stopped.read_again()
        view = View(followed=self._jobs, doomed=self._doomed, was_answered=was_answered)
        events = self._judge.judge(changes, view)
        self._is_told = self._is_told and all(map(self._was_told, changes))
        return events

    def _displace(self, gone: Followed) -> None:
        """Keep the end of a job whose id Slurm has given to another job: nobody but the job itself can tell it."""
        self._telling.known.pop(gone.job_id, None)
        job, own = self._judge.job_of(gone.ref), None
        written = step_record(self._folder_of(gone.ref), gone.job_id)
        if job is not None and written is not None and written.task == job.submission.label:
            own = written.as_record()
        unknown = Record(job_id=gone.job_id, state=JobState.UNKNOWN, word="its id belongs to another job")
        self._displaced.append(Change(job=gone, record=own or unknown))

    def release(self) -> None:
        """Release the next attempts of what has failed, for jobs that were killed before they could do it themselves."""
        for state in self._tasks.values():
            for number in state.open_attempts if state.ended is None else ():
                job, before = state.jobs[number], state.records.get(number - 1)
                has_failed = before is not None and before.state is JobState.FAILED
                if has_failed and is_reserve(job.submission.options) and job.job_id not in self._released:
                    self._released.add(job.job_id)
                    try:
                        release_one(self._slurm, job.job_id, job.submission.options, state.jobs[number - 1].job_id)
                    except SlurmError as error:  # the release job does the same; it may also run already
                        self._logger.debug(str(error))

    def _was_told(self, change: Change) -> bool:
        """Whether a job's record tells as much as Slurm did, and no failure."""
        if not change.has_ended or self._judge.job_of(change.job.ref) is None:
            return True
        if change.record.state is JobState.SUCCEEDED:
            return self._has_ended(change.job.job_id)
        ended = self._tasks[change.job.ref.task].ended
        return ended is not None and ended.outcome in (Outcome.SUCCEEDED, Outcome.NOT_NEEDED)

    def _folder_of(self, ref: Ref) -> Path:
        job = self._judge.job_of(ref)
        return Path(job.folder) if job else self._folder

    def _note(self, change: Change) -> None:
        """Write down an end before any is judged: attempts of a task may have ended since the last look, in any order."""
        job_id, ref, record = change.job.job_id, change.job.ref, change.record
        if change.is_stuck and record.is_held and self._judge.job_of(ref) is None:
            what = f"Slurm job {job_id}, which others wait for, is held: {record.stuck}"
            self._logger.warning(
                f"{what}. It starts when it is released: scontrol{self._slurm.where} release {job_id}."
            )
        if not change.has_ended:
            return
        if job_id in self._jobs.gates and record.state is JobState.CANCELLED and not record.never:
            self._judge.gates[job_id] = self._jobs.gates[job_id]
        if job_id not in self._jobs:  # else the id belongs to another job, which has not ended
            self._ledger.ended(
                job_id, state=record.word, reason=record.reason, exit_code=record.exit_code, signal=record.signal,
                node=record.node,
            )  # fmt: skip
        if ref == self._jobs.closing:
            self._jobs.closing = None
        state = self._tasks.get(ref.task)
        if state is not None and ref.attempt in state.jobs:
            state.records[ref.attempt] = record
