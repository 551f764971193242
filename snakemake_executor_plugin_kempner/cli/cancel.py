"""`kempner cancel`: a whole run, or tasks and what needs them; asks first."""

from collections import Counter
from dataclasses import dataclass

import click

from ..causes.alike import names
from ..ending.finish import Finish
from ..errors import SlurmError
from ..phrases import count_of
from ..run.cancelling import Canceller
from ..state.model import RunState, TaskState
from .output import print_json
from .places import Place, chosen, is_meant


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled:
    """What was cancelled."""

    run: str
    tasks: tuple[str, ...]
    needing: tuple[str, ...]
    """Tasks that needed them, and were cancelled with them."""
    message: str


def cancel(place: Place, run: str, words: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Cancel a run, or tasks of it."""
    state = _answered(place.state(run))
    is_task = any(is_meant(task, word) for word in words for task in state.tasks)
    if len(words) == 1 and not run and not is_task and place.is_run(words[0]):
        state, words = _answered(place.state(words[0])), ()
    tasks = _open(chosen(state, words) if words else state.tasks)
    needing = tuple(task for task in state.needing(*tasks) if task.state.is_open) if words else ()
    if not tasks and (words or state.closed):
        message = f"Nothing of that is in the queue (run {state.run})."
    else:
        if not yes:
            click.confirm(f"{_what(state, tasks, needing, is_all=not words)} Cancel?", abort=True, err=as_json)
        ledger = place.ledger(state.run)
        slurm = place.slurm_of(ledger)
        finish = Finish(slurm=slurm, say=_say, warn=_say)
        canceller = Canceller(place.runs, str(place.workdir), slurm, _say, _say, finish=finish.cancelled)
        message = canceller.tasks(ledger, {task.key for task in tasks}) if words else canceller.run(ledger)
    if as_json:
        labels = tuple(task.label for task in tasks)
        print_json(
            Cancelled(run=state.run, tasks=labels, needing=tuple(task.label for task in needing), message=message)
        )
    else:
        click.echo(message)


def _answered(state: RunState) -> RunState:
    """Raises SlurmError: Slurm did not answer, so nobody knows what is in the queue."""
    if state.unanswered:
        raise SlurmError(f"Nothing was cancelled, because Slurm could not be asked: {state.unanswered}")
    return state


def _open(tasks: tuple[TaskState, ...]) -> tuple[TaskState, ...]:
    return tuple(task for task in tasks if task.state.is_open)


def _what(state: RunState, tasks: tuple[TaskState, ...], needing: tuple[TaskState, ...], *, is_all: bool) -> str:
    numbers = ", ".join(f"{number} {word}" for word, number in Counter(task.state.value for task in tasks).items())
    if is_all:
        return f"Run {state.run} has {count_of(len(tasks), 'task')} left ({numbers or 'none'})."
    also = (
        f" {count_of(len(needing), 'task')} that need them go with them: {names(task.label for task in needing)}."
        if needing
        else ""
    )
    return (
        f"{count_of(len(tasks), 'task')} of run {state.run} ({numbers}): {names(task.label for task in tasks)}.{also}"
    )


def _say(message: str) -> None:
    click.echo(message, err=True)
