"""Temporary files of runs that nobody watches: each goes with its last reader, and not before."""

from pathlib import Path

import pytest
from behaviour import moments, ran, with_behaviour
from detached import DETACHED, left_behind, until
from head import (
    closed,
    run,
    run_detached,
    states,
)
from snakefiles import Code, rule, snakefile, temp, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

TEMPORARY = snakefile(
    wanted("one.txt", "two.txt", "late.txt", "bad.txt"),
    rule(
        "make",
        output=(temp("made.tmp"), Code('temp(directory("folder.tmp"))')),
        shell="mkdir {output[1]}; touch {output[0]} {output[1]}/file",
    ),
    rule(
        "read",
        "made.tmp",
        "folder.tmp",
        output="{which}.txt",
        does="{wildcards.which}",
        then="cp {input[0]} {output}",
        wildcard_constraints={"which": "one|two"},
    ),
    rule("late", "one.txt", does="late waits:go"),
    rule("bad", "kept.tmp", does="bad fails", then=""),
    rule("keep", output=temp("kept.tmp"), shell="touch {output}"),
)


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
        snakefile(
            rule("two", "made.tmp", "one.txt", then="cp {input[0]} {output}"),
            rule("one", "made.tmp", does="one waits:go"),
            rule("make", output=temp("made.tmp"), shell="touch {output}"),
        ),
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


TWO_READERS = snakefile(
    rule("one", "made.tmp", does="one waits:go", then="cp {input} {output}"),
    rule("two", "made.tmp", then="cp {input} {output}"),
    rule("make", output=temp("made.tmp"), shell="touch {output}"),
)


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
