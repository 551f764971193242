"""What tasks request for how long, for the sums of a run (`requested.py`) and the limit on its GPU hours."""

from collections.abc import Iterable, Iterator, Mapping

from ..errors import Fault
from ..site.model import Site
from ..site.placed import placed
from ..site.request import Request, request_of
from .dependency import DependencyType
from .model import Policy
from .requested import Requested, TaskRequest, beyond
from .resources import TaskOptions
from .task import Task, Turn


def requests_of(
    tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions], site: Site | None
) -> dict[str, TaskRequest]:
    """What the first attempt of each task requests, with all of its segments, by key.

    Args:
        tasks: each after those it waits for.
        options: of each attempt, by key and number.
        site: its partitions limit the time of jobs that request none; None when unknown.
    """
    found: dict[str, TaskRequest] = {}
    known: dict[int, tuple[Request, int | None]] = {}
    for task in tasks:
        first, last = task.attempts[0], task.attempts[-1]
        if Turn.of(first.number, first.segments).attempt > 1:  # an earlier process has submitted the first
            continue
        of_first = options[task.key, first.number]
        if id(of_first) not in known:
            known[id(of_first)] = _with_time_limit(of_first, site)
        request, minutes = known[id(of_first)]
        left = first.segments - Turn.of(first.number, first.segments).segment + 1
        found[task.key] = TaskRequest(
            rule=task.name,
            minutes=None if minutes is None else minutes * left,
            cores=request.cores_of_node * request.nodes,
            gpus=request.gpus,
            after=tuple(edge.on for edge in task.edges if edge.type is not DependencyType.AFTER),
            has_retries=last.number - first.number >= left,
        )
    return found


def _with_time_limit(options: TaskOptions, site: Site | None) -> tuple[Request, int | None]:
    """A request and its minutes; without a time limit, those that the partition allows; None if unknown."""
    if site is None:
        request = request_of(options.sbatch)
        return request, request.minutes
    request = options.request
    of_partitions = [partition.minutes for partition in placed(request, site).partitions]
    allowed = None if None in of_partitions else max((most for most in of_partitions if most), default=None)
    return request, request.minutes or allowed


def beyond_hours(
    asked: Requested, tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions], policy: Policy
) -> Iterator[Fault]:
    """Faults of a plan that asks for more GPU hours than the run may; they are those of all tasks with GPUs."""
    reasons = list(beyond(asked, policy.most_gpu_hours, policy.earlier_gpu_hours))
    if not reasons:
        return
    of = tuple(
        (task.key, task.label) for task in tasks if request_of(options[task.key, task.attempts[0].number].sbatch).gpus
    )
    for what, remedy in reasons:
        yield Fault(where="workflow", what=what, remedy=remedy, tasks=of)
