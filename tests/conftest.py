"""Fixtures of all tests. Modules beside this file (`fakes`, `strategies`, `contract`, …) are imported by their name."""

import difflib
import gc
import os
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from snakemake_executor_plugin_kempner.run.ledger import Ledger, _line
from snakemake_executor_plugin_kempner.run.lines import parse

# The same examples in each run, however slow the machine, so that only a change can make a test fail.
# KEMPNER_EXAMPLES=500 looks further, at random.
examples = int(os.environ.get("KEMPNER_EXAMPLES", "50"))
settings.register_profile("far", max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("far"), derandomize=True, database=None)
settings.load_profile("far" if os.environ.get("KEMPNER_EXAMPLES") else "same")

GOLDEN = Path(__file__).parent / "golden"

pytest.register_assert_rewrite("contract")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as of a command in the background: its programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `thorough` run only where -m names them, whatever else it selects."""
    if "thorough" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = _slow_ones_first(items, workers)


def _slow_ones_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests so that of the parts that pytest-xdist gives to its workers, in order, each begins with slow ones."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = iter([item for item in items if not item.get_closest_marker("slow")])
    found: list[pytest.Item] = []
    for worker in range(workers):
        share = slow[worker::workers]
        size = len(items) * (worker + 1) // workers - len(found) - len(share)
        found += [*share, *islice(others, max(0, size))]
    return [*found, *others]


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


@pytest.fixture(scope="session")
def cache_of_the_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that draws is put together once, which takes seconds, and leaves nothing at home."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def what_earlier_modules_have_left_is_no_garbage() -> None:
    """A process that has read many workflows holds so much that each search for garbage takes long."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def every_line_of_a_ledger_is_read_again() -> Iterator[None]:
    """Whatever a test lets a run write down, the next process has to understand."""
    write = Ledger._write

    def write_and_read(self: Ledger, entry: dict[str, Any]) -> None:
        write(self, entry)
        line = _line(entry)
        assert parse(line, "").unread == 0, f"nobody can read this line: {line}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_write", write_and_read)
        yield
