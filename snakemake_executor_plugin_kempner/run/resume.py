"""Goes on with a run in one of its own jobs."""

from collections.abc import Callable
from pathlib import Path

from ..plan.dependency import Ref
from ..plan.model import LOOK_AFTER, Kind
from ..slurm.client import Slurm
from ..slurm.states import JobState
from .adopt import all_of_run, carried_out, in_queue
from .clock import Clock
from .ledger import read_ledger
from .live import LiveRun
from .opening import patiently, seen
from .outcome import TaskEvent

_RETRY = 10.0


def go_on(live: LiveRun, slurm: Slurm, clock: Clock, warn: Callable[[str], None]) -> tuple[TaskEvent, ...]:
    """Continue a run in one of its own jobs, with all its tasks, ended or not.

    Returns:
        The events of its tasks so far.

    Raises:
        LedgerError: the run's ledger cannot be read.
        SlurmError: Slurm did not answer.
    """
    ledger = read_ledger(Path(live.policy.folder))
    queue, names = patiently(lambda: seen([ledger], slurm), warn)
    here = [entry for entry in in_queue([ledger], queue, names) if entry.kind in LOOK_AFTER]
    helpers = {Ref(entry.task, entry.attempt): entry.job_id for entry in here}
    waiting = [
        ref
        for ref, job_id in helpers.items()
        if ref.task == Kind.CLOSING.value and queue[job_id].state is JobState.WAITING
    ]
    live.adopt(all_of_run(ledger, names), own=True)
    live.look_after(carried_out(ledger.of_kind(Kind.GATE), names), own=True)
    live.go_on(
        helpers,
        submitted=ledger.last_number,
        closing=waiting[-1] if waiting else None,
        withdrawn=ledger.cancelled - ledger.cancelled_by_user,
    )
    events: tuple[TaskEvent, ...] = live.refuse(ledger.refused, own=True)
    events += live.observe()
    while not live.was_answered:  # without an answer, all jobs would look lost
        clock.sleep(_RETRY)
        events += live.observe()
    return events
