"""Runs that nobody watches: the head queues everything and leaves, and the run's own jobs do the rest."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import moments, ran, with_behaviour
from comparison import Outcome, run_forked, run_snakemake
from head import (
    OVER,
    PATIENCE,
    PAUSE,
    SMALL,
    Head,
    all_over,
    arguments,
    asked,
    bystander,
    cancel_all,
    closed,
    ended,
    of_rule,
    queued,
    run,
    run_detached,
    states,
    written,
)

from snakemake_executor_plugin_kempner.sandbox import Sandbox

DETACHED = "--kempner-detach"
HOOKS = """
onstart:
    shell("./behave onstart")
onsuccess:
    shell("./behave onsuccess")
onerror:
    shell("./behave onerror")
"""


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """Where a workflow lies; nothing that was queued there outlives the test."""
    place = tmp_path / "run"
    yield place
    cancel_all(slurm, place)


def with_hooks(folder: Path, snakefile: str) -> Path:
    """A folder with this Snakefile, whose hooks are commands like those of the rules."""
    return with_behaviour(folder, HOOKS + textwrap.dedent(snakefile))


def until(is_so: Callable[[], object], *, within: float = PATIENCE, shown: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, f"it never came true: {shown()}"
        time.sleep(PAUSE)


def once(folder: Path) -> dict[str, float]:
    """When each command started, of which none has run twice; hooks count as commands."""
    ran(folder)
    return {name: at for name, (at,) in moments(folder, "started").items()}


def left_behind(slurm: Sandbox, folder: Path, *more: str, **extra: str) -> Outcome:
    """A head that has queued everything and left."""
    outcome = run(slurm, folder, DETACHED, *more, **extra)
    assert outcome.exit_code == 0, outcome.output
    assert "is in Slurm's hands" in outcome.output, outcome.output
    return outcome


def job_of(slurm: Sandbox, folder: Path, rule: str) -> str:
    """Job id of the last submission of a rule, or of a helper by its kind."""
    return of_rule(queued(slurm, folder, helpers=True), rule)[-1].job_id


def closing_log(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.glob(".snakemake/kempner/*/closing.log"))


# --- the head leaves ------------------------------------------------------------------------------------------------

HELD = """
rule all:
    input:
        "third-1.txt",
        "third-2.txt",

rule third:
    input:
        "second.txt",
    output:
        "third-{n}.txt",
    shell:
        "./behave third-{wildcards.n} && cp {input} {output}"

rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    shell:
        "./behave second && cp {input} {output}"

rule first:
    output:
        "first.txt",
    shell:
        "touch {output} && ./behave first waits:go && echo first > {output}"
"""


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
        assert table["closing"] == [closing, "the end of everything"]
        assert {word for word, _ in jobs[closing].waits_for} == {"afterany"}

        shown = slurm.run("scontrol", "show", "job", closing)
        assert "MailUser=somebody@example.org" in shown
        assert "END,FAIL" in shown
        assert not _of_session(head._process.pid)
        assert not [path for path in folder.glob(".snakemake/locks/*") if path.is_file()]
        assert not (folder / ".snakemake/kempner/claim.json").exists()
        assert "snakemake --executor kempner" in head.said  # the command that cancels
        (folder / "go").touch()
        ended(slurm, folder)
    assert ran(folder) == {"first", "second", "third-1", "third-2"}
    assert "4 of 4 tasks succeeded" in closing_log(folder)


def _of_session(session: int) -> list[str]:
    words = ("ps", "-o", "pid=,args=", "-s", str(session))
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n")[:-1]


def test_what_is_asked_of_the_closing_job_or_of_a_rule_about_mail_reaches_the_closing_job(
    slurm: Sandbox, folder: Path
) -> None:
    with_behaviour(
        folder,
        """
        rule first:
            output:
                "first.txt",
            resources:
                slurm_extra="--mail-type=FAIL --mail-user=somebody@example.org",
            shell:
                "./behave first waits:go && touch {output}"
        """,
    )
    left_behind(slurm, folder)
    shown = slurm.run("scontrol", "show", "job", job_of(slurm, folder, "closing"))
    assert "MailUser=somebody@example.org" in shown
    assert "MailType=END,FAIL" in shown


# --- hooks and failures ---------------------------------------------------------------------------------------------

FAILING = """
rule all:
    input:
        "after.txt",
        "later.txt",

