"""One folder, two heads: by two paths, of two users, one of them stopped for long, or with a record that is damaged.

No task runs twice, and no job is forgotten.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from comparison import run_snakemake
from head import (
    PATIENCE,
    PAUSE,
    UNTIL_GO,
    Head,
    arguments,
    asked,
    assert_settled,
    cancel_all,
    closed,
    ended,
    go,
    queued,
    run,
    written,
)
from test_faults import Wrapped, ran

from snakemake_executor_plugin_kempner.run.claim import SILENCE
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers
from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxOptions

pytestmark = pytest.mark.cluster

AGAIN = ("--nolock", "--rerun-incomplete")
PAIR = f"""
rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    shell:
        "echo second >> runs; cp {{input}} {{output}}"

rule first:
    output:
        "first.txt",
    shell:
        "touch started; {UNTIL_GO}; echo first >> runs; touch {{output}}"
"""


def runs_of(folder: Path) -> Path:
    return folder / ".snakemake" / "kempner"


def ledger_of(folder: Path) -> Path:
    (ledger,) = runs_of(folder).glob("[0-9a-f]*/ledger.jsonl")
    return ledger


@contextmanager
def left_by_a_dead_head(slurm: Sandbox, folder: Path, *more: str) -> Iterator[None]:
    """A run whose first task waits for `go`, and whose head was killed."""
    with Head(slurm, folder, *more) as head:
        head.until_queued()
        head.kill()
        yield


def assert_each_ran_once(folder: Path) -> None:
    assert Counter(ran(folder)) == {"first": 1, "second": 1}


# --- the same folder by another path --------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, place: Path) -> Iterator[None]:
    """The folder under a second path, as an automounter or a container shows it."""
    place.mkdir()
    done = subprocess.run(["mount", "--bind", str(folder), str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    try:
        yield
    finally:
        umount(place)


def umount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


ABSOLUTE = PAIR.replace('"first.txt"', 'f"{workflow.basedir}/first.txt"').replace(
    '"second.txt"', 'f"{workflow.basedir}/second.txt"'
)


@pytest.mark.parametrize("workflow", [PAIR, ABSOLUTE], ids=["relative", "absolute"])
def test_what_was_queued_by_one_path_to_a_folder_is_taken_over_by_another(
    slurm: Sandbox, tmp_path: Path, workflow: str
) -> None:
    folder, other = written(tmp_path / "run", workflow), tmp_path / "other"
    with left_by_a_dead_head(slurm, folder), mounted(folder, other), Head(slurm, other, *AGAIN) as head:
        head.until(lambda: "Goes on with run" in head.said)
        go(folder)
        assert head.end() == 0, head.said
        assert f"was started in {folder}, which is this folder under another path" in head.said
        assert queued(slurm, other) == []
        assert_each_ran_once(folder)


def test_a_path_that_leads_nowhere_here_is_told_from_a_copy_by_the_number_of_the_folder(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """As on a second login node that has mounted the folder elsewhere."""
    folder, other = written(tmp_path / "run", PAIR), tmp_path / "other"
    try:
        with mounted(folder, other), Head(slurm, other) as first:
            first.until_queued()
            first.until((folder / "started").exists)
            first.kill()
            umount(other)
            other.rmdir()
            with Head(slurm, folder, *AGAIN) as head:
                head.until(lambda: "Goes on with run" in head.said)
                assert "That path does not exist here" in head.said
                assert queued(slurm, folder) == []
    finally:
        cancel_all(slurm, other)


@pytest.mark.parametrize("how", [["cp", "-r"], ["cp", "-a"]], ids=" ".join)
def test_the_jobs_of_a_folder_that_was_copied_are_left_alone(slurm: Sandbox, tmp_path: Path, how: list[str]) -> None:
    folder, copy = written(tmp_path / "run", PAIR), tmp_path / "copy"
    with left_by_a_dead_head(slurm, folder):
        subprocess.run([*how, str(folder), str(copy)], check=True)
        (copy / "go").touch()
        outcome = run(slurm, copy, *AGAIN)
        assert outcome.exit_code == 0, outcome.output
        assert "this is a copy of that folder" in outcome.output
        assert_each_ran_once(copy)
        assert [one.is_over for one in queued(slurm, folder)] == [False, False]
        cancelled = asked(slurm, copy, "--kempner-cancel")
        assert "No job of an earlier run in this folder" in cancelled.output, cancelled.output
        assert [one.is_over for one in queued(slurm, folder)] == [False, False]


# --- another user ---------------------------------------------------------------------------------------------------

NOBODY = 65534


def owned_by_file_system(ledger: Path) -> None:
    os.chown(ledger, NOBODY, -1)


def owned_by_its_own_word(ledger: Path) -> None:
    header, _, rest = ledger.read_text().partition("\n")
    ledger.write_text(json.dumps({**json.loads(header), "user": "nobody", "uid": NOBODY}) + f"\n{rest}")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("how", [owned_by_file_system, owned_by_its_own_word])
def test_an_open_run_of_another_user_in_this_folder_is_refused_with_what_to_do(
    slurm: Sandbox, tmp_path: Path, how: Callable[[Path], None]
) -> None:
    folder = written(tmp_path / "run", PAIR)
    with left_by_a_dead_head(slurm, folder):
        how(ledger_of(folder))
        outcome = run(slurm, folder, *AGAIN)
        assert outcome.exit_code != 0
        assert "User nobody looks after the runs in this folder" in outcome.output, outcome.output
        assert "Ask nobody to wait for its end or to cancel it (--kempner-cancel)" in outcome.output
        assert len(queued(slurm, folder)) == 2
        asked(slurm, folder, "--kempner-cancel")
        assert len(open_ledgers(runs_of(folder))) == 1, "their ledger is theirs to close"


# --- a head that was stopped for long -------------------------------------------------------------------------------


def seem_to_be_elsewhere(folder: Path) -> None:
    """The claim of the head that is stopped now looks as it does from another login node, after its long silence."""
    claim = runs_of(folder) / "claim.json"
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "host": "login2"}))
    then = time.time() - SILENCE - 60
    os.utime(claim, (then, then))


def test_a_head_that_was_replaced_while_it_was_stopped_does_nothing_any_more(slurm: Sandbox, tmp_path: Path) -> None:
    """Its local rule would run a second time, its temporary file would be removed a second time, its ledger be closed."""
    snakefile = (
        PAIR.replace('        "second.txt",', '        temp("second.txt"),') + "\n"
        "localrules: third\n"
        "rule third:\n"
        '    default_target: True\n    input: "second.txt"\n    output: "third.txt"\n    shell: "echo third >> runs; touch {output}"\n'
    )
    folder = written(tmp_path / "run", snakefile)
    with Head(slurm, folder) as stopped:
        stopped.until_queued()
        stopped.signal(signal.SIGSTOP)
        seem_to_be_elsewhere(folder)
        with Head(slurm, folder, *AGAIN) as head:
            head.until(lambda: "Goes on with run" in head.said)
            go(folder)
            assert head.end() == 0, head.said
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        stopped.signal(signal.SIGCONT)
        assert stopped.end() == 1, stopped.said
        assert "was stopped for so long that it counted as gone" in stopped.said
        assert "Cancelled" not in stopped.said
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= {
            path for path in after if ".snakemake/log" in str(path)
        }
    assert Counter(ran(folder)) == {"first": 1, "second": 1, "third": 1}
    assert_settled(slurm, folder)


def test_a_head_that_was_replaced_while_it_was_stopped_submits_nothing(slurm: Sandbox, tmp_path: Path) -> None:
    """Stopped before the second call of sbatch; when it goes on, the other head has submitted and lives."""
    folder = written(tmp_path / "run", PAIR)
    sbatch = Wrapped(slurm, tmp_path, '[ -z "$SLOW" ] || { touch "$here/reached"; sleep 2; }')
    with Head(slurm, folder, PATH=sbatch.path, SLOW="yes") as stopped:
        stopped.until((sbatch.here / "reached").exists)
        stopped.signal(signal.SIGSTOP)
        stopped.until(lambda: len(queued(slurm, folder)) == 1)
        seem_to_be_elsewhere(folder)
        with Head(slurm, folder, *AGAIN) as head:
            head.until(lambda: "Goes on with run" in head.said)
            head.until(lambda: len(queued(slurm, folder)) == 2)
            stopped.signal(signal.SIGCONT)
            assert stopped.end() == 1, stopped.said
            assert "The head of run" in stopped.said
            assert "looks after it now" in stopped.said
            assert [one.is_over for one in queued(slurm, folder)] == [False, False]
            go(folder)
            assert head.end() == 0, head.said
        assert len(queued(slurm, folder)) == 2
    assert_each_ran_once(folder)


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------

SLOWLY = 'answer=$($real "$@"); code=$?; touch "$here/done-$call"; sleep 1; echo "$answer"; exit $code'
"""The real sbatch, whose answer comes a second late."""


@pytest.mark.parametrize("pauses", [(0.05,), (0.05, 0.05), (1.2, 0.3, 0.3)], ids=str)
@pytest.mark.parametrize("more", [(), ("--kempner-detach",)], ids=["watched", "detached"])
def test_ctrl_c_again_and_again_while_jobs_are_submitted_leaves_none_of_them(
    slurm: Sandbox, tmp_path: Path, pauses: tuple[float, ...], more: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "run", PAIR)
    sbatch = Wrapped(slurm, tmp_path, SLOWLY)
    with Head(slurm, folder, *more, PATH=sbatch.path) as head:
        head.until((sbatch.here / "done-2").exists)
        head.signal(signal.SIGINT)
        for pause in pauses:
            time.sleep(pause)
            if head.lives:
                head.signal(signal.SIGINT)
        head.end()
        assert {one.state for one in ended(slurm, folder)} == {"CANCELLED"}, head.said
        assert "Traceback" not in head.said


def test_a_run_whose_jobs_could_not_be_cancelled_stays_open_and_says_what_to_type(
    slurm: Sandbox, tmp_path: Path
) -> None:
    folder = written(tmp_path / "run", PAIR)
    sbatch = Wrapped(slurm, tmp_path, SLOWLY)
    scancel = sbatch.here / "scancel"
    scancel.write_text(
        "#!/bin/bash\necho 'scancel: error: Unable to contact slurm controller (connect failure)' >&2; exit 1\n"
    )
    scancel.chmod(scancel.stat().st_mode | stat.S_IXUSR)
    with Head(slurm, folder, PATH=sbatch.path) as head:
        head.until((sbatch.here / "done-2").exists)
        head.signal(signal.SIGINT)
        time.sleep(0.05)
        head.signal(signal.SIGINT)
        head.end()
        jobs = [one.job_id for one in queued(slurm, folder) if not one.is_over]
        assert len(jobs) == 2
        assert f"scancel {' '.join(jobs)}" in head.said, head.said
        assert len(open_ledgers(runs_of(folder))) == 1
        outcome = asked(slurm, folder, "--kempner-cancel")
        assert f"Cancelled the {len(jobs)} Slurm jobs" in outcome.output or "Cancelled the" in outcome.output
        assert all(one.is_over for one in ended(slurm, folder))


# --- a damaged record -----------------------------------------------------------------------------------------------


def truncated(ledger: Path) -> None:
    ledger.write_bytes(ledger.read_bytes().partition(b"\n")[0] + b"\n")


def emptied(ledger: Path) -> None:
    ledger.write_bytes(b"")


def removed(ledger: Path) -> None:
    ledger.unlink()


def gone_with_its_run(ledger: Path) -> None:
    for path in sorted(ledger.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    ledger.parent.rmdir()


def garbled(ledger: Path) -> None:
    ledger.write_bytes(b"\x00\xff" * 500 + b"\n[[[[\n{}\n")


def without_a_job(ledger: Path) -> None:
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text(
        "".join(line.replace('"task"', '"tusk"') if '"intent": "first' in line else line for line in lines)
    )


def of_another_version(ledger: Path) -> None:
    ledger.write_text(ledger.read_text().replace('{"version": 1', '{"version": 99', 1))


DAMAGES = (truncated, emptied, removed, gone_with_its_run, garbled, without_a_job, of_another_version)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("more", [(), ("--kempner-detach",)], ids=["watched", "detached"])
def test_jobs_of_which_a_damaged_record_does_not_tell_are_not_submitted_again_and_can_be_cancelled(
    slurm: Sandbox, tmp_path: Path, damage: Callable[[Path], None], more: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "run", PAIR)
    try:
        if more:
            left = run_snakemake(folder, arguments(*more), slurm.environment)
            assert left.exit_code == 0, left.output
        else:
            with Head(slurm, folder) as head:
                head.until_queued()
                os.killpg(head._process.pid, signal.SIGKILL)
                head._process.wait()
                _damage_and_check(slurm, folder, damage)
            return
        _damage_and_check(slurm, folder, damage)
    finally:
        cancel_all(slurm, folder)


def _damage_and_check(slurm: Sandbox, folder: Path, damage: Callable[[Path], None]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (folder / "started").exists():  # a job that finds no folder for its log fails, and is submitted again
        assert time.monotonic() < deadline
        time.sleep(PAUSE)
    before = queued(slurm, folder, helpers=True)
    damage(ledger_of(folder))
    refused = run(slurm, folder, *AGAIN)
    assert refused.exit_code != 0, refused.output
    assert "Traceback" not in refused.output
    assert len(queued(slurm, folder, helpers=True)) == len(before), refused.output
    if damage is not of_another_version:
        assert "give the same command with --kempner-cancel" in refused.output, refused.output
    cancelled = asked(slurm, folder, "--kempner-cancel")
    assert cancelled.exit_code == 0, cancelled.output
    assert f"Cancelled the {len([one for one in before if not one.is_over])} Slurm jobs" in cancelled.output
    assert all(one.is_over for one in queued(slurm, folder, helpers=True))
    if damage is not of_another_version:
        go(folder)
        again = run(slurm, folder, *AGAIN)
        assert again.exit_code == 0, again.output
        assert_each_ran_once(folder)


def test_what_a_user_passes_on_the_command_line_is_read_by_nobody_else(slurm: Sandbox, tmp_path: Path) -> None:
    items = "".join(f'"{number}.txt", ' for number in range(6))
    folder = written(
        tmp_path / "run",
        f'rule all:\n    input: {items}\n\nrule each:\n    output: "{{n}}.txt"\n    params: config["password"]\n    shell: "touch {{output}}"\n',
    )
    outcome = run(slurm, folder, "--config", "password=sesame-open")
    assert outcome.exit_code == 0, outcome.output
    runs = runs_of(folder)
    telling = [path for path in runs.rglob("*") if path.is_file() and b"sesame-open" in path.read_bytes()]
    (ledger,) = (path for path in telling if path.name == "ledger.jsonl")
    assert [path for path in telling if path.stat().st_mode & 0o077] == []
    assert len(read_ledger(ledger.parent).entries) >= 6


# --- on another cluster ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_cluster(slurm: Sandbox) -> Iterator[Sandbox]:
    """A second Slurm with the same name, which has given the ids of the first one's jobs to others."""
    newest = max(map(int, slurm.run("squeue", "--states=all", "-h", "-o", "%A").split() or ["0"]))
    with Sandbox.start(options=SandboxOptions(first_job_id=newest)) as other:
        for _ in range(100):
            other.run("sbatch", "--hold", "--wrap=true", "--output=/dev/null")
        yield other


