"""`kempner export`: the plan of a run, from its records."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..export.bash import bash_script
from ..export.forms import GRAPHS, form_of, write
from ..export.graph import Node, shown
from ..export.recorded import recorded_script
from ..phrases import command_line, count_of, short_path
from ..reporting.colours import COLOURS
from ..state.judged import run_state
from ..state.model import RunState
from ..state.sources import read_sources
from .places import Place


def export(place: Place, run: str, *, form: str | None, output: str | None) -> None:
    """Print the plan, or write it into a file.

    Raises:
        KempnerError: there is no such run, it cannot be exported, or the file cannot be written.
    """
    path = Path(output) if output else None
    form = form or (form_of(path) if path else "bash")
    ledger = place.ledger(run)
    sources = read_sources(ledger, place.slurm_of(ledger))
    if form in GRAPHS:
        text = GRAPHS[form](shown(tuple(_nodes(run_state(sources)))))
    else:
        left_out = [f"there was no room for {count_of(len(sources.ledger.left_out), 'output')}, or a result decides"]
        command = command_line(tuple(sources.ledger.header.get("command", ())))
        text = bash_script(
            recorded_script(
                sources.ledgers, command, left_out if sources.ledger.left_out and not sources.ledger.closed else ()
            )
        )
    if path is None:
        sys.stdout.write(text)
        return
    write(path, text)
    print(short_path(path.absolute()), file=sys.stderr)


def _nodes(state: RunState) -> Iterator[Node]:
    for task in state.tasks:
        yield Node(
            key=task.key,
            label=task.label,
            rule=task.rule,
            edges=task.edges,
            state=task.state.value,
            colour=COLOURS[task.state],
        )
