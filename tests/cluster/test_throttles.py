"""`--jobs` and `--resources` limit what runs at once, and Slurm keeps them when no head lives."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, ran, with_behaviour
from head import Head, cancel_all, run
from snakefiles import Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOW = snakefile(
    wanted(Code('expand("second-{n}.txt", n=range(7))'), "alone.txt"),
    rule("second", "first-{n}.txt", output="second-{n}.txt", does="second-{wildcards.n}", then="cp {input} {output}"),
    rule("first", output="first-{n}.txt", does="first-{wildcards.n}", resources={"licence": 1}),
    rule("alone", resources={"licence": 2}),
)
ALL = {*(f"{rule}-{number}" for rule in ("first", "second") for number in range(7)), "alone"}


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    place = with_behaviour(tmp_path / "run", WORKFLOW)
    yield place
    cancel_all(slurm, place)


def most_at_once(folder: Path, **takes: int) -> int:
    """The most that was taken at one moment, by the jobs' own records; `takes` is what a task of each rule takes."""
    moments: list[tuple[float, int]] = []
    for path in folder.glob(".snakemake/kempner/[0-9a-f]*/ended/*.json"):
        job = json.loads(path.read_text())
        units = takes.get(job["task"].partition("[")[0], 0)
        moments += [(job["start"], units), (job.get("end", job["start"]), -units)]  # a job that was killed has no end
    found = taken = 0
    for _, units in sorted(moments):
        taken += units
        found = max(found, taken)
    return found


@pytest.mark.parametrize("arrays", ["5", "0"])
@pytest.mark.parametrize("dies", [False, True], ids=["head lives", "head is dead"])
def test_no_more_tasks_run_at_once_than_there_are_jobs(
    slurm: Sandbox, folder: Path, arrays: str, *, dies: bool
) -> None:
    with Head(slurm, folder, "--kempner-array-from", arrays, jobs=3) as head:
        head.until_queued()
        if dies:
            head.kill()
        else:
            assert head.end() == 0, head.said
        assert_nothing_is_left(slurm, folder, within=180)
    assert ran(folder) == ALL
    assert 2 <= most_at_once(folder, first=1, second=1, alone=1) <= 3


def test_no_more_is_taken_of_a_resource_than_there_is(slurm: Sandbox, folder: Path) -> None:
    with Head(slurm, folder, "--resources", "licence=2") as head:
        head.until_queued()
        head.kill()
        assert_nothing_is_left(slurm, folder, within=180)
    assert ran(folder) == ALL
    assert most_at_once(folder, first=1, alone=2) == 2


def test_what_asks_for_more_than_there_is_takes_all_there_is_as_in_snakemake(slurm: Sandbox, folder: Path) -> None:
    outcome = run(slurm, folder, "--resources", "licence=1")
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == ALL
    assert most_at_once(folder, first=1, alone=1) == 1
