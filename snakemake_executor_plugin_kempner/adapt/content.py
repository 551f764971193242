"""Digests of a job's code, parameters and inputs, with which a later run detects changes since the submission."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from snakemake.common.tbdstring import TBDString

from .sources import Sources
from .units import digest, is_plain, task_key


class Contents:
    """Digests of jobs; the part common to all jobs of a rule is read once.

    Args:
        persistence: Snakemake's, which reads code, parameters and inputs, so that a queued task counts as changed under
            the same conditions as a finished task.
        sources: of the workflow; their folder differs between heads, which must not count as a change.
    """

    def __init__(self, persistence: Any, sources: Sources) -> None:
        self._persistence, self._sources, self._here = persistence, sources, f"{os.getcwd()}/"
        self._of_rules: dict[Any, dict[str, str]] = {}

    def of(self, members: Sequence[Any]) -> dict[str, str]:
        """Digests of code, parameters and input files of a job, or of the members of a group.

        A digest that cannot be computed before the input exists is left out, and never counts as changed.
        """
        if len(members) > 1:  # those of a group are in no order
            return self._digests(_READERS, sorted(members, key=task_key))
        rule = members[0].rule
        if rule.params:
            return self._digests(_READERS, members)
        if rule not in self._of_rules:
            self._of_rules[rule] = self._digests(("code", "params"), members)
        return self._of_rules[rule] | self._digests(("input",), members)

    def _digests(self, names: Iterable[str], members: Sequence[Any]) -> dict[str, str]:
        found = {name: self._digest(name, members) for name in names}
        return {name: digest for name, digest in found.items() if digest is not None}

    def _digest(self, name: str, members: Sequence[Any]) -> str | None:
        try:
            text = repr([_READERS[name](member, self._persistence) for member in members])
        except Exception:  # noqa: BLE001 - a function of the workflow may raise anything
            return None
        if "<TBD>" in text:
            return None
        return digest([self._sources.without_place(text).replace(self._here, "")])[:12]


def _code(job: Any, persistence: Any) -> Any:
    rule = job.rule
    files = [str(path) for path in (rule.script, rule.notebook, rule.wrapper, rule.cwl) if path]
    return persistence._code(rule) or files  # noqa: SLF001 - has no public name


def _params(job: Any, persistence: Any) -> Any:
    return [TBDString() if isinstance(value, TBDString) else str(value) for value in persistence._params(job)]  # noqa: SLF001


def _input(job: Any, persistence: Any) -> Any:
    if is_plain(job.input):  # the same as Snakemake's result for such files, but faster
        return sorted(map(str, job.input))
    return [str(file) for file in persistence._input(job)]  # noqa: SLF001


_READERS = {"code": _code, "params": _params, "input": _input}