rule after:
    input:
        "bad.txt",
    output:
        "after.txt",
    shell:
        "./behave after && touch {output}"

rule bad:
    output:
        "bad.txt",
    shell:
        "./behave bad fails:go || (cat cause >&2; exit 7)"

rule long:
    output:
        "long.txt",
    shell:
        "./behave long waits:go-2 && touch {output}"

rule later:
    input:
        "long.txt",
    output:
        "later.txt",
    shell:
        "./behave later && touch {output}"
"""


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
        """
        rule after:
            input:
                "unsteady.txt",
            output:
                "after.txt",
            shell:
                "./behave after && touch {output}"

        rule unsteady:
            output:
                "unsteady.txt",
            retries: 1
            resources:
                nth=lambda wildcards, attempt: attempt,
            shell:
                "./behave try-{resources.nth} && touch {output} && test {resources.nth} = 2"
        """,
    )
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert list(once(folder)) == ["onstart", "try-1", "try-2", "after", "onsuccess"]


def test_a_task_that_a_person_cancels_fails_the_run_and_is_not_tried_again(slurm: Sandbox, folder: Path) -> None:
    with_hooks(
        folder,
        """
        rule held:
            output:
                "held.txt",
            retries: 2
            shell:
                "./behave held waits:go && touch {output}"
        """,
    )
    left = left_behind(slurm, folder)
    until(lambda: "held" in moments(folder, "started"))
    slurm.run("scancel", queued(slurm, folder)[0].job_id)
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "held", "onerror"}
    assert "cancelled" in closing_log(folder)


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


def test_a_workflow_that_is_broken_meanwhile_ends_as_it_began(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, HELD)
    left = left_behind(slurm, folder)
    until(lambda: "first" in moments(folder, "started"))
    (folder / "Snakefile").write_text("rule unfinished:\n    outp")
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert "onsuccess" in ran(folder)
    assert "4 of 4 tasks succeeded" in closing_log(folder)


def test_a_run_that_has_failed_submits_nothing_more_though_an_input_is_gone(slurm: Sandbox, folder: Path) -> None:
    """A file that the failed task needs and that an earlier run had made has to be made again: another time."""
    with_hooks(
        folder,
        """
        rule bad:
            input:
                "made.txt",
            output:
                "bad.txt",
            shell:
                "rm {input}; ./behave bad fails"

        rule make:
            output:
                "made.txt",
            shell:
                "touch made-again {output}"
        """,
    )
    (folder / "made.txt").touch()
    outcome = run_detached(slurm, folder, "--rerun-triggers", "mtime")
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "bad", "onerror"}
    assert not (folder / "made-again").exists()
    assert "bad failed" in closing_log(folder)
    assert "BUG" not in closing_log(folder)


# --- temporary files ------------------------------------------------------------------------------------------------

TEMPORARY = """
rule all:
    input:
        "one.txt",
        "two.txt",
        "late.txt",
        "bad.txt",

rule make:
    output:
        temp("made.tmp"),
        temp(directory("folder.tmp")),
    shell:
        "mkdir {output[1]}; touch {output[0]} {output[1]}/file"

rule read:
    input:
        "made.tmp",
        "folder.tmp",
    output:
        "{which}.txt",
    wildcard_constraints:
        which="one|two",
    shell:
        "./behave {wildcards.which} && cp {input[0]} {output}"

rule late:
    input:
        "one.txt",
    output:
        "late.txt",
    shell:
        "./behave late waits:go && touch {output}"

rule bad:
    input:
        "kept.tmp",
    output:
        "bad.txt",
    shell:
        "./behave bad fails"

rule keep:
    output:
        temp("kept.tmp"),
    shell:
        "touch {output}"
