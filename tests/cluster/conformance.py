"""Runs the feature matrix and writes the table of the documentation: which case was tried in which way, with what result.

    python tests/cluster/conformance.py docs/conformance.md                   # all of it; takes hours
    python tests/cluster/conformance.py docs/conformance.md -k group          # a part; other cells stay as they are
    python tests/cluster/conformance.py docs/conformance.md --missing         # what has no result yet

Arguments after the file go to pytest. Cells that were tried with other versions than these become empty.
"""

import argparse
import datetime as dt
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from cases import COLUMNS, FEATURES, LEFT_TO_JOBS, Case, why_not  # noqa: E402 - the path comes first
from combinations import CHECKPOINTS, GROUPS, LANGUAGE, OPTIONS, TEMPORARY  # noqa: E402

SECTIONS: Mapping[str, tuple[Case, ...]] = {
    "Features": (*FEATURES, *LEFT_TO_JOBS),
    "Temporary files": TEMPORARY,
    "Checkpoints": CHECKPOINTS,
    "Groups, pipes, services": GROUPS,
    "Options of the command line": OPTIONS,
    "Language": LANGUAGE,
}
SAME, DIFFERS, REFUSED, LEFT_OUT = "same", "**differs**", "refused", "-"
TRIED = "test_a_feature_gives_what_it_gives_locally"
Results = dict[tuple[str, str], str]
"""What was found, by case and column."""


def _shown(parameters: str) -> str:
    """Parameters in the name of a test: pytest escapes what is not ASCII."""
    return parameters.encode("unicode_escape").decode("ascii")


_CELLS = {
    _shown(name): cell
    for cases in SECTIONS.values()
    for case in cases
    for name, cell in (
        (case.name, (case.name, "detached")),
        *((f"{case.name}-{way}", (case.name, way)) for way in COLUMNS),
    )
}
"""What a test is about, by its parameters as pytest writes them; those that need a head process have no column."""

HEAD = """\
# Conformance

Small workflows, each run by Snakemake's local executor and in {ways} ways on a private Slurm. *same*: both leave the same files, content,
provenance and exit code, the same has run, hooks among it, and the next run has the same to do, which is nothing unless a task has failed.
*refused*: only a head process can do it, so `--kempner-detach` refuses it before anything is submitted. *-*: means nothing there, for the reason given below.
An empty cell has not been tried with these versions.

Written on {date} by `python tests/cluster/conformance.py docs/conformance.md`, which takes hours; continuous integration tries a sample.

| | version |
|---|---|
{versions}

{count} workflows; {tried} of {all} cells tried.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the table, usually docs/conformance.md")
    parser.add_argument("--missing", action="store_true", help="only what has no result yet")
    known, arguments = parser.parse_known_args()
    os.environ |= {"MATRIX_COLUMNS": "all", "KEMPNER_REQUIRE_SLURM": "1"}
    whole = (str(HERE / "test_feature_matrix.py"), "-m", "thorough or not thorough")
    watch = _Watch(known.file)
    if known.missing:
        arguments += watch.without_tried()
    return int(pytest.main([*whole, *arguments], plugins=[watch]))


class _Watch:
    """Writes down what becomes of each test of the matrix, as it ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._results = path, _read(path) if path.exists() else {}
        path.write_text(_page(self._results))

    def without_tried(self) -> Iterator[str]:
        """Arguments of pytest that leave out what has a result."""
        for name, column in self._results:
            escaped = f"{name}-{column}".encode("unicode_escape").decode("ascii")
            yield f"--deselect=tests/cluster/test_feature_matrix.py::{TRIED}[{escaped}]"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = _CELLS.get(report.nodeid.partition("[")[2].removesuffix("]"))
        if cell is not None and report.when == "call" and report.outcome != "skipped":
            good = SAME if "locally" in report.nodeid else REFUSED
            self._results[cell] = good if report.passed else DIFFERS
            self._path.write_text(_page(self._results))


@cache
def _versions() -> dict[str, str]:
    slurm = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=True).stdout  # needs no cluster
    return {"Slurm": slurm.split()[-1], "Snakemake": version("snakemake"), "Python": platform.python_version()}


def _version_rows() -> list[str]:
    return [f"| {name} | {number} |" for name, number in _versions().items()]


def _read(path: Path) -> Results:
    """The results of an earlier table, if it was written with these versions."""
    rows = path.read_text().splitlines()
    if not set(_version_rows()) <= set(rows):
        return {}
    cells = (re.split(r" *\| *", row)[1:-1] for row in rows if row.count("|") == len(COLUMNS) + 2)
    return {
        (name, column): found
        for name, *line in cells
        for column, found in zip(COLUMNS, line, strict=True)
        if found in (SAME, DIFFERS, REFUSED)
    }


def _page(results: Results) -> str:
    names = [case.name for cases in SECTIONS.values() for case in cases]
    reasons: dict[str, int] = {}
    sections = "\n".join(
        line for title, cases in SECTIONS.items() for line in (f"\n## {title}\n", *_table(cases, results, reasons))
    )
    head = HEAD.format(
        ways=("no", "one", "two", "three", "four")[len(COLUMNS)],
        date=dt.datetime.now(tz=dt.UTC).date(),
        versions="\n".join(_version_rows()),
        count=len(names),
        tried=sum(cell[0] in names for cell in results),
        all=sum(not _reason(case, column) for cases in SECTIONS.values() for case in cases for column in COLUMNS),
    )
    below = "\n".join(f"{number}. {reason}" for reason, number in reasons.items())
    return f"{head}{sections}\n\n## What means nothing\n\n{below}\n"


def _reason(case: Case, column: str) -> str:
    """Why a cell stays without a result; nothing where a refusal is the result."""
    return "" if case.needs_head and column == "detached" else why_not(case, column)


def _table(cases: tuple[Case, ...], results: Results, reasons: dict[str, int]) -> Iterator[str]:
    yield f"| case | {' | '.join(COLUMNS)} |"
    yield f"|---|{'---|' * len(COLUMNS)}"
    for case in cases:
        row = (_cell(case, column, results, reasons) for column in COLUMNS)
        yield f"| {case.name} | {' | '.join(row)} |"


def _cell(case: Case, column: str, results: Results, reasons: dict[str, int]) -> str:
    if reason := _reason(case, column):
        return f"{LEFT_OUT} ({reasons.setdefault(reason, len(reasons) + 1)})"
    return results.get((case.name, column), "")


if __name__ == "__main__":
    sys.exit(main())
