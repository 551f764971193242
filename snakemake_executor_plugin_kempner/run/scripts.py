"""What each call of sbatch runs and waits for, kept beside the ledger: a run can be exported after its end."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..layout import SCRIPTS
from ..plan.dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term
from ..plan.model import Call, Kind

_KEPT = frozenset({Kind.TASK, Kind.GATE})
_OWNER_ALONE = 0o600
"""Commands and configuration may hold passwords."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptCall:
    """A call of sbatch."""

    script: str
    waits_for: Expression | None
    """All that it waits for, also what had come true when it was submitted."""
    throttle: int = 0


def keep(folder: Path, call: Call, script: str) -> None:
    """Keep a call of sbatch that submits tasks. If it cannot be written, the run cannot be exported, and goes on."""
    if call.first.kind not in _KEPT:
        return
    known = {
        "call": call.job_name,
        "script": script,
        "throttle": call.throttle,
        "any": isinstance(call.waits_for, AnyOf),
        "waits_for": [_told(term) for term in call.waits_for.terms] if call.waits_for else [],
    }
    with suppress(OSError), open(folder / SCRIPTS, "a", encoding="ascii", opener=_of_owner_alone) as file:
        file.write(json.dumps(known) + "\n")


def kept_calls(folder: Path) -> Mapping[str, KeptCall]:
    """The calls of a run by name of the job; lines that cannot be read are left out."""
    try:
        lines = (folder / SCRIPTS).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            known = json.loads(line)
            found[str(known["call"])] = _kept(known)
    return found


def _of_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ALONE)


def _told(term: Term) -> list[Any]:
    on = None if term.on is None else [term.on.task, term.on.attempt]
    return [term.type.value, on, term.minutes, term.whole]


def _kept(known: Mapping[str, Any]) -> KeptCall:
    terms = tuple(
        Term(type=DependencyType(kind), on=Ref(*on) if on else None, minutes=minutes, whole=whole)
        for kind, on, minutes, whole in known["waits_for"]
    )
    expression = AnyOf(terms) if known["any"] else AllOf(terms)
    return KeptCall(script=known["script"], waits_for=expression if terms else None, throttle=known["throttle"])
