"""Which ends of a job are followed by another attempt, and which are not, with a head that lives and without one."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, moments, ran, states, submitted, with_behaviour
from head import PATIENCE, SMALL, Head, of_rule, queued
from snakefiles import ATTEMPT, Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

StartSlurm = Callable[..., Sandbox]

HEADS = pytest.mark.parametrize("dies", [False, True], ids=["head lives", "head is dead"])
DOES_NOT_KILL = ("--kempner-no-kill-on-invalid-dep",)
SITES = pytest.mark.parametrize("site", [(), DOES_NOT_KILL], ids=["kills", "does not kill"])


def end_of(head: Head, slurm: Sandbox, folder: Path, *, within: float = PATIENCE) -> None:
    """Wait for the head if it still lives, and until the last job has left the queue."""
    if head.lives:
        head.end()
    assert_nothing_is_left(slurm, folder, within=within)


def without_gates(ends: Mapping[str, str]) -> dict[str, str]:
    return {name: end for name, end in ends.items() if not name.endswith("#gate")}


def assert_in_order(folder: Path, *names: str) -> None:
    """Each of these commands has run, and started when the one before it had ended."""
    starts, ends = moments(folder, "started"), moments(folder, "ended")
    for before, after in pairwise(names):
        assert ends[before][0] <= starts[after][0], f"{after} has started before {before} had ended"


# --- what fails is tried again --------------------------------------------------------------------------------------

STUBBORN = snakefile(
    wanted("after.txt", "both.txt", "tell.txt"),
    # It fails when the file `fail` appears, fails again, and succeeds.
    rule(
        "stubborn",
        does="stubborn-{resources.nth} {resources.how}",
        retries=2,
        resources={
            "nth": ATTEMPT,
            "mem_mb": Code("lambda wildcards, attempt: 600 * attempt"),
            "how": Code('lambda wildcards, attempt: ["fails:fail", "fails", "succeeds"][attempt - 1]'),
        },
    ),
    # One waits for it alone, one for something else as well, and one for its failure.
    rule("after", "stubborn.txt"),
    rule("other"),
    rule("both", "stubborn.txt", "other.txt"),
    rule("tell", resources={"slurm_dependency": "afternotok:stubborn"}),
)


@SITES
def test_without_a_head_each_attempt_runs_once_with_its_own_memory_until_one_succeeds(
    slurm: Sandbox, tmp_path: Path, site: tuple[str, ...]
) -> None:
    folder = with_behaviour(tmp_path / "run", STUBBORN)
    with Head(slurm, folder, *site) as head:
        head.until_queued()
        head.kill()
        attempts = of_rule(queued(slurm, folder), "stubborn")
        assert [one.memory for one in attempts] == ["600M", "1200M", "1800M"]
        (folder / "fail").touch()
        end_of(head, slurm, folder)
        assert states(slurm, folder) == {
            "stubborn": "FAILED",
            "stubborn#2": "FAILED",
            "stubborn#3": "COMPLETED",
            "stubborn#gate": "COMPLETED",
            "after": "COMPLETED",
            "other": "COMPLETED",
            "both": "COMPLETED",
            "tell": "CANCELLED",
        }
    assert ran(folder) == {"stubborn-1", "stubborn-2", "stubborn-3", "after", "other", "both"}
    assert_in_order(folder, "stubborn-1", "stubborn-2", "stubborn-3", "after")
    assert_in_order(folder, "stubborn-3", "both")


INPUT_FAILS = snakefile(
    wanted("second.txt", "third.txt"),
    rule(
        "first",
        does="first-{resources.nth} {resources.how}",
        then="",
        retries=1,
        resources={"nth": ATTEMPT, "how": Code('lambda wildcards, attempt: "fails:fail" if attempt == 1 else "fails"')},
    ),
    rule("second", "first.txt", does="second-{resources.nth}", retries=2, resources={"nth": ATTEMPT}),
    rule("third", "second.txt", does="third-{resources.nth}", retries=1, resources={"nth": ATTEMPT}),
)


@pytest.mark.parametrize(
    ("site", "dies"), [((), True), (DOES_NOT_KILL, False)], ids=["kills-head is dead", "does not kill-head lives"]
)
def test_what_never_ran_because_its_input_failed_is_not_tried_again(
    slurm: Sandbox, tmp_path: Path, site: tuple[str, ...], *, dies: bool
) -> None:
    folder = with_behaviour(tmp_path / "run", INPUT_FAILS)
    with Head(slurm, folder, "--keep-going", *site) as head:
        head.until_queued()
        if dies:
            head.kill()
        (folder / "fail").touch()
        end_of(head, slurm, folder)
        ends = states(slurm, folder)
        said = head.said
    assert ran(folder) == {"first-1", "first-2"}
    assert without_gates(ends) == {
        "first": "FAILED",
        "first#2": "FAILED",
        **dict.fromkeys(("second", "second#2", "second#3", "third", "third#2"), "CANCELLED"),
    }
    if not dies:
        assert "Attempt 1 of first failed" in said
        assert "of second failed" not in said
        assert "of third failed" not in said
        assert "2 tasks cannot run now: second, third" in said


# --- what a person cancels is not -----------------------------------------------------------------------------------

CANCELLED = snakefile(
    wanted("report.txt", "tell.txt"),
    rule(
        "train",
        does="train-{resources.nth} {resources.how}",
        retries=2,
        resources={
            "nth": ATTEMPT,
            "how": Code('lambda wildcards, attempt: "hangs" if attempt == int(config["hangs"]) else "fails"'),
        },
    ),
    rule("report", "train.txt"),
    rule("tell", resources={"slurm_dependency": "afternotok:train"}),
)


@pytest.mark.parametrize(("nth", "dies"), [(1, False), (2, True)], ids=["1-head lives", "2-head is dead"])
def test_an_attempt_that_a_person_cancels_is_the_last_one(
    slurm: Sandbox, tmp_path: Path, nth: int, *, dies: bool
) -> None:
    """What was declared to follow a failure runs all the same."""
    folder = with_behaviour(tmp_path / "run", CANCELLED)
    begun = {f"train-{number}" for number in range(1, nth + 1)}
    with Head(slurm, folder, "--config", f"hangs={nth}") as head:
        head.until(lambda: "Queued" in head.said and begun <= ran(folder))
        if dies:
            head.kill()
        slurm.run("scancel", submitted(folder)["train" if nth == 1 else f"train#{nth}"].job_id)
        end_of(head, slurm, folder)
        said = head.said
    assert ran(folder) == {*begun, "tell"}
    assert f"Attempt {nth} of train failed" not in said


def test_a_head_that_looks_late_names_the_attempt_that_a_person_cancelled(slurm: Sandbox, tmp_path: Path) -> None:
    """Meanwhile the attempts behind it have started, found it cancelled, and ended."""
    folder = with_behaviour(tmp_path / "run", CANCELLED)
    with Head(slurm, folder, "--config", "hangs=1") as head:
        head.until(lambda: "Queued" in head.said and "train-1" in ran(folder))
        head.signal(signal.SIGSTOP)
        slurm.run("scancel", submitted(folder)["train"].job_id)
        assert_nothing_is_left(slurm, folder, but="closing")  # which sees that the head lives
        head.signal(signal.SIGCONT)
        assert head.end() == 1, head.said
        said = head.said
    assert ran(folder) == {"train-1", "tell"}
    assert "train was cancelled" in said
    assert ": train\n" in said
    assert "BUG" not in said


WAITING = snakefile(
    rule(
        "train",
        does="train-{resources.nth} waits:go",
        retries=Code('int(config["retries"])'),
        resources={"nth": ATTEMPT},
    )
)


@pytest.mark.parametrize(("retries", "dies"), [(1, True), (2, False)], ids=["1-head is dead", "2-head lives"])
def test_cancelling_an_attempt_that_waits_leaves_the_one_that_runs_alone(
    slurm: Sandbox, tmp_path: Path, retries: int, *, dies: bool
) -> None:
    folder = with_behaviour(tmp_path / "run", WAITING)
    with Head(slurm, folder, "--config", f"retries={retries}") as head:
        head.until(lambda: "Queued" in head.said and "train-1" in ran(folder))
        if dies:
            head.kill()
        slurm.run("scancel", submitted(folder)["train#2"].job_id)
        if not dies:
            head.until(lambda: has_noted_the_end_of(folder, "train#2"))
        (folder / "go").touch()
        code = 0 if dies else head.end()
        assert_nothing_is_left(slurm, folder)
        ends = states(slurm, folder)
    assert ends["train"] == "COMPLETED"
    assert (folder / "train.txt").exists()
    assert ran(folder) == {"train-1"}
    assert code == 0


def has_noted_the_end_of(folder: Path, name: str) -> bool:
    """Whether the head has written down that this submission has ended."""
    job_id = submitted(folder)[name].job_id
    ledgers = (folder / ".snakemake" / "kempner").glob("[0-9a-f]*/ledger.jsonl")
    entries = (json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines())
    return any(entry.get("ended") == job_id for entry in entries)


# --- what Slurm kills is --------------------------------------------------------------------------------------------


def test_a_job_that_is_killed_for_its_memory_is_tried_again_with_more(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    slurm = private_slurm(nodes=SMALL, enforce_memory=True)
    folder = with_behaviour(
        tmp_path / "run",
        f"""
        rule after:
            input:
                "big.txt",
            output:
                "after.txt",
            resources:
                mem_mb=1000,
            shell:
                "./behave after && touch {{output}}"

        rule big:
            output:
                "big.txt",
            retries:
                1
            resources:
                nth=lambda wildcards, attempt: attempt,
                mem_mb=lambda wildcards, attempt: 500 if attempt == 1 else 2000,
                seconds=lambda wildcards, attempt: 60 if attempt == 1 else 3,
            shell:
                "./behave big-{{resources.nth}}"
                " && {sys.executable} -c 'import time; held = b\\"x\\" * (700 << 20); time.sleep({{resources.seconds}})'"
                " && touch {{output}}"
        """,
    )
    with Head(slurm, folder) as head:
        end_of(head, slurm, folder)
        attempts = of_rule(queued(slurm, folder), "big")
        said = head.said
    assert [one.memory for one in attempts] == ["500M", "2000M"], said
    assert attempts[0].state in ("FAILED", "OUT_OF_MEMORY"), said
    assert attempts[1].state == "COMPLETED", said
    assert ran(folder) == {"big-1", "big-2", "after"}
    assert "Attempt 1 of big failed" in said


@pytest.mark.slow
@HEADS
def test_a_job_whose_node_fails_is_tried_again_on_another(
    private_slurm: StartSlurm, tmp_path: Path, *, dies: bool
) -> None:
    nodes = tuple(Node(name=name, cpus=8, memory_mb=16_000) for name in ("n1", "n2"))
    slurm = private_slurm(nodes=nodes, slurmd_timeout=20)
    folder = with_behaviour(
        tmp_path / "run",
        snakefile(
            rule("after", "train.txt"),
            rule(
                "train",
                does="train-{resources.nth} {resources.how}",
                retries=1,
                resources={
                    "slurm_extra": "--no-requeue",
                    "nth": ATTEMPT,
                    "how": Code('lambda wildcards, attempt: "hangs" if attempt == 1 else "succeeds"'),
                },
            ),
        ),
    )
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued" in head.said and "train-1" in ran(folder))
        if dies:
            head.kill()
        first = submitted(folder)["train"].job_id
        slurm.stop_node(slurm.run("squeue", "-h", "-j", first, "-o", "%N").strip())
        end_of(head, slurm, folder)
        ends = states(slurm, folder)
        said = head.said
    assert without_gates(ends) == {"train": "NODE_FAIL", "train#2": "COMPLETED", "after": "COMPLETED"}, said
    assert ran(folder) == {"train-1", "train-2", "after"}
    if not dies:
        assert "Attempt 1 of train failed" in said


TIMES_OUT = snakefile(
    wanted("after.txt", "behind.txt", "tell.txt", "tell_never.txt"),
    # The first attempt meets its time limit, the second does not.
    rule(
        "slow",
        does="slow-{resources.nth} {resources.how}",
        retries=1,
        resources={
            "nth": ATTEMPT,
            "runtime": ATTEMPT,
            "how": Code('lambda wildcards, attempt: "hangs" if attempt == 1 else "succeeds"'),
        },
    ),
    rule("after", "slow.txt"),
    rule("tell_never", resources={"slurm_dependency": "afternotok:slow"}),
    # The first attempt fails, and the last one meets its time limit.
    rule(
        "slower",
        does="slower-{resources.nth} {resources.how}",
        retries=1,
        resources={
            "nth": ATTEMPT,
            "runtime": 1,
            "how": Code('lambda wildcards, attempt: "fails" if attempt == 1 else "hangs"'),
        },
    ),
    rule("behind", "slower.txt"),
    rule("tell", resources={"slurm_dependency": "afternotok:slower"}),
)


def test_without_a_head_a_job_that_meets_its_time_limit_is_tried_again_as_often_as_asked(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Everything that has to wait for Slurm's shortest limit in one run."""
    folder = with_behaviour(tmp_path / "run", TIMES_OUT)
    with Head(slurm, folder, "--keep-going") as head:
        head.until_queued()
        head.kill()
        assert [submitted(folder)[one].options["--time"] for one in ("slow", "slow#2")] == ["1", "2"]
        end_of(head, slurm, folder, within=2 * PATIENCE)
        ends = states(slurm, folder)
    assert without_gates(ends) == {
        "slow": "TIMEOUT",
        "slow#2": "COMPLETED",
        "after": "COMPLETED",
        "tell_never": "CANCELLED",
        "slower": "FAILED",
        "slower#2": "TIMEOUT",
        "behind": "CANCELLED",
        "tell": "COMPLETED",
    }
    assert ran(folder) == {"slow-1", "slow-2", "after", "slower-1", "slower-2", "tell"}
    assert_in_order(folder, "slow-2", "after")
    assert_in_order(folder, "slower-1", "slower-2")
