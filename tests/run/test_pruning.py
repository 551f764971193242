"""Old runs that are over go, with all that is in their folders; nothing else does."""

import os
from dataclasses import replace
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
        play.live.end()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (NOW - days * DAY,) * 2)


def test_old_runs_that_are_over_go(tmp_path: Path) -> None:
    run_of(tmp_path / "old", 40)
    run_of(tmp_path / "young", 3)
    run_of(tmp_path / "open", 40, is_over=False)
    (tmp_path / "checkpoints").mkdir()
    assert list(prune(tmp_path, 30, NOW)) == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "open", "young"]


def test_logs_that_lie_elsewhere_go_with_their_run(tmp_path: Path) -> None:
    logs = tmp_path / "slurm_logs"
    for run, days in (("old", 40), ("young", 3)):
        folder = tmp_path / "kempner" / run
        play = Play(folder, keeps_records=False)
        play.live.policy = replace(play.live.policy, logs=str(logs / run))
        play.submit(*chain())
        play.watch()
        play.live.end()
        assert any((logs / run).iterdir())
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (NOW - days * DAY,) * 2)
    assert list(prune(tmp_path / "kempner", 30, NOW)) == ["old"]
    assert [path.name for path in logs.iterdir()] == ["young"]


def test_where_nothing_has_run_nothing_goes(tmp_path: Path) -> None:
    assert not list(prune(tmp_path / "kempner", 0, NOW))
