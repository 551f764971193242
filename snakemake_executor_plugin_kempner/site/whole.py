"""What is to be said of a plan as a whole: many short jobs, more GPUs than may be used at once, where it lies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from .checks import Finding, Severity
from .model import Cap, Site
from .request import Request

MANY = 1000
"""Tasks of one rule from which on their length counts."""
SHORT = 10
"""Minutes below which starting a job takes Slurm longer than is worth it, many times over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """The tasks of a rule that ask for the same and may run at once."""

    rule: str
    number: int
    request: Request
    level: int = 0
    """How many tasks have to run before them, one after another, at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The run as a whole."""

    folder: str = ""
    """Where the workflow lies."""
    environments: tuple[str, ...] = ()
    """What the head builds software environments with (`conda`, `apptainer`)."""
    jobs: int | None = None
    """Tasks that may run at once (--jobs); None for any number."""
    gpus: int | None = None
    """GPUs that they may have together (--resources gpu=N); None for any number."""


def of_plan(many: Sequence[Many], work: Work, site: Site) -> Iterator[tuple[str, Finding]]:
    """Rules, or the workflow, and what is to be said of them."""
    yield from _short_by_the_thousand(many)
    yield from _wider_than_cap(many, work, site)
    for what, remedy in (*_place(work, site), *_environments(work, site)):
        yield "workflow", Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _place(work: Work, site: Site) -> Iterator[tuple[str, str]]:
    for folder, why in site.folders.items():
        path = folder.replace("~", site.home, 1) if site.home else folder
        if f"{work.folder}/".startswith(f"{path}/"):
            yield f"{work.folder} lies below {folder}, which {why} [{site.name}]", "work on the shared file system"


def _environments(work: Work, site: Site) -> Iterator[tuple[str, str]]:
    if work.environments and site.is_login_node:
        with_what = " and ".join(work.environments)
        what = (
            f"environments ({with_what}) are built where this command runs, and a login node ends what takes much of it"
        )
        yield what, "build them in a job once: srun snakemake --conda-create-envs-only …, or salloc"


def _short_by_the_thousand(many: Sequence[Many]) -> Iterator[tuple[str, Finding]]:
    short: dict[str, tuple[int, int]] = {}
    for one in many:
        if one.request.minutes is not None and one.request.minutes < SHORT:
            number, longest = short.get(one.rule, (0, 0))
            short[one.rule] = number + one.number, max(longest, one.request.minutes)
    for rule, (number, longest) in short.items():
        if number >= MANY:
            what = f"{number} jobs of at most {longest} min each: to start and record them costs Slurm more than what they do"
            remedy = "let several share a job (group: in the rule, --group-components)"
            yield rule, Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _wider_than_cap(many: Sequence[Many], work: Work, site: Site) -> Iterator[tuple[str, Finding]]:
    asked: dict[Cap, dict[int, list[Many]]] = {}
    for one in many:
        if cap := cap_of(one.request, site):
            asked.setdefault(cap, {}).setdefault(one.level, []).append(one)
    for cap, levels in asked.items():
        gpus, widest = max(
            ((_gpus_at_once(of_level, work), of_level) for of_level in levels.values()), key=itemgetter(0)
        )
        if gpus > cap.gpus:
            what = f"{gpus} GPUs are asked for at once, and one {cap.whose} may use {cap.gpus} at a time [{cap.source}]"
            free = next(
                (name for name, one in site.partitions.items() if one.has_gpus and not _is_capped(name, site)), ""
            )
            remedy = f"the others wait their turn{f'; {free} has no such cap' if free else ''}"
            rules = dict.fromkeys(one.rule for one in widest)
            yield ", ".join(rules), Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _gpus_at_once(many: Iterable[Many], work: Work) -> int:
    """GPUs that tasks may have together, of which only so many run at once."""
    total, left = 0, work.jobs
    for one in sorted(many, key=lambda one: one.request.gpus, reverse=True):
        number = one.number if left is None else min(one.number, left)
        left = None if left is None else left - number
        total += number * one.request.gpus
    return total if work.gpus is None else min(total, work.gpus)


def _is_capped(partition: str, site: Site) -> bool:
    return any(cap.holds(partition, "") for cap in site.caps)


def cap_of(request: Request, site: Site) -> Cap | None:
    """The tightest cap that holds for a job; one that asks for no GPU has none."""
    account = request.account or site.default_account
    holding = [cap for cap in site.caps if request.gpus and cap.holds(request.partition, account)]
    return min(holding, key=lambda cap: cap.gpus, default=None)
