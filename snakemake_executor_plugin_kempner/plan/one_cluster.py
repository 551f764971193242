"""All jobs of a run go to one cluster: Slurm's dependencies do not cross clusters. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from ..errors import Fault
from .model import Policy
from .resources import TaskOptions
from .task import Task


def faults_of_clusters(
    tasks: Sequence[Task], options: Mapping[tuple[str, int], TaskOptions], policy: Policy
) -> Iterator[Fault]:
    """A fault for each task that names several clusters, or that would go to another cluster than the run."""
    names = {
        task.key: dict.fromkeys(_name(options[task.key, attempt.number]) for attempt in task.attempts) for task in tasks
    }
    run = policy.cluster or next((name for of_task in names.values() for name in of_task if name), "")
    for task in tasks:
        for name in names[task.key]:
            if "," in name or name.lower() == "all":
                yield _fault(task, f"clusters={name} names several clusters", run)
            elif name == "" and task.name in policy.local_rules:
                continue
            elif (goes_to := name or policy.home or run).lower() != run.lower():
                which = f"clusters={name}" if name else f"names no cluster, so it would go to {goes_to}"
                yield _fault(task, f"{which}, and this run goes to {run}", run)


def _name(options: TaskOptions) -> str:
    return options.sbatch.get("clusters")


def _fault(task: Task, what: str, run: str) -> Fault:
    return Fault(
        where=task.label,
        what=f"{what}: Slurm's dependencies do not cross clusters",
        remedy=f"name one cluster for all rules, such as --default-resources clusters={run}; or make two workflows of it",
        tasks=((task.key, task.label),),
    )
