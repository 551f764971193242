"""A head that has been replaced while it was stopped ends as `kill -9` would end it, before it does any more harm.

Snakemake's own way out unlocks the folder, removes outputs and runs hooks: all of that is another process's by now. What
`kill -9` leaves behind, that process can cope with.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from snakemake.logging import logger

from ..errors import ClaimLost


def leave_when_lost(workflow: Any, check: Callable[[], None]) -> Callable[[], None]:
    """What to call before anything is done; it comes back only where this process still looks after the run.

    Snakemake's scheduler calls it too, before each of its rounds, in which it may start local rules, and before each job
    that it finishes or gives up, which may remove files.

    Args:
        workflow: Snakemake's.
        check: raises ClaimLost.
    """

    def ask() -> None:
        try:
            check()
        except ClaimLost as error:
            logger.error(str(error))
            workflow.logger_manager.stop()  # what was said is still printed
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
