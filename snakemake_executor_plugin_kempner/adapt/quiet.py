"""Snakemake's --quiet leaves out failures too; a run whose jobs are elsewhere has nothing else to say why it failed."""

import logging
import sys
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter, logger


class _Unheard(logging.Handler):
    """Writes the errors that --quiet leaves out to standard error."""

    def __init__(self, usual: DefaultFilter) -> None:
        super().__init__(logging.ERROR)
        self._usual = usual
        self.setFormatter(DefaultFormatter(set(), False))

    def emit(self, record: logging.LogRecord) -> None:
        if not self._usual.filter(record):
            print(self.format(record), file=sys.stderr, flush=True)


def let_errors_be_heard(workflow: Any) -> None:
    """Let failures be printed whatever --quiet says; once for a process."""
    settings = workflow.output_settings
    if settings.quiet and not settings.dryrun and not any(isinstance(one, _Unheard) for one in logger.handlers):
        logger.addHandler(_Unheard(DefaultFilter(settings.quiet, False, False, False, True)))
