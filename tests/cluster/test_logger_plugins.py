"""Logger plugins of Snakemake beside this plugin: no failure loses its cause, whoever prints."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from detached import left_behind, page
from head import closed, run, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

pytestmark = pytest.mark.cluster
FAILING = """
rule all:
    input: "good.txt", "after.txt", "grouped.txt"

rule good:
    output: "good.txt"
    shell: "touch {output}"

rule bad:
    output: "bad.txt"
    shell: "python3 -c 'raise ValueError(1)'"

rule after:
    input: "bad.txt"
    output: "after.txt"
    shell: "touch {output}"

rule grouped:
    output: "grouped.txt"
    group: "together"
    shell: "python3 -c 'raise KeyError(2)'"
"""


def logger_plugin(name: str) -> tuple[str, str]:
    if find_spec(f"snakemake_logger_plugin_{name}") is None:
        pytest.skip(f"snakemake-logger-plugin-{name} is not installed")
    return "--logger", name


@pytest.mark.parametrize("name", ["", "rich", "snkmt", "snakesee"])
def test_a_failure_keeps_its_cause_whoever_prints_it(slurm: Sandbox, tmp_path: Path, name: str) -> None:
    """Some of them keep a database in the home folder."""
    options = logger_plugin(name) if name else ()
    outcome = run(slurm, written(tmp_path / "flow", FAILING), "--keep-going", *options, HOME=str(tmp_path))
    assert outcome.exit_code == 1, outcome.output
    assert outcome.output.count("bad failed.") == 1, outcome.output
    assert outcome.output.count("  cause: ValueError: 1") == 1, outcome.output
    assert outcome.output.count("together_grouped failed.") == 1, outcome.output
    assert outcome.output.count("  cause: KeyError: 2") == 1, outcome.output
    assert page(tmp_path / "flow") in outcome.output
    assert 'Traceback (most recent call last):\n  File "/' not in outcome.output


@pytest.mark.parametrize("name", ["", "rich", "snkmt", "snakesee"])
def test_what_a_detached_head_prints_last_is_its_own_summary(slurm: Sandbox, tmp_path: Path, name: str) -> None:
    options = logger_plugin(name) if name else ()
    folder = written(tmp_path / "flow", FAILING)
    left = left_behind(slurm, folder, "good.txt", *options, HOME=str(tmp_path))
    assert re.search(
        r"Run (\w+) is in Slurm's hands; nothing of flow .*\n(  .*\n){2}  cancel:   kempner cancel \1\s*$", left.output
    )
    assert closed(slurm, folder, left).exit_code == 0
