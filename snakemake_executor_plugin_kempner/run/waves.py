"""What fits into the queue now, and what follows later.

Sites limit how many jobs a user may have in the queue. What does not fit follows when there is room: by the head, or
by a continuation, which needs room itself, as the guard and the closing job do.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..errors import Fault, PlanError, SlurmError
from ..plan.model import Deferred, Kind, Plan, Policy, Task
from ..plan.planner import make_plan
from ..slurm.client import Slurm
from ..slurm.limits import Place, SiteLimits
from .submit import PATIENCE, Clock

_REFILL = 4
"""A part of the queue this large has to be free before more is submitted."""
_PAUSE = 15.0
"""Seconds between two looks for room."""
_TRUST = 900.0
"""Seconds for which a refusal tells how much room there is: it may have been taken by others, who leave."""

_HELPERS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wave:
    """A part of what is to be submitted."""

    plan: Plan
    later: tuple[Task, ...] = ()
    """In order, what has no room yet."""
    has_room: bool = True
    """There is room for the plan."""

    @property
    def goes_on(self) -> bool:
        """Something is in the queue that goes on with the rest, or there is none."""
        goes_on = not self.later or any(one.kind is Kind.CONTINUATION for one in self.plan.submissions)
        return goes_on and self.has_room


def wave(
    tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred], room_for: Callable[[Plan], int | None]
) -> Wave:
    """The plan of as many tasks as there is room for, in their order.

    Args:
        tasks: each after those it waits for.
        policy: of the run.
        deferred: what cannot be planned yet.
        room_for: for how many jobs such as those of a plan there is room in the queue; None for any number.

    Raises:
        PlanError: with all faults of all tasks, also of those that have no room yet.
    """
    plan = make_plan(tasks, policy, deferred)
    room = room_for(plan)
    tasks, count = _with_handlers(tasks), len(tasks)
    while room is not None and len(plan.submissions) > room and count:
        count = min(count - 1, count * max(room, 0) // len(plan.submissions))
        while count and tasks[count].may_follow_failure:
            count -= 1
        plan = make_plan(tasks[:count], policy, _deferred(tasks[:count], tasks[count:], policy, deferred))
    has_room = room is None or len(plan.submissions) <= max(room, 0)
    return Wave(plan=plan, later=tuple(tasks[count:]), has_room=has_room)


class Room:
    """The queue of the user, as far as Slurm lets it grow.

    Args:
        slurm: where it is.
        clock: time.
        logger: told when the queue is full.
        limits: knows the limits of the site; without it, sbatch tells when it refuses.
    """

    def __init__(self, slurm: Slurm, clock: Clock, logger: logging.Logger, limits: SiteLimits | None = None) -> None:
        self._slurm, self._clock, self._logger, self._limits = slurm, clock, logger, limits
        self._learned: int | None = None
        self._learned_at = 0.0
        self._most = 0
        self._asked: set[tuple[str, ...]] = set()
        self.why = ""
        """The limit that leaves the least room, with its source."""

    def left(self, options: Iterable[Sequence[str]], policy: Policy) -> int | None:
        """For how many more jobs with such options there is room; None for any number.

        Raises:
            SlurmError: Slurm could not be asked.
        """
        bounds: list[tuple[int, int, str]] = []
        if self._limits is not None and (bound := self._limits.limits().tightest(map(Place.of, options))):
            bounds.append((bound.limit - bound.used, bound.limit, str(bound)))
        if self._learned is not None and self._clock.now() - self._learned_at >= _TRUST:
            self._learned = None
        own = [one for one in (policy.largest_queue, self._learned) if one is not None]
        if own:
            there = sum(not record.state.is_final for record in self._slurm.queue())
            bounds.append((min(own) - there, min(own), f"{min(own)} jobs in the queue"))
        if not bounds:
            return None
        left, self._most, self.why = min(bounds)
        return left

    def learn(self, refused: int) -> None:
        """Sbatch has refused a call for lack of room: what is in the queue now has room there.

        Args:
            refused: jobs of the call. It may ask for more than the limit itself, so half of it is tried next.

        Raises:
            SlurmError: Slurm could not be asked.
        """
        self._learned = refused // 2 + sum(not record.state.is_final for record in self._slurm.queue())
        self._learned_at = self._clock.now()

    def is_worth_it(self, policy: Policy, later: int, ours: int) -> bool:
        """Whether there is room for so many tasks, or for a good part of what the run may have: fewer calls, fewer guards.

        Args:
            policy: of the run.
            later: tasks that wait for room.
            ours: jobs of the run in the queue. The rest of the queue may belong to others for days.

        Raises:
            SlurmError: Slurm could not be asked.
        """
        left = self.left(self._asked, policy)
        return left is None or left >= max(1, min(later, (left + ours) // _REFILL))

    def wave(self, tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred]) -> Wave:
        """What there is room for now; a run that nobody watches waits until it can go on by itself.

        Raises:
            PlanError: as `wave`.
            SlurmError: there was no room for so long that waiting any longer is for a person to decide.
        """
        end, told = self._clock.now() + PATIENCE, False
        while True:
            found = wave(tasks, policy, deferred, lambda plan: self._left(plan, policy))
            if found.goes_on or not policy.detached:
                return found
            if self._clock.now() >= end:
                minutes = f"{PATIENCE / 60:.0f} minutes"
                raise SlurmError(f"There has been no room in the queue for {minutes}: {self.why}.")
            if not told:
                self._logger.warning(f"The queue is full ({self.why}). Waiting for room for this run.")
                told = True
            self._clock.sleep(_PAUSE)

    def _left(self, plan: Plan, policy: Policy) -> int | None:
        self._asked |= {call.first.options for call in plan.calls}
        left = self.left(self._asked, policy)
        least = 0 if left is None or len(plan.submissions) <= left else _least(plan)
        if least > self._most and self._learned is None:  # a refusal does not tell the limit
            what = f"needs {least} jobs in the queue at once, and Slurm lets you have {self.why}"
            raise PlanError([Fault(where=plan.submissions[0].label, what=what, remedy="ask for a larger limit")])
        return left


def _least(plan: Plan) -> int:
    """Jobs that have to be in the queue at once: the attempts of a task, and what looks after the run."""
    attempts = max((one.attempts for one in plan.submissions if one.kind is Kind.TASK), default=0)
    kinds = {one.kind for one in plan.submissions} - {Kind.TASK, Kind.GATE}
    return attempts + len(kinds | {Kind.CONTINUATION} if plan.policy.detached else kinds)


def _with_handlers(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in their order, but each failure handler right behind what it follows.

    Left for later, it would come too late: a failure stops the run, and nothing is submitted any more.
    """
    here = {task.key for task in tasks}
    needs = {task.key: {edge.on for edge in task.edges} & here for task in tasks if task.may_follow_failure}
    waiting = {task.key: task for task in tasks if needs.get(task.key)}
    behind: dict[str, list[str]] = {}
    for key in waiting:
        for on in needs[key]:
            behind.setdefault(on, []).append(key)
    found: list[Task] = []
    for task in tasks:
        ready = [] if task.key in waiting else [task]
        while ready:
            found.append(one := ready.pop())
            for key in behind.get(one.key, ()):
                needs[key].discard(one.key)
            ready += (waiting[key] for key in reversed(behind.get(one.key, ())) if not needs[key])
    return found


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
