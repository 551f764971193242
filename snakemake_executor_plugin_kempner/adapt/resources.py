"""Evaluates the resources of jobs, including resources that depend on inputs that do not exist yet.

Purpose: sbatch needs memory, time and cores of a task when the task is queued, and then most of its inputs are still to
be made. Snakemake itself evaluates resources when a job is ready, and gives a placeholder (`TBDString`) for a resource
that reads an input before it exists.

Idea: only the value that sbatch gets has to be right, and most values do not read the input. There are three cases:

1. The value is known: a constant, or a function of wildcards, threads or attempt. The task is planned.
2. Snakemake's own default for memory has an upper bound: it is evaluated for an input larger than any, so the task is
   planned with that bound.
3. Anything else that reads the input is unknown (`NotYetError`): a bound would not do for a resource that is limited
   (`--resources`). The task is planned when the task that makes its input has succeeded.

Example: `clean` makes `clean.txt`, from which `sort` makes `sorted.txt`.

    resources of sort                                           when clean.txt is missing
    runtime=30                                                  case 1: 30
    mem_mb=lambda wildcards, attempt: 1000 * attempt            case 1: 1000, for the second attempt 2000
    no mem_mb: min(max(2*input.size_mb, 1000), 8000)            case 2: 8000
    mem_mb=lambda wildcards, input: 3 * input.size_mb           case 3: sort is planned when clean has succeeded

Evaluating takes Snakemake as long as creating the job, so a rule whose resources are all constants is evaluated once.
"""

import ast
import builtins
import inspect
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from snakemake.common.tbdstring import TBDString

from ..plan.misspelt import meant
from ..plan.resources import RELEVANT
from .units import members_of

_HUGE_MB = 10**9
"""An input size at which a default with an upper bound has reached its bound."""
_MEMORY = ("mem", "mem_mb", "mem_mib")
_WANTED = RELEVANT | {"_cores"}


class NotYetError(Exception):
    """A job's resources are known only when its input exists."""


