"""Where jobs of ours run: they need next to nothing, and never a GPU."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..site.checks import Severity, asked, findings
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
"""What a job of ours asks for."""

_OF_GPUS = ("--gres", "--constraint")
"""Where all tasks have a GPU, these say which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Options of sbatch that say where a job runs."""

    arguments: tuple[str, ...] = ()
    notice: str = ""
    """What is worth saying about the choice."""


def place_of_helpers(options: Iterable[Options], site: Site | None) -> Place:
    """With the first task that asks for no GPU; where all of them do, wherever such a job may run.

    Args:
        options: of the tasks.
        site: where they are to run; None where nothing is known.
    """
    distinct = [option.arguments for option in {id(option): option for option in options}.values()]
    chosen = site.chosen if site else {}
    without = next((one for one in distinct if not request_of(one, chosen).gpus), None)
    if without is not None:
        return Place(arguments=_placement(without))
    if not distinct:
        return Place()
    of_task = _placement(distinct[0], leave_out=_OF_GPUS)
    if site is None or not site.partitions:
        return Place(arguments=of_task)
    arguments = next((one for one in _candidates(of_task, site) if _may_run(one, site)), ())
    default = default_partition(site)
    partition = request_of(arguments, site.chosen).partition or (default.name if default else "Slurm's choice")
    return Place(
        arguments=arguments, notice=f"Jobs that look after the run ask for no GPU; their partition is {partition}."
    )


def _placement(arguments: Sequence[str], leave_out: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(one for one in arguments if (name := one.split("=")[0]) in PLACEMENT and name not in leave_out)


def _candidates(of_task: tuple[str, ...], site: Site) -> Iterator[tuple[str, ...]]:
    """Where the site would put such a job, then beside the tasks, then any partition."""
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
    return goes_somewhere and all(one.severity is not Severity.ERROR for one in findings(asked(request, site)))
