"""Tasks, steps and plans for tests, with everything filled in that a test does not care about."""

from collections.abc import Mapping, Sequence
from typing import Any

from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.model import Plan, Policy
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.segments import in_segments
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.plan.task import Attempt, Edge, Task, label

POLICY = Policy(run="run1", folder="/flow/.snakemake/kempner/run1", workdir="/flow", python="/env/bin/python")


def a_step(task: str = "align[sample=a]", attempt: int = 1, **fields: Any) -> StepSpec:
    known = {"folder": "/flow", "records": "/records", "targets": (("align", {"sample": "a"}),), "arguments": ()}
    return StepSpec(task=task, attempt=attempt, **{**known, **fields})


def a_task(
    name: str,
    *after: "str | Edge",
    attempts: int = 1,
    wildcards: Mapping[str, str] | None = None,
    threads: int = 1,
    resources: Mapping[str, int | str] | Sequence[Mapping[str, int | str]] = (),
) -> Task:
    """A task whose key is its label, `align` or `align[sample=a]`, behind the tasks of those keys.

    Args:
        name: of the rule.
        after: keys of tasks that it needs, or edges.
        attempts: how often it is tried.
        wildcards: of the rule.
        threads: of every attempt.
        resources: of every attempt, or one mapping for each.
    """
    key = label(name, wildcards or {})
    each = [resources] * attempts if isinstance(resources, Mapping) else [*resources, *([{}] * attempts)][:attempts]
    return Task(
        key=key,
        name=name,
        wildcards=wildcards or {},
        attempts=in_segments(
            [
                Attempt(number=number, threads=threads, resources=one, step=a_step(key, number))
                for number, one in enumerate(each, start=1)
            ]
        ),
        edges=tuple(Edge(on=one) if isinstance(one, str) else one for one in after),
    )


def edge(kind: str, on: str, minutes: int | None = None) -> Edge:
    return Edge(on=on, type=DependencyType(kind), minutes=minutes)


def a_plan(*tasks: Task, policy: Policy = POLICY) -> Plan:
    return make_plan(tasks, policy)


def chain() -> tuple[Task, ...]:
    return a_task("fetch"), a_task("align", "fetch"), a_task("plot", "align")


def diamond(width: int = 3) -> tuple[Task, ...]:
    """One task, `width` tasks behind it, and one that needs them all."""
    middle = [a_task("align", "split", wildcards={"sample": str(number)}) for number in range(1, width + 1)]
    return (a_task("split"), *middle, a_task("merge", *(one.key for one in middle)))


def sweep(width: int) -> tuple[Task, ...]:
    """`width` trainings on the same data, an evaluation of each, and a report on all."""
    settings = [{"lr": str(number)} for number in range(1, width + 1)]
    trainings = [a_task("train", "fetch", wildcards=one, resources={"gpu": 1}) for one in settings]
    evaluations = [a_task("evaluate", train.key, wildcards=train.wildcards) for train in trainings]
    return (a_task("fetch"), *trainings, *evaluations, a_task("report", *(one.key for one in evaluations)))


def retry_with_gate() -> tuple[Task, ...]:
    """A task with three attempts before one that needs another task as well."""
    more = [{"mem_mb": 1000 * number, "runtime": 60 * number} for number in (1, 2, 3)]
    return a_task("train", attempts=3, resources=more), a_task("fetch"), a_task("report", "train", "fetch")
