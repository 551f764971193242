"""A watched run whose head dies ends as a detached one; and what a job has succeeded in, no later process undoes."""

import re
import shutil
import signal
import textwrap
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, moments, ran, with_behaviour
from comparison import Tree, differences, fresh_copy, run_forked, snapshot
from detached import closing_log, is_closed, page, until
from head import PATIENCE, Head, assert_settled, of_rule, queued, run, run_detached, states
from snakefiles import Code, hook, rule, snakefile, temp, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

VARYING = ("times", "go*", "edited*", "*.head-*")


EVERYTHING = """
onstart:
    shell("./behave onstart")
onsuccess:
    shell("./behave onsuccess")
onerror:
    shell("./behave onerror")

localrules: look

def parts(wildcards):
    return expand("part-{name}.txt", name=open(checkpoints.split.get().output[0]).read().split())

rule all:
    input:
        "gathered.txt",
        "late.txt",

rule prepare:
    output:
        temp("data.txt"),
    shell:
        "./behave prepare waits:go && echo data > {output}"

checkpoint split:
    input:
        "data.txt",
    output:
        "names.txt",
    shell:
        "./behave split && echo a b > {output}"

rule part:
    input:
        "names.txt",
    output:
        temp("part-{name}.txt"),
    shell:
        "./behave part-{wildcards.name} && echo {wildcards.name} > {output}"

rule gather:
    input:
        parts,
    output:
        "gathered.txt",
    shell:
        "./behave gather && cat {input} > {output}"

rule look:
    input:
        "data.txt",
    output:
        "look.txt",
    shell:
        "./behave look && cp {input} {output}"

rule late:
    input:
        "look.txt",
    output:
        protected("late.txt"),
    shell:
        "./behave late && cp {input} {output}"
"""


def local_run(slurm: Sandbox, folder: Path) -> Tree:
    """What a local run of the folder's workflow leaves."""
    place = fresh_copy(folder, folder.parent / "local")
    (place / "go").touch()
    outcome = run_forked(place, ("--cores", "4", "--nocolor"), slurm.environment)
    assert outcome.exit_code == 0, outcome.output
    return snapshot(place, varying=VARYING)