"""


def test_a_temporary_file_goes_with_its_last_reader_and_stays_when_that_fails(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, TEMPORARY)
    left = left_behind(slurm, folder, "--keep-going")
    until(lambda: {"one", "two", "bad"} <= moments(folder, "started").keys())
    until(lambda: not (folder / "made.tmp").exists() and not (folder / "folder.tmp").exists())
    assert not (folder / "late.txt").exists()  # the run goes on
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert (folder / "kept.tmp").exists()
    assert (folder / "late.txt").exists()


def test_temporary_files_that_are_to_be_kept_are(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, TEMPORARY)
    outcome = run_detached(slurm, folder, "--notemp", "one.txt")
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "made.tmp").exists()
    assert (folder / "folder.tmp/file").exists()


def test_a_reader_that_another_command_adds_finds_the_temporary_file(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(
        folder,
        """
        rule two:
            input:
                "made.tmp",
                "one.txt",
            output:
                "two.txt",
            shell:
                "./behave two && cp {input[0]} {output}"

        rule one:
            input:
                "made.tmp",
            output:
                "one.txt",
            shell:
                "./behave one waits:go && touch {output}"

        rule make:
            output:
                temp("made.tmp"),
            shell:
                "touch {output}"
        """,
    )
    left_behind(slurm, folder, "one.txt")
    until(lambda: "one" in moments(folder, "started"))
    left = left_behind(slurm, folder, "two.txt", "--rerun-incomplete")
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == {"one", "two"}
    assert not (folder / "made.tmp").exists()


BEHIND_A_CHECKPOINT = """
def wanted(_):
    return f"late-{checkpoints.decide.get().output[0]}"

rule all:
    input:
        wanted,

rule make:
    output:
        temp("early.tmp"),
        temp("late.tmp"),
        temp("unread.tmp"),
    shell:
        "touch {output}"

rule early:
    input:
        "early.tmp",
    output:
        "early.txt",
    shell:
        "touch {output}"

checkpoint decide:
    input:
        "early.txt",
    output:
        "decided.txt",
    shell:
        "ls *.tmp > seen.txt; touch {output}"

rule late:
    input:
        "late.tmp",
    output:
        "late-decided.txt",
    shell:
        "./behave late waits:go && touch {output}"
"""


def test_behind_a_checkpoint_what_has_no_reader_left_goes_at_once(slurm: Sandbox, folder: Path) -> None:
    """It may be large, and what follows may take days."""
    with_behaviour(folder, BEHIND_A_CHECKPOINT)
    left = left_behind(slurm, folder)
    until(lambda: "late" in moments(folder, "started"))
    assert (folder / "seen.txt").read_text().split() == ["early.tmp", "late.tmp", "unread.tmp"]
    until(lambda: [path.name for path in folder.glob("*.tmp")] == ["late.tmp"])
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert not list(folder.glob("*.tmp"))


TWO_READERS = """
rule one:
    input:
        "made.tmp",
    output:
        "one.txt",
    shell:
        "./behave one waits:go && cp {input} {output}"

rule two:
    input:
        "made.tmp",
    output:
        "two.txt",
    shell:
        "./behave two && cp {input} {output}"

rule make:
    output:
        temp("made.tmp"),
    shell:
        "touch {output}"
"""


@pytest.mark.parametrize("detached", [True, False], ids=["nobody there", "watched"])
def test_a_reader_that_another_command_left_in_the_queue_finds_the_temporary_file(
    slurm: Sandbox, folder: Path, *, detached: bool
) -> None:
    """The second command asks for less: its workflow does not hold the reader."""
    with_behaviour(folder, TWO_READERS)
    left_behind(slurm, folder, "one.txt")
    until(lambda: "one" in moments(folder, "started"))
    second = run(slurm, folder, *([DETACHED] if detached else []), "two.txt", "--rerun-incomplete")
    until(lambda: states(slurm, folder)["two"] == "COMPLETED", shown=lambda: second.output)
    assert (folder / "made.tmp").exists()
    (folder / "go").touch()
    outcome = closed(slurm, folder, second)
    assert outcome.exit_code == 0, outcome.output
    until(lambda: states(slurm, folder)["one"] == "COMPLETED")
    assert ran(folder) == {"one", "two"}
    until(lambda: not (folder / "made.tmp").exists())


# --- what nobody could plan at the beginning ------------------------------------------------------------------------

NESTED = """
def names(checkpoint):
    return sorted(name for name in os.listdir(checkpoint.output[0]) if not name.startswith("."))

def leaves(wildcards):
    return [
        f"leaf/{x}-{n}.txt"
        for x in names(checkpoints.first.get())
        for n in names(checkpoints.second.get(x=x))
    ]

rule gather:
    input:
        leaves,
    output:
        "gathered.txt",
    shell:
        "./behave gather && echo {input} > {output}"

rule leaf:
    input:
        "two/{x}",
    output:
        "leaf/{x}-{n}.txt",
    shell:
        "./behave leaf-{wildcards.x}-{wildcards.n} && touch {output}"

