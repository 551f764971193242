"""Rules that have no job yet and may get some when a checkpoint has ended: what they will ask for can be checked now."""

from collections.abc import Iterator
from typing import Any

from ..plan.model import Attempt, Task
from ..plan.step import NOTHING
from .resources import Evaluator


def possible_tasks(workflow: Any) -> tuple[Task, ...]:
    """A task for each rule outside of the DAG whose resources are the same for all of its jobs; none without a checkpoint."""
    dag = workflow.dag
    if all(map(dag.finished, dag.checkpoint_jobs)):
        return ()
    return tuple(_tasks(workflow, {job.rule.name for job in dag.jobs}))


def _tasks(workflow: Any, here: set[str]) -> Iterator[Task]:
    evaluator = Evaluator(workflow.resource_settings._parsed_default_resources)  # noqa: SLF001 - has no other name
    for rule in workflow.rules:
        if rule.name in here or rule.norun or workflow.is_local(rule):
            continue
        if (asked := evaluator.of_rule(rule)) is not None:
            attempt = Attempt(number=1, threads=asked.threads, resources=asked.resources, step=NOTHING)
            yield Task(key=rule.name, name=rule.name, wildcards={}, attempts=(attempt,))
