"""Rules that may get jobs only after a checkpoint: their resources can be checked now."""

from collections.abc import Iterator
from typing import Any

from ..plan.step import NOTHING
from ..plan.task import Attempt, Task
from .resources import Evaluator


def possible_tasks(workflow: Any) -> tuple[Task, ...]:
    """A sample task for each rule without jobs in the DAG whose resources do not depend on the job.

    Empty without an open checkpoint.
    """
    dag = workflow.dag
    if all(map(dag.finished, dag.checkpoint_jobs)):
        return ()
    return tuple(_tasks(workflow, {job.rule.name for job in dag.jobs}))


def _tasks(workflow: Any, here: set[str]) -> Iterator[Task]:
    evaluator = Evaluator(workflow.resource_settings._parsed_default_resources)  # noqa: SLF001 - has no other name
    for rule in workflow.rules:
        if rule.name in here or rule.norun or workflow.is_local(rule):
            continue
        if (found := evaluator.of_rule(rule)) is not None:
            attempt = Attempt(number=1, threads=found.threads, resources=found.resources, step=NOTHING)
            yield Task(key=rule.name, name=rule.name, wildcards={}, attempts=(attempt,))
