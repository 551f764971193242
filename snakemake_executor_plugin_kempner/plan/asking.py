"""The options of sbatch that tasks ask for at a site, and the notices about them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ..options import Options
from ..printable import printable
from ..site.choices import choose
from ..site.model import Site
from ..site.request import request_of
from .resources import LIGHT_MEMORY_MB, STEP_MEMORY_MB, TaskOptions, sbatch_options
from .segments import announced
from .task import Task


def options_at(
    site: Site | None, where: str, resources: Mapping[str, int | str], threads: int, *, is_light: bool = False
) -> TaskOptions:
    """Options of sbatch for a task's resources, with the options that the site adds.

    Args:
        site: where it is to run; None when unknown.
        where: label of the task, for faults.
        resources: evaluated.
        threads: of the task.
        is_light: no Snakemake runs in its job, which would need memory.
    """
    least = LIGHT_MEMORY_MB if is_light else STEP_MEMORY_MB
    options = announced(sbatch_options(where, resources, threads, least), resources)
    if site is None or options.faults:
        return options
    choice = choose(options.sbatch, site, default_cores=options.default_cores)
    request = request_of(site.chosen | choice.options)
    return replace(options, sbatch=choice.options, why=(*options.why, *choice.why), request=request)


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


def choices(tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions]) -> Iterator[str]:
    """Messages about options that were chosen for a rule, with the reason; each once per rule."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for task in tasks:
        for attempt in task.attempts:
            why = options[task.key, attempt.number].why
            if why and (task.name, why) not in seen:
                seen.add((task.name, why))
                yield f"{task.name} gets {', '.join(why)}."


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