checkpoint second:
    input:
        "one",
    output:
        directory("two/{x}"),
    shell:
        "./behave second-{wildcards.x} && mkdir {output} && touch {output}/1"

checkpoint first:
    output:
        directory("one"),
    shell:
        "./behave first && mkdir {output} && touch {output}/a {output}/b"
"""
NESTED_NAMES = {
    *("first", "second-a", "second-b", "leaf-a-1", "leaf-b-1", "gather"),
    *("onstart", "onsuccess"),
}


def test_checkpoints_below_checkpoints_need_no_head_and_hooks_run_once(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, NESTED)
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    begun = once(folder)
    assert begun.keys() == NESTED_NAMES
    assert next(iter(begun)) == "onstart"
    assert list(begun)[-1] == "onsuccess"
    assert begun["onsuccess"] > moments(folder, "ended")["gather"][0]
    assert (folder / "gathered.txt").read_text() == "leaf/a-1.txt leaf/b-1.txt\n"

    again = asked(slurm, folder, "--dry-run")
    assert "Nothing to be done" in again.output, again.output
    assert "metadata" not in again.output
    for module in ("jinja2", "pygments"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"a report needs {module}")
    reported = run_forked(folder, ("--report", "report.html"), slurm.environment)
    assert reported.exit_code == 0, reported.output
    assert "issing metadata" not in reported.output
    runtimes = re.findall(r'"runtime": ?([0-9.]+)', (folder / "report.html").read_text())
    assert len(runtimes) >= 6, runtimes


def test_forcing_everything_of_a_finished_folder_runs_everything_once(slurm: Sandbox, folder: Path) -> None:
    with_hooks(
        folder,
        """
        rule gather:
            input:
                lambda wildcards: checkpoints.decide.get().output,
            output:
                "gathered.txt",
            shell:
                "./behave gather && touch {output}"

        checkpoint decide:
            output:
                "decided.txt",
            shell:
                "./behave decide && touch {output}"
        """,
    )
    for name in ("decided.txt", "gathered.txt"):
        (folder / name).touch()
    outcome = run_detached(slurm, folder, "--forceall")
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == {"onstart", "decide", "gather", "onsuccess"}, outcome.output


def test_two_checkpoints_local_rules_and_sizes_of_inputs_need_no_head(slurm: Sandbox, folder: Path) -> None:
    """Both checkpoints are released at the same moment; what is below one asks for memory by the size of its input."""
    with_behaviour(
        folder,
        """
        localrules: begin, between

        rule all:
            input:
                "left.txt",
                "right.txt",

        def found(wildcards):
            with open(getattr(checkpoints, wildcards.side + "_side").get().output[0]) as file:
                return [f"{wildcards.side}-{name}.part" for name in file.read().split()]

        rule collect:
            input:
                found,
            output:
                "{side}.txt",
            wildcard_constraints:
                side="left|right",
            shell:
                "./behave collect-{wildcards.side} && cat {input} > {output}"

        rule weigh:
            input:
                "{side}-{name}.middle",
            output:
                "{side}-{name}.part",
            resources:
                mem_mb=lambda wildcards, input: 500 + int(10 * input.size_mb),
            shell:
                "./behave weigh-{wildcards.side}-{wildcards.name} && echo {resources.mem_mb} > {output}"

        rule between:
            input:
                "begun.txt",
            output:
                "{side}-{name}.middle",
            shell:
                "./behave between-{wildcards.side}-{wildcards.name} && head -c 10000000 /dev/zero > {output}"

        checkpoint left_side:
            input:
                "begun.txt",
            output:
                "left.names",
            resources:
                mem_mb=lambda wildcards, input: 500 + int(10 * input.size_mb),
            shell:
                "./behave left waits:go && echo a > {output}"

        checkpoint right_side:
            input:
                "begun.txt",
            output:
                "right.names",
            shell:
                "./behave right waits:go && echo b > {output}"

        rule begin:
            output:
                "begun.txt",
            shell:
                "./behave begin && head -c 10000000 /dev/zero > {output}"
        """,
    )
    left = left_behind(slurm, folder)
    until(lambda: {"left", "right"} <= moments(folder, "started").keys())
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    sides = ("left-a", "right-b")
    assert ran(folder) == {
        *("begin", "left", "right", "collect-left", "collect-right"),
        *(f"{rule}-{side}" for rule in ("weigh", "between") for side in sides),
    }
    assert {one.memory for one in of_rule(queued(slurm, folder), "weigh")} == {"595M"}
    assert [one.memory for one in of_rule(queued(slurm, folder), "left_side")] == ["595M"]
    assert (folder / "left.txt").read_text() == (folder / "right.txt").read_text() == "595\n"


LONG = """
rule all:
    input:
        "gathered.txt",
        "sized.txt",

