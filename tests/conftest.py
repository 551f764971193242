"""Fixtures of all tests. Modules beside this file (`fakes`, `strategies`, `contract`, …) are imported by their name."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in each run, so that only a change can make a test fail, and without a deadline: machines are busy. KEMPNER_EXAMPLES=500 looks further, at random.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.load_profile("default" if os.environ.get("KEMPNER_EXAMPLES") else "same")

GOLDEN = Path(__file__).parent / "golden"

pytest.register_assert_rewrite("contract")


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with the file of that name in `tests/golden`; KEMPNER_ACCEPT=1 writes the file instead."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("KEMPNER_ACCEPT"):
            path.write_text(text)
        known = path.read_text() if path.exists() else ""
        if text != known:
            lines = (one.splitlines(keepends=True) for one in (known, text))
            diff = "".join(difflib.unified_diff(*lines, f"tests/golden/{name}.txt", "what came out"))
            pytest.fail(f"{diff}\nIf this is as it should be: KEMPNER_ACCEPT=1 pytest tests -k golden", pytrace=False)

    return check
