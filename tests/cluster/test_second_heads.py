"""The next command in a folder with jobs in the queue: it goes on with them, replaces or cancels them."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from behaviour import moments, ran, with_behaviour
from comparison import Outcome
from detached import ADOPTED, DETACHED, HELD, job_of, left_behind, until, with_hooks
from head import (
    Head,
    asked,
    bystander,
    closed,
    ended,
    queued,
    run,
    run_detached,
    states,
)
from snakefiles import rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

# --- cancelling -----------------------------------------------------------------------------------------------------

ALL_KINDS = """
def found(wildcards):
    with open(checkpoints.decide.get().output[0]) as file:
        return file.read().split()

rule all:
    input:
        found,
        "joined.txt",

rule joined:
    input:
        "tried.txt",
        "held.txt",
    output:
        "joined.txt",
    shell:
        "./behave joined && touch {output}"

rule tried:
    input:
        "held.txt",
    output:
        "tried.txt",
    retries: 1
    shell:
        "./behave tried && touch {output}"

rule held:
    output:
        "held.txt",
    shell:
        "touch {output} && ./behave held waits:go"

rule part:
    output:
        "part.txt",
    shell:
        "./behave part && touch {output}"

checkpoint decide:
    input:
        "held.txt",
    output:
        "decided.txt",
    shell:
        "./behave decide && echo part.txt > {output}"
