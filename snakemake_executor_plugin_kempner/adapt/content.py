"""What a job runs on, as digests: a later run sees what has changed since it was submitted."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from snakemake.common.tbdstring import TBDString


def content(members: Iterable[Any], persistence: Any) -> Mapping[str, str]:
    """Digests of code, parameters and input files of a job, or of the members of a group.

    Snakemake's own notion of each, so that a task in the queue counts as changed when a finished one would. What cannot
    be known before its input exists is left out, and so never counts as changed.
    """
    found: dict[str, list[Any]] = {"code": [], "params": [], "input": []}
    unknown: set[str] = set()
    for member in members:
        for name, read in _READERS.items():
            try:
                values = read(member, persistence)
            except Exception:  # noqa: BLE001 - a function of the workflow may raise anything
                unknown.add(name)
                continue
            if "<TBD>" in str(values):
                unknown.add(name)
            found[name].append(values)
    return {name: _digest(values) for name, values in found.items() if name not in unknown}


def _code(job: Any, persistence: Any) -> Any:
    rule = job.rule
    files = [str(one) for one in (rule.script, rule.notebook, rule.wrapper, rule.cwl) if one]
    return persistence._code(rule) or files  # noqa: SLF001 - has no public name


def _params(job: Any, persistence: Any) -> Any:
    return [TBDString() if isinstance(one, TBDString) else str(one) for one in persistence._params(job)]  # noqa: SLF001


def _input(job: Any, persistence: Any) -> Any:
    return [str(one) for one in persistence._input(job)]  # noqa: SLF001


_READERS = {"code": _code, "params": _params, "input": _input}


def _digest(values: Any) -> str:
    text = json.dumps(values, default=str)
    return hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()[:12]
