"""`kempner runs`: the runs of a folder, the latest first."""

import time
from dataclasses import dataclass
from functools import cached_property

from ..phrases import command_line
from ..slurm.client import SlurmCommands
from ..slurm.listing import Listed
from ..state.judged import run_state
from ..state.model import RunState, State
from ..state.sources import read_sources
from ..state.wording import moment
from .output import console, print_json, text
from .places import Place

_MOST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """A run in a few words."""

    run: str
    since: float
    state: str
    tasks: int
    done: int
    failed: int
    command: str


def runs(place: Place, *, as_json: bool) -> None:
    """List the runs."""
    asked: dict[SlurmCommands, _Once] = {}
    lines: list[RunLine] = []
    for ledger in map(place.ledger, place.latest_first()[:_MOST]):
        slurm = place.slurm_of(ledger)
        lines.append(_line(run_state(read_sources(ledger, asked.setdefault(slurm, _Once(slurm))))))
    if as_json:
        print_json(lines)
        return
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only here
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("run", "began", "state", "done", "failed"):
        table.add_column(name, no_wrap=True)
    table.add_column("command", overflow="fold")
    now = time.time()
    for line in lines:
        done, failed = f"{line.done} of {line.tasks}", str(line.failed or "·")
        table.add_row(
            text(line.run), moment(line.since, now), text(line.state), done, failed, text(line.command, "faint")
        )
    out = console()
    out.print(text(f"Runs of {place.workdir.name}, {place.workdir}", "strong"))
    out.print(table)


def _line(state: RunState) -> RunLine:
    if state.taken_over_by:
        word = f"taken over by {state.taken_over_by}"
    elif state.is_open:
        word = "under way"
    else:
        word = "ended" if state.closed else "stands still"
    return RunLine(
        run=state.run,
        since=state.since,
        state=word,
        tasks=len(state.tasks),
        done=state.numbers.get(State.DONE, 0),
        failed=state.numbers.get(State.FAILED, 0),
        command=command_line(state.command),
    )


class _Once:
    """Slurm, asked for its name and its list of jobs only once."""

    def __init__(self, slurm: SlurmCommands) -> None:
        self._slurm = slurm
        self.accounting = slurm.accounting

    @cached_property
    def _cluster(self) -> str:
        return self._slurm.cluster()

    def cluster(self) -> str:
        return self._cluster

    @cached_property
    def _listed(self) -> tuple[Listed, ...]:
        return self._slurm.listing()

    def listing(self) -> tuple[Listed, ...]:
        return self._listed