@pytest.mark.parametrize(
    "command", [AGAIN, ("--kempner-cancel",), ("--kempner-detach", *AGAIN)], ids=["again", "cancel", "again, detached"]
)
def test_on_another_cluster_a_command_neither_submits_nor_cancels_nor_closes(
    slurm: Sandbox, other_cluster: Sandbox, tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "flow", PAIR)
    with left_by_a_dead_head(slurm, folder):
        there = {job.job_id for job in queued(slurm, folder, helpers=True)}
        outcome = run(other_cluster, folder, *command)
        assert outcome.exit_code != 0
        assert "was started on cluster sandbox" in outcome.output, outcome.output
        assert "Nothing was submitted, cancelled or closed" in outcome.output
        assert not queued(other_cluster, folder, helpers=True)
        assert {job.job_id for job in queued(slurm, folder, helpers=True)} == there
        assert [ledger.closed for ledger in open_ledgers(runs_of(folder))] == [False]
        go(folder)
        again = run(slurm, folder, *AGAIN)
        assert again.exit_code == 0, again.output
    assert_each_ran_once(folder)
    assert_settled(slurm, folder)


def test_on_another_cluster_a_command_leaves_a_closing_job_its_folder(
    slurm: Sandbox, other_cluster: Sandbox, tmp_path: Path
) -> None:
    hook = 'onsuccess: shell("touch in_hook; until [ -e go_on ]; do sleep 0.2; done; echo hook >> runs")'
    folder = written(tmp_path / "flow", f"{PAIR}\n{hook}\n")
    go(folder)
    left = run(slurm, folder, "--kempner-detach")
    deadline = time.monotonic() + PATIENCE
    while not (folder / "in_hook").exists():
        assert time.monotonic() < deadline, "the closing job has not come to its hook"
        time.sleep(PAUSE)
    claim = (runs_of(folder) / "claim.json").read_text()
    refused = run(other_cluster, folder, *AGAIN)
    assert "was started on cluster sandbox" in refused.output, refused.output
    assert (runs_of(folder) / "claim.json").read_text() == claim
    (folder / "go_on").touch()
    assert closed(slurm, folder, left).exit_code == 0
    assert Counter(ran(folder)) == {"first": 1, "second": 1, "hook": 1}


