"""The example workflow ends with the same files whether somebody watches it or not."""

import importlib.util
from pathlib import Path

import pytest
from comparison import differences, fresh_copy, run_forked, run_snakemake, snapshot
from head import closed

from snakemake_executor_plugin_kempner.sandbox import Sandbox

EXAMPLE = Path(__file__).parents[2] / "example_workflow"
SMALLER = ("--nocolor", "--config", "widths=[32]", "learning_rates=[0.001,0.01]", "stages=1")

needs_its_libraries = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sklearn", "matplotlib")),
    reason="the example computes and draws with scikit-learn and matplotlib",
)


@pytest.mark.slow
@needs_its_libraries
def test_nobody_has_to_stay_for_the_example(slurm: Sandbox, tmp_path: Path) -> None:
    watched = fresh_copy(EXAMPLE, tmp_path / "watched")
    detached = fresh_copy(EXAMPLE, tmp_path / "detached")
    head = run_snakemake(detached, [*SMALLER, "--kempner-detach"], slurm.environment)
    assert head.exit_code == 0, head.output

    outcome = run_snakemake(watched, SMALLER, slurm.environment)
    assert outcome.exit_code == 0, outcome.output
    end = closed(slurm, detached, head)
    assert end.exit_code == 0, end.output

    assert "Nothing to be done" in run_forked(detached, [*SMALLER, "--dry-run"], slurm.environment).output
    assert (detached / "results" / "summary.md").read_text().strip()
    assert differences(snapshot(watched), snapshot(detached)) == []


@needs_its_libraries
def test_the_chain_as_a_single_rule_in_segments_computes_the_same_numbers(slurm: Sandbox, tmp_path: Path) -> None:
    folder = fresh_copy(EXAMPLE, tmp_path / "run")
    smallest = ("--nocolor", "--config", "widths=[32]", "learning_rates=[0.001]", "stages=2", "stage_epochs=2")
    done = run_snakemake(folder, [*smallest, "--", "whole", "results/chain/model2.joblib"], slurm.environment)
    assert done.exit_code == 0, done.output
    assert "Segment 1 of 2 of train_whole is to be continued (exit code 75)" in done.output
    whole, *stages = (folder / "results" / name for name in ("whole/curve.csv", "chain/curve1.csv", "chain/curve2.csv"))
    header, *rows = whole.read_bytes().splitlines()
    assert rows == [row for stage in stages for row in stage.read_bytes().splitlines() if row != header]
    assert len(rows) == 4
