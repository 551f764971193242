"""The sbatch options of tasks at a site, and the findings of the site's checks about a whole plan."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import Fault, merged
from ..site.checks import Finding, Severity, findings, placed
from ..site.choices import choose
from ..site.model import Site
from ..site.modes import Checks
from ..site.request import Request, request_of
from ..site.whole import AlikeTasks, WholeRun, of_plan
from .concurrency import JOBS
from .dependency import DependencyType
from .model import Policy, Task, Turn
from .one_cluster import faults_of_clusters
from .requested import Requested, TaskRequest, beyond
from .resources import GPU_NAMES, LIGHT_MEMORY_MB, STEP_MEMORY_MB, TaskOptions, sbatch_options
from .segments import announced


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


def choices(tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions]) -> Iterator[str]:
    """Messages about options that were chosen for a rule, with the reason; each once per rule."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for task in tasks:
        for attempt in task.attempts:
            why = options[task.key, attempt.number].why
            if why and (task.name, why) not in seen:
                seen.add((task.name, why))
                yield f"{task.name} gets {', '.join(why)}."


# --- hours ----------------------------------------------------------------------------------------------------------


def requests_of(
    tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions], site: Site | None
) -> dict[str, TaskRequest]:
    """What the first attempt of each task requests, with all of its segments, by key.

    Args:
        tasks: each after those it waits for.
        options: of each attempt, by key and number.
        site: its partitions limit the time of jobs that request none; None when unknown.
    """
    found: dict[str, TaskRequest] = {}
    known: dict[int, tuple[Request, int | None]] = {}
    for task in tasks:
        first, last = task.attempts[0], task.attempts[-1]
        if Turn.of(first.number, first.segments).attempt > 1:  # an earlier process has submitted the first
            continue
        of_first = options[task.key, first.number]
        if id(of_first) not in known:
            known[id(of_first)] = _with_time_limit(of_first, site)
        request, minutes = known[id(of_first)]
        left = first.segments - Turn.of(first.number, first.segments).segment + 1
        found[task.key] = TaskRequest(
            rule=task.name,
            minutes=None if minutes is None else minutes * left,
            cores=request.cores_of_node * request.nodes,
            gpus=request.gpus,
            after=tuple(edge.on for edge in task.edges if edge.type is not DependencyType.AFTER),
            has_retries=last.number - first.number >= left,
        )
    return found


def _with_time_limit(options: TaskOptions, site: Site | None) -> tuple[Request, int | None]:
    """A request and its minutes; without a time limit, those that the partition allows; None if unknown."""
    if site is None:
        request = request_of(options.sbatch)
        return request, request.minutes
    request = options.request
    of_partitions = [partition.minutes for partition in placed(request, site).partitions]
    allowed = None if None in of_partitions else max((most for most in of_partitions if most), default=None)
    return request, request.minutes or allowed


def beyond_hours(
    asked: Requested, tasks: Iterable[Task], options: Mapping[tuple[str, int], TaskOptions], policy: Policy
) -> Iterator[Fault]:
    """Faults of a plan that asks for more GPU hours than the run may; they are those of all tasks with GPUs."""
    reasons = list(beyond(asked, policy.most_gpu_hours, policy.earlier_gpu_hours))
    if not reasons:
        return
    of = tuple(
        (task.key, task.label) for task in tasks if request_of(options[task.key, task.attempts[0].number].sbatch).gpus
    )
    for what, remedy in reasons:
        yield Fault(where="workflow", what=what, remedy=remedy, tasks=of)
