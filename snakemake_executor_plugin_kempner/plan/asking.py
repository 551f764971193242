"""Options, faults and notices of tasks, before they are planned."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import Fault, merged
from ..options import Options
from ..printable import printable
from ..site.model import Site
from .at_site import options_at, verdict
from .dependency import DependencyType
from .model import Policy, Task
from .resources import LIGHT_MEMORY_MB, STEP_MEMORY_MB, TaskOptions


def options_of(tasks: Iterable[Task], site: Site | None) -> dict[tuple[str, int], TaskOptions]:
    """The options of each attempt; attempts with equal resources share a value."""
    options: dict[tuple[str, int], TaskOptions] = {}
    made: dict[tuple[int, str, bool], TaskOptions] = {}
    for task in tasks:
        for attempt in task.attempts:
            is_light = attempt.step.light is not None
            # The text, and not the values themselves: True is 1 to a dictionary.
            asked = (attempt.threads, repr(attempt.resources), is_light)
            found = made.get(asked)
            if found is None:
                found = options_at(site, task.label, attempt.resources, attempt.threads, is_light=is_light)
                if found.faults:
                    of = ((task.key, task.label),)
                    found = replace(found, faults=tuple(replace(fault, tasks=of) for fault in found.faults))
                else:
                    made[asked] = found
            options[task.key, attempt.number] = found
    return options


def of_possible(policy: Policy) -> Iterator[str]:
    """Notices about rules that may be needed later and could not be submitted. No faults: they may never be needed."""
    options = options_of(policy.possible, policy.site)
    faults = (fault for option in options.values() for fault in option.faults)
    for fault in merged((*faults, *verdict(policy.possible, options, policy).faults)):
        yield f"Not needed yet, but it could not be submitted: {fault}"


def may_not_be_needed(ordered: Iterable[Task]) -> set[str]:
    """Failure handlers and the tasks that depend on them: it is no failure when they do not run."""
    found: set[str] = set()
    for task in ordered:
        behind = found and any(edge.on in found for edge in task.edges if edge.type is DependencyType.AFTEROK)
        if behind or task.is_handler:
            found.add(task.key)
    return found


def handlers_of_handlers(ordered: Sequence[Task]) -> Iterator[Fault]:
    unsure = may_not_be_needed(ordered)
    labels = {task.key: task.label for task in ordered if task.key in unsure}
    for task in ordered:
        if task.key not in unsure:  # it is no handler itself
            continue
        for edge in task.edges:
            if edge.type is DependencyType.AFTERNOTOK and edge.on in unsure:
                yield Fault(
                    where=task.label,
                    what=f"is to run when {labels[edge.on]} fails, which is a failure handler itself or needs one",
                    remedy="Slurm cannot tell a handler that was not needed from one that failed",
                    tasks=((task.key, task.label),),
                )


_LEAST_MEMORY = {
    False: (STEP_MEMORY_MB, "Snakemake itself, which runs the rule inside the job, needs about 250 MB"),
    True: (LIGHT_MEMORY_MB, "the shell and the program around the command need about 20 MB"),
}
"""For full and for light jobs."""


def notices_of(tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions]) -> tuple[str, ...]:
    notices: list[str] = []
    raised: dict[bool, set[str]] = {False: set(), True: set()}
    lost: dict[str, str] = {}
    for task in tasks:
        of_task = [options[task.key, attempt.number] for attempt in task.attempts]
        if any(option.raised_memory for option in of_task):
            raised[task.attempts[0].step.light is not None].add(task.name)
        if task.folders and any(_may_be_requeued(option.sbatch) for option in of_task):
            lost.setdefault(task.name, task.folders[0])
    for is_light, rules in raised.items():
        if rules:
            least, why = _LEAST_MEMORY[is_light]
            notices.append(f"Memory raised to {least} MB for {', '.join(sorted(rules))}: {why}.")
    notices += (
        f"Rule {name} may be requeued, and its output {printable(folder)} is a folder: Snakemake removes it with all it contains "
        "before each start, so checkpoints in it will be lost. Keep them in KEMPNER_CHECKPOINT_DIR."
        for name, folder in sorted(lost.items())
    )
    return tuple(notices)


def _may_be_requeued(options: Options) -> bool:
    """With `--requeue`, or in a partition with "requeue" in its name, such as kempner_requeue."""
    return "requeue" in options or "requeue" in options.get("partition")
