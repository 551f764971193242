"""`python -m snakemake_executor_plugin_kempner.efficiency`: how much of their requested resources a run's jobs used."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import KempnerError, LedgerError
from ..layout import run_folders
from ..run.cluster import cluster_of_run
from ..run.ledger import read_ledger
from ..run.ledger_record import LedgerRecord
from ..slurm.client import SlurmCommands
from ..spreadsheet import as_csv
from .jobs import run_use
from .report import CELLS, WIDTH, use_message

RUNS = Path(".snakemake/kempner")


def main(words: Sequence[str] | None = None) -> int:
    """Print the report, or write the rows, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m snakemake_executor_plugin_kempner.efficiency", description=__doc__)
    parser.add_argument(
        "run", nargs="?", default="", metavar="RUN", help="name of a run in this folder; else the latest"
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write a row for each job; - for standard output")
    arguments = parser.parse_args(words)
    try:
        ledger = _ledger(RUNS, arguments.run)
        use = run_use(ledger, SlurmCommands(cluster=cluster_of_run(ledger)), _warn)
        if arguments.csv == "-":
            sys.stdout.write(as_csv(CELLS, use.jobs))
            return 0
        print(use_message(use, max(WIDTH, shutil.get_terminal_size().columns)))
        if arguments.csv:
            Path(arguments.csv).write_text(as_csv(CELLS, use.jobs), encoding="utf-8", errors="surrogateescape")
    except (KempnerError, OSError) as error:
        _warn(str(error))
        return 1
    return 0


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _ledger(runs: Path, name: str) -> LedgerRecord:
    """The ledger of the run of that name; without a name, of the run that began last.

    Raises:
        LedgerError: there is no such run, or its ledger cannot be read.
    """
    names = sorted(folder.name for folder in run_folders(runs))
    if not names:
        raise LedgerError(
            f"No run is recorded in {runs.absolute()}: call this in the folder where snakemake was called"
        )
    if name and name not in names:
        raise LedgerError(f"No run {name!r} is recorded in {runs}. There are: {', '.join(names)}")
    if name:
        return read_ledger(runs / name)
    return max((read_ledger(runs / run) for run in names), key=lambda ledger: ledger.began)


if __name__ == "__main__":
    sys.exit(main())
