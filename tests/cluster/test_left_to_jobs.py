"""Temporary files of a workflow that does not fit into the queue at once; others are in the feature matrix."""

from pathlib import Path

from cases import IN_WAVES
from columns import detached
from comparison import differences
from conftest import StartSlurm
from matrix import Executor, local, play


def test_readers_that_come_in_waves_find_their_temporary_files(private_slurm: StartSlurm, tmp_path: Path) -> None:
    """Watched, and with nobody there; both leave what a local run leaves."""
    slurm, expected = private_slurm(), play(IN_WAVES, local(), tmp_path / "local")
    args, environment = ("--executor", "kempner", "--jobs", "50", "--kempner-max-queued", "8"), slurm.environment
    for tried in (
        Executor(name="watched", args=args, environment=environment),
        Executor(name="detached", args=args, environment=environment, snakemake=detached(slurm)),
    ):
        sentences = differences(expected, play(IN_WAVES, tried, tmp_path / tried.name))
        assert not sentences, f"{tried.name} differs from a local run:\n" + "\n".join(sentences)
