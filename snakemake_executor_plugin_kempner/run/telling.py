"""What the records of jobs tell while they run: which have started, which have ended, and which ends are certain.

A job's record says how its work has ended, and Slurm may see it otherwise (OUT_OF_MEMORY, NODE_FAIL). So a success counts
only once Slurm agrees: in a query, or because Slurm has started a job that waited for it with `afterok`. A folder whose
changes are seen late, or not at all, costs delay.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..layout import ENDED
from ..plan.dependency import DependencyType, Ref
from ..slurm.parse import Record
from ..slurm.states import JobState
from .records import StepRecord, read_record
from .tasks import Tasks, TaskState
from .watch import Followed

_SUFFIX = ".json"


class Telling:
    """The records of the jobs that a run follows.

    Args:
        folder_of: the folder of the run that made a submission.
    """

    def __init__(self, folder_of: Callable[[Ref], Path]) -> None:
        self._folder_of = folder_of
        self._times: dict[Path, int] = {}
        self._unsettled: set[Path] = set()
        self._read: dict[str, int] = {}
        self.known: dict[str, StepRecord] = {}
        """By job id, of jobs that were followed when they were read."""

    def read(self, followed: Mapping[str, Followed]) -> frozenset[str]:
        """Read the records that have changed; the ids of their jobs.

        Where nothing has happened, this asks the file system once.
        """
        fresh: set[str] = set()
        for folder in {self._folder_of(job.ref) / ENDED for job in followed.values()}:
            if self._has_changed(folder):
                fresh.update(
                    job_id for job_id in _listed(folder) if job_id in followed and self._update(folder, job_id)
                )
        return frozenset(fresh)

    def _has_changed(self, folder: Path) -> bool:
        """Whether the folder has to be listed: once more after each change, since its time may be coarse."""
        try:
            time = os.stat(folder).st_mtime_ns
        except OSError:
            return False
        if self._times.get(folder) != time:
            self._times[folder] = time
            self._unsettled.add(folder)
            return True
        if folder in self._unsettled:
            self._unsettled.remove(folder)
            return True
        return False

    def _update(self, folder: Path, job_id: str) -> bool:
        if (known := self.known.get(job_id)) is not None and known.exit_code == 0:
            return False
        path = folder / f"{job_id}{_SUFFIX}"
        try:
            time = os.stat(path).st_mtime_ns
        except OSError:
            return False
        if self._read.get(job_id) == time or (record := read_record(path, job_id)) is None:
            return False
        self._read[job_id], self.known[job_id] = time, record
        return True


def _listed(folder: Path) -> Iterable[str]:
    try:
        return [name.removesuffix(_SUFFIX) for name in os.listdir(folder) if name.endswith(_SUFFIX)]
    except OSError:
        return ()


@dataclass(kw_only=True)
class Evidence:
    """What follows with certainty from the records of jobs.

    Args:
        tasks: of the run.
        known: records by job id.
        since: when the run began to be watched, in seconds since 1970; a record from before may be of a job that was put
            back into the queue.
    """

    tasks: Tasks
    known: Mapping[str, StepRecord]
    since: float
    _started: set[str] = field(default_factory=set)
    """Jobs that have started, behind tasks whose end is not known."""

    def certain(self, fresh: Collection[str], followed: Mapping[str, Followed]) -> dict[str, Record]:
        """Jobs that run, and successes that Slurm has acted upon, by job id.

        Args:
            fresh: ids of jobs with a new record.
            followed: jobs whose end is not known.
        """
        found = {
            job_id: Record(job_id=job_id, state=JobState.RUNNING, word="RUNNING", node=record.node)
            for job_id in fresh
            if (record := self.known[job_id]).start >= self.since and followed[job_id].state is JobState.WAITING
        }
        self._started |= set(fresh)
        for job_id in tuple(self._started):
            job = followed.get(job_id)
            needed = self._needed(job.ref.task) if job is not None else []
            ends = [end for state in needed if (end := self._success(state)) is not None and end.job_id in followed]
            found |= {end.job_id: end for end in ends}
            if len(ends) == len(needed):
                self._started.remove(job_id)
        return found

    def _needed(self, task: str) -> list[TaskState]:
        """The tasks whose success is not known, and that must have succeeded before a job of this task starts."""
        state = self.tasks.get(task)
        edges = state.task.edges if state is not None else ()
        needed = (
            self.tasks.get(edge.on) for edge in edges if edge.type is DependencyType.AFTEROK and not edge.declared
        )
        return [before for before in needed if before is not None and before.ended is None]

    def _success(self, state: TaskState) -> Record | None:
        """The end of the only attempt of a task that was ever started, if by its own record it has ended well."""
        told = [self.known[job.job_id] for job in state.jobs.values() if job.job_id in self.known]
        record = told[0].as_record() if len(told) == 1 else None
        return record if record is not None and record.state is JobState.SUCCEEDED else None
