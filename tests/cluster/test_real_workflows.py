"""Workflows of the shapes that are found in the wild, written for other executors, run as they are on Kempner's partitions."""

from operator import attrgetter
from pathlib import Path

import pytest
from cases import Case
from columns import detached
from comparison import differences
from matrix import Executor, local, play

from snakemake_executor_plugin_kempner.sandbox import Sandbox

CASES = (
    Case(name="models, folds and seeds", workflow="real_sweep"),
    Case(name="rules without names from a loop", workflow="real_loop", gone=("work/small.txt", "work/large.txt")),
    Case(name="a pipeline that is used twice", workflow="real_modules", varying=("*/benchmarks/*",)),
    Case(name="three checkpoints", workflow="real_checkpoints", text={"ensemble.txt": "model of c\nmodel of a\n"}),
    Case(
        name="an old profile",
        workflow="real_profile",
        args=("--workflow-profile", "old_cluster"),
        protected=("raw/first.txt", "raw/second.txt"),
    ),
    Case(
        name="from a GPU to a CPU partition",
        workflow="real_attempts",
        text={"embedded/one.txt": "one\n", "embedded/two.txt": "two\n"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_a_workflow_from_elsewhere_gives_what_it_gives_locally(case: Case, kempner: Sandbox, tmp_path: Path) -> None:
    """Watched, and with nobody there."""
    expected = play(case, local(), tmp_path / "local")
    args, environment = ("--executor", "kempner", "--jobs", "50"), kempner.environment
    tried = (
        Executor(name="watched", args=(*args, "--kempner-jobname-prefix=doe-"), environment=environment),
        Executor(name="detached", args=args, environment=environment, snakemake=detached(kempner)),
    )
    for one in tried:
        sentences = differences(expected, play(case, one, tmp_path / one.name))
        assert not sentences, f"{case.name}, {one.name}, differs from a local run:\n" + "\n".join(sentences)
