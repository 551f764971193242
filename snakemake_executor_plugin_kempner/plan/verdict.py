"""What speaks against a plan at a site, before it is submitted: the findings of the site's checks about all of its requests."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import Fault, merged
from ..site.checks import Finding, Severity, findings
from ..site.model import Site
from ..site.modes import Checks
from ..site.placed import placed
from ..site.whole import AlikeTasks, WholeRun, of_plan
from .asking import options_of
from .concurrency import JOBS
from .model import Policy
from .one_cluster import faults_of_clusters
from .resources import GPU_NAMES, TaskOptions
from .task import Task, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Faults and warnings about a plan, before it is submitted."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


def verdict(tasks: Sequence[Task], options: Mapping[tuple[str, int], TaskOptions], policy: Policy) -> Verdict:
    """Check the whole plan: each distinct request once, with the tasks that share it.

    Args:
        tasks: of the plan, each after those it waits for.
        options: of each attempt, by key and number.
        policy: has the site, and says whether findings are errors.
    """
    site, checks = policy.site, policy.checks
    elsewhere = tuple(faults_of_clusters(tasks, options, policy))
    if site is None or checks is Checks.OFF:
        return Verdict(faults=elsewhere)
    alike: dict[tuple[str, int, int], list[Task]] = {}
    for task in tasks:
        for attempt in task.attempts:
            alike.setdefault((task.name, attempt.number, id(options[task.key, attempt.number])), []).append(task)
    found = list(_of_each(alike, options, site))
    level = _levels(tasks)
    many = [
        AlikeTasks(rule=rule, number=wide, request=options[of[0].key, number].request, level=at)
        for (rule, number, _), of in alike.items()
        if number == of[0].attempts[0].number
        for at, wide in Counter(level[task.key] for task in of).items()
    ]
    numbers = Counter(task.name for task in tasks)
    gpus = min((policy.limits[name] for name in GPU_NAMES if name in policy.limits), default=None)
    jobs = policy.limits.get(JOBS)
    run = WholeRun(folder=policy.workdir, environments=policy.environments, jobs=jobs, gpus=gpus)
    found += ((_rule(rule, numbers[rule]), finding, ()) for rule, finding in of_plan(many, run, site))
    is_fault = {Severity.ERROR: checks is Checks.ERROR, Severity.WARNING: False}
    faults = [*elsewhere, *(_fault(where, finding, of) for where, finding, of in found if is_fault[finding.severity])]
    said = [_fault(where, finding, of) for where, finding, of in found if not is_fault[finding.severity]]
    return Verdict(faults=tuple(dict.fromkeys(faults)), warnings=tuple(map(str, merged(said))))


def of_possible(policy: Policy) -> Iterator[str]:
    """Notices about rules that may be needed later and could not be submitted. No faults: they may never be needed."""
    options = options_of(policy.possible, policy.site)
    faults = (fault for option in options.values() for fault in option.faults)
    for fault in merged((*faults, *verdict(policy.possible, options, policy).faults)):
        yield f"Not needed yet, but it could not be submitted: {fault}"


def _fault(where: str, finding: Finding, tasks: Sequence[Task]) -> Fault:
    of = tuple((task.key, task.label) for task in tasks)
    return Fault(where=where, what=finding.what, remedy=finding.remedy, tasks=of)


def _levels(tasks: Iterable[Task]) -> dict[str, int]:
    """For each task, the length of the longest chain of tasks before it."""
    found: dict[str, int] = {}
    for task in tasks:
        found[task.key] = 1 + max((found.get(edge.on, -1) for edge in task.edges), default=-1)
    return found


def _of_each(
    alike: Mapping[tuple[str, int, int], Sequence[Task]], options: Mapping[tuple[str, int], TaskOptions], site: Site
) -> Iterator[tuple[str, Finding, Sequence[Task]]]:
    seen: set[tuple[str, Finding]] = set()
    for (rule, number, _), tasks in alike.items():
        request = options[tasks[0].key, number].request
        for finding in findings(placed(request, site)):
            if (rule, finding) in seen:  # of an earlier attempt
                continue
            seen.add((rule, finding))
            where = tasks[0].label if len(tasks) == 1 else _rule(rule, len(tasks))
            turn = Turn.of(number, tasks[0].attempts[0].segments)
            attempt = f", {turn}" if number > tasks[0].attempts[0].number else ""
            yield f"{where}{attempt}", finding, tasks


def _rule(name: str, tasks: int) -> str:
    return f"{name} ({tasks} tasks)" if tasks > 1 else name
