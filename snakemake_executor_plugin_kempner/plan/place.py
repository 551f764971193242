"""Where helper jobs run (gates, release jobs, guard, continuation, closing job): they need few resources and never a GPU."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..options import NO_OPTIONS, Options
from ..site.checks import Severity, findings
from ..site.choices import choose, default_partition
from ..site.model import Site
from ..site.placed import placed
from ..site.request import request_of
from .model import Kind
from .resources import PLACEMENT, TaskOptions

LIMITS: Mapping[Kind, Options] = {
    Kind.GATE: Options({"time": "5", "mem": "50M"}),
    Kind.RELEASE: Options({"time": "60", "mem": "300M"}),
    Kind.GUARD: Options({"time": "5", "mem": "300M"}),
    # Snakemake with the whole workflow, as in the head process.
    Kind.CONTINUATION: Options({"time": "60", "mem": "2000M"}),
    Kind.CLOSING: Options({"time": "60", "mem": "2000M"}),
}
"""Resources that each kind of helper job requests."""

_OF_GPUS = ("gres", "constraint")
"""Options that request GPUs: left out when the options of a GPU task are copied for a helper job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HelperPlacement:
    """Where a helper job runs."""

    options: Options = NO_OPTIONS
    """Those of sbatch that say it."""
    notice: str = ""
    """Message for the user about the choice; empty for none."""


def place_of_helpers(options: Iterable[TaskOptions], site: Site | None) -> HelperPlacement:
    """The placement of the first task without GPUs; if all tasks request GPUs, a partition that takes helper jobs.

    Args:
        options: of the tasks.
        site: where they are to run; None where nothing is known.
    """
    distinct = tuple(dict.fromkeys(of_task.sbatch for of_task in options))
    chosen = site.chosen if site else NO_OPTIONS
    without = next((asked_for for asked_for in distinct if not request_of(chosen | asked_for).gpus), None)
    if without is not None:
        return HelperPlacement(options=without.only(*PLACEMENT))
    if not distinct:
        return HelperPlacement()
    of_task = distinct[0].only(*PLACEMENT).without(*_OF_GPUS)
    if site is None or not site.partitions:
        return HelperPlacement(options=of_task)
    found = next((candidate for candidate in _candidates(of_task, site) if _may_run(candidate, site)), NO_OPTIONS)
    default = default_partition(site)
    partition = request_of(chosen | found).partition or (default.name if default else "Slurm's choice")
    return HelperPlacement(
        options=found, notice=f"Jobs that look after the run ask for no GPU; their partition is {partition}."
    )


def _candidates(of_task: Options, site: Site) -> Iterator[Options]:
    """Places to try, in order: what the site file chooses, the placement of the tasks, each other partition."""
    yield _chosen(NO_OPTIONS, site)
    yield of_task
    for partition in site.partitions.values():
        if not partition.only_by_name and not partition.requeues:
            yield _chosen(Options({"partition": partition.name}), site)


def _chosen(options: Options, site: Site) -> Options:
    return choose(options | LIMITS[Kind.CLOSING], site, default_cores=False).options.only(*PLACEMENT)


def _may_run(options: Options, site: Site) -> bool:
    request = request_of(site.chosen | options | LIMITS[Kind.CLOSING])
    goes_somewhere = bool(request.partition or site.is_routed or default_partition(site))
    return goes_somewhere and all(finding.severity is not Severity.ERROR for finding in findings(placed(request, site)))