class BadResourcesError(Exception):
    """A job's resources cannot be evaluated although its input exists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """The evaluated resources of a job."""

    threads: int
    resources: Mapping[str, int | str]
    """Resources that become sbatch options, by name."""
    units: Mapping[str, int] = field(default_factory=dict)
    """Units of each limit that it takes while it runs."""


class Evaluator:
    """Evaluates the resources of jobs; only once for a rule whose jobs all have the same.

    (Evaluating a job's resources takes Snakemake as long as creating the job.)

    Args:
        defaults: Snakemake's default resources.
        limited: names of resources with a limit for all jobs together.
    """

    def __init__(self, defaults: Any, limited: Collection[str] = ()) -> None:
        self._defaults, self._limited = defaults, limited
        self._wanted = _WANTED.union(limited)
        self._of_rule: dict[Any, Evaluated] = {}

    def of_all(self, job: Any) -> Evaluated | None:
        """The resources common to all jobs and attempts of the rule; None if they differ or are not evaluated yet."""
        return None if job.is_group() else self._of_rule.get(job.rule)

    def evaluated(self, job: Any, *, is_ready: bool) -> Evaluated:
        """Resources by name, as numbers and texts.

        Args:
            job: or group job.
            is_ready: its inputs exist.

        Raises:
            NotYetError: they are known only when the input exists.
            BadResourcesError: they cannot be evaluated; the message says why.
        """
        try:
            resources = dict(job.resources.items())
        except Exception as error:  # noqa: BLE001 - a function of the workflow may raise anything
            if not is_ready and any(not os.path.lexists(str(file)) for file in job.input):
                raise NotYetError(f"resources of {job.name} are known only when its input exists") from None
            raise BadResourcesError(" ".join(str(error).split()) or type(error).__name__) from None
        taken = units(job, resources, self._limited)
        for name in [name for name, value in resources.items() if isinstance(value, TBDString)]:
            del resources[name]
            if name in RELEVANT:
                resources["mem_mb"] = _bound(job, name, self._defaults)
        found = Evaluated(
            threads=int(resources.get("_cores", 1)),
            resources={
                name: value
                for name, value in resources.items()
                if (name in RELEVANT or meant(name)) and isinstance(value, (int, str))
            },
            units=taken,
        )
        if not job.is_group() and self.is_same_for_all(job):
            self._of_rule[job.rule] = found
        return found

    def is_same_for_all(self, job: Any) -> bool:
        """Whether all jobs of the same rules have the same resources, whatever their inputs."""
        rules = (member.rule for member in members_of(job))
        return all(self._is_same(resource) for rule in rules for resource in rule.resources.values())

    def of_rule(self, rule: Any) -> Evaluated | None:
        """The resources of future jobs of a rule without jobs yet; None if they depend on the job."""
        of_snakemake = [name for name, row in rule.resources.items() if self._is_default(row) and row.raw is None]
        given = {name: rule.resources[name] for name in _WANTED & rule.resources.keys() if name not in of_snakemake}
        if not all(map(self._is_same, given.values())):
            return None
        try:
            values = {name: constant_of(resource) for name, resource in given.items()}
        except Exception:  # noqa: BLE001 - what Snakemake cannot read it reports itself, when the rule is needed
            return None
        threads = values.pop("_cores", 1)
        resources = {name: value for name, value in values.items() if isinstance(value, (int, str))}
        return Evaluated(threads=threads if isinstance(threads, int) else 1, resources=resources)

    def _is_default(self, resource: Any) -> bool:
        """Whether the resource is a default function, not set by the rule."""
        function = _function(resource)
        return function is not None and function is _function(self._defaults.get(resource.name))

    def _is_same(self, resource: Any) -> bool:
        """Whether it is a constant, or a default that sbatch never sees (`disk_mb`; a rule's own function may fail)."""
        if is_same_for_all_jobs(resource):
            return True
        return resource.name not in self._wanted and self._is_default(resource)


def is_same_for_all_jobs(resource: Any) -> bool:
    """Whether a resource of a rule is a constant, so that `constant_of` can read it."""
    return not resource.is_evaluable() or is_constant(resource.raw)


def constant_of(resource: Any) -> Any:
    """The value of a resource that is the same for all jobs: a constant, or a default given as text."""
    if not resource.is_evaluable():
        return resource.value
    try:
        value = ast.literal_eval(resource.raw)
    except (SyntaxError, ValueError):
        value = resource.raw
    return type(resource)(resource.name, value).value  # reads sizes and times


def is_constant(expression: Any) -> bool:
    """Whether a default given as text (`slurm_partition=shared`) is the same for all jobs."""
    if not isinstance(expression, str):
        return False
    try:
        tree = ast.parse(os.path.expanduser(os.path.expandvars(expression)), mode="eval")
    except (SyntaxError, ValueError):
        return True  # Snakemake takes it as plain text, like an expression with an unknown name
    return _names_with_a_meaning().isdisjoint(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


@cache
def _names_with_a_meaning() -> frozenset[str]:
    """Names that an expression may use; their values may differ between jobs."""
    from snakemake.ioutils import register_in_globals  # noqa: PLC0415 - not needed where nothing is read

    names = dict(vars(builtins))
    register_in_globals(names)
    return frozenset((*names, "wildcards", "attempt", "system_tmpdir", "shutil", "async_run"))


def _bound(job: Any, name: str, defaults: Any) -> int:
    """The upper bound of a default that depends on the size of an input that does not exist yet.

    Snakemake's own default for memory, `min(max(2*input.size_mb, 1000), 8000)`, must not keep a task out of the
    queue. A rule's own function, or a default without a bound, does (NotYetError).
    """
    members = job.jobs if job.is_group() else (job,)
    bounds = [_bound_of_default(member, defaults) for member in members] if name in _MEMORY else [None]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        raise NotYetError(f"resource {name} of {job.name} is known only when its input exists")
    return sum(known)


def _bound_of_default(job: Any, defaults: Any) -> int | None:
    function = _function(job.rule.resources.get("mem_mb"))
    if function is None or function is not _function(defaults.get("mem_mb")):
        return None
    known = {"threads": 1, "rulename": job.rule.name, "async_run": None}
    accepted = {name: value for name, value in known.items() if name in inspect.signature(function).parameters}
    value = function(job.wildcards, input=_HugeInput(), attempt=job.attempt, **accepted)
    return value if isinstance(value, int) and value < _HUGE_MB else None


class _HugeInput(tuple[()]):
    """Stands for input files that are larger than any bound."""

    __slots__ = ()

    size_mb = _HUGE_MB
    size_gb = _HUGE_MB // 1000

    def __bool__(self) -> bool:
        return True


def _function(resource: Any) -> Any:
    """The function of a resource, unwrapped, or None; Snakemake wraps it again with each copy of a rule's resources."""
    evaluator = getattr(resource, "_evaluator", resource)
    return inspect.unwrap(evaluator) if callable(evaluator) else None


def units(job: Any, resources: Mapping[str, Any], limited: Collection[str]) -> dict[str, int]:
    """The units of each limit that a job takes while it runs.

    Never more than the limit, except for `--jobs 0`: Snakemake lowers a rule's request to the limit, arranges the
    members of a group to keep within it, and refuses pipes that cannot.

    Args:
        job: or group job.
        resources: of the job, evaluated.
        limited: names of the limits.

    Raises:
        NotYetError: a value is known only when the job's input exists.
    """
    found: dict[str, int] = {}
    for name in limited:
        unknown = (member for member in members_of(job) if isinstance(member.resources.get(name), TBDString))
        if any(_comes_later(member, job) for member in unknown):
            raise NotYetError(f"resource {name} of {job.name}, which is limited, is known only when its input exists")
        value = resources.get(name, 0)
        if isinstance(value, int) and value > 0:
            found[name] = value
    return found


def _comes_later(member: Any, unit: Any) -> bool:
    """Whether an input of the member does not exist yet and is made outside of its group, so it will exist later."""
    outside = {str(file) for file in unit.input}
    return any(str(file) in outside and not os.path.lexists(str(file)) for file in member.input)
