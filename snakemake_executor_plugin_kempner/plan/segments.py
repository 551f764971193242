"""A training that is longer than the wall limit, as a chain of jobs. Pure.

An attempt of a task with `slurm_segments=3` has up to three jobs, its segments: each goes on where the one before has
stopped, from KEMPNER_CHECKPOINT_DIR. The segments of all attempts are numbered in the order in which they may run, and
to Slurm each is what a further attempt is: a job that starts when none before it has succeeded.

    attempt   1  1  1  2  2  2
    segment   1  2  3  1  2  3
    number    1  2  3  4  5  6

A segment follows one that is *to be continued*. When a segment fails in another way, the rest of its attempt is passed
over, and the next attempt begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..errors import Fault
from ..notation import if_readable, minutes
from ..options import Options
from .resources import SEGMENTS, Resources, TaskOptions, segments_of
from .task import Attempt, Task

_NOTICE = 120
"""Seconds before its end at which a segment gets SIGTERM."""
_SHARE = 4
"""A short segment gets it for the last quarter of its time."""


def in_segments(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts of a task, each as often as it has segments."""
    segments = segments_of(attempts[0].resources) if attempts else 1
    if segments == 1:
        return tuple(attempts)
    return tuple(
        replace(
            attempt,
            number=(attempt.number - 1) * segments + segment,
            segments=segments,
            step=replace(attempt.step, segment=segment, segments=segments),
        )
        for attempt in attempts
        for segment in range(1, segments + 1)
    )


def announced(options: TaskOptions, resources: Resources) -> TaskOptions:
    """The options of a segment, with a signal some time before its end, unless the rule has set a signal itself."""
    if segments_of(resources) == 1 or "signal" in options.sbatch:
        return options
    given = (if_readable(minutes, options.sbatch.get(name)) for name in ("time", "time-min") if name in options.sbatch)
    seconds = min([_NOTICE, *(60 * limit // _SHARE for limit in given if limit)])
    signal = Options({"signal": f"B:TERM@{seconds}"})
    return replace(
        options, sbatch=options.sbatch | signal, why=(*options.why, f"{signal} (so that a segment hears of its end)")
    )


def faults_of_segments(tasks: Iterable[Task]) -> Iterator[Fault]:
    """Tasks that cannot be divided into segments as they are."""
    for task in tasks:
        numbers = {segments_of(attempt.resources) for attempt in task.attempts}
        if max(numbers, default=1) == 1:
            continue
        of = ((task.key, task.label),)
        if task.members:
            what = f"is a group of jobs, which {SEGMENTS} cannot divide: only a rule of its own can go on from a checkpoint"
            yield Fault(
                where=task.label, what=what, remedy="take the rule out of the group, or the resource away", tasks=of
            )
        if len(numbers) > 1:
            what = f"{SEGMENTS} depends on the attempt ({', '.join(map(str, sorted(numbers)))})"
            yield Fault(where=task.label, what=what, remedy="give every attempt the same number", tasks=of)
