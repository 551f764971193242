"""Failure handlers: tasks that run when another has failed, and are not needed otherwise."""

from collections.abc import Iterable, Iterator, Sequence

from ..errors import Fault
from .dependency import DependencyType
from .task import Task


def may_not_be_needed(ordered: Iterable[Task]) -> set[str]:
    """Failure handlers and the tasks that depend on them: it is no failure when they do not run."""
    found: set[str] = set()
    for task in ordered:
        behind = found and any(edge.on in found for edge in task.edges if edge.type is DependencyType.AFTEROK)
        if behind or task.is_handler:
            found.add(task.key)
    return found


def handlers_of_handlers(ordered: Sequence[Task]) -> Iterator[Fault]:
    unsure = may_not_be_needed(ordered)
    labels = {task.key: task.label for task in ordered if task.key in unsure}
    for task in ordered:
        if task.key not in unsure:  # it is no handler itself
            continue
        for edge in task.edges:
            if edge.type is DependencyType.AFTERNOTOK and edge.on in unsure:
                yield Fault(
                    where=task.label,
                    what=f"is to run when {labels[edge.on]} fails, which is a failure handler itself or needs one",
                    remedy="Slurm cannot tell a handler that was not needed from one that failed",
                    tasks=((task.key, task.label),),
                )
