"""The ledger says which cluster has the jobs of a run."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task
from fakes import Trouble
from playing import Play

from snakemake_executor_plugin_kempner.errors import OtherCluster
from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.run.cluster import (
    cluster_of_folder,
    cluster_of_run,
    refuse_folder_of_other_cluster,
)
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


# --- a folder whose runs are elsewhere ------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".snakemake/kempner"


def queued(runs: Path) -> Play:
    play = Play(runs / "run1")
    play.submit(a_task("align"))
    return play


def test_a_folder_with_jobs_that_another_cluster_knows_is_refused(runs: Path) -> None:
    play = queued(runs)
    elsewhere = Play(runs.parent / "elsewhere/run9").slurm
    elsewhere.name = "cluster other (/elsewhere)"
    with pytest.raises(OtherCluster, match="run1"):
        refuse_folder_of_other_cluster(runs, elsewhere)
    refuse_folder_of_other_cluster(runs, play.slurm)


def test_a_job_of_the_same_number_on_another_cluster_is_another_job(runs: Path) -> None:
    play = queued(runs)
    elsewhere = Play(runs.parent / "elsewhere/run9")
    elsewhere.submit(a_task("another"))
    assert elsewhere.slurm.jobs.keys() & play.slurm.jobs.keys()
    elsewhere.slurm.name = "cluster other (/elsewhere)"
    with pytest.raises(OtherCluster):
        refuse_folder_of_other_cluster(runs, elsewhere.slurm)


def test_a_controller_that_has_moved_knows_the_jobs(runs: Path) -> None:
    play = queued(runs)
    play.slurm.name = "cluster fake (/another/disk)"
    refuse_folder_of_other_cluster(runs, play.slurm)


def test_jobs_that_have_recorded_their_ends_are_at_no_cluster(runs: Path) -> None:
    play = queued(runs)
    play.run_headless()
    elsewhere = Play(runs.parent / "elsewhere/run9").slurm
    elsewhere.name = "cluster other (/elsewhere)"
    refuse_folder_of_other_cluster(runs, elsewhere)


def test_a_job_whose_end_a_head_has_noted_is_at_no_cluster_and_the_others_are(runs: Path) -> None:
    play = queued(runs)
    play.submit(a_task("call"))
    first, second = play.live.jobs
    elsewhere = Play(runs.parent / "elsewhere/run9").slurm
    elsewhere.name = "cluster other (/elsewhere)"
    play.live._ledger.ended(first)
    with pytest.raises(OtherCluster):
        refuse_folder_of_other_cluster(runs, elsewhere)
    play.live._ledger.ended(second)
    refuse_folder_of_other_cluster(runs, elsewhere)


def test_without_an_answer_nothing_is_refused_yet(runs: Path) -> None:
    play = queued(runs)
    play.slurm.trouble("cluster", Trouble.UNREACHABLE)
    refuse_folder_of_other_cluster(runs, play.slurm)
