"""Ends a head that was replaced while it was stopped, as abruptly as `kill -9` would.

Snakemake's regular shutdown unlocks the folder, removes outputs and runs hooks, which all belong to another process by
now. That process can handle the state that `kill -9` leaves.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from snakemake.logging import logger

from ..errors import ClaimLost


def leave_when_lost(workflow: Any, check: Callable[[], None]) -> Callable[[], None]:
    """A function to call before any action: it returns only if this process still looks after the run.

    Snakemake's scheduler calls it too: before each round, which may start local rules, and before it finishes or fails
    a job, which may remove files.

    Args:
        workflow: Snakemake's.
        check: raises ClaimLost.
    """

    def ask() -> None:
        try:
            check()
        except ClaimLost as error:
            logger.error(str(error))
            workflow.logger_manager.stop()  # prints pending messages
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    scheduler = workflow.scheduler
    scheduler._finish_jobs = _one_by_one(scheduler, "_tofinish", scheduler._finish_jobs, ask)  # noqa: SLF001
    scheduler._error_jobs = _one_by_one(scheduler, "_toerror", scheduler._error_jobs, ask)  # noqa: SLF001
    return ask


def _one_by_one(scheduler: Any, name: str, act: Callable[[], None], ask: Callable[[], None]) -> Callable[[], None]:
    def act_on_each() -> None:
        jobs = list(getattr(scheduler, name))
        for part in [[job] for job in jobs] or [[]]:
            ask()
            setattr(scheduler, name, part)
            act()

    return act_on_each
