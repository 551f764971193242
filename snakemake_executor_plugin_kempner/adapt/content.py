"""What a job runs on, as digests: a later run sees what has changed since it was submitted."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from snakemake.common.tbdstring import TBDString

from .sources import Sources
from .units import digest, is_plain


class Contents:
    """Digests of what jobs run on; what the jobs of a rule have in common is read once.

    Args:
        persistence: Snakemake's, whose notion of each this is, so that a task in the queue counts as changed when a
            finished one would.
        sources: of the workflow; they lie in another folder for each head, which changes no job.
    """

    def __init__(self, persistence: Any, sources: Sources) -> None:
        self._persistence, self._sources, self._here = persistence, sources, f"{os.getcwd()}/"
        self._of_rules: dict[Any, dict[str, str]] = {}

    def of(self, members: Sequence[Any]) -> dict[str, str]:
        """Digests of code, parameters and input files of a job, or of the members of a group.

        What cannot be known before its input exists is left out, and so never counts as changed.
        """
        rule = members[0].rule
        if len(members) > 1 or rule.params:
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
    files = [str(one) for one in (rule.script, rule.notebook, rule.wrapper, rule.cwl) if one]
    return persistence._code(rule) or files  # noqa: SLF001 - has no public name


def _params(job: Any, persistence: Any) -> Any:
    return [TBDString() if isinstance(one, TBDString) else str(one) for one in persistence._params(job)]  # noqa: SLF001


def _input(job: Any, persistence: Any) -> Any:
    if is_plain(job.input):  # what Snakemake finds for such files, in less time
        return sorted(map(str, job.input))
    return [str(one) for one in persistence._input(job)]  # noqa: SLF001


_READERS = {"code": _code, "params": _params, "input": _input}
