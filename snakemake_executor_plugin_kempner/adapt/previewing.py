"""Snakemake reads the workflow and builds its DAG, and when it would begin to run it, something else is done."""

from collections.abc import Callable
from typing import Any

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError, print_exception
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.workflow import Workflow

from ..errors import KempnerError


def instead_of_scheduling(action: Callable[[Any, Any], None]) -> None:
    """Let Snakemake, in this process, do this in place of running jobs; no hook runs and no environment is built.

    Args:
        action: gets Snakemake's workflow and its executor.
    """
    execute = Workflow.execute

    def prepare(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("executor_settings") is not None:  # else a dry run, which is another executor's
            self._onstart = self._onsuccess = self._onerror = _nothing
            self.execution_settings.lock = False
            DAG.create_conda_envs = DAG.pull_container_imgs = _nothing
            JobScheduler.schedule = schedule
        return execute(self, *args, **kwargs)

    def schedule(self: Any) -> None:
        try:
            action(self.workflow, self._executor)
        except KempnerError as error:
            print_exception(WorkflowError(str(error)), self.workflow.linemaps)  # raised, it would name our files
            raise SystemExit(1) from None
        finally:
            self._executor.shutdown()

    Workflow.execute = prepare


def _nothing(*_args: Any, **_kwargs: Any) -> None: ...
