"""What Snakemake's head does beside running commands, left to jobs: temporary files, rules without a command.

Each workflow runs locally, watched and with nobody there; all three leave the same.
"""

from operator import attrgetter
from pathlib import Path

import pytest
from columns import detached
from comparison import differences, fresh_copy, snapshot
from conftest import StartSlurm
from detached import is_closed
from head import Head, assert_settled
from test_feature_matrix import WORKFLOWS, Case, Executor, Step, local, play

from snakemake_executor_plugin_kempner.sandbox import Sandbox

_BATCHES = tuple(Step(args=("--batch", f"collect={number}/3")) for number in (1, 2, 3))

CASES = (
    Case(
        name="temporary files that are read before and after a checkpoint",
        workflow="temp_checkpoint",
        text={"prepare.runs": "prepared\n", "draft.runs": "drafted\n", "list.runs": "listed\n"},
        gone=(
            "data.txt",
            "draft.txt",
            "late.txt",
            "last.txt",
            "unread.txt",
            "pair-unread.txt",
            "weights/a.txt",
            "list.tmp",
        ),
    ),
    Case(
        name="temporary files of groups",
        workflow="temp_group",
        text={"inside.txt": "inside\nboth\n", "both.txt": "both\n", "again.txt": "again\n"},
        gone=("inside.tmp", "both.tmp", "outside.tmp", "unread.tmp", "unread-folder", "inside-unread.tmp"),
    ),
    Case(
        name="temporary files, when something fails",
        workflow="temp_failure",
        args=("--keep-going", "--latency-wait", "1"),
        steps=(Step(exit_code=1, says="absent.txt"),),
        text={"shared.tmp": "shared\n", "unread.tmp": "shared\n", "grouped.txt": "grouped\n"},
        gone=("read_absent.runs",),
        settles=False,
    ),
    Case(name="one batch of three", workflow="temp_batch", steps=_BATCHES[:1], settles=False),
    Case(name="all batches", workflow="temp_batch", steps=_BATCHES, text={"all.txt": 12 * "shared\n"}),
    Case(
        name="a temporary file that is asked for",
        workflow="temp_batch",
        args=("shared.tmp", "part/a.tmp"),
        text={"shared.tmp": "shared\n", "part/a.tmp": "shared\n"},
    ),
    Case(
        name="a rule that is asked for by name",
        workflow="temp_batch",
        args=("prepare",),
        text={"shared.tmp": "shared\n", "unread.tmp": "shared\n"},
    ),
    Case(
        name="rules without a command",
        workflow="without_command",
        text={"read_gate.txt": "slow\n", "read_side.txt": "side\n", "read_side.runs": "run\n"},
        gone=("local.tmp", "before_grouped.txt"),
    ),
    Case(
        name="many rules without a command",
        workflow="gates",
        text={"ready.txt": "file\n", "late.txt": "made\n"},
        gone=("part/0.tmp", "unread.ok"),
        protected=("gathered.ok",),
    ),
)


LEFT_ALONE = ("temp_checkpoint", "temp_group", "without_command", "gates")
"""Workflows whose head is killed too."""

IN_WAVES = Case(
    name="temporary files whose readers come in waves",
    workflow="temp_waves",
    text={"prepare.runs": "prepared\n", "used/0.txt": "shared\nshared\ninside\n"},
    gone=("shared.tmp", "folder.tmp", "unread.tmp", "work", "unread"),
)


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_jobs_leave_what_a_local_run_leaves(case: Case, slurm: Sandbox, tmp_path: Path) -> None:
    assert_the_same(case, slurm, tmp_path)


def test_readers_that_come_in_waves_find_their_temporary_files(private_slurm: StartSlurm, tmp_path: Path) -> None:
    assert_the_same(IN_WAVES, private_slurm(), tmp_path, "--kempner-max-queued", "8")


def assert_the_same(case: Case, slurm: Sandbox, tmp_path: Path, *more: str) -> None:
    expected = play(case, local(), tmp_path / "local")
    args, environment = ("--executor", "kempner", "--jobs", "50", *more), slurm.environment
    tried = (
        Executor(name="watched", args=args, environment=environment),
        Executor(name="detached", args=args, environment=environment, snakemake=detached(slurm)),
    )
    for one in tried:
        folder = tmp_path / one.name
        sentences = differences(expected, play(case, one, folder))
        assert not sentences, f"{case.name}, {one.name}, differs from a local run:\n" + "\n".join(sentences)
        if case.settles:
            again = one.ask(case, folder, "--dry-run")
            assert "Nothing to be done" in again.output, again.output


@pytest.mark.parametrize("case", [case for case in CASES if case.workflow in LEFT_ALONE], ids=attrgetter("name"))
def test_a_head_that_is_killed_leaves_the_same_in_the_end(case: Case, slurm: Sandbox, tmp_path: Path) -> None:
    expected, folder = play(case, local(), tmp_path / "local"), fresh_copy(WORKFLOWS / case.workflow, tmp_path / "run")
    with Head(slurm, folder, *case.args) as head:
        head.until_queued()
        head.kill()
        head.until(lambda: is_closed(folder))
    found = snapshot(folder, varying=case.varying)
    sentences = differences(expected, found)
    assert not sentences, "\n".join(sentences)
    assert_settled(slurm, folder, *case.args)
