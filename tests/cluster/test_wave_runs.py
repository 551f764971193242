"""Where a site lets a user have few jobs in the queue, or small arrays, a run comes to its end all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, ran, with_behaviour
from comparison import Outcome
from conftest import StartSlurm
from head import Head, cancel_all, closed, go, of_rule, queued, run, run_detached
from snakefiles import Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

WORKFLOW = snakefile(
    wanted(Code('expand("second-{n}.txt", n=range(8))')),
    rule("second", "first-{n}.txt", output="second-{n}.txt", does="second-{wildcards.n}", then="cp {input} {output}"),
    rule(
        "first",
        output="first-{n}.txt",
        does="first-{wildcards.n} {params.how}",
        params={"how": Code('lambda wildcards: config.get(f"first_{wildcards.n}", config.get("first", "succeeds"))')},
    ),
)
ALL = {f"{rule}-{number}" for rule in ("first", "second") for number in range(8)}


@pytest.fixture
def slurm(private_slurm: StartSlurm) -> Sandbox:
    """A sandbox of the test's own: a limit counts all jobs of the user, those of other tests too."""
    return private_slurm()


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    place = with_behaviour(tmp_path / "run", WORKFLOW)
    yield place
    cancel_all(slurm, place)


def test_a_small_submit_limit_and_small_arrays_are_kept_watched_and_with_nobody_there(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    slurm = private_slurm(
        accounting=True,
        nodes=(Node(name="n1", cpus=8, memory_mb=16_000),),
        accounts=("lab",),
        accounting_enforce="limits",
        max_array_size=4,
        sacctmgr=("modify account lab set maxsubmitjobs=9",),
    )
    more = ("--kempner-array-from", "2")
    watched = with_behaviour(tmp_path / "watched", WORKFLOW)
    most = 0
    with Head(slurm, watched, *more) as head:

        def is_over() -> bool:
            nonlocal most
            most = max(most, len(slurm.run("squeue", "-h", "-r", "-o", "%i").split()))
            return not head.lives

        head.until(is_over, timeout=240)
        assert head.end() == 0, head.said
    assert ran(watched) == ALL
    assert 4 <= most <= 9
    assert "will be queued later: there is no room for more jobs in the queue" in head.said

    left = with_behaviour(tmp_path / "left", WORKFLOW)
    outcome = run_detached(slurm, left, *more)
    assert outcome.exit_code == 0, outcome.output
    assert ran(left) == ALL
    assert "16 of 16 tasks done" in outcome.output


def test_what_is_forced_and_has_no_room_is_forced_later(slurm: Sandbox, folder: Path) -> None:
    for number in range(8):
        (folder / f"first-{number}.txt").touch()
        (folder / f"second-{number}.txt").touch()
    outcome = run_detached(slurm, folder, "--forceall", "--kempner-max-queued", "9")
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == ALL


@pytest.mark.parametrize("detach", [(), ("--kempner-detach",)], ids=["watched", "nobody there"])
def test_after_a_failure_the_next_waves_come_only_with_keep_going(
    slurm: Sandbox, folder: Path, detach: tuple[str, ...]
) -> None:
    options = ("--kempner-max-queued", "9", *detach)
    failing = ("--config", "first_0=fails")
    with Head(slurm, folder, *options, *failing, "first=waits:go") as head:
        if detach:
            head.end()
        # A wave that comes before the failure is no fault: nothing else ends, and makes room, until Slurm knows of it.
        head.until(lambda: "FAILED" in [one.state for one in of_rule(queued(slurm, folder), "first")])
        go(folder)
        stopped = closed(slurm, folder, Outcome(exit_code=head.end(), output=head.said))
        assert_nothing_is_left(slurm, folder, within=120)
    assert stopped.exit_code != 0, stopped.output
    assert not {"second-7", "second-0"} & ran(folder), stopped.output
    (folder / "times").unlink()
    going = closed(slurm, folder, run(slurm, folder, "--keep-going", *options, *failing))
    assert going.exit_code != 0, going.output
    assert "first[n=0] failed" in going.output
    assert_nothing_is_left(slurm, folder, within=120)
    assert {f"second-{number}" for number in range(1, 8)} <= {path.stem for path in folder.glob("second-*.txt")}
    assert "second-0" not in ran(folder)
