"""The resources of a job, evaluated: also those that depend on an input that does not exist yet."""

import ast
import builtins
import inspect
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from snakemake.common.tbdstring import TBDString

from ..plan.resources import RELEVANT
from .units import members_of

_HUGE_MB = 10**9
"""An input size at which a default that has an upper bound has reached it."""
_MEMORY = ("mem", "mem_mb", "mem_mib")
_WANTED = RELEVANT | {"_cores"}


class NotYetError(Exception):
    """A job's resources are known only when its input exists."""


class BadResourcesError(Exception):
    """A job's resources cannot be evaluated although its input exists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """What a job asks for."""

    threads: int
    resources: Mapping[str, int | str]
    """What reaches sbatch, by name."""
    units: Mapping[str, int] = field(default_factory=dict)
    """What it takes, while it runs, of what is limited."""


class Evaluator:
    """Evaluates the resources of jobs; where they are the same for all jobs of a rule, once.

    To evaluate them takes Snakemake as long as to find the job.

    Args:
        defaults: Snakemake's default resources.
        limited: names of what all jobs together may take only so much of.
    """

    def __init__(self, defaults: Any, limited: Collection[str] = ()) -> None:
        self._defaults, self._limited = defaults, limited
        self._wanted = _WANTED.union(limited)
        self._of_rule: dict[Any, Evaluated] = {}

    def of_all(self, job: Any) -> Evaluated | None:
        """What holds for all jobs of the rule and all of their attempts, once one of them was evaluated."""
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
                name: value for name, value in resources.items() if name in RELEVANT and isinstance(value, (int, str))
            },
            units=taken,
        )
        if not job.is_group() and self.is_same_for_all(job):
            self._of_rule[job.rule] = found
        return found

    def is_same_for_all(self, job: Any) -> bool:
        """Whether all jobs of the same rules ask for the same, whatever they read."""
        rules = (member.rule for member in members_of(job))
        return all(self._is_same(resource) for rule in rules for resource in rule.resources.values())

    def of_rule(self, rule: Any) -> Evaluated | None:
        """What each job of a rule will ask for, where none is there yet; None where that depends on the job."""
        of_snakemake = [name for name, one in rule.resources.items() if self._is_default(one) and one.raw is None]
        given = {name: rule.resources[name] for name in _WANTED & rule.resources.keys() if name not in of_snakemake}
        if not all(map(self._is_same, given.values())):
            return None
        try:
            values = {name: _constant(resource) for name, resource in given.items()}
        except Exception:  # noqa: BLE001 - what Snakemake cannot read it reports itself, when the rule is needed
            return None
        threads = values.pop("_cores", 1)
        resources = {name: value for name, value in values.items() if isinstance(value, (int, str))}
        return Evaluated(threads=threads if isinstance(threads, int) else 1, resources=resources)

    def _is_default(self, resource: Any) -> bool:
        """A function that is taken where a rule says nothing."""
        function = _function(resource)
        return function is not None and function is _function(self._defaults.get(resource.name))

    def _is_same(self, resource: Any) -> bool:
        """A value, or what does not reach sbatch: a default (`disk_mb`) rather than the rule's own, which may be wrong."""
        if not resource.is_evaluable() or _is_constant(resource.raw):
            return True
        return resource.name not in self._wanted and self._is_default(resource)


def _constant(resource: Any) -> Any:
    """The value of a resource that is the same for all jobs: its own, or that of a default in words."""
    if not resource.is_evaluable():
        return resource.value
    try:
        value = ast.literal_eval(resource.raw)
    except (SyntaxError, ValueError):
        value = resource.raw
    return type(resource)(resource.name, value).value  # reads sizes and times


def _is_constant(expression: Any) -> bool:
    """Whether the text of a default (`slurm_partition=shared`) has nothing in it that may differ from job to job."""
    if not isinstance(expression, str):
        return False
    try:
        tree = ast.parse(os.path.expanduser(os.path.expandvars(expression)), mode="eval")
    except (SyntaxError, ValueError):
        return True  # to Snakemake that is a text, as a name that means nothing is
    return _names_with_a_meaning().isdisjoint(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


@cache
def _names_with_a_meaning() -> frozenset[str]:
    """What an expression may use; nothing of it is known to come to the same twice."""
    from snakemake.ioutils import register_in_globals  # noqa: PLC0415 - not needed where nothing is read

    names = dict(vars(builtins))
    register_in_globals(names)
    return frozenset((*names, "wildcards", "attempt", "system_tmpdir", "shutil", "async_run"))


def _bound(job: Any, name: str, defaults: Any) -> int:
    """A default that depends on the size of an input that does not exist yet is asked for at its upper bound.

    Snakemake's own default for memory, `min(max(2*input.size_mb, 1000), 8000)`, must not keep a task out of the
    queue. A rule's own resource, or a default without a bound, does.
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
    """Stands for input files of a size that no bound survives."""

    __slots__ = ()

    size_mb = _HUGE_MB
    size_gb = _HUGE_MB // 1000

    def __bool__(self) -> bool:
        return True


def _function(resource: Any) -> Any:
    """The function behind a resource, if there is one; Snakemake wraps it anew with each copy of a rule's resources."""
    evaluator = getattr(resource, "_evaluator", resource)
    return inspect.unwrap(evaluator) if callable(evaluator) else None


def units(job: Any, resources: Mapping[str, Any], limited: Collection[str]) -> dict[str, int]:
    """What a job takes of each limit while it runs.

    Never more than there is, but for `--jobs 0`: Snakemake lowers what a rule asks for to the limit, arranges the
    members of a group so that they keep to it, and refuses to evaluate the resources of pipes that cannot.

    Args:
        job: or group job.
        resources: of the job, evaluated.
        limited: names of the limits.

    Raises:
        NotYetError: one of them is known only when the job's input exists.
    """
    found: dict[str, int] = {}
    for name in limited:
        if any(isinstance(one.resources.get(name), TBDString) and _comes_later(one, job) for one in members_of(job)):
            raise NotYetError(f"resource {name} of {job.name}, which is limited, is known only when its input exists")
        value = resources.get(name, 0)
        if isinstance(value, int) and value > 0:
            found[name] = value
    return found


def _comes_later(member: Any, unit: Any) -> bool:
    """Something that the member reads does not exist yet, and is not made by its own group, which would never change."""
    outside = {str(file) for file in unit.input}
    return any(str(file) in outside and not os.path.lexists(str(file)) for file in member.input)