"""


def test_cancelling_takes_exactly_the_jobs_of_the_run_and_the_same_command_completes_it(
    slurm: Sandbox, folder: Path
) -> None:
    with_behaviour(folder, ALL_KINDS)
    with bystander(slurm, folder, name="held") as other:
        left_behind(slurm, folder)
        until((folder / "held.txt").exists)
        mine = [one for one in queued(slurm, folder, helpers=True) if one.job_id != other]
        assert {one.rule for one in mine} == {
            *("held", "tried", "joined", "decide"),
            *("gate", "guard", "continuation", "closing"),
        }
        asked(slurm, folder, "--dry-run", "--kempner-cancel", "--rerun-incomplete")
        assert not any(one.is_over for one in queued(slurm, folder, helpers=True))
        cancelled = run(slurm, folder, DETACHED, "--kempner-cancel")
        assert cancelled.exit_code == 0, cancelled.output
        assert f"Cancelled the {len(mine)} Slurm jobs" in cancelled.output, cancelled.output
        ids = {one.job_id for one in mine}
        until(lambda: all(one.is_over for one in queued(slurm, folder, helpers=True) if one.job_id in ids))
        after = {one.job_id: one.state for one in queued(slurm, folder, helpers=True)}
        assert after.pop(other) == "RUNNING"
        assert set(after.values()) == {"CANCELLED"}

        again = run(slurm, folder, "--kempner-cancel")
        assert again.exit_code == 0, again.output
        assert "No job of an earlier run in this folder is in the queue" in again.output
        (folder / "go").touch()
        (folder / "times").unlink()
        outcome = run_detached(slurm, folder, "--rerun-incomplete")
        assert outcome.exit_code == 0, outcome.output
        assert ran(folder) == {"held", "tried", "joined", "decide", "part"}


def test_nothing_is_cancelled_under_a_head_that_lives(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, HELD)
    with Head(slurm, folder) as head:
        head.until_queued()
        outcome = run(slurm, folder, "--kempner-cancel")
        assert outcome.exit_code == 1, outcome.output
        assert "looks after the runs in this folder already" in outcome.output
        assert not any(one.is_over for one in queued(slurm, folder, helpers=True))


# --- going on with it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detached", [False, True], ids=["watched", "detached"])
def test_a_second_head_adopts_what_the_first_one_has_left(slurm: Sandbox, folder: Path, *, detached: bool) -> None:
    with_hooks(folder, ADOPTED)
    first = left_behind(slurm, folder)
    (name,) = re.findall(r"\(run (\w+)\)", first.output)
    until(lambda: states(slurm, folder)["done"] == "COMPLETED" and (folder / "first.txt").exists())
    closing = job_of(slurm, folder, "closing")
    tasks = {one.job_id for one in queued(slurm, folder)}
    with Head(slurm, folder, "--rerun-incomplete", *([DETACHED] if detached else [])) as head:
        if detached:
            assert head.end() == 0, head.said
        line = f"Goes on with run {name}: 1 finished meanwhile, 1 running, 1 queued, 0 to submit."
        head.until(lambda: line in head.said)
        until(lambda: slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", closing).strip() == "CANCELLED")
        (folder / "go").touch()
        said = closed(slurm, folder, Outcome(exit_code=head.end(), output=head.said))
        ended(slurm, folder)
    assert said.exit_code == 0, said.output
    assert {one.job_id for one in queued(slurm, folder)} == tasks
    starts = {name: len(times) for name, times in moments(folder, "started").items()}
    assert starts == {"onstart": 2, "first": 1, "second": 1, "done": 1, "onsuccess": 1}


HALF_DONE = snakefile(
    wanted("c.txt"),
    rule("a", group="g"),
    rule("b1", "a.txt", does="b1 waits:go", group="g"),
    rule("b2", "a.txt", does="b2 waits:go", group="g"),
    rule("c", "b1.txt", "b2.txt"),
)


def test_what_is_left_of_a_group_that_runs_is_not_run_a_second_time_beside_it(slurm: Sandbox, folder: Path) -> None:
    """To Snakemake `a` is done, so that `b1` and `b2` are two other groups, which were queued while the first one ran them."""
    with_behaviour(folder, HALF_DONE)
    left_behind(slurm, folder)
    until(lambda: {"a", "b1", "b2"} <= moments(folder, "started").keys())
    tasks = {job.job_id for job in queued(slurm, folder)}
    with Head(slurm, folder, "--rerun-incomplete") as head:
        head.until(lambda: "0 finished meanwhile, 1 running, 1 queued, 0 to submit." in head.said)
        (folder / "go").touch()
        assert head.end() == 0, head.said
    assert {job.job_id for job in queued(slurm, folder)} == tasks
    assert ran(folder) == {"a", "b1", "b2", "c"}


CHANGING = snakefile(
    wanted("after.txt", "queued.txt", "waiting.txt"),
    rule("waiting", "held.txt"),
    rule("after", "running.txt", then="cp {input} {output}"),
    rule("running", does="running waits:go", then="echo old > {output}"),
    rule("queued", "held.txt", then="echo $SLURM_MEM_PER_NODE > {output}", resources={"mem_mb": 600}),
    rule("held", does="held waits:go"),
)


def test_what_has_changed_since_it_was_queued_is_shown_and_replaced_on_demand(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, CHANGING)
    left_behind(slurm, folder)
    until(lambda: {"running", "held"} <= moments(folder, "started").keys())
    before = {one.rule: one.job_id for one in queued(slurm, folder)}
    snakefile = (folder / "Snakefile").read_text()
    (folder / "Snakefile").write_text(snakefile.replace("echo old", "echo new").replace("mem_mb=600", "mem_mb=700"))

    shown = left_behind(slurm, folder, "--rerun-incomplete")
    assert re.search(r"running \(running as Slurm job \d+\) was submitted with other code", shown.output), shown.output
    assert re.search(r"queued \(queued as Slurm job \d+\) was submitted with other resources", shown.output)
    assert "--kempner-replace-changed submits it anew" in shown.output
    assert {one.rule: one.job_id for one in queued(slurm, folder)} == before

    records = {path: path.read_bytes() for path in (folder / ".snakemake/kempner").rglob("*.jsonl")}
    preview = run(slurm, folder, "--rerun-incomplete", "--kempner-preview", "--kempner-replace-changed")
    assert preview.output.count("it is cancelled and submitted anew") == 2
    assert "Would queue 3 tasks" in preview.output, preview.output
    assert {one.rule: one.job_id for one in queued(slurm, folder)} == before
    assert {path: path.read_bytes() for path in (folder / ".snakemake/kempner").rglob("*.jsonl")} == records

    left = left_behind(slurm, folder, "--rerun-incomplete", "--kempner-replace-changed")
    assert left.output.count("it is cancelled and submitted anew") == 2
    now = {one.rule: one for one in queued(slurm, folder)}
    assert [now[rule].job_id for rule in ("held", "waiting")] == [before[rule] for rule in ("held", "waiting")]
    assert all(now[rule].job_id != before[rule] for rule in ("running", "after", "queued"))
    gone = [
        one for one in queued(slurm, folder) if one.job_id in {before[rule] for rule in ("running", "after", "queued")}
    ]
    assert {one.state for one in gone} == {"CANCELLED"}
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "after.txt").read_text() == "new\n"
    assert (folder / "queued.txt").read_text() == "700\n"
    assert len(moments(folder, "started")["held"]) == 1


def test_a_copy_of_a_folder_runs_its_own_jobs_and_leaves_those_of_the_original_alone(
    slurm: Sandbox, folder: Path
) -> None:
    with_behaviour(folder, HELD)
    left = left_behind(slurm, folder)
    until(lambda: "first" in moments(folder, "started"))
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    (copy / "times").unlink()
    (copy / "go").touch()
    before = {one.job_id for one in queued(slurm, folder, helpers=True) if not one.is_over}
    outcome = run(slurm, copy, "--rerun-incomplete", "third-1.txt")
    assert outcome.exit_code == 0, outcome.output
    assert f"jobs started in {folder}: this is a copy" in outcome.output
    assert ran(copy) == {"first", "second", "third-1"}
    assert {one.job_id for one in queued(slurm, folder, helpers=True) if not one.is_over} == before
    (folder / "go").touch()
    assert closed(slurm, folder, left).exit_code == 0
    assert ran(folder) == {"first", "second", "third-1", "third-2"}


def test_of_two_heads_at_the_same_moment_one_leaves_the_folder_to_the_other(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, HELD)
    again = ("--nolock", "--rerun-incomplete")  # the slower head may find that a job of the other has begun
    with Head(slurm, folder, *again) as one, Head(slurm, folder, *again) as two:
        until(lambda: not (one.lives and two.lives))
        loser, winner = (two, one) if one.lives else (one, two)
        assert loser.end() == 1
        assert "looks after the runs in this folder already" in loser.said, loser.said
        (folder / "go").touch()
        assert winner.end() == 0, winner.said
    assert ran(folder) == {"first", "second", "third-1", "third-2"}


def test_the_next_head_takes_over_from_a_closing_job_that_was_cancelled(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, ADOPTED)
    left_behind(slurm, folder)
    until(lambda: states(slurm, folder)["done"] == "COMPLETED" and (folder / "first.txt").exists())
    slurm.run("scancel", job_of(slurm, folder, "closing"))
    left = left_behind(slurm, folder, "--rerun-incomplete")
    assert "1 running, 1 queued, 0 to submit" in left.output
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert len(moments(folder, "started")["first"]) == len(moments(folder, "started")["onsuccess"]) == 1


def test_without_a_closing_job_the_tasks_end_well_and_no_hook_says_so(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, ADOPTED)
    left_behind(slurm, folder)
    slurm.run("scancel", job_of(slurm, folder, "closing"))
    (folder / "go").touch()
    ended(slurm, folder)
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert "Nothing to be done" in outcome.output
    assert ran(folder) == {"onstart", "first", "second", "done"}


def test_a_head_that_dies_before_all_is_queued_leaves_the_rest_to_the_next(slurm: Sandbox, folder: Path) -> None:
    """There is no closing job then."""
    with_hooks(folder, HELD)
    wrapper = folder.parent / "bin/sbatch"
    wrapper.parent.mkdir()
    real = shutil.which("sbatch", path=slurm.environment["PATH"])
    wrapper.write_text(
        f'#!/bin/bash\n{real} "$@" && echo >> {folder}/calls\n[ $(wc -l < {folder}/calls) != 2 ] || kill -9 $PPID\n'
    )
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}{os.pathsep}{slurm.environment['PATH']}"
    with Head(slurm, folder, DETACHED, PATH=path) as head:
        assert head.end() == -signal.SIGKILL, head.said
        assert {one.rule for one in queued(slurm, folder, helpers=True)} == {"first", "second"}
        left = left_behind(slurm, folder, "--nolock", "--rerun-incomplete")
        (folder / "go").touch()
        outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    starts = {name: len(times) for name, times in moments(folder, "started").items()}
    assert starts == {"onstart": 2, "first": 1, "second": 1, "third-1": 1, "third-2": 1, "onsuccess": 1}