rule gather:
    input:
        lambda wildcards: checkpoints.decide.get().output[0],
        "unsteady.txt",
    output:
        "gathered.txt",
    shell:
        "./behave gather && touch {output}"

checkpoint decide:
    input:
        "unsteady.txt",
    output:
        "decided.txt",
    shell:
        "./behave decide waits:go && touch {output}"

rule sized:
    input:
        "unsteady.txt",
    output:
        "sized.txt",
    retries: 1
    shell:
        "./behave sized && touch {output}"

rule unsteady:
    output:
        "unsteady.txt",
    retries: 2
    resources:
        nth=lambda wildcards, attempt: attempt,
    shell:
        "./behave try-{resources.nth} && touch {output} && test {resources.nth} = 2"
"""


@pytest.mark.parametrize("accounting", [False, True], ids=["no accounting", "accounting"])
def test_a_run_may_take_so_long_that_slurm_has_forgotten_how_it_began(
    private_slurm: Callable[..., Sandbox], tmp_path: Path, *, accounting: bool
) -> None:
    slurm = private_slurm(nodes=SMALL, min_job_age=2, accounting=accounting)
    folder = with_hooks(tmp_path / "run", LONG)
    left_behind(slurm, folder)
    until(lambda: "sized" in moments(folder, "ended"))
    until(lambda: not of_rule(queued(slurm, folder, helpers=True), "sized"))
    until(lambda: not of_rule(queued(slurm, folder, helpers=True), "unsteady"))
    (folder / "go").touch()
    until(lambda: {"onsuccess", "onerror"} & moments(folder, "ended").keys(), shown=lambda: closing_log(folder))
    until(lambda: "4 of 4" in closing_log(folder), shown=lambda: closing_log(folder))
    begun = list(once(folder))
    assert [*begun[:3], *begun[5:]] == ["onstart", "try-1", "try-2", "gather", "onsuccess"]


def test_the_closing_job_goes_on_where_the_continuation_was_cancelled(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, LONG)
    left = left_behind(slurm, folder)
    slurm.run("scancel", job_of(slurm, folder, "continuation"))
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    until(lambda: "onsuccess" in moments(folder, "ended"))
    assert ran(folder) == {"onstart", "try-1", "try-2", "sized", "decide", "gather", "onsuccess"}


ENDS_MEANWHILE = """
import glob, json, os, time

def ends(name):
    \"\"\"In the continuation, wait until both tasks have ended and been recorded.\"\"\"
    if os.environ.get("SLURM_JOB_NAME", "").startswith("continuation"):
        open("looked", "w").close()
        while sum("exit_code" in open(path).read() for path in glob.glob(".snakemake/kempner/*/ended/*.json")) < 2:
            time.sleep(0.1)
    return len(open(name).read())

rule all:
    input:
        "slow.txt",
        "late.txt",

rule slow:
    output:
        "slow.txt",
    shell:
        "until [ -e looked ]; do sleep 0.1; done; echo once >> slow.runs; touch {output}"

rule first:
    output:
        "first.txt",
    shell:
        "echo text > {output}"

rule late:
    input:
        "first.txt",
    output:
        "late.txt",
    resources:
        runtime=lambda wildcards, input: ends(input[0]),
    shell:
        "touch {output}"
