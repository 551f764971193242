"""Runs an action instead of the workflow, after Snakemake has read it (the Snakefile may set the working directory)."""

from collections.abc import Callable
from typing import Any

from snakemake.exceptions import WorkflowError, print_exception
from snakemake.logging import logger
from snakemake.workflow import Workflow

from ..errors import KempnerError
from .quiet import let_errors_be_heard


def instead_of_running(action: Callable[[Callable[[str], None], Callable[[str], None]], None]) -> None:
    """Make Snakemake, in this process, call an action instead of running the workflow.

    Args:
        action: gets a function that prints a message, and a function that prints a warning.
    """
    run = Workflow.execute

    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("executor_settings") is None:  # a dry run, with another executor
            return run(self, *args, **kwargs)
        let_errors_be_heard(self)
        try:
            return action(logger.info, logger.warning)
        except KempnerError as error:
            print_exception(WorkflowError(str(error)), self.linemaps)  # if raised, the message would name our files
            raise SystemExit(1) from None

    Workflow.execute = execute
