"""Why tasks of a run have failed, by their logs."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..causes.alike import alike
from ..causes.explained import Explanation, explained
from .model import Attempt, State, TaskState

_MOST = 200
"""Failed tasks whose logs are read for an overview."""
_UNREAD = "(not looked at: there are too many failures)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SameCause:
    """Tasks that have failed for the same reason."""

    cause: str
    tasks: tuple[TaskState, ...]


def explanation(task: TaskState, attempt: Attempt | None = None) -> Explanation | None:
    """Why an attempt of a task ended as it did, by default the attempt that decides; None if it has not ended.

    The rule's own logs are of the attempt that has started last.
    """
    attempt = attempt or task.last
    if attempt is None or attempt.record is None or not attempt.job_id:
        return None
    is_last = attempt is task.last
    return explained(
        attempt.record,
        attempt.options,
        attempt.log,
        task.rule_logs if is_last else (),
        since=attempt.start or attempt.submitted,
        peak_memory_mb=attempt.peak_memory_mb,
    )


def cause_of(task: TaskState) -> str:
    """Why a task has not succeeded, in a line."""
    if task.state is State.CANCELLED:
        return "cancelled"
    why = None if task.why else explanation(task)
    return task.why or (why.cause if why else "nothing is known of it")


def same_causes(tasks: Iterable[TaskState]) -> tuple[SameCause, ...]:
    """Failed tasks by cause, those that came first, first."""
    by_key = {task.key: task for task in tasks}
    causes = {key: cause_of(task) if number < _MOST else _UNREAD for number, (key, task) in enumerate(by_key.items())}
    return tuple(
        SameCause(cause=cause, tasks=tuple(by_key[key] for key in keys)) for cause, keys in alike(causes).items()
    )
