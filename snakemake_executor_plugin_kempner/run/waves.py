"""What fits into the queue now, and what follows later. Pure.

Sites limit how many jobs a user may have in the queue. What does not fit follows when there is room: by the head, or
by a continuation, which needs room itself, as the guard and the closing job do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan.model import Deferred, Kind, Plan, Policy, Task
from ..plan.planner import make_plan

_HELPERS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wave:
    """A part of what is to be submitted."""

    plan: Plan
    later: tuple[Task, ...] = ()
    """In order, what has no room yet."""


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
    count = len(tasks)
    while room is not None and len(plan.submissions) > room and count:
        count = min(count - 1, count * max(room, 0) // len(plan.submissions))
        plan = make_plan(tasks[:count], policy, _deferred(tasks[:count], tasks[count:], policy, deferred))
    return Wave(plan=plan, later=tuple(tasks[count:]))


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
