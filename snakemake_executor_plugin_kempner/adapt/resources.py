"""The resources of a job, evaluated: also those that depend on an input that does not exist yet."""

import inspect
import os
from typing import Any

from snakemake.common.tbdstring import TBDString

from ..plan.resources import RELEVANT

_HUGE_MB = 10**9
"""An input size at which a default that has an upper bound has reached it."""
_MEMORY = ("mem", "mem_mb", "mem_mib")


class NotYetError(Exception):
    """A job's resources are known only when its input exists."""


class BadResourcesError(Exception):
    """A job's resources cannot be evaluated although its input exists."""


def evaluated(job: Any, defaults: Any, *, is_ready: bool) -> dict[str, Any]:
    """Resources by name, as numbers and texts.

    Args:
        job: or group job.
        defaults: Snakemake's default resources.
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
    for name in [name for name, value in resources.items() if isinstance(value, TBDString)]:
        del resources[name]
        if name in RELEVANT:
            resources["mem_mb"] = _bound(job, name, defaults)
    return {name: value for name, value in resources.items() if isinstance(value, (int, str))}


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