@pytest.mark.parametrize("verb", [("status",), ("cancel", "--yes"), ("cancel", "second", "--yes")], ids=" ".join)
def test_on_another_cluster_kempner_says_where_the_run_is_and_cancels_nothing(
    slurm: Sandbox, other_cluster: Sandbox, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "flow", PAIR)
    with left_by_a_dead_head(slurm, folder):
        there = {job.job_id for job in queued(slurm, folder, helpers=True)}
        said = subprocess.run(
            [sys.executable, "-m", "snakemake_executor_plugin_kempner", *verb], cwd=folder, capture_output=True,
            text=True, env=dict(other_cluster.environment), check=False,
        )  # fmt: skip
        assert "started on cluster sandbox" in said.stdout + said.stderr
        assert (said.returncode == 0) == (verb == ("status",))
        assert {job.job_id for job in queued(slurm, folder, helpers=True)} == there


def test_a_copy_of_a_folder_begins_anew_on_another_cluster(
    slurm: Sandbox, other_cluster: Sandbox, tmp_path: Path
) -> None:
    folder = written(tmp_path / "flow", PAIR)
    with left_by_a_dead_head(slurm, folder):
        copy = shutil.copytree(folder, tmp_path / "copy")
        go(copy)
        outcome = run(other_cluster, copy, *AGAIN)
        assert outcome.exit_code == 0, outcome.output
        assert "this is a copy of that folder" in outcome.output
    assert_each_ran_once(copy)
