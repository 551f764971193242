"""What a job runs on, as digests: a later run sees what has changed since it was submitted."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from snakemake.common.tbdstring import TBDString


class Contents:
    """Digests of jobs; those that many jobs have in common exist once.

    Args:
        persistence: Snakemake's, whose notion of code, parameters and input files this is, so that a task in the queue
            counts as changed when a finished one would.
    """

    def __init__(self, persistence: Any) -> None:
        self._persistence = persistence
        self._digests: dict[str, str] = {}

    def of(self, members: Iterable[Any]) -> Mapping[str, str]:
        """Digests of code, parameters and input files of a job, or of the members of a group.

        What cannot be known before its input exists is left out, and so never counts as changed.
        """
        members = tuple(members)
        return {name: digest for name, read in _READERS.items() if (digest := self._digest(read, members)) is not None}

    def _digest(self, read: Any, members: Iterable[Any]) -> str | None:
        try:
            text = _to_json([read(member, self._persistence) for member in members])
        except Exception:  # noqa: BLE001 - a function of the workflow may raise anything
            return None
        if "<TBD>" in text:
            return None
        digest = hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()[:12]
        return self._digests.setdefault(digest, digest)


_to_json = json.JSONEncoder(default=str).encode


def _code(job: Any, persistence: Any) -> Any:
    rule = job.rule
    files = [str(one) for one in (rule.script, rule.notebook, rule.wrapper, rule.cwl) if one]
    return persistence._code(rule) or files  # noqa: SLF001 - has no public name


def _params(job: Any, persistence: Any) -> Any:
    if not job.rule.params:
        return []
    return [TBDString() if isinstance(one, TBDString) else str(one) for one in persistence._params(job)]  # noqa: SLF001


def _input(job: Any, persistence: Any) -> Any:
    return [str(one) for one in persistence._input(job)]  # noqa: SLF001


_READERS = {"code": _code, "params": _params, "input": _input}
