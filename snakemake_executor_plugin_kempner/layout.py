"""What lies where in the folder of a run, `.snakemake/kempner/<run>/`."""

import os
from collections.abc import Iterator
from pathlib import Path

LEDGER = "ledger.jsonl"
"""What was intended, submitted, ended and cancelled, a line each."""
LOGS = "logs"
"""What the jobs print, below a folder for each rule; elsewhere with --kempner-logdir."""
ENDED = "ended"
"""A record of each job by itself: when it started and ended, where, with which exit code."""
ARRAYS = "arrays"
"""What the elements of a job array do not have in common."""
SCRIPTS = "scripts.jsonl"
"""What each call of sbatch runs and waits for, a line each, so that a run can be exported."""
SUCCEEDED = "succeeded"
"""A file for each task that has succeeded, for those that remove temporary files by themselves."""
STOPPED = "stopped"
"""Ids of jobs that were taken out of the queue after a failure, by who did so."""
SHORT_LIVED = "short_lived"
"""A folder for each node, with a file for each job that failed there within a minute of its start."""
KEPT_OFF = "kept_off"
"""The nodes that a further attempt keeps off, a file for each job."""
UP_TO_DATE = "up_to_date"
"""Jobs of Snakemake that did not have to run when the run began, or that its head has run itself."""
LIGHT = "light"
"""The program of light jobs, in a folder for each version of it."""
SOURCES = "sources"
"""The workflow as it was when the run began: Snakefiles, wrappers, configuration."""
CLOSED = "closed"
"""Nothing of the run is left to look after."""
PAGE = "closing.log"
"""The end of the run in a page, by whichever process has ended it."""
CLOSING_JOB_LOG = "closing-job.log"
"""What the closing job and its Snakemake have printed."""
REPORT = "report.html"
"""The page of `kempner report --html`."""
CHECKPOINTS = "checkpoints"
"""Beside the folders of runs: KEMPNER_CHECKPOINT_DIR of each task."""
LATEST = "latest"
"""Beside the folders of runs: a link to that of the run that began last."""


def run_folders(runs: Path) -> Iterator[Path]:
    """The folders of runs that have a ledger, each once: a link to a run is none, and a device would be read for ever."""
    return (path.parent for path in runs.glob(f"*/{LEDGER}") if os.path.isfile(path) and not path.parent.is_symlink())
