"""Runs that nobody watches: the head queues everything and leaves, and the run's own jobs do the rest."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from behaviour import moments, ran, with_behaviour
from detached import DETACHED, HELD, closing_log, job_of, left_behind, once, page, until, with_hooks
from head import (
    Head,
    all_over,
    closed,
    ended,
    of_rule,
    queued,
    run,
    run_detached,
    states,
)
from snakefiles import ATTEMPT, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

# --- the head leaves ------------------------------------------------------------------------------------------------


def test_the_head_leaves_while_the_first_task_runs_and_says_what_is_queued(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, HELD)
    options = "--kempner-closing-options=--mail-type=END,FAIL --mail-user=somebody@example.org"
    with Head(slurm, folder, DETACHED, options) as head:
        assert head.end() == 0, head.said
        until(lambda: of_rule(queued(slurm, folder), "first")[0].state == "RUNNING")

        jobs = {one.job_id: one for one in queued(slurm, folder, helpers=True)}
        rows = [re.split(r"\s{2,}", line.strip()) for line in head.said.splitlines()]
        table = {row[0]: row[1:] for row in rows if row[0] in {"first", "second", "third", "closing"}}
        first, second, closing = (job_of(slurm, folder, rule) for rule in ("first", "second", "closing"))
        assert table["first"] == ["1", first]
        assert table["second"] == ["1", second, "first"]
        thirds = {one.job_id for one in of_rule(queued(slurm, folder), "third")}
        count, ids, needs = table["third"]
        assert (count, set(re.findall(r"\d+", ids)), needs) == ("2", thirds, "second")
        assert table["closing"] == [closing, "all jobs"]
        assert {word for word, _ in jobs[closing].waits_for} == {"afterany"}

        shown = slurm.run("scontrol", "show", "job", closing)
        assert "MailUser=somebody@example.org" in shown
        assert "END,FAIL" in shown
        assert not _of_session(head._process.pid)
        assert not [path for path in folder.glob(".snakemake/locks/*") if path.is_file()]
        assert not (folder / ".snakemake/kempner/claim.json").exists()
        assert re.search(r"Run (\w+) is in Slurm's hands.*kempner cancel \1", head.said, re.DOTALL)
        last_words = head.said.partition("is in Slurm's hands")[2].splitlines()[1:]
        assert all(line.startswith("  ") for line in last_words if line), head.said
        (folder / "go").touch()
        ended(slurm, folder)
    assert ran(folder) == {"first", "second", "third-1", "third-2"}
    assert "has succeeded: 4 of 4 tasks done" in page(folder)
    assert "nothing is left for Snakemake to do" in closing_log(folder)
    assert "Building DAG" not in closing_log(folder)


def _of_session(session: int) -> list[str]:
    words = ("ps", "-o", "pid=,args=", "-s", str(session))
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n")[:-1]


# --- hooks and failures ---------------------------------------------------------------------------------------------

FAILING = snakefile(
    wanted("after.txt", "later.txt"),
    rule("after", "bad.txt"),
    rule("bad", shell="./behave bad fails:go || (cat cause >&2; exit 7)"),
    rule("long", does="long waits:go-2"),
    rule("later", "long.txt"),
)


@pytest.mark.parametrize("keep_going", [False, True], ids=["stops", "keeps going"])
def test_a_failure_is_told_once_at_the_end(slurm: Sandbox, folder: Path, *, keep_going: bool) -> None:
    """What runs finishes; what is independent goes on with --keep-going alone."""
    with_hooks(folder, FAILING)
    (folder / "cause").write_text("the disk is on fire\n")
    left = left_behind(slurm, folder, *(["--keep-going"] if keep_going else []))
    until(lambda: {"bad", "long"} <= moments(folder, "started").keys())
    (folder / "go").touch()
    until(lambda: states(slurm, folder)["bad"] == "FAILED")
    until(lambda: states(slurm, folder)["after"] == "CANCELLED")
    assert "onerror" not in moments(folder, "started")
    (folder / "go-2").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert states(slurm, folder) == {
        "bad": "FAILED",
        "after": "CANCELLED",
        "long": "COMPLETED",
        "later": "COMPLETED" if keep_going else "CANCELLED",
    }
    begun = once(folder)
    expected = {"onstart", "bad", "long", "onerror", *(["later"] if keep_going else [])}
    assert begun.keys() == expected, outcome.output
    assert begun["onerror"] == max(begun.values()) > moments(folder, "ended")["long"][0]
    assert begun["onstart"] == min(begun.values())
    said = closing_log(folder)
    assert (said.count("  cause: "), said.count("| the disk is on fire")) == (1, 1), said
    assert "exit code" in said
    assert re.search(r"bad.*after", said, re.DOTALL)
    assert "(100%)" not in said


def test_a_task_that_fails_once_is_tried_again_without_a_head(slurm: Sandbox, folder: Path) -> None:
    with_hooks(
        folder,
        snakefile(
            rule("after", "unsteady.txt"),
            rule(
                "unsteady",
                does="try-{resources.nth}",
                then="touch {output} && test {resources.nth} = 2",
                retries=1,
                resources={"nth": ATTEMPT},
            ),
        ),
    )
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert list(once(folder)) == ["onstart", "try-1", "try-2", "after", "onsuccess"]


def test_a_task_that_a_person_cancels_fails_the_run_and_is_not_tried_again(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, snakefile(rule("held", does="held waits:go", retries=2)))
    left = left_behind(slurm, folder)
    until(lambda: "held" in moments(folder, "started"))
    slurm.run("scancel", queued(slurm, folder)[0].job_id)
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "held", "onerror"}
    assert "  1 × cancelled: held\n" in page(folder)


def test_a_failure_ends_the_run_where_slurm_does_not_take_out_what_cannot_start(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, FAILING)
    (folder / "cause").write_text("the disk is on fire\n")
    for name in ("go", "go-2"):
        (folder / name).touch()
    outcome = run_detached(slurm, folder, "--kempner-no-kill-on-invalid-dep", "--keep-going")
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "bad", "long", "later", "onerror"}
    ended(slurm, folder)


def test_a_hook_that_fails_is_not_run_twice_and_fails_the_closing_job(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(
        folder,
        """
        onsuccess:
            shell("./behave onsuccess fails")

        rule one:
            output:
                "one.txt",
            shell:
                "./behave one && touch {output}"
        """,
    )
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"one", "onsuccess"}
    assert "./behave onsuccess fails" in closing_log(folder)
    assert "has failed: 1 of 1 task done\n" in page(folder)
    assert "The hook onsuccess has failed." in page(folder)


def test_a_workflow_that_is_broken_meanwhile_ends_as_it_began(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, HELD)
    left = left_behind(slurm, folder)
    until(lambda: "first" in moments(folder, "started"))
    (folder / "Snakefile").write_text("rule unfinished:\n    outp")
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert "onsuccess" in ran(folder)
    assert "has succeeded: 4 of 4 tasks done" in page(folder)


def test_a_run_that_has_failed_submits_nothing_more_though_an_input_is_gone(slurm: Sandbox, folder: Path) -> None:
    """A file that the failed task needs and that an earlier run had made has to be made again: another time."""
    with_hooks(
        folder,
        snakefile(
            rule("bad", "made.txt", shell="rm {input}; ./behave bad fails"),
            rule("make", output="made.txt", shell="touch made-again {output}"),
        ),
    )
    (folder / "made.txt").touch()
    outcome = run_detached(slurm, folder, "--rerun-triggers", "mtime")
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "bad", "onerror"}
    assert not (folder / "made-again").exists()
    assert ": bad\n" in page(folder)
    assert "BUG" not in closing_log(folder)


# --- a record that cannot be kept -----------------------------------------------------------------------------------


def test_nothing_is_submitted_where_it_cannot_be_recorded(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, HELD)
    (folder / ".snakemake").mkdir()
    (folder / ".snakemake/kempner").touch()
    outcome = run(slurm, folder, DETACHED)
    assert outcome.exit_code == 1, outcome.output
    assert "cannot be made" in outcome.output
    assert "Traceback" not in outcome.output
    assert not queued(slurm, folder, helpers=True)


def test_a_disk_that_fills_up_while_tasks_are_queued_leaves_nothing_in_the_queue(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, HELD.replace('"third-2.txt"', "expand('third-{n}.txt', n=range(2, 12))"))
    records = folder / ".snakemake/kempner"
    records.mkdir(parents=True)
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12k", "none", str(records)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small file system cannot be mounted here")
    try:
        outcome = run(slurm, folder, DETACHED, "--kempner-light-jobs", "no")  # their program would fill it at once
        assert outcome.exit_code == 1, outcome.output
        assert "No space left on device" in outcome.output
        assert "Traceback" not in outcome.output
        until(lambda: all_over(slurm, folder))
        (ledger,) = records.glob("[0-9a-f]*/ledger.jsonl")
        recorded = set(re.findall(r'"job_id": "(\d+)', ledger.read_text()))  # its last line may be torn
        assert recorded
        assert {one.job_id.partition("_")[0] for one in queued(slurm, folder, helpers=True)} <= recorded
    finally:
        subprocess.run(["umount", "-l", str(records)], check=True)
