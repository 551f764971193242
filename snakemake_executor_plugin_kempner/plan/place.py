"""Where helper jobs run (gates, guard, continuation, closing job): they need few resources and never a GPU."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..site.checks import Severity, findings, placed
from ..site.choices import choose, default_partition
from ..site.model import Site
from ..site.request import request_of
from .model import Kind
from .resources import PLACEMENT, Options

LIMITS: Mapping[Kind, tuple[str, ...]] = {
    Kind.GATE: ("--time=5", "--mem=50M"),
    Kind.GUARD: ("--time=5", "--mem=300M"),
    # Snakemake with the whole workflow, as in the head process.
    Kind.CONTINUATION: ("--time=60", "--mem=2000M"),
    Kind.CLOSING: ("--time=60", "--mem=2000M"),
}
"""Resources that each kind of helper job requests."""

_OF_GPUS = ("--gres", "--constraint")
"""Options that request GPUs: left out when the options of a GPU task are copied for a helper job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HelperPlacement:
    """Options of sbatch that say where a job runs."""

    arguments: tuple[str, ...] = ()
    notice: str = ""
    """Message for the user about the choice; empty for none."""


def place_of_helpers(options: Iterable[Options], site: Site | None) -> HelperPlacement:
    """The placement of the first task without GPUs; if all tasks request GPUs, a partition that takes helper jobs.

    Args:
        options: of the tasks.
        site: where they are to run; None where nothing is known.
    """
    distinct = [option.arguments for option in {id(option): option for option in options}.values()]
    chosen = site.chosen if site else {}
    without = next((asked_for for asked_for in distinct if not request_of(asked_for, chosen).gpus), None)
    if without is not None:
        return HelperPlacement(arguments=_placement(without))
    if not distinct:
        return HelperPlacement()
    of_task = _placement(distinct[0], leave_out=_OF_GPUS)
    if site is None or not site.partitions:
        return HelperPlacement(arguments=of_task)
    arguments = next((candidate for candidate in _candidates(of_task, site) if _may_run(candidate, site)), ())
    default = default_partition(site)
    partition = request_of(arguments, site.chosen).partition or (default.name if default else "Slurm's choice")
    return HelperPlacement(
        arguments=arguments, notice=f"Jobs that look after the run ask for no GPU; their partition is {partition}."
    )


def _placement(arguments: Sequence[str], leave_out: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(
        argument for argument in arguments if (name := argument.split("=")[0]) in PLACEMENT and name not in leave_out
    )


def _candidates(of_task: tuple[str, ...], site: Site) -> Iterator[tuple[str, ...]]:
    """Places to try, in order: what the site file chooses, the placement of the tasks, each other partition."""
    yield _chosen((), site)
    yield of_task
    for partition in site.partitions.values():
        if not partition.only_by_name and not partition.requeues:
            yield _chosen((f"--partition={partition.name}",), site)


def _chosen(arguments: tuple[str, ...], site: Site) -> tuple[str, ...]:
    return _placement(choose((*arguments, *LIMITS[Kind.CLOSING]), site, default_cores=False).arguments)


def _may_run(arguments: tuple[str, ...], site: Site) -> bool:
    request = request_of((*arguments, *LIMITS[Kind.CLOSING]), site.chosen)
    goes_somewhere = bool(request.partition or site.is_routed or default_partition(site))
    return goes_somewhere and all(finding.severity is not Severity.ERROR for finding in findings(placed(request, site)))
