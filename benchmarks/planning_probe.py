"""One process of the planning benchmark: Snakemake builds a DAG, and on top of it, where asked, we read and plan.

`python planning_probe.py RESULT ours|snakemake SNAKEMAKE_ARGUMENTS…` stops where Snakemake would begin to hand over jobs.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from snakemake import cli
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.workflow import Workflow

HANDED_OVER = 100
"""How many jobs the scheduler hands over first."""


class Clock:
    """Wall and CPU seconds since it was made, and the memory that the process has needed."""

    def __init__(self) -> None:
        """Begin now."""
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Seconds, and the highest memory of the process so far in MB."""
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"wall": wall, "cpu": cpu, "memory": memory}


def main(words: list[str]) -> None:
    """Run Snakemake up to the point where it would schedule, write what it took, and end the process."""
    result, who, *arguments = words
    clocks: list[Clock] = []
    execute = Workflow.execute

    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        clocks.append(Clock())
        return execute(self, *args, **kwargs)

    def stop(_scheduler: Any, workflow: Any, *_args: Any) -> None:
        figures: dict[str, Any] = {"dag": clocks[0].read(), "jobs": len(workflow.dag)}
        if who == "ours":
            figures |= plan(workflow)
        Path(result).write_text(json.dumps(figures))
        sys.stdout.flush()
        os._exit(0)

    Workflow.execute = begin
    JobScheduler.__init__ = stop
    cli.main(arguments)
    sys.exit("Snakemake did not come to its scheduler")


def plan(workflow: Any) -> dict[str, Any]:
    """What the executor does when the first jobs are handed over, up to the first call of sbatch."""
    from snakemake_executor_plugin_kempner.adapt.command import JobCommand  # noqa: PLC0415 - not for Snakemake alone
    from snakemake_executor_plugin_kempner.adapt.dag import read_dag  # noqa: PLC0415
    from snakemake_executor_plugin_kempner.adapt.policy import policy_of  # noqa: PLC0415
    from snakemake_executor_plugin_kempner.adapt.units import Scope  # noqa: PLC0415
    from snakemake_executor_plugin_kempner.plan.planner import make_plan  # noqa: PLC0415
    from snakemake_executor_plugin_kempner.settings import common_settings  # noqa: PLC0415

    folder = Path(".snakemake/kempner/planning").absolute()
    scope = Scope(
        folder=str(folder),
        ready=list(islice(workflow.dag.ready_jobs, HANDED_OVER)),
        known=lambda _key: False,
        in_flight=(),
    )
    reading, read = _timed(lambda: read_dag(workflow, JobCommand(workflow, common_settings, folder), scope))
    policy = policy_of(workflow, workflow.executor_settings, folder, sys.executable, detached=False, may_go_on=True)
    made, planned = _timed(lambda: make_plan(reading.tasks, policy, reading.deferred))
    edges = sum(len(task.edges) for task in reading.tasks)
    return {"read": read, "plan": planned, "tasks": len(reading.tasks), "edges": edges, "calls": len(made.calls)}


def _timed(action: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    clock = Clock()
    return action(), clock.read()


if __name__ == "__main__":
    main(sys.argv[1:])
