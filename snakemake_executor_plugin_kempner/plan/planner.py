"""Tasks → plan: their faults, their order, their submissions, and what there is to say about them."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError

from ..errors import Fault, PlanError
from .asking import choices, notices_of, options_of
from .concurrency import turns
from .handlers import handlers_of_handlers
from .hours import beyond_hours, requests_of
from .misspelt import misspelt
from .model import Plan, Policy
from .order import in_order
from .requested import requested
from .segments import faults_of_segments
from .submissions import Submissions
from .task import Deferred, Task
from .undisturbed import undisturbed
from .verdict import of_possible, verdict


@undisturbed()
def make_plan(tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred] = ()) -> Plan:
    """Every submission that the tasks need, in an order that Slurm accepts.

    Args:
        tasks: to be submitted now. An edge may lead to a task of this sequence or of `policy.standing`.
        policy: settings of the run.
        deferred: cannot be planned yet; each awaits tasks of this sequence or of `policy.standing`.

    Raises:
        PlanError: tasks have faults; lists all faults of all tasks.
    """
    expected = [entry.task for entry in deferred if entry.task]
    every = options_of([*tasks, *expected], policy.site)
    faults = [fault for option in every.values() for fault in option.faults]
    disorder: list[Fault] = []
    ordered = _in_order(tasks, policy, disorder)
    found = verdict([*(ordered or tasks), *expected], every, policy)
    options = {
        (task.key, attempt.number): every[task.key, attempt.number] for task in tasks for attempt in task.attempts
    }
    asked = requested(requests_of([*ordered, *expected], every, policy.site))
    faults += (*found.faults, *disorder, *handlers_of_handlers(ordered), *faults_of_segments(tasks))
    faults += beyond_hours(asked, [*ordered, *expected], every, policy)
    if faults:
        raise PlanError(faults)
    submissions = Submissions(policy=policy, options=options)
    for task in ordered:
        submissions.add(task)
    if policy.needs_guard:
        submissions.add_guard(ordered)
    closing_waits_for = None
    if policy.ends_itself:
        closing_waits_for = submissions.add_closing(deferred if policy.detached else ())
    calls = tuple(submissions.calls())
    return Plan(
        calls=calls,
        policy=policy,
        notices=(
            *found.warnings,
            *of_possible(policy),
            *choices(tasks, options),
            *misspelt(tasks, policy.limits),
            *notices_of(tasks, options),
            *submissions.said(),
            *turns(calls, policy),
        ),
        closing_waits_for=closing_waits_for,
        requested=asked,
    )


def _in_order(tasks: Iterable[Task], policy: Policy, faults: list[Fault]) -> list[Task]:
    by_key = {task.key: task for task in tasks}
    faults.extend(
        Fault(
            where=task.label,
            what=f"waits for a task that is not part of this run ({edge.on})",
            tasks=((task.key, task.label),),
        )
        for task in by_key.values()
        for edge in task.edges
        if edge.on not in by_key and edge.on not in policy.standing
    )
    try:
        return [by_key[key] for key in in_order({key: [edge.on for edge in by_key[key].edges] for key in by_key})]
    except CycleError as error:
        ring = " → ".join(by_key[key].label for key in reversed(error.args[1]))
        faults.append(Fault(where="workflow", what=f"tasks wait for each other in a circle: {ring}"))
        return []
