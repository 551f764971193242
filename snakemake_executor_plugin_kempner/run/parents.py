"""What a submission still has to wait for, if submitting takes so long that Slurm may purge ended jobs.

Slurm 22.05 takes an unknown id in a dependency as satisfied, however the job ended; 24.11 refuses it. So a dependency
never names an ended job: its condition has come true by then, or never will.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import SlurmError
from ..plan.dependency import DependencyType, Expression, Ref, Term, array_of, without_met
from ..plan.model import Call, Kind
from ..plan.reserves import is_reserve
from ..slurm.client import Slurm
from ..slurm.parse import Record
from ..slurm.states import JobState
from .records import step_record

_FOR_FAILURES = frozenset({Kind.GUARD, Kind.RELEASE})
"""Kinds of jobs that have nothing to do where all has succeeded."""
_SHORT = 60.0
"""If Slurm keeps ended jobs for less than this (seconds), the queue is read before a plan's first submission."""


class _UnknownError(Exception):
    """Slurm does not know a job, and the job has no record of its end."""


class UnneededError(SlurmError):
    """A submission is not needed any more: a further attempt of a task that has succeeded, or a guard or release job for
    such tasks. Slurm would cancel it at once.
    """


class Parents:
    """The jobs that submissions of a plan wait for.

    Args:
        slurm: the scheduler.
        now: seconds on any steady clock.
        memory: seconds for which Slurm keeps an ended job.
        folder: of the run, where jobs record their ends.
    """

    def __init__(
        self, slurm: Slurm, now: Callable[[], float], *, memory: float = math.inf, folder: Path = Path()
    ) -> None:
        self._slurm, self._now, self._memory, self._folder = slurm, now, memory, folder
        self._began = now()
        self._looked_at = self._began if memory >= _SHORT else -math.inf
        self._records: dict[str, list[Record]] | None = None
        """Records of the last query, by the id that sbatch has printed; None before the first query."""
        self._since: set[str] = set()
        """Job ids submitted after the last query."""
        self._gates: dict[Ref, Expression | None] = {}
        """What each gate of the plan waits for."""
        self.unneeded: set[Ref] = set()
        """Submissions of the plan that were left out."""

    def submitted(self, call: Call, job_id: str) -> None:
        """A call of the plan is in the queue."""
        self._since.add(job_id)
        if call.first.kind is Kind.GATE:
            self._gates[call.first.ref] = call.waits_for

    def left(self, call: Call, job_id: Callable[[Ref], str]) -> Expression | None:
        """The dependency that a call still needs.

        Raises:
            UnneededError: the dependency can no longer be satisfied, and the call is not needed.
            SlurmError: the dependency can no longer be satisfied, or it is unknown whether it is.
        """
        if call.waits_for is None:
            return None
        now = self._now()
        if now - self._looked_at >= self._memory:
            self._looked_at, self._since, self._records = now, set(), {}
            for record in self._slurm.queue():
                self._records.setdefault(array_of(record.job_id), []).append(record)
        if self._records is None:
            return call.waits_for
        never: list[Term] = []
        unknown: list[str] = []
        try:
            left = self._left(call.waits_for, job_id, never, unknown)
        except ValueError:
            if call.first.kind in _FOR_FAILURES or any(_is_earlier_attempt(term, call) for term in never):
                raise UnneededError(f"{whose(call)} is not needed any more") from None
            raise self._too_late(call, never[0].job_id(job_id)) from None
        if left is not None and unknown:
            raise self._too_late(call, unknown[0])
        return left

    def _left(
        self, expression: Expression, job_id: Callable[[Ref], str], never: list[Term], unknown: list[str]
    ) -> Expression | None:
        """As `without_met`; collects terms that can no longer come true, and jobs whose end is unknown."""

        def holds(term: Term) -> bool | None:
            try:
                found = self._holds(term, job_id)
            except _UnknownError as error:
                unknown.append(str(error))
                return None
            never.extend([term] if found is False else [])
            return found

        return without_met(expression, holds)

    def _too_late(self, call: Call, parent: str) -> SlurmError:
        minutes = (self._now() - self._began) / 60
        return SlurmError(
            f"Slurm was so slow that Slurm job {parent} ended before {whose(call)}, which waits for it, could "
            f"be submitted ({minutes:.0f} minutes). What was still in the queue was withdrawn; run it again."
        )

    def _holds(self, term: Term, job_id_of: Callable[[Ref], str]) -> bool | None:
        if term.on in self.unneeded:  # as if Slurm had cancelled it
            return term.type not in (DependencyType.AFTEROK, DependencyType.AFTERCORR)
        job_id = term.job_id(job_id_of)
        if term.on is None or array_of(job_id) in self._since:
            return None
        states = [record.state for record in self._of(job_id)]
        if not states and term.type in (DependencyType.AFTERANY, DependencyType.AFTER):
            return True  # it has ended, and it does not matter how
        states = states or [self._of_gate(term.on, job_id, job_id_of)]
        return _verdict(term.type, states) if all(state.is_final for state in states) else None

    def _of(self, job_id: str) -> Sequence[Record]:
        """Records of a job, from Slurm or from the job itself."""
        listed = (self._records or {}).get(array_of(job_id), [])
        known = listed or [job.record for job in self._slurm.show([job_id])]
        own = [record for record in known if job_id in (record.job_id, array_of(record.job_id))]
        written = None if own else step_record(self._folder, job_id)
        record = written.as_record() if written else None
        return own or ([record] if record else [])

    def _of_gate(self, ref: Ref, job_id: str, job_id_of: Callable[[Ref], str]) -> JobState:
        """A gate has no record: it has succeeded if its dependency has come true, else Slurm has cancelled it."""
        if ref not in self._gates:
            raise _UnknownError(job_id)
        condition = self._gates[ref]
        try:
            left = condition and self._left(condition, job_id_of, [], [])
        except ValueError:
            return JobState.CANCELLED
        if left is not None:
            raise _UnknownError(job_id)
        return JobState.SUCCEEDED


def _verdict(kind: DependencyType, states: Sequence[JobState]) -> bool:
    """Whether a condition on jobs that have all ended has come true."""
    succeeded = all(state is JobState.SUCCEEDED for state in states)
    if kind in (DependencyType.AFTEROK, DependencyType.AFTERCORR):
        return succeeded
    return kind is not DependencyType.AFTERNOTOK or not succeeded


def _is_earlier_attempt(term: Term, call: Call) -> bool:
    return (
        term.type is DependencyType.AFTERNOTOK
        and call.first.kind is Kind.TASK
        and term.on is not None
        and (term.on.task == call.first.ref.task or is_reserve(call.first.options))
    )


def whose(call: Call) -> str:
    """The label of the task, or the number of tasks and their rule, for messages."""
    return f"{len(call.submissions)} tasks of rule {call.first.rule}" if call.is_array else call.first.label
