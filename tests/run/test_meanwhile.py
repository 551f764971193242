"""A run that ends while another command reads the workflow is noticed, whatever the clocks say."""

import os
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.layout import CLOSED, LEDGER
from snakemake_executor_plugin_kempner.run import meanwhile
from snakemake_executor_plugin_kempner.run.meanwhile import ended_since


def closed(runs: Path, run: str, moment: float) -> None:
    folder = runs / run
    folder.mkdir(parents=True)
    (folder / LEDGER).touch()
    (folder / CLOSED).touch()
    os.utime(folder / CLOSED, (moment, moment))


def test_only_what_was_closed_after_that_moment_counts(tmp_path: Path) -> None:
    now = time.time()
    closed(tmp_path, "before", now - 5)
    closed(tmp_path, "after", now + 1)
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / LEDGER).touch()
    (tmp_path / "latest").symlink_to("after")
    assert ended_since(tmp_path, now) == ("after",)
    assert {path.name for path in tmp_path.iterdir()} == {"before", "after", "open", "latest"}


@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["ahead", "behind"])
def test_the_clock_of_the_file_system_may_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    closed(tmp_path, "run1", time.time())
    here = time.time() - ahead
    monkeypatch.setattr(meanwhile.time, "time", lambda: here)
    assert ended_since(tmp_path, here - 5) == ("run1",)
    assert ended_since(tmp_path, here + 5) == ()


def test_without_runs_nothing_has_ended(tmp_path: Path) -> None:
    assert ended_since(tmp_path / "none", 0.0) == ()
