"""What fits into the queue now, and what follows later.

Sites limit how many jobs a user may have in the queue. What does not fit follows when there is room: by the head, or
by a continuation, which needs room itself, as the guard and the closing job do.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import Fault, PlanError, SlurmError
from ..plan.model import Deferred, Kind, Plan, Policy, Task
from ..plan.planner import make_plan
from ..slurm.client import Slurm
from .submit import PATIENCE, Clock

_PAUSE = 15.0
"""Seconds between two looks for room."""

_HELPERS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wave:
    """A part of what is to be submitted."""

    plan: Plan
    later: tuple[Task, ...] = ()
    """In order, what has no room yet."""

    @property
    def goes_on(self) -> bool:
        """Something is in the queue that goes on with the rest, or there is none."""
        return not self.later or any(one.kind is Kind.CONTINUATION for one in self.plan.submissions)


def wave(tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred], room: int | None) -> Wave:
    """The plan of as many tasks as there is room for, in their order.

    Args:
        tasks: each after those it waits for.
        policy: of the run.
        deferred: what cannot be planned yet.
        room: for how many more jobs there is room in the queue; None for any number.

    Raises:
        PlanError: with all faults of all tasks, also of those that have no room yet.
    """
    plan = make_plan(tasks, policy, deferred)
    if room is not None and len(plan.submissions) > room and policy.largest_queue is not None:
        _check(make_plan(tasks[:1], policy, ()), policy.largest_queue)
    count = len(tasks)
    while room is not None and len(plan.submissions) > room and count:
        count = min(count - 1, count * max(room, 0) // len(plan.submissions))
        plan = make_plan(tasks[:count], policy, _deferred(tasks[:count], tasks[count:], policy, deferred))
    return Wave(plan=plan, later=tuple(tasks[count:]))


def _check(least: Plan, largest_queue: int) -> None:
    if len(least.submissions) > largest_queue:
        what = f"needs {len(least.submissions)} jobs in the queue at once, and Slurm lets you have {largest_queue}"
        raise PlanError([Fault(where=least.submissions[0].label, what=what, remedy="ask for a larger submit limit")])


class Room:
    """The queue of the user, as far as Slurm lets it grow.

    Args:
        slurm: where it is.
        clock: time.
        logger: told when the queue is full.
    """

    def __init__(self, slurm: Slurm, clock: Clock, logger: logging.Logger) -> None:
        self._slurm, self._clock, self._logger = slurm, clock, logger

    def left(self, largest: int | None) -> int | None:
        """For how many more jobs there is room; None for any number.

        Raises:
            SlurmError: Slurm could not be asked.
        """
        if largest is None:
            return None
        return largest - sum(not record.state.is_final for record in self._slurm.queue())

    def wave(self, tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred]) -> Wave:
        """What there is room for now; a run that nobody watches waits until it can go on by itself.

        Raises:
            PlanError: as `wave`.
            SlurmError: there was no room for so long that waiting any longer is for a person to decide.
        """
        end, told = self._clock.now() + PATIENCE, False
        while True:
            found = wave(tasks, policy, deferred, self.left(policy.largest_queue))
            if found.goes_on or not policy.detached:
                return found
            if self._clock.now() >= end:
                minutes = f"{PATIENCE / 60:.0f} minutes"
                raise SlurmError(f"Your queue has been full of other jobs for {minutes}: nothing was submitted.")
            if not told:
                self._logger.warning("Your queue is full of other jobs. Waiting for room for this run.")
                told = True
            self._clock.sleep(_PAUSE)


def _deferred(
    now: Sequence[Task], later: Sequence[Task], policy: Policy, deferred: Sequence[Deferred]
) -> tuple[Deferred, ...]:
    """What a continuation has to wait for: besides what decides over something, that half of the queue has ended."""
    absent = {task.key for task in later}
    before = (key for key, refs in policy.standing.items() if refs and key not in absent | _HELPERS)
    in_queue = [*before, *(task.key for task in now)]
    half = frozenset(in_queue[: (len(in_queue) + 1) // 2])
    room = Deferred("there is no room for more jobs in the queue", half, however=True)
    return (*(one for one in deferred if not one.awaits & absent), *([room] if half else ()))
