"""What a light job does not know itself: it asks the whole package, in a process of its own (`step/asked.py`)."""

from __future__ import annotations

import os
import sys

from .files import read
from .plain import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASKED = "snakemake_executor_plugin_kempner.step.asked"
_ABOUT_EARLIER = (
    "task", "attempt", "segment", "earlier_attempts", "earlier_tries", "records", "mark", "elsewhere",
)  # fmt: skip
YES, NO, GO_ON = 10, 11, 12
"""Exit codes of `step/asked.py`: every other code is no answer."""


class Asked:
    """Answers of the package; each method is a start of it."""

    def decided_before(self, spec: Any) -> int | None:
        about = {name: getattr(spec, name) for name in _ABOUT_EARLIER}
        code = _ask("decided_before", about)
        return None if code == GO_ON else int(code != YES)

    def was_cancelled(self) -> bool:
        return _ask("was_cancelled", {}) == YES

    def fails_at_once(self, spec: Any) -> None:
        _ask("fails_at_once", {"elsewhere": spec.elsewhere})

    def pass_over(self, spec: Any) -> None:
        _ask("pass_over", {"records": spec.records})

    def release_next(self, spec: Any) -> None:
        _ask("release_next", {"records": spec.records})

    def stop(self, spec: Any) -> None:
        _ask("stop", {"stops": spec.stops})

    def may_have_more_readers(self, folder: str) -> bool:
        """The same as `asked.may_have_more_readers`, without reading all that a ledger says."""
        claim, ledger = read(f"{os.path.dirname(folder)}/claim.json"), read(f"{folder}/ledger.jsonl")
        try:
            holder = loads(claim)["run"] if claim else ""
        except (ValueError, TypeError, KeyError):
            holder = ""
        return holder not in ("", os.path.basename(folder)) or not ledger or '"by": "' in ledger.replace('"by": ""', "")


def _ask(question: str, about: dict[str, Any]) -> int:
    child = os.posix_spawn(
        sys.executable, [sys.executable, "-m", _ASKED, question, dumps(about)], os.environ, setpgroup=0
    )
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
