"""A Slurm that forgets a job two seconds after its end (MinJobAge): nothing runs for nothing, and nothing is refused."""

import time
from pathlib import Path

import pytest
from conftest import StartSlurm
from head import SMALL, UNTIL_GO, Head, go, queued, run, run_detached, written
from snakefiles import Code, rule, snakefile, wanted

RETRIED = snakefile(
    wanted(Code('expand("{n}.txt", n=range(3))'), "end.txt"),
    rule("one", output="{n}.txt", shell="echo {wildcards.n} >> runs; echo > {output}", retries=2),
    rule("end", Code('expand("{n}.txt", n=range(3))'), shell="echo end >> runs; echo > {output}"),
)


@pytest.mark.parametrize("how", ["watched", "detached"])
def test_no_attempt_runs_after_one_that_has_succeeded_and_is_forgotten(
    private_slurm: StartSlurm, tmp_path: Path, how: str
) -> None:
    slurm = private_slurm(nodes=SMALL, min_job_age=2)
    folder = written(tmp_path / "flow", RETRIED)
    begin = run if how == "watched" else run_detached
    outcome = begin(slurm, folder, "--kempner-submit-pause", "3")
    assert outcome.exit_code == 0, outcome.output
    assert sorted((folder / "runs").read_text().split()) == ["0", "1", "2", "end"]


def test_no_attempt_runs_after_one_that_was_cancelled_and_is_forgotten(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    slurm = private_slurm(nodes=SMALL, min_job_age=2)
    folder = written(
        tmp_path / "flow",
        f"""
        rule a:
            output: "a.txt"
            retries: 1
            shell: "echo a >> runs; {UNTIL_GO}; echo > {{output}}"
        """,
    )
    with Head(slurm, folder) as head:
        head.until_queued()
        head.until((folder / "runs").exists)
        first, second = (one.job_id for one in queued(slurm, folder) if one.rule == "a")
        head.kill()  # it would cancel the second attempt by itself
        slurm.run("scontrol", "hold", second)
        slurm.run("scancel", first)
        deadline = time.monotonic() + 120
        while first in slurm.run("squeue", "-h", "-t", "all", "-o", "%i").split():
            assert time.monotonic() < deadline
            time.sleep(1)
        go(folder)
        slurm.run("scontrol", "release", second)
        while not (found := list(folder.rglob(f"*{second}.log"))) or "no further attempt" not in found[0].read_text():
            assert time.monotonic() < deadline, [one.read_text() for one in found]
            time.sleep(1)
    assert (folder / "runs").read_text().split() == ["a"]
    assert not (folder / "a.txt").exists()
