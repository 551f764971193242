"""What is to be said of a plan as a whole: many short jobs, more GPUs than may be used at once, where it lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .checks import Finding, Severity
from .model import Cap, Site
from .request import Request

MANY = 1000
"""Tasks of one rule from which on their length counts."""
SHORT = 10
"""Minutes below which starting a job takes Slurm longer than is worth it, many times over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """The tasks of a rule that ask for the same."""

    rule: str
    number: int
    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The run as a whole."""

    folder: str = ""
    """Where the workflow lies."""
    environments: tuple[str, ...] = ()
    """What the head builds software environments with (`conda`, `apptainer`)."""


def of_plan(many: Sequence[Many], work: Work, site: Site) -> Iterator[tuple[str, Finding]]:
    """Rules, or the workflow, and what is to be said of them."""
    yield from _short_by_the_thousand(many)
    yield from _wider_than_cap(many, site)
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


def _wider_than_cap(many: Sequence[Many], site: Site) -> Iterator[tuple[str, Finding]]:
    asked: dict[tuple[str, Cap], int] = {}
    for one in many:
        cap = cap_of(one.request, site)
        if cap is not None:
            asked[one.rule, cap] = asked.get((one.rule, cap), 0) + one.number * one.request.gpus
    for (rule, cap), gpus in asked.items():
        if gpus > cap.gpus:
            what = f"its tasks ask for {gpus} GPUs together, and one {cap.whose} may use {cap.gpus} at a time [{cap.source}]"
            free = next(
                (name for name, one in site.partitions.items() if one.has_gpus and not _is_capped(name, site)), ""
            )
            remedy = f"the others wait their turn{f'; {free} has no such cap' if free else ''}"
            yield rule, Finding(severity=Severity.WARNING, what=what, remedy=remedy)


def _is_capped(partition: str, site: Site) -> bool:
    return any(cap.holds(partition, "") for cap in site.caps)


def cap_of(request: Request, site: Site) -> Cap | None:
    """The tightest cap that holds for a job; one that asks for no GPU has none."""
    account = request.account or site.default_account
    holding = [cap for cap in site.caps if request.gpus and cap.holds(request.partition, account)]
    return min(holding, key=lambda cap: cap.gpus, default=None)
