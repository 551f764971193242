"""Errors are heard despite Snakemake's --quiet and its logger plugins: nothing else explains a failure, since jobs run elsewhere."""

import logging
import os
import sys
from inspect import signature
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
        logger.addHandler(_Unheard(_usual_filter(settings.quiet)))


def _usual_filter(quiet: Any) -> DefaultFilter:
    """What Snakemake leaves out with this --quiet. Which other switches its filter has differs by version."""
    switches = dict.fromkeys(signature(DefaultFilter).parameters, False)
    return DefaultFilter(**{**switches, "quiet": quiet, "printshellcmds": True})


def shows_messages(workflow: Any, job: Any) -> bool:
    """Whether the message about a failed job is printed with Snakemake's word about it.

    For groups Snakemake leaves the message out, and so does a logger plugin that prints in place of Snakemake
    (snakemake-logger-plugin-rich).
    """
    handlers = workflow.logger_manager.plugin_handlers
    return not job.is_group() and not any(handler.writes_to_stream for handler in handlers)


def has_terminal_to_itself(workflow: Any) -> bool:
    """Whether Snakemake itself prints on a terminal, and is not told to be quiet."""
    is_alone = not any(handler.writes_to_stream for handler in workflow.logger_manager.plugin_handlers)
    may_move = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return is_alone and may_move and not workflow.output_settings.quiet
