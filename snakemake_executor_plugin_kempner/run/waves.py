"""Splits submissions into what fits into the queue now, and what follows later.

Sites limit how many jobs a user may have in the queue. The rest is submitted when there is room: by the head, or by a
continuation, which needs room itself, like the guard and the closing job.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import Fault, PlanError, SlurmError
from ..options import Options
from ..plan.model import Kind, Plan, Policy
from ..plan.planner import make_plan
from ..plan.task import Deferred, Task
from ..slurm.client import Slurm
from ..slurm.site_limits import SiteLimits
from ..slurm.submit_limits import LimitScope
from .clock import Clock
from .submit import PATIENCE

_REFILL = 4
"""The rest is submitted once this part (a quarter) of the run's share of the queue is free."""
_PAUSE = 15.0
"""Seconds between two checks for room."""
_TRUST = 900.0
"""Seconds for which a refusal counts as a limit: the room may have been taken by jobs of others, which end."""

_HELPERS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wave:
    """The part of a plan that fits into the queue."""

    plan: Plan
    later: tuple[Task, ...] = ()
    """The tasks without room, in order."""
    has_room: bool = True
    """There is room for the plan."""

    @property
    def goes_on(self) -> bool:
        """The run can continue by itself: no task is left, or a continuation is part of the plan."""
        goes_on = not self.later or any(submission.kind is Kind.CONTINUATION for submission in self.plan.submissions)
        return goes_on and self.has_room


def wave(
    tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred], room_for: Callable[[Plan], int | None]
) -> Wave:
    """Plan as many tasks as there is room for, in their order.

    Args:
        tasks: each after those it waits for.
        policy: of the run.
        deferred: what cannot be planned yet.
        room_for: number of further jobs, with options as in the plan, that fit into the queue; None for no limit.

    Raises:
        PlanError: tasks have faults, with or without room; lists all of them.
    """
    plan = make_plan(tasks, policy, deferred)
    asked = plan.requested
    room = room_for(plan)
    tasks, count = _with_handlers(tasks), len(tasks)
    while room is not None and len(plan.submissions) > room and count:
        count = min(count - 1, count * max(room, 0) // len(plan.submissions))
        while count and tasks[count].may_follow_failure:
            count -= 1
        plan = make_plan(tasks[:count], policy, _deferred(tasks[:count], tasks[count:], policy, deferred))
    has_room = room is None or len(plan.submissions) <= max(room, 0)
    return Wave(plan=replace(plan, requested=asked), later=tuple(tasks[count:]), has_room=has_room)


class QueueRoom:
    """The room for more jobs of the user in the queue.

    Args:
        slurm: the scheduler.
        clock: time.
        logger: gets a message when the queue is full.
        limits: the limits of the site; without them, only refusals of sbatch show a limit.
    """

    def __init__(self, slurm: Slurm, clock: Clock, logger: logging.Logger, limits: SiteLimits | None = None) -> None:
        self._slurm, self._clock, self._logger, self._limits = slurm, clock, logger, limits
        self._learned: int | None = None
        self._learned_at = 0.0
        self._most = 0
        self._options: set[Options] = set()
        self.why = ""
        """The limit that leaves the least room, with its source."""

    def left(self, options: Iterable[Options], policy: Policy) -> int | None:
        """The number of further jobs with such options that fit; None for no limit.

        Raises:
            SlurmError: Slurm did not answer.
        """
        bounds: list[tuple[int, int, str]] = []
        if self._limits is not None and (bound := self._limits.limits().tightest(map(LimitScope.of, options))):
            bounds.append((bound.left, bound.limit, str(bound)))
        if self._learned is not None and self._clock.now() - self._learned_at >= _TRUST:
            self._learned = None
        own = [limit for limit in (policy.largest_queue, self._learned) if limit is not None]
        if own:
            there = sum(not record.state.is_final for record in self._slurm.queue())
            bounds.append((min(own) - there, min(own), f"{min(own)} jobs in the queue"))
        if not bounds:
            return None
        left, self._most, self.why = min(bounds)
        return left

    def learn(self, refused: int) -> None:
        """Learn a limit from a refusal of sbatch for lack of room: the current number of jobs plus half of the call's.

        Args:
            refused: jobs of the call. The call may exceed the limit itself, so half of it is tried next.

        Raises:
            SlurmError: Slurm did not answer.
        """
        self._learned = refused // 2 + sum(not record.state.is_final for record in self._slurm.queue())
        self._learned_at = self._clock.now()

    def is_worth_it(self, policy: Policy, later: int, ours: int) -> bool:
        """Whether there is room for all waiting tasks, or for a quarter of the run's share: so there are fewer waves.

        Args:
            policy: of the run.
            later: number of tasks that wait for room.
            ours: number of the run's jobs in the queue. Other jobs may stay there for days.

        Raises:
            SlurmError: Slurm did not answer.
        """
        left = self.left(self._options, policy)
        return left is None or left >= max(1, min(later, (left + ours) // _REFILL))

    def wave(self, tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred]) -> Wave:
        """The wave that fits now; for a detached run, wait until the run can continue by itself.

        Raises:
            PlanError: as `wave`.
            SlurmError: there was no room for too long.
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
        self._options |= {call.first.options for call in plan.calls}
        left = self.left(self._options, policy)
        least = 0 if left is None or len(plan.submissions) <= left else _least(plan)
        if least > self._most and self._learned is None:  # a limit learned from a refusal may be wrong
            what = f"needs {least} jobs in the queue at once, and Slurm lets you have {self.why}"
            raise PlanError([Fault(where=plan.submissions[0].label, what=what, remedy="ask for a larger limit")])
        return left


def _least(plan: Plan) -> int:
    """Least number of jobs that must be in the queue together: the attempts of a task, and the helper jobs."""
    attempts = max((submission.attempts for submission in plan.submissions if submission.kind is Kind.TASK), default=0)
    kinds = {submission.kind for submission in plan.submissions} - {Kind.TASK, Kind.GATE}
    return attempts + len(kinds | {Kind.CONTINUATION} if plan.policy.detached else kinds)


def _with_handlers(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in their order, but each failure handler right after the tasks it follows.

    In a later wave it would come too late: a failure stops the run, and nothing more is submitted.
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
            found.append(placed := ready.pop())
            for key in behind.get(placed.key, ()):
                needs[key].discard(placed.key)
            ready += (waiting[key] for key in reversed(behind.get(placed.key, ())) if not needs[key])
    return found


def _deferred(
    now: Sequence[Task], later: Sequence[Task], policy: Policy, deferred: Sequence[Deferred]
) -> tuple[Deferred, ...]:
    """What a continuation has to wait for: deferred tasks, and that the first attempts of half of the queued tasks have ended."""
    absent = {task.key for task in later}
    before = (key for key, refs in policy.standing.items() if refs and key not in absent | _HELPERS)
    in_queue = [*before, *(task.key for task in now)]
    half = frozenset(in_queue[: (len(in_queue) + 1) // 2])
    room = Deferred("there is no room for more jobs in the queue", half, however=True)
    return (*(entry for entry in deferred if not entry.awaits & absent), *([room] if half else ()))
