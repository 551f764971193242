"""Snakemake reads the workflow, which may say where its working directory is, and then does something else."""

from collections.abc import Callable
from typing import Any

from snakemake.exceptions import WorkflowError, print_exception
from snakemake.logging import logger
from snakemake.workflow import Workflow

from ..errors import KempnerError
from .quiet import let_errors_be_heard


def instead_of_running(action: Callable[[Callable[[str], None], Callable[[str], None]], None]) -> None:
    """Let Snakemake, in this process, do this in place of running a workflow.

    Args:
        action: gets what prints a message, and what prints a warning.
    """
    run = Workflow.execute

    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("executor_settings") is None:  # a dry run, which is another executor's
            return run(self, *args, **kwargs)
        let_errors_be_heard(self)
        try:
            return action(logger.info, logger.warning)
        except KempnerError as error:
            print_exception(WorkflowError(str(error)), self.linemaps)  # raised, it would name our files
            raise SystemExit(1) from None

    Workflow.execute = execute
