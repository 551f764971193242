"""The state of a run and what its jobs used → a row for each attempt. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..efficiency.jobs import JobUse
from ..plan.dependency import DependencyType
from ..plan.task import Edge, Turn
from ..site.request import Request, request_of
from ..state.model import Attempt, RunState, State, TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """A try of a task, from its submission to its end; times are seconds since 1970, None if not reached or unknown."""

    key: str
    """Of the task."""
    label: str
    rule: str
    attempt: int
    """Its number among all attempts of the task, with their segments."""
    segments: int = 1
    """How many segments each attempt of the task has."""
    job_id: str
    word: str
    """State of the job, as Slurm writes it."""
    state: State
    """What became of this attempt."""
    node: str
    submit: float | None
    eligible: float | None
    """When what it waits for had come true: the end of the last task before it, or its submission."""
    start: float | None
    end: float | None
    requeues: int
    """How often Slurm has put it back into the queue."""
    request: Request
    use: JobUse | None
    """None if it has not run and ended."""
    log: str

    @property
    def turn(self) -> Turn:
        return Turn.of(self.attempt, self.segments)

    @property
    def waited_s(self) -> float | None:
        """Time in the queue, after everything before it had ended."""
        return None if self.start is None or self.eligible is None else max(0.0, self.start - self.eligible)

    def elapsed_s(self, now: float) -> float | None:
        return None if self.start is None else max(0.0, (self.end or now) - self.start)

    @property
    def cores(self) -> int:
        return (self.use.cores if self.use else None) or self.request.cores_of_node * self.request.nodes

    @property
    def gpus(self) -> int:
        return self.use.gpus if self.use else self.request.gpus


def attempt_rows(state: RunState, uses: Iterable[JobUse], submitted: Mapping[str, float]) -> tuple[AttemptRow, ...]:
    """A row for each attempt of each task, in the order of planning. An attempt that was spared by a success has none.

    Args:
        state: of the run.
        uses: what ended jobs have used.
        submitted: when each job was submitted, by id; a run that has taken it over only knows when it did so.
    """
    by_id = {use.job_id: use for use in uses}
    return tuple(
        _row(state, task, replace(attempt, submitted=submitted.get(attempt.job_id, attempt.submitted)), by_id)
        for task in state.tasks
        for attempt in task.attempts
        if attempt.start is not None or attempt in (task.last, task.pending)
    )


def _row(state: RunState, task: TaskState, attempt: Attempt, uses: Mapping[str, JobUse]) -> AttemptRow:
    use = uses.get(attempt.job_id)
    start, end = attempt.start, attempt.end
    if end is None and start is not None and use is not None and use.elapsed_s is not None:
        end = start + use.elapsed_s
    met = _met(state, task, attempt) if start is not None or task.state.is_open else None
    eligible = None if met is None else max(attempt.submitted, met)
    return AttemptRow(
        key=task.key,
        label=task.label,
        rule=task.rule,
        attempt=attempt.number,
        segments=attempt.segments,
        job_id=attempt.job_id,
        word=use.state if use else attempt.word,
        state=task.state if task.last and attempt.number == task.last.number else State.FAILED,
        node=attempt.record.node if attempt.record else "",
        submit=attempt.submitted or None,
        eligible=eligible if start is None or eligible is None else min(eligible, start),
        start=start,
        end=end,
        requeues=attempt.restarts,
        request=request_of(attempt.options),
        use=use,
        log=str(attempt.log) if start is not None else "",
    )


def _met(state: RunState, task: TaskState, attempt: Attempt) -> float | None:
    """When the last of its conditions came true; None while any has not."""
    moments = [moment for edge in task.edges for moment in _moments(state, edge)]
    earlier = [other for other in task.attempts if other.number < attempt.number]
    moments += [other.end for other in earlier if other.start is not None or other == task.pending]
    return None if None in moments else max((moment for moment in moments if moment is not None), default=0.0)


def _moments(state: RunState, edge: Edge) -> Iterator[float | None]:
    """When the condition of an edge came true; nothing for a task that ended at an unknown time."""
    before = state.by_key.get(edge.on)
    last = before.last if before else None
    if before is None or last is None:
        return
    if edge.type is DependencyType.AFTER:
        yield None if last.start is None else last.start + 60 * (edge.minutes or 0)
    elif before.state.is_open:
        yield None
    elif last.end is not None:
        yield last.end
