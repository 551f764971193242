"""Runs an action instead of the workflow's jobs, after Snakemake has built the DAG."""

from collections.abc import Callable
from typing import Any

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError, print_exception
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.workflow import Workflow

from ..errors import KempnerError


def instead_of_scheduling(action: Callable[[Any, Any], None]) -> None:
    """Make Snakemake, in this process, call an action instead of running jobs, without hooks and environments.

    Args:
        action: gets Snakemake's workflow and its executor.
    """
    execute = Workflow.execute

    def prepare(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("executor_settings") is not None:  # else a dry run, with another executor
            self._onstart = self._onsuccess = self._onerror = _nothing
            self.execution_settings.lock = False
            DAG.create_conda_envs = DAG.pull_container_imgs = _nothing
            JobScheduler.schedule = schedule
        return execute(self, *args, **kwargs)

    def schedule(self: Any) -> None:
        try:
            action(self.workflow, self._executor)
        except KempnerError as error:
            # If raised, the message would name our files.
            print_exception(WorkflowError(str(error)), self.workflow.linemaps)
            raise SystemExit(1) from None
        finally:
            self._executor.shutdown()

    Workflow.execute = prepare


def _nothing(*_args: Any, **_kwargs: Any) -> None: ...