"""


@pytest.mark.parametrize("more", [(), ("--forceall",)], ids=["new", "forced"])
def test_a_task_that_ends_while_a_continuation_reads_the_workflow_runs_once(
    slurm: Sandbox, folder: Path, more: tuple[str, ...]
) -> None:
    written(folder, ENDS_MEANWHILE)
    outcome = run_detached(slurm, folder, *more)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "slow.runs").read_text() == "once\n"


def test_a_checkpoint_that_fails_ends_the_run(slurm: Sandbox, folder: Path) -> None:
    """With --keep-going, too: nobody knows what would follow."""
    with_hooks(folder, LONG.replace("decide waits:go", "decide fails:go").replace("sized &&", "sized waits:go-2 &&"))
    left = left_behind(slurm, folder, "--keep-going")
    until(lambda: {"decide", "sized"} <= moments(folder, "started").keys())
    (folder / "go").touch()
    until(lambda: "decide" in moments(folder, "ended"))
    (folder / "go-2").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "try-1", "try-2", "sized", "decide", "onerror"}
    assert "decide failed" in closing_log(folder)


def test_a_command_that_asks_for_less_says_what_will_not_follow_by_itself(slurm: Sandbox, folder: Path) -> None:
    """What follows on a checkpoint of the run before is nobody's then, until the first command is given again."""
    with_hooks(folder, LONG)
    left_behind(slurm, folder, "gathered.txt")
    until(lambda: "decide" in moments(folder, "started"))
    left = left_behind(slurm, folder, "sized.txt")
    assert "still had tasks to submit" in left.output
    assert "snakemake --executor kempner" in left.output
    again = left_behind(slurm, folder, "gathered.txt", "sized.txt")
    assert "still had tasks to submit" not in again.output
    (folder / "go").touch()
    outcome = closed(slurm, folder, again)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "gathered.txt").exists()
    assert all(len(times) == 1 for name, times in moments(folder, "started").items() if name != "onstart")