def test_a_closing_job_that_may_not_be_requeued_looks_again_all_the_same(slurm: Sandbox, folder: Path) -> None:
    """As where a site forbids it: it submits itself once more, under its own name."""
    with_behaviour(folder, EVERYTHING)
    with Head(slurm, folder, "--kempner-closing-options=--no-requeue") as head:
        head.until_queued()
        head.until(lambda: of_rule(queued(slurm, folder, helpers=True), "closing"))
        (first,) = of_rule(queued(slurm, folder, helpers=True), "closing")
        slurm.run("scontrol", "update", f"JobId={first.job_id}", "Dependency=")
        head.until(lambda: "will look again" in closing_log(folder))
        (again,) = (
            job for job in of_rule(queued(slurm, folder, helpers=True), "closing") if job.job_id != first.job_id
        )
        head.kill()
        (folder / "go").touch()
        slurm.run("scontrol", "update", f"JobId={again.job_id}", "StartTime=now")
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert moments(folder, "started").keys() >= {"late", "gather", "onsuccess"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_run_whose_head_dies_right_after_the_submission_ends_by_itself(
    slurm: Sandbox, folder: Path, number: signal.Signals
) -> None:
    with_behaviour(folder, EVERYTHING)
    local = local_run(slurm, folder)
    with Head(slurm, folder) as head:
        head.until_queued()
        if number is signal.SIGKILL:
            head.kill()
        else:
            head.signal(number)
            assert head.end() == 128 + number
            assert "Its closing job ends it" in head.said
        (folder / "go").touch()
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert differences(local, snapshot(folder, varying=VARYING)) == []
    begun = {name: at for name, (at,) in moments(folder, "started").items()}
    assert ran(folder) == {"onstart", "prepare", "split", "part-a", "part-b", "gather", "look", "late", "onsuccess"}
    assert begun["onstart"] == min(begun.values())
    assert begun["onsuccess"] == max(begun.values())
    assert "has succeeded: 7 of 7 tasks done" in page(folder)
    assert_settled(slurm, folder)


def test_the_command_given_again_takes_over_from_a_head_that_was_killed(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, EVERYTHING)
    local = local_run(slurm, folder)
    with Head(slurm, folder) as first:  # what it has queued stays until it is left
        first.until_queued()
        first.kill()
        with Head(slurm, folder, "--nolock", "--rerun-incomplete") as head:
            head.until(lambda: "Goes on with run" in head.said)
            (folder / "go").touch()
            assert head.end() == 0, head.said
    shutil.rmtree(folder / ".snakemake/locks")
    shutil.rmtree(folder.parent / "local/.snakemake/locks", ignore_errors=True)
    assert_nothing_is_left(slurm, folder)
    assert differences(local, snapshot(folder, varying=VARYING)) == []
    once = {name: len(times) for name, times in moments(folder, "started").items()}
    assert once.pop("onstart") == 2  # each head starts
    assert set(once.values()) == {1}, once
    assert_settled(slurm, folder)


def test_beside_a_living_head_the_closing_job_does_nothing_and_leaves_with_it(slurm: Sandbox, folder: Path) -> None:
    """The local rule keeps the head busy while nothing is in the queue, so that the closing job starts."""
    with_behaviour(folder, EVERYTHING.replace("./behave look", "./behave look waits:go-2"))
    (folder / "go").touch()
    with Head(slurm, folder) as head:
        head.until(lambda: "looks after the run now" in closing_log(folder))
        (folder / "go-2").touch()
        assert head.end() == 0, head.said
        assert_nothing_is_left(slurm, folder, within=10)
    assert "onsuccess" in ran(folder)
    assert is_closed(folder)
    assert "has succeeded" not in closing_log(folder)
    assert "has succeeded: " in page(folder)


def test_without_a_closing_job_nothing_is_queued_behind_the_tasks(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, snakefile(rule("one", does="one waits:go")))
    with Head(slurm, folder, "--kempner-no-closing-job") as head:
        head.until_queued()
        assert not of_rule(queued(slurm, folder, helpers=True), "closing")
        head.signal(signal.SIGTERM)
        assert head.end() == 128 + signal.SIGTERM
        assert "until the same command is given again" in head.said
        (folder / "go").touch()
        assert_nothing_is_left(slurm, folder)
    (folder / "one.txt").unlink()
    outcome = run(slurm, folder, "--kempner-detach", "--kempner-no-closing-job")
    assert outcome.exit_code == 1
    assert "nobody would end the run" in outcome.output


def test_a_run_that_only_its_head_can_record_says_so_at_the_start(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, snakefile(rule("one")))
    shared = "input-output software-deployment sources source-cache storage-local-copies"
    outcome = run(slurm, folder, "--shared-fs-usage", *shared.split())
    assert outcome.exit_code == 0, outcome.output
    assert "This run needs this process until its end" in outcome.output
    assert outcome.output.index("This run needs") < outcome.output.index("Queued")


def test_a_failed_run_whose_head_was_killed_ends_as_failed(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, EVERYTHING.replace("./behave split", "./behave split fails"))
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        (folder / "go").touch()
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert {"onstart", "prepare", "split", "onerror"} <= ran(folder)
    assert "gather" not in ran(folder)
    assert re.search(r"has failed: \d of \d tasks done, 1 failed", page(folder)), page(folder)


EATEN = snakefile(
    hook("onsuccess"),
    hook("onerror"),
    rule("read", "source.txt", "eaten.txt", then="cat {input} > {output}"),
    rule("eat", output="eaten.txt", does="eat waits:go", then="rm source.txt && touch {output}"),
)


def test_a_run_whose_workflow_can_no_longer_be_read_as_a_whole_runs_its_hook_and_leaves_no_lock(
    slurm: Sandbox, folder: Path
) -> None:
    """An input has vanished, so that the closing job's Snakemake has no DAG; a local run ends with `onerror` then."""
    with_behaviour(folder, EATEN)
    (folder / "source.txt").touch()
    with Head(slurm, folder, "--latency-wait", "1") as head:
        head.until_queued()
        head.kill()
        (folder / "go").touch()
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {"eat", "onerror"}
    assert "has failed: 1 of 2 tasks done, 1 failed" in page(folder)
    assert "source.txt" in page(folder)
    assert not [*folder.glob(".snakemake/locks/*")]


def test_a_run_whose_command_can_no_longer_be_read_ends_as_failed_and_leaves_no_lock(
    slurm: Sandbox, folder: Path
) -> None:
    with_behaviour(folder, snakefile(rule("one", does="one waits:go")))
    profile = folder / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text("keep-going: true\n")
    with Head(slurm, folder, "--profile", "profile") as head:
        head.until_queued()
        head.kill()
        shutil.rmtree(profile)
        (folder / "go").touch()
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert "has failed" in page(folder), closing_log(folder)
    assert (folder / "one.txt").exists()
    assert not [*folder.glob(".snakemake/locks/*")]


FAILS_LOCALLY = snakefile(
    hook("onerror"),
    "localrules: check",
    wanted("checked.txt", "late.txt"),
    rule("check", output="checked.txt", does="check waits:go", then="false"),
    rule("long", does="long waits:go-2"),
    rule("late", "long.txt"),
)


@pytest.mark.parametrize("dies", [False, True], ids=["head lives", "head dies"])
def test_a_local_rule_that_has_failed_stops_the_run_and_is_not_run_by_its_closing_job(
    slurm: Sandbox, folder: Path, *, dies: bool
) -> None:
    with_behaviour(folder, FAILS_LOCALLY)
    with Head(slurm, folder) as head:
        head.until_queued()
        head.until(lambda: {"check", "long"} <= moments(folder, "started").keys())
        (folder / "go").touch()
        until(lambda: states(slurm, folder)["late"] == "CANCELLED", shown=lambda: head.said)
        if dies:
            head.kill()
        (folder / "go-2").touch()
        if not dies:
            assert head.end() == 1, head.said
            assert ": check\n" in page(folder)
            assert page(folder) in head.said
        until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {"check", "long", "onerror"}
    if dies:
        assert "has failed: 1 of 3 tasks done, 1 failed, 1 never" in page(folder), page(folder)


LOCAL_LAST = """
onsuccess:
    shell("./behave onsuccess")

localrules: look

rule look:
    input:
        "made.txt",
    output:
        "look.txt",
    shell:
        "./behave look {look} && cp {{input}} {{output}}"

rule make:
    output:
        "made.txt",
    shell:
        "./behave make {make} && touch {{output}}"
"""
AT_WORK = """
import os, time

if os.environ.get("SLURM_JOB_NAME", "").startswith("closing"):
    open("at_work", "w").close()
    while not os.path.exists("waited_for"):
        time.sleep(0.1)

"""
"""Holds a closing job back while it reads the workflow."""


def test_a_command_given_again_that_has_only_local_rules_left_ends_the_earlier_run(
    slurm: Sandbox, folder: Path
) -> None:
    """Snakemake hands nothing over then; the closing job of the earlier run must not run the hooks once more."""
    with_behaviour(folder, LOCAL_LAST.format(look="waits:go", make="succeeds"))
    with Head(slurm, folder) as head:
        head.until_queued()
        (closing,) = (job.job_id for job in of_rule(queued(slurm, folder, helpers=True), "closing"))
        slurm.run("scontrol", "hold", closing)
        head.until(lambda: "look" in moments(folder, "started"))
        head.kill()
        (folder / "go").touch()
        outcome = run(slurm, folder, "--nolock", "--rerun-incomplete")
        assert outcome.exit_code == 0, outcome.output
        assert_nothing_is_left(slurm, folder)
    assert is_closed(folder)
    assert len(moments(folder, "started")["onsuccess"]) == 1
    assert len(moments(folder, "started")["make"]) == 1


# --- what has succeeded stays ---------------------------------------------------------------------------------------

EDITED = snakefile(
    'configfile: "config.yaml"',
    hook("onsuccess"),
    hook("onerror"),
    wanted("plain.txt", "guarded.txt", "configured.txt", "listed.txt", "old.txt", "joined.txt", "sum.txt", "end.txt"),
    rule("plain", "edited.txt", then="cp {input} {output}"),
    rule("guarded", "edited.txt", output=Code('protected("guarded.txt")'), then="cp {input} {output}"),
    rule("configured", then="echo {params.rate} > {output}", params={"rate": Code('config["rate"]')}),
    rule(
        "listed",
        Code('lambda wildcards: [path for path in ("edited.txt", "edited-new.txt") if os.path.exists(path)]'),
        then="cat {input} > {output}",
    ),
    rule("old", "edited-old.txt", then="cp {input} {output}"),
    rule("store", then="echo first > {output}"),
    rule("sum", "store.txt", then="wc -l < {input} > {output}"),
    rule("join", "sum.txt", output="joined.txt", then="cp {input} {output}"),
    rule("end", "joined.txt", does="end waits:go", then="cp {input} {output}"),
)


def with_inputs(folder: Path) -> Path:
    with_behaviour(folder, EDITED)
    (folder / "config.yaml").write_text("rate: 0.1\n")
    (folder / "edited.txt").write_text("one\n")
    (folder / "edited-old.txt").write_text("one\n")
    return folder


def edit(folder: Path) -> None:
    """Somebody prepares the next experiment."""
    (folder / "config.yaml").write_text("rate: 0.2\n")
    for name in ("edited.txt", "edited-new.txt", "edited-old.txt"):
        (folder / name).write_text("two\n")


MADE = {"plain", "guarded", "configured", "listed", "store", "sum", "join"}


def test_a_local_rule_that_the_closing_job_queues_while_a_head_waits_for_it_runs_once(
    slurm: Sandbox, folder: Path
) -> None:
    with_behaviour(folder, AT_WORK + LOCAL_LAST.format(look="succeeds", make="waits:go"))
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        (folder / "go").touch()
        until((folder / "at_work").exists)
        with Head(slurm, folder, "--nolock", "--rerun-incomplete") as second:
            second.until(lambda: "waiting for it" in second.said)
            (folder / "waited_for").touch()
            assert second.end() == 0, second.said
            until(lambda: is_closed(folder), shown=lambda: closing_log(folder))
            assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {"make", "look", "onsuccess"}


def test_a_head_that_waits_while_the_run_comes_to_its_end_reads_the_workflow_again(
    slurm: Sandbox, folder: Path
) -> None:
    """It looks once a second whether it may go on; what is queued meanwhile may be over before it looks."""
    with_behaviour(folder, AT_WORK + LOCAL_LAST.format(look="succeeds", make="waits:go"))
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        (folder / "go").touch()
        until((folder / "at_work").exists)
        with Head(slurm, folder, "--nolock", "--rerun-incomplete") as second:
            second.until(lambda: "waiting for it" in second.said)
            second.signal(signal.SIGSTOP)
            (folder / "waited_for").touch()
            until(lambda: is_closed(folder), shown=lambda: closing_log(folder))
            second.signal(signal.SIGCONT)
            assert second.end() == 0, second.said
            assert "ended while the workflow was read; reading it again" in second.said
            assert "Nothing to be done" in second.said
            assert_nothing_is_left(slurm, folder)
    assert {what: len(times) for what, times in moments(folder, "started").items()} == {
        "make": 1, "look": 1, "onsuccess": 1,
    }  # fmt: skip
    assert_settled(slurm, folder)


@pytest.mark.parametrize("way", ["detached", "watched", "head killed"])
def test_what_is_edited_while_a_run_is_queued_costs_no_output_and_runs_nothing_again(
    slurm: Sandbox, folder: Path, way: str
) -> None:
    """An input, a configuration file, what an input function lists; `old` was up to date when the run began."""
    with_inputs(folder)
    outcome = run_forked(folder, ("--cores", "2", "--no-hooks", "old.txt"), slurm.environment)
    assert outcome.exit_code == 0, outcome.output
    with Head(slurm, folder, *(["--kempner-detach"] if way == "detached" else [])) as head:
        head.until_queued()
        if way == "detached":
            assert head.end() == 0, head.said
        if way == "head killed":
            head.kill()
        until(lambda: {*MADE, "end"} <= moments(folder, "started").keys())
        until(lambda: moments(folder, "ended").keys() >= MADE)
        edit(folder)
        (folder / "go").touch()
        if way == "watched":
            assert head.end() == 0, head.said
        else:
            until(lambda: is_closed(folder), within=3 * PATIENCE, shown=lambda: closing_log(folder))
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {*MADE, "old", "end", "onsuccess"}, closing_log(folder)
    texts = {name: (folder / f"{name}.txt").read_text() for name in ("plain", "guarded", "configured", "listed", "old")}
    assert texts == {"plain": "one\n", "guarded": "one\n", "configured": "0.1\n", "listed": "one\n", "old": "one\n"}
    assert (folder / "end.txt").exists()


def test_update_of_a_file_that_was_read_before_is_no_corruption(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(
        folder,
        snakefile(
            wanted("sum.txt", "all.txt"),
            rule("sum", Code('before_update("all.txt")'), then="cat {input} > {output}"),
            rule("append", "more.txt", output=Code('update("all.txt")'), then="cat {input} >> {output}"),
            rule("more", output=temp("more.txt"), then="echo more > {output}"),
        ),
    )
    (folder / "all.txt").write_text("first\n")
    outcome = run_detached(slurm, folder, "--forcerun", "append", "sum")
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == {"sum", "append", "more"}
    assert (folder / "all.txt").read_text() == "first\nmore\n"
    assert not (folder / "more.txt").exists()


def test_a_second_head_runs_nothing_again_that_a_job_in_the_queue_reads(slurm: Sandbox, folder: Path) -> None:
    with_inputs(folder)
    with Head(slurm, folder) as head:
        head.until_queued()
        until(lambda: {*MADE, "end"} <= moments(folder, "started").keys())
        until(lambda: moments(folder, "ended").keys() >= MADE)
        head.kill()
        snakefile = folder / "Snakefile"
        snakefile.write_text(snakefile.read_text().replace("wc -l < {input}", "wc -c < {input}"))
        again = ("--nolock", "--rerun-incomplete", "--rerun-triggers", "code")
        with Head(slurm, folder, *again) as second:
            second.until(lambda: "Goes on with run" in second.said)
            (folder / "go").touch()
            assert second.end() == 0, second.said
            assert re.search(r"sum is outdated, and end \(Slurm job \d+\) in the queue reads", second.said), second.said
    assert {name: len(times) for name, times in moments(folder, "started").items()}["sum"] == 1


def test_an_output_that_is_missing_and_wanted_is_made_again_by_the_run_itself(slurm: Sandbox, folder: Path) -> None:
    """Below a checkpoint something reads what was removed meanwhile; what has read it before does not run again."""
    with_behaviour(
        folder,
        textwrap.dedent(
            """
            def later(wildcards):
                return open(checkpoints.choose.get().output[0]).read().split()

            rule all:
                input:
                    "reader.txt", later,

            rule source:
                output:
                    "source.txt",
                shell:
                    "echo source >> sources && ./behave source-$(wc -l < sources) && cp sources {output}"

            rule reader:
                input:
                    "source.txt",
                output:
                    "reader.txt",
                shell:
                    "./behave reader && cp {input} {output}"

            checkpoint choose:
                input:
                    "reader.txt",
                output:
                    "choice.txt",
                shell:
                    "./behave choose && rm source.txt && echo late.txt > {output}"

            rule late:
                input:
                    "source.txt",
                output:
                    "late.txt",
                shell:
                    "./behave late && cp {input} {output}"
            """
        ),
    )
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == {"source-1", "reader", "choose", "source-2", "late"}
    assert (folder / "late.txt").exists()
