"""Old runs that are over go, with all that is in their folders; nothing else does."""

import os
from pathlib import Path

from builders import chain
from fakes import takes
from playing import Play

from snakemake_executor_plugin_kempner.run.pruning import DAY, prune

NOW = 2_000_000_000.0


def run_of(folder: Path, days: float, *, is_over: bool = True) -> None:
    play = Play(folder, {} if is_over else {"fetch": takes(1e6)})
    play.submit(*chain())
    if is_over:
        play.watch()
        play.live.close()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (NOW - days * DAY,) * 2)


def test_old_runs_that_are_over_go(tmp_path: Path) -> None:
    run_of(tmp_path / "old", 40)
    run_of(tmp_path / "young", 3)
    run_of(tmp_path / "open", 40, is_over=False)
    (tmp_path / "checkpoints").mkdir()
    assert list(prune(tmp_path, 30, NOW)) == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "open", "young"]


def test_where_nothing_has_run_nothing_goes(tmp_path: Path) -> None:
    assert not list(prune(tmp_path / "kempner", 0, NOW))
