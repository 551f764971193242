"""Prints errors despite Snakemake's --quiet: they are the only explanation of a failure, since jobs run elsewhere."""

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
    """Print errors whatever --quiet says; the handler is added once per process."""
    settings = workflow.output_settings
    if settings.quiet and not settings.dryrun and not any(isinstance(handler, _Unheard) for handler in logger.handlers):
        logger.addHandler(_Unheard(DefaultFilter(settings.quiet, False, False, False, True)))
