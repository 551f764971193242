"""Finds what a command is about: the folder, the run, the tasks."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path

from ..errors import KempnerError
from ..layout import LEDGER, run_folders
from ..printable import printable
from ..run.cluster import cluster_of_run
from ..run.ledger import read_ledger
from ..run.ledger_record import LedgerRecord, began
from ..slurm.client import SlurmCommands
from ..slurm.ids import array_id
from ..state.judged import run_state
from ..state.model import RunState, TaskState
from ..state.sources import read_sources

FOLDER = Path(".snakemake/kempner")
FAILED = "failed"
_JOB_ID = re.compile(r"\d+(_\d+)?")
_SHORTEST = 3
"""Characters of a part of a run's name."""


class NotFoundError(KempnerError):
    """What the user has named does not exist."""


class Place:
    """The folder of a workflow, with the runs that are recorded there.

    Args:
        start: where to look, and then above.
    """

    def __init__(self, start: Path) -> None:
        self._start = start.expanduser().absolute()
        self._slurm_at = cache(lambda cluster: SlurmCommands(timeout=60, cluster=cluster))

    def slurm_of(self, ledger: LedgerRecord) -> SlurmCommands:
        """The Slurm that has the jobs of a run, perhaps another cluster's."""
        return self._slurm_at(cluster_of_run(ledger))

    @cached_property
    def runs(self) -> Path:
        """The folder of the runs.

        Raises:
            NotFoundError: there is none here or above.
        """
        for folder in (self._start, *self._start.parents):
            if (folder / FOLDER).is_dir():
                return folder / FOLDER
        raise NotFoundError(
            f"No run is recorded in {self._start} or above it. Go to the folder where you gave the snakemake command, or "
            "name it: kempner -C FOLDER"
        )

    @property
    def workdir(self) -> Path:
        return self.runs.parent.parent

    def latest_first(self) -> list[str]:
        """Names of the runs that have a first line, which says when they began.

        Raises:
            NotFoundError: there is none.
        """
        times = {name: _began(self.runs / name / LEDGER) for name in self.names()}
        if not times:
            raise NotFoundError(f"No run is recorded in {self.runs}.")
        return sorted(times, key=lambda name: times[name], reverse=True)

    def ledger(self, name: str = "") -> LedgerRecord:
        """The ledger of a run: by name, a unique part of it, or the latest.

        Raises:
            NotFoundError: there is no such run, or several.
            LedgerError: it cannot be read.
        """
        if not name:
            return read_ledger(self.runs / self.latest_first()[0])
        names = self.names()
        found = [run for run in names if run == name] or [run for run in names if name in run]
        if len(found) == 1:
            return read_ledger(self.runs / found[0])
        what = f"Several runs are called {name!r}" if found else f"No run is called {name!r}"
        raise NotFoundError(f"{what}. There are: {', '.join(found or names)}")

    def names(self) -> list[str]:
        """Names of the runs."""
        return sorted(folder.name for folder in run_folders(self.runs))

    def is_run(self, name: str) -> bool:
        """Whether the word means a run, and no task."""
        names = self.names()
        return name in names or (len(name) >= _SHORTEST and sum(name in run for run in names) == 1)

    def state(self, name: str = "") -> RunState:
        """The state of a run.

        Raises:
            NotFoundError, LedgerError: as `ledger`.
        """
        ledger = self.ledger(name)
        return run_state(read_sources(ledger, self.slurm_of(ledger)))


def _began(path: Path) -> float:
    """By its first line; a ledger that cannot be read counts as the oldest."""
    try:
        with path.open("rb") as file:
            return began(json.loads(file.readline()))
    except (OSError, ValueError, AttributeError, TypeError):
        return 0.0


def chosen(state: RunState, words: Iterable[str]) -> tuple[TaskState, ...]:
    """The tasks that words name: a rule, `train[lr=0.1,*]`, a job id, or `failed`; in the order of planning.

    Raises:
        NotFoundError: a word names none.
    """
    found: dict[str, TaskState] = {}
    for word in words:
        tasks = [task for task in state.tasks if is_meant(task, word)]
        if not tasks and word != FAILED:
            raise NotFoundError(_nothing(state, word))
        found |= {task.key: task for task in tasks}
    return tuple(task for task in state.tasks if task.key in found)


def is_meant(task: TaskState, word: str) -> bool:
    """Whether a word names the task."""
    if word == FAILED:
        return task.state.is_cause
    if _JOB_ID.fullmatch(word):
        return any(word in (attempt.job_id, array_id(attempt.job_id)) for attempt in task.attempts if attempt.job_id)
    return word in (task.rule, task.label) or _pattern(word).fullmatch(task.label) is not None


def _pattern(word: str) -> re.Pattern[str]:
    """`*` stands for anything and `?` for a character; brackets are the label's own."""
    return re.compile(re.escape(word).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _nothing(state: RunState, word: str) -> str:
    helper = next((helper for helper in state.helpers if helper.job_id == word), None)
    if helper is not None:
        return f"Slurm job {word} runs no task: it is the {helper.kind} job of run {state.run}."
    if _JOB_ID.fullmatch(word):
        return f"No task of run {state.run} was Slurm job {word}."
    near = get_close_matches(word, [*state.rules, *(task.label for task in state.tasks[:1000])], n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"No task of run {state.run} is called {printable(word)!r}.{meant} Its rules: {', '.join(state.rules)}"
