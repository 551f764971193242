"""What a person has to hear: a failure whatever --quiet says, and a job that waits until somebody releases it."""

from pathlib import Path

import pytest
from head import Head, queued, run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

FAILING = """
    rule bad:
        output: "bad.txt"
        resources: slurm_extra="--nice=3"
        shell: "echo no such gene; exit 3"
"""


@pytest.mark.parametrize("words", [("--quiet", "all"), ("-q",), ("--quiet", "rules")])
def test_a_failure_is_heard_however_quiet_snakemake_is(slurm: Sandbox, tmp_path: Path, words: tuple[str, ...]) -> None:
    outcome = run(slurm, written(tmp_path / "flow", FAILING), *words)
    assert outcome.exit_code == 1
    assert outcome.output.count("bad failed.") == 1, outcome.output
    assert "no such gene" in outcome.output


def test_what_stops_a_quiet_run_before_its_first_job_is_heard(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", FAILING.replace("--nice=3", "--arr=0-2 script.sh"))
    outcome = run(slurm, folder, "--quiet", "all")
    assert outcome.exit_code == 1
    assert "bad: slurm_extra has the word 'script.sh'" in outcome.output


def test_the_end_of_a_quiet_run_can_be_read_in_its_log(slurm: Sandbox, tmp_path: Path) -> None:
    outcome = run_detached(slurm, written(tmp_path / "flow", FAILING), "--quiet", "rules")
    assert outcome.exit_code == 1
    assert "no such gene" in outcome.output


def test_a_job_that_is_held_is_pointed_out_with_what_to_type(slurm: Sandbox, tmp_path: Path) -> None:
    held = FAILING.replace("--nice=3", "-H").replace("; exit 3", " > {output}")
    folder = written(tmp_path / "flow", held)
    with Head(slurm, folder) as head:
        head.until(lambda: "is held: JobHeldUser" in head.said)
        (job,) = (one.job_id for one in queued(slurm, folder))
        assert f"scontrol release {job}" in head.said
        slurm.run("scontrol", "release", job)
        assert head.end() == 0, head.said