def test_an_input_from_a_queue_is_refused_before_anything_is_submitted(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(
        folder,
        """
        from queue import Queue

        arriving = Queue()  # its end has not been seen
        arriving.put("a.txt")

        rule gather:
            input:
                from_queue(arriving, finish_sentinel=object()),
            output:
                "gathered.txt",
            shell:
                "cat {input} > {output}"

        rule make:
            output:
                "a.txt",
            shell:
                "touch {output}"
        """,
    )
    outcome = run(slurm, folder, DETACHED)
    assert outcome.exit_code == 1, outcome.output
    assert "reads from a queue" in outcome.output
    assert "leave out --kempner-detach" in outcome.output
    assert not queued(slurm, folder, helpers=True)


# --- the command that is given once more ----------------------------------------------------------------------------


def test_a_continuation_sees_what_the_head_saw(slurm: Sandbox, folder: Path) -> None:
    """The flag and the executor stand in a profile, all paths are relative, and a text has quotes in it."""
    title = """it's "quoted",  with $HOME & 2 spaces"""
    (folder / "code").mkdir(parents=True)
    (folder / "profiles/default").mkdir(parents=True)
    (folder / "profiles/default/config.yaml").write_text(
        "executor: kempner\njobs: 20\nkempner-detach: true\nscheduler: greedy\nlatency-wait: 10\n"
        "default-resources:\n  - mem_mb=640\n"
    )
    (folder / "settings.yaml").write_text("of_file: from the file\n")
    (folder / "code/Snakefile").write_text(
        """
def found(wildcards):
    with open(checkpoints.decide.get().output[0]) as file:
        return file.read().split()

rule gather:
    input:
        found,
    output:
        "gathered.txt",
    shell:
        "cat {input} > {output}"

rule part:
    output:
        "part.txt",
    params:
        title=config["title"],
    shell:
        "printf '%s\\n' {params.title:q} '{config[of_file]}' $SLURM_MEM_PER_NODE $SEEN > {output}"

checkpoint decide:
    output:
        "decided.txt",
    shell:
        "echo part.txt > {output}"
"""
    )
    words = ("--snakefile", "code/Snakefile", "--directory", "elsewhere", "--configfile", "settings.yaml", "--nocolor")
    left = run_snakemake(
        folder, (*words, "--config", f"title={title}"), {**slurm.environment, "SEEN": "from the environment"}
    )
    assert left.exit_code == 0, left.output
    try:
        outcome = closed(slurm, folder, left)
    finally:
        cancel_all(slurm, folder / "elsewhere")
    (shown,) = re.findall(r"its end: +(\S+)", left.output)
    assert (folder / shown).exists()  # as seen from where the command was given
    assert outcome.exit_code == 0, outcome.output
    text = (folder / "elsewhere/gathered.txt").read_text()
    assert text.splitlines() == [title, "from the file", "640", "from", "the", "environment"]


INSIDE = """
rule gather:
    input:
        lambda wildcards: checkpoints.decide.get().output[0],
        "second.txt",
    output:
        "gathered.txt",
    resources:
        mem_mb=700,
    shell:
        "echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}"

rule second:
    input:
        "decided.txt",
    output:
        "second.txt",
    threads: 3
    resources:
        mem_mb=800,
    shell:
        "echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}"

checkpoint decide:
    output:
        "decided.txt",
    resources:
        mem_mb=900,
    shell:
        "echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}"
"""


def test_a_head_inside_a_slurm_job_gives_nothing_of_that_job_away(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, INSIDE)
    words = " ".join((*arguments(), DETACHED))
    script = f"#!/bin/bash\n{shutil.which('python')} -m snakemake {words}\n"
    options = ("--parsable", "-D", str(folder), "-o", "head.log", "-J", "outer", "--cpus-per-task=2", "--mem=3000")
    outer = slurm.run("sbatch", *options, stdin=script).strip()
    until(lambda: slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", outer).strip() in OVER)
    said = (folder / "head.log").read_text()
    outcome = closed(slurm, folder, Outcome(exit_code=0, output=said))
    assert outcome.exit_code == 0, outcome.output
    assert states(slurm, folder)["outer"] == "COMPLETED", said
    assert (folder / "decided.txt").read_text() == "1 900\n"
    assert (folder / "second.txt").read_text() == "3 800\n"
    assert (folder / "gathered.txt").read_text() == "1 700\n"
    closing = slurm.run("squeue", "-h", "-t", "all", "-o", "%j %C %m").splitlines()
    run_id = re.search(r"\(run (\w+)\)", said)
    assert run_id is not None
    mine = [line.split() for line in closing if f".{run_id[1]}." in line]
    assert all(cpus == "1" for name, cpus, _ in mine if not name.startswith("second")), mine


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

ADOPTED = """
rule all:
    input:
        "second.txt",
        "done.txt",

rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    shell:
        "./behave second && cp {input} {output}"

rule first:
    output:
        "first.txt",
    shell:
        "touch {output} && ./behave first waits:go && echo first > {output}"

rule done:
    output:
        "done.txt",
    shell:
        "./behave done && touch {output}"
"""


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
        head.until(lambda: "Goes on with" in head.said)
        line = f"Goes on with run {name}: 1 finished meanwhile, 1 running, 1 queued, 0 to submit."
        assert line in head.said
        until(lambda: slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", closing).strip() == "CANCELLED")
        (folder / "go").touch()
        said = closed(slurm, folder, Outcome(exit_code=head.end(), output=head.said))
        ended(slurm, folder)
    assert said.exit_code == 0, said.output
    assert {one.job_id for one in queued(slurm, folder)} == tasks
    starts = {name: len(times) for name, times in moments(folder, "started").items()}
    assert starts == {"onstart": 2, "first": 1, "second": 1, "done": 1, "onsuccess": 1}


CHANGING = """
rule all:
    input:
        "after.txt",
        "queued.txt",
        "waiting.txt",

rule waiting:
    input:
        "held.txt",
    output:
        "waiting.txt",
    shell:
        "./behave waiting && touch {output}"

rule after:
    input:
        "running.txt",
    output:
        "after.txt",
    shell:
        "./behave after && cp {input} {output}"

rule running:
    output:
        "running.txt",
    shell:
        "./behave running waits:go && echo old > {output}"

rule queued:
    input:
        "held.txt",
    output:
        "queued.txt",
    resources:
        mem_mb=600,
    shell:
        "./behave queued && echo $SLURM_MEM_PER_NODE > {output}"

rule held:
    output:
        "held.txt",
    shell:
        "./behave held waits:go && touch {output}"
"""


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
    with Head(slurm, folder, "--nolock") as one, Head(slurm, folder, "--nolock") as two:
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
        outcome = run(slurm, folder, DETACHED)
        assert outcome.exit_code == 1, outcome.output
        assert "No space left on device" in outcome.output
        assert "Traceback" not in outcome.output
        until(lambda: all_over(slurm, folder))
        (ledger,) = records.glob("*/ledger.jsonl")
        recorded = set(re.findall(r'"job_id": "(\d+)', ledger.read_text()))  # its last line may be torn
        assert recorded
        assert {one.job_id.partition("_")[0] for one in queued(slurm, folder, helpers=True)} <= recorded
    finally:
        subprocess.run(["umount", "-l", str(records)], check=True)
