"""Checks of a plan as a whole: many short jobs, more GPUs than the user may have, unsuitable folders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from .checks import Finding, Severity
from .model import Cap, Site
from .request import Request

MANY_TASKS = 1000
"""Number of a rule's tasks from which on short jobs get a warning."""
SHORT_MINUTES = 10
"""Jobs below this many minutes are short: Slurm's overhead per job matters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlikeTasks:
    """Tasks of a rule with equal requests that may run at the same time."""

    rule: str
    number: int
    request: Request
    level: int = 0
    """Length of the longest chain of tasks before them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeRun:
    """The run as a whole."""

    folder: str = ""
    """The workflow's folder."""
    environments: tuple[str, ...] = ()
    """What the head builds software environments with (`conda`, `apptainer`)."""
    jobs: int | None = None
    """Tasks that may run at the same time (--jobs); None for no limit."""
    gpus: int | None = None
    """GPUs that they may hold together (--resources gpu=N); None for no limit."""


def of_plan(many: Sequence[AlikeTasks], run: WholeRun, site: Site) -> Iterator[tuple[str, Finding]]:
    """Findings about rules or the whole workflow, each with whom it is about."""
    yield from _short_by_the_thousand(many)
    yield from _wider_than_cap(many, run, site)
    for what, remedy in (*_place(run, site), *_environments(run, site)):
        yield "workflow", Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _place(run: WholeRun, site: Site) -> Iterator[tuple[str, str]]:
    for folder, why in site.folders.items():
        path = folder.replace("~", site.home, 1) if site.home else folder
        if f"{run.folder}/".startswith(f"{path}/"):
            yield f"{run.folder} lies below {folder}, which {why} [{site.name}]", "work on the shared file system"


def _environments(run: WholeRun, site: Site) -> Iterator[tuple[str, str]]:
    if run.environments and site.is_login_node:
        with_what = " and ".join(run.environments)
        what = f"environments ({with_what}) are built here, on a login node, which may kill long or heavy processes"
        yield what, "build them once in a job: srun snakemake --conda-create-envs-only …, or salloc"


def _short_by_the_thousand(many: Sequence[AlikeTasks]) -> Iterator[tuple[str, Finding]]:
    short: dict[str, tuple[int, int]] = {}
    for tasks in many:
        if tasks.request.minutes is not None and tasks.request.minutes < SHORT_MINUTES:
            number, longest = short.get(tasks.rule, (0, 0))
            short[tasks.rule] = number + tasks.number, max(longest, tasks.request.minutes)
    for rule, (number, longest) in short.items():
        if number >= MANY_TASKS:
            what = f"{number} jobs of at most {longest} min each: so many short jobs burden Slurm"
            remedy = "run several in one job (group: in the rule, --group-components)"
            yield rule, Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _wider_than_cap(many: Sequence[AlikeTasks], run: WholeRun, site: Site) -> Iterator[tuple[str, Finding]]:
    capped: dict[Cap, dict[int, list[AlikeTasks]]] = {}
    for tasks in many:
        if cap := cap_of(tasks.request, site):
            capped.setdefault(cap, {}).setdefault(tasks.level, []).append(tasks)
    for cap, levels in capped.items():
        gpus, widest = max(
            ((_gpus_at_once(of_level, run), of_level) for of_level in levels.values()), key=itemgetter(0)
        )
        if gpus > cap.gpus:
            what = f"{gpus} GPUs are requested at once, but one {cap.whose} may use {cap.gpus} at a time [{cap.source}]"
            free = next(
                (name for name, row in site.partitions.items() if row.has_gpus and not _is_capped(name, site)), ""
            )
            remedy = f"the other jobs will wait{f'; {free} has no such cap' if free else ''}"
            rules = dict.fromkeys(tasks.rule for tasks in widest)
            yield ", ".join(rules), Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _gpus_at_once(many: Iterable[AlikeTasks], run: WholeRun) -> int:
    """The most GPUs that these tasks can hold at the same time, given --jobs and --resources gpu=N."""
    total, left = 0, run.jobs
    for tasks in sorted(many, key=lambda tasks: tasks.request.gpus, reverse=True):
        number = tasks.number if left is None else min(tasks.number, left)
        left = None if left is None else left - number
        total += number * tasks.request.gpus
    return total if run.gpus is None else min(total, run.gpus)


def _is_capped(partition: str, site: Site) -> bool:
    return any(cap.holds(partition, "") for cap in site.caps)


def cap_of(request: Request, site: Site) -> Cap | None:
    """The tightest cap that applies to a job; None for a job without GPUs."""
    account = request.account or site.default_account
    holding = [cap for cap in site.caps if request.gpus and cap.holds(request.partition, account)]
    return min(holding, key=lambda cap: cap.gpus, default=None)
