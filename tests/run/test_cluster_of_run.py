"""The ledger says which cluster has the jobs of a run."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import Trouble
from playing import Play

from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.run.cluster import cluster_of_folder, cluster_of_run
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.opening import EarlierRuns


@pytest.mark.parametrize(
    ("at", "name"), [(Options.of("--clusters=fake"), "fake"), (NO_OPTIONS, "")], ids=["elsewhere", "here"]
)
def test_a_run_elsewhere_does_not_begin_before_its_cluster_has_told_its_name(
    tmp_path: Path, at: Options, name: str
) -> None:
    play = Play(tmp_path / "run1")
    play.policy = replace(play.policy, run="run2", folder=str(tmp_path / "run2"), at=at)
    play.slurm.trouble("cluster", Trouble.UNREACHABLE)
    play._begin(EarlierRuns(ledgers=(), left=()))
    assert cluster_of_run(read_ledger(play.folder)) == name


def test_a_folder_is_on_the_cluster_of_its_open_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / ".snakemake/kempner"
    play = Play(runs / "run1")
    assert cluster_of_folder(runs) == "fake"
    play.live._ledger.close()
    assert cluster_of_folder(runs) == ""
    assert cluster_of_folder(tmp_path / "none") == ""
