"""The program inside a job, run as a job runs it, with a real Snakemake and a small Snakefile.

All of them are started at once and waited for once: a Snakemake needs a second to start.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSlurm

from snakemake_executor_plugin_kempner.plan.manifest import manifest, split
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.step.asked import Direct
from snakemake_executor_plugin_kempner.step.earlier import decided_before
from snakemake_executor_plugin_kempner.step.light import around
from snakemake_executor_plugin_kempner.step.light.around import leave_mark, wait_for
from snakemake_executor_plugin_kempner.step.light.questions import Asked

SNAKEFILE = """
rule good:
    output: "good/{name}.txt"
    log: "good/{name}.log"
    retries: 2
    params: note=config.get("note")
    shell:
        "printf %s {params.note:q} > note.txt; echo made > {output:q}; cat > stdin.txt;"
        ' echo "$KEMPNER_CHECKPOINT_DIR" > checkpoints.txt'

rule unset:
    output: "good.txt"
    shell: "touch {output}"

rule bad:
    output: "bad.txt"
    retries: 2
    shell: 'echo tried >> tries.txt; echo something to keep > "$KEMPNER_CHECKPOINT_DIR/epoch"; exit 3'

rule slow:
    output: "slow.txt"
    shell: "trap 'echo heard > heard.txt; exit 5' TERM; touch started.txt; sleep 60 & wait"

rule later:
    output: "later.txt"
    shell: "exit 75"

rule later_in_python:
    output: "later_in_python.txt"
    run:
        shell("exit 75")

rule in_time:
    output: "in_time.txt"
    shell: "trap 'touch {output}; exit 0' TERM; touch started.txt; sleep 60 & wait"

rule stubborn:
    output: "stubborn.txt"
    shell: "touch started.txt; exec sleep 60"

rule imports:
    output: "imports.txt"
    run:
        import sys
        with open(output[0], "w") as file:
            print(*sys.modules, file=file)
"""

NOTE = """it's "a note", a=1, x: y and
a second line"""


@dataclass(kw_only=True)
class Started:
    """A step that runs, in a folder of its own."""

    folder: Path
    process: "subprocess.Popen[str]"
    output: str = ""

    @property
    def code(self) -> int:
        return self.process.returncode

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    @property
    def record(self) -> dict[str, Any]:
        (path,) = (self.folder / "records").iterdir()
        return json.loads(path.read_text())


def remove_temporary(spec: StepSpec) -> None:
    around.remove_temporary(spec, Direct().may_have_more_readers)


def start(folder: Path, rule: str, wildcards: dict[str, str] | None = None, **fields: Any) -> Started:
    (folder / "records").mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE)
    arguments = ("--snakefile", str(folder / "Snakefile"), "--cores", "1", "--allowed-rules", rule, "--nolock")
    options: dict[str, Any] = {
        "task": f"{rule}[of this test]",
        "attempt": 1,
        "folder": str(folder),
        "records": str(folder / "records"),
        "targets": ((rule, wildcards or {}),),
        "arguments": (
            *arguments,
            "--force-use-threads",
            "--mode",
            "remote",
            "--scheduler",
            "greedy",
            "--latency-wait",
            "0",
        ),
        "latency_wait": 0,
        "checkpoints": str(folder / "checkpoints" / rule),
    }
    spec = StepSpec(**{**options, **fields})
    environment = {**os.environ, "SLURM_JOB_ID": "4242", "SLURMD_NODENAME": "n7", "SLURM_RESTART_COUNT": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake_executor_plugin_kempner.step"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(spec.to_dict()))
    process.stdin.close()
    process.stdin = None
    return Started(folder=folder, process=process)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    def folder(name: str) -> Path:
        return tmp_path_factory.mktemp("step") / f"it's {name}"

    name = "a, b=c\td"
    started = {
        "good": start(
            here := folder("good"),
            "good",
            {"name": name},
            outputs=(f"good/{name}.txt",),
            config={"note": NOTE},
            **marked(here),
        ),
        "bad": start(here := folder("bad"), "bad", **marked(here)),
        "forgetful": start(folder("forgetful"), "imports", outputs=("imports.txt", "never.txt", "nowhere/")),
        "without input": start(folder("without input"), "unset", wait_for=("absent.txt", "gone.txt")),
        "slow": start(folder("slow"), "slow"),
        "stubborn": start(folder("stubborn"), "stubborn"),
        "later": start(folder("later"), "later", segments=2),
        "later in python": start(folder("later in python"), "later_in_python", segments=2),
        "slow segment": start(folder("slow segment"), "slow", segments=2),
        "in time": start(folder("in time"), "in_time", segments=2, outputs=("in_time.txt",)),
    }
    for key, number in (
        ("slow", signal.SIGTERM), ("stubborn", signal.SIGTERM), ("slow segment", signal.SIGTERM),
        ("in time", signal.SIGTERM),
    ):  # fmt: skip
        wait_until(lambda step=started[key]: step.has("started.txt") or step.process.poll() is not None)
        started[key].process.send_signal(number)
    for step in started.values():
        step.output, _ = step.process.communicate(timeout=180)
    yield started
    for step in started.values():
        step.process.kill()


def marked(folder: Path) -> dict[str, Any]:
    """The task marks its success, and is the last but for itself that reads a temporary file."""
    folder.mkdir(exist_ok=True)
    (folder / "others.done").touch()
    (folder / "temporary.txt").touch()
    mark = str(of_a_run(folder) / "succeeded/task")
    return {"mark": mark, "temp_inputs": (("temporary.txt", (mark, str(folder / "others.done"))),)}


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_a_rule_that_works_ends_the_job_with_0_whatever_its_wildcards_hold(steps: dict[str, Started]) -> None:
    step = steps["good"]
    assert step.code == 0, step.output
    assert step.read("good/a, b=c\td.txt") == "made"


def test_values_of_the_configuration_arrive_unharmed(steps: dict[str, Started]) -> None:
    assert steps["good"].read("note.txt") == NOTE


def test_the_rule_finds_nothing_on_its_standard_input(steps: dict[str, Started]) -> None:
    assert steps["good"].read("stdin.txt") == ""


def test_the_rule_has_a_folder_for_checkpoints_that_goes_with_its_success(steps: dict[str, Started]) -> None:
    assert steps["good"].read("checkpoints.txt") == str(steps["good"].folder / "checkpoints/good")
    assert not steps["good"].has("checkpoints/good")


def test_a_job_does_not_import_what_it_does_not_use(steps: dict[str, Started]) -> None:
    step = steps["forgetful"]
    assert step.has("imports.txt"), step.output
    imported = set(step.read("imports.txt").split())
    assert "snakemake.executors.local" in imported
    unused = {"snakemake.report", "docutils", "snakemake_executor_plugin_kempner.executor"}
    assert not imported & (unused | {"sqlmodel", "sqlalchemy", "pulp", "tabulate", "smart_open", "nbformat"})


def test_what_a_failed_attempt_has_kept_stays_for_the_next(steps: dict[str, Started]) -> None:
    assert steps["bad"].read("checkpoints/bad/epoch") == "something to keep"


def test_a_rule_that_fails_ends_the_job_with_another_code(steps: dict[str, Started]) -> None:
    step = steps["bad"]
    assert step.code == 1
    assert "Error in rule bad" in step.output


@pytest.mark.parametrize("name", ["later", "later in python", "slow segment"])
def test_a_segment_that_is_to_be_continued_says_so_with_its_exit_code(steps: dict[str, Started], name: str) -> None:
    step = steps[name]
    assert (step.code, step.record["exit_code"]) == (75, 75), step.output
    assert "segment 1 of 2 is to be continued" in step.output


def test_a_rule_that_finishes_after_the_announced_end_of_its_segment_has_finished(steps: dict[str, Started]) -> None:
    step = steps["in time"]
    assert step.code == 0, step.output
    assert step.has("in_time.txt")


def test_a_rule_with_retries_is_tried_once_in_a_job(steps: dict[str, Started]) -> None:
    assert steps["bad"].read("tries.txt") == "tried"


def test_a_declared_output_that_is_missing_is_a_failure_that_names_it(steps: dict[str, Started]) -> None:
    step = steps["forgetful"]
    assert step.code == 1
    assert step.has("imports.txt")
    said = "kempner: imports[of this test]: Snakemake has ended with exit code 0, but declared output is missing:"
    assert f"{said}\n  never.txt\n  nowhere/\n" in step.output


def test_an_input_that_is_missing_is_a_failure_before_the_start(steps: dict[str, Started]) -> None:
    step = steps["without input"]
    assert step.code == 1
    assert "input is not visible on this node after 0 s (--latency-wait):\n  absent.txt\n  gone.txt\n" in step.output
    assert not step.has("good.txt")


@pytest.mark.parametrize("which", ["slow", "stubborn"])
def test_a_signal_ends_the_job_and_leaves_no_output(steps: dict[str, Started], which: str) -> None:
    assert steps[which].code != 0
    assert not steps[which].has(f"{which}.txt")


def test_a_signal_to_the_job_reaches_the_rules_own_process(steps: dict[str, Started]) -> None:
    assert steps["slow"].read("heard.txt") == "heard"


def test_a_signal_leaves_no_process_behind(steps: dict[str, Started]) -> None:
    folder = str(steps["stubborn"].folder)
    assert [process for process, where in working_folders() if where == folder] == []


def working_folders() -> Iterator[tuple[int, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield int(process.name), os.readlink(process / "cwd")
        except OSError:
            continue


def test_the_end_is_recorded_with_all_that_is_known(steps: dict[str, Started]) -> None:
    record = steps["bad"].record
    assert (record["task"], record["attempt"], record["exit_code"]) == ("bad[of this test]", 1, 1)
    assert (record["job_id"], record["node"], record["restarts"]) == ("4242", "n7", 1)
    assert 0 < record["end"] - record["start"] < 180


@pytest.mark.parametrize("which", ["good", "bad", "forgetful", "without input", "slow", "stubborn"])
def test_the_recorded_exit_code_is_that_of_the_job(steps: dict[str, Started], which: str) -> None:
    assert steps[which].record["exit_code"] == steps[which].code
    assert not list((steps[which].folder / "records").glob("*.new"))


def test_the_last_reader_of_a_temporary_file_removes_it_and_marks_its_success(steps: dict[str, Started]) -> None:
    step = steps["good"]
    assert step.code == 0, step.output
    assert step.read("run1/succeeded/task") == "4242"
    assert not step.has("temporary.txt")
    assert "Removing temporary output temporary.txt." in step.output


def test_a_reader_that_fails_marks_nothing_and_removes_nothing(steps: dict[str, Started]) -> None:
    assert steps["bad"].code == 1
    assert not steps["bad"].has("run1/succeeded")
    assert steps["bad"].has("temporary.txt")


# --- without Snakemake ----------------------------------------------------------------------------------------------


def run_step(text: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """With the folder first on PATH."""
    argv: Sequence[str] = (sys.executable, "-m", "snakemake_executor_plugin_kempner.step", *arguments)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        argv, input=text, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


SQUEUE = """#!/bin/sh
case "$*" in *%j*) echo "7|train.run1.1|train.run1.1"; echo "8|other|" ;; *) echo "{queue}" ;; esac
"""


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ("7|CANCELLED|None|15|n1", "Slurm job 7 was cancelled, so there is no further attempt"),
        ("7|FAILED|NonZeroExitCode|256|n1", "input is not visible"),
        ("7|CANCELLED|DependencyNeverSatisfied|0|", "input is not visible"),
        ("8|CANCELLED|None|15|n1", "input is not visible"),
    ],
    ids=["cancelled by somebody", "failed", "removed by Slurm", "another job cancelled"],
)
def test_an_attempt_after_one_that_somebody_cancelled_does_not_start(tmp_path: Path, queue: str, said: str) -> None:
    (tmp_path / "squeue").write_text(SQUEUE.replace("{queue}", queue))
    (tmp_path / "squeue").chmod(0o755)
    spec = replace(spec_in(tmp_path), earlier_attempts=("7",), wait_for=("absent",), latency_wait=0)
    done = run_step(json.dumps(spec.to_dict()), tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_attempt_that_cannot_ask_about_the_ones_before_goes_on(tmp_path: Path) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    spec = replace(spec_in(tmp_path), earlier_attempts=("7",), wait_for=("absent",), latency_wait=0)
    done = run_step(json.dumps(spec.to_dict()), tmp_path)
    assert "Slurm could not be asked about earlier attempts" in done.stderr
    assert "input is not visible" in done.stderr


FORGOTTEN = {
    "it succeeded": ({"exit_code": 0}, "", 0, "Slurm job 7 has succeeded, so there is no further attempt"),
    "it failed": ({"exit_code": 3}, "", None, ""),
    "it was killed before it could say": ({}, "", None, ""),
    "it was cancelled while it ran": ({"exit_code": 143, "cancelled": True}, "", 1, "Slurm job 7 was cancelled"),
    "it never started": (None, "", 1, "nobody knows what became of Slurm job 7"),
    "accounting knows that it failed": (None, "7|NODE_FAIL|None|0:0|n1", None, ""),
    "accounting knows that it was cancelled": (
        None,
        "7|CANCELLED by 1000|None|0:0|None",
        1,
        "Slurm job 7 was cancelled",
    ),
    "accounting knows that it succeeded": (None, "7|COMPLETED|None|0:0|n1", 0, "Slurm job 7 has succeeded"),
    "accounting knows that Slurm removed it": (None, "7|CANCELLED|Dependency|0:0|None assigned", None, ""),
    "accounting of 24.11 knows that Slurm removed it": (None, "7|CANCELLED|None|0:0|None assigned", None, ""),
}
"""What is known of the earlier attempt: its record, what sacct says; the exit code, None where the next one goes on."""


@pytest.mark.parametrize("where", ["run1", "an earlier run"])
@pytest.mark.parametrize("what", FORGOTTEN)
def test_of_an_attempt_that_slurm_has_forgotten_its_own_record_and_accounting_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, where: str
) -> None:
    written, accounts, code, said = FORGOTTEN[what]
    stubs = {
        "squeue": "exit 0",
        "scontrol": "while read -r line; do echo \"scontrol: $line\"; echo 'Invalid job id specified' >&2; done; exit 1",
        "sacct": f"echo '{accounts}'",
    }
    for name, script in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    records = tmp_path / "runs" / where / "ended"
    records.mkdir(parents=True)
    spec = replace(spec_in(tmp_path), earlier_attempts=("7",), records=str(tmp_path / "runs" / "run1" / "ended"))
    if written is not None:
        (records / "7.json").write_text(json.dumps({"task": spec.task, "start": 1, **written}))
    assert decided_before(spec, SlurmCommands) == code
    told = capsys.readouterr().err
    assert said in told if said else told == ""


def test_the_mark_of_an_earlier_attempt_decides_where_its_record_is_lost(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("7")
    spec = replace(spec_in(tmp_path), mark=str(tmp_path / "mark"), earlier_attempts=("7",))
    slurm = FakeSlurm()
    assert decided_before(spec, lambda: slurm) == 0


def test_the_record_of_another_task_with_that_id_decides_nothing(tmp_path: Path) -> None:
    spec = replace(spec_in(tmp_path), records=str(tmp_path / "runs/run1/ended"), earlier_attempts=("7",))
    (tmp_path / "runs/run1/ended").mkdir(parents=True)
    (tmp_path / "runs/run1/ended/7.json").write_text(json.dumps({"task": "another", "start": 1, "exit_code": 0}))
    slurm = FakeSlurm()
    assert decided_before(spec, lambda: slurm) == 1


def test_a_record_that_cannot_be_written_is_said_and_does_not_fail_the_job(tmp_path: Path) -> None:
    spec = replace(spec_in(tmp_path), records=str(tmp_path / "no/such/folder"), wait_for=("absent",), latency_wait=0)
    done = run_step(json.dumps(spec.to_dict()), tmp_path)
    assert "this job cannot be recorded in" in done.stderr
    assert "input is not visible" in done.stderr


def test_a_spec_of_another_version_ends_the_job_with_a_message(tmp_path: Path) -> None:
    done = run_step('{"version": 99}', tmp_path)
    assert done.returncode != 0
    assert "job and plugin do not match" in done.stderr


# --- marks of success and temporary inputs --------------------------------------------------------------------------


def test_a_job_that_is_requeued_after_its_success_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inputs may be gone by now: it was their last reader."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    (tmp_path / "mark").write_text("7")
    spec = replace(spec_in(tmp_path), mark=str(tmp_path / "mark"), wait_for=("absent",), latency_wait=0)
    done = run_step(json.dumps(spec.to_dict()), tmp_path)
    assert done.returncode == 0
    assert "t had succeeded before Slurm put this job back into the queue" in done.stderr
    assert json.loads((tmp_path / "7.json").read_text())["exit_code"] == 0


@pytest.mark.parametrize("text", ["8", "", None], ids=["another job", "nobody", "no mark"])
def test_the_mark_of_another_job_does_not_keep_a_job_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    if text is not None:
        (tmp_path / "mark").write_text(text)
    spec = replace(spec_in(tmp_path), mark=str(tmp_path / "mark"), wait_for=("absent",), latency_wait=0)
    done = run_step(json.dumps(spec.to_dict()), tmp_path)
    assert done.returncode == 1
    assert "input is not visible" in done.stderr


def of_a_run(folder: Path) -> Path:
    """The folder of a run that has a ledger."""
    run = folder / "run1"
    run.mkdir(exist_ok=True)
    Ledger(run, run="run1")
    return run


def with_temporary(folder: Path, *paths: str, marks: int = 2) -> StepSpec:
    """A task whose temporary inputs are read by as many tasks."""
    names = tuple(str(of_a_run(folder) / f"marks/{number}") for number in range(marks))
    return replace(spec_in(folder), mark=names[0], temp_inputs=tuple((path, names) for path in paths))


def test_a_temporary_file_goes_with_its_last_reader_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    spec = with_temporary(tmp_path, "a.txt", marks=3)
    for _, names in spec.temp_inputs:
        for mark in names:
            assert (tmp_path / "a.txt").exists()
            leave_mark(mark)
            remove_temporary(spec)
    assert not (tmp_path / "a.txt").exists()


def test_each_temporary_input_waits_for_its_own_readers(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).touch()
    mark, other = (str(of_a_run(tmp_path) / f"marks/{name}") for name in ("mine", "other"))
    leave_mark(mark)
    remove_temporary(replace(spec_in(tmp_path), mark=mark, temp_inputs=(("a", (mark,)), ("b", (mark, other)))))
    assert [name for name in "ab" if (tmp_path / name).exists()] == ["b"]


def test_a_temporary_folder_goes_with_all_it_contains(tmp_path: Path) -> None:
    (tmp_path / "parts/deep").mkdir(parents=True)
    (tmp_path / "parts/deep/file").touch()
    spec = with_temporary(tmp_path, "parts", marks=1)
    leave_mark(spec.mark)
    remove_temporary(spec)
    assert not (tmp_path / "parts").exists()


def test_of_a_link_to_a_folder_the_link_alone_goes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/kept").touch()
    (tmp_path / "link").symlink_to("data")
    spec = with_temporary(tmp_path, "link", marks=1)
    leave_mark(spec.mark)
    remove_temporary(spec)
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "data/kept").exists()


def test_a_temporary_file_that_is_gone_already_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b").touch()
    spec = with_temporary(tmp_path, "a", "b", marks=1)
    leave_mark(spec.mark)
    remove_temporary(spec)
    assert not (tmp_path / "b").exists()
    assert "cannot be removed" not in capsys.readouterr().err


def test_a_temporary_folder_that_another_reader_is_removing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.setattr(shutil, "rmtree", _gone)
    spec = with_temporary(tmp_path, "a", marks=1)
    leave_mark(spec.mark)
    remove_temporary(spec)
    assert capsys.readouterr().err == ""


def _gone(path: str) -> None:
    raise FileNotFoundError(path)


def test_a_mark_that_cannot_be_left_is_said_and_the_temporary_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").touch()
    spec = with_temporary(tmp_path, "a")
    (tmp_path / "run1/marks").write_text("a file where a folder should be")
    leave_mark(spec.mark)
    remove_temporary(spec)
    assert "success cannot be marked in" in capsys.readouterr().err
    assert (tmp_path / "a").exists()


def test_a_temporary_file_that_cannot_be_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    (tmp_path / "a").touch()
    spec = with_temporary(tmp_path, "a", marks=1)
    leave_mark(spec.mark)
    monkeypatch.setattr(os, "remove", refuse)
    remove_temporary(spec)
    assert "temporary a cannot be removed: Operation not permitted" in capsys.readouterr().err


def test_files_that_exist_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert wait_for(spec_in(tmp_path), ["here", "dangling", str(tmp_path / "here")], 30) == []


def test_files_that_do_not_come_are_all_named_after_the_wait(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    began = time.monotonic()
    assert wait_for(spec_in(tmp_path), ["b", "here", "a"], 0.3) == ["b", "a"]
    assert 0.3 <= time.monotonic() - began < 5


def spec_in(folder: Path) -> StepSpec:
    return StepSpec(task="t", attempt=1, folder=str(folder), records=str(folder), targets=(), arguments=())


@pytest.mark.parametrize("answers", [Direct(), Asked()], ids=["full", "light"])
@pytest.mark.parametrize(
    ("claim", "heir", "goes"), [("", "", True), ("run1", "", True), ("run2", "", False), ("", "run2", False)]
)
def test_a_temporary_file_goes_unless_another_command_may_have_more_readers(
    tmp_path: Path, claim: str, heir: str, answers: Direct | Asked, *, goes: bool
) -> None:
    run, made = tmp_path / "runs/run1", tmp_path / "made.tmp"
    make_folders(run, ())
    ledger = Ledger(run, run="run1")
    if heir:
        ledger.close(by=heir)
    if claim:
        (run.parent / "claim.json").write_text(json.dumps({"run": claim}))
    made.touch()
    mark = str(run / "succeeded/k1")
    Path(mark).parent.mkdir()
    Path(mark).touch()
    around.remove_temporary(
        StepSpec(
            task="read", attempt=1, folder=str(tmp_path), records=str(run / "ended"), targets=(), arguments=(),
            mark=mark, temp_inputs=(("made.tmp", (mark,)),),
        ),
        answers.may_have_more_readers,
    )  # fmt: skip
    assert made.exists() is not goes


def test_the_element_of_an_array_finds_in_the_manifest_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elements = [replace(spec_in(tmp_path), task=f"t{index}", wait_for=(f"absent-{index}",)) for index in range(3)]
    common, own = split([replace(one, latency_wait=0).to_dict() for one in elements])
    (tmp_path / "manifest").write_bytes(manifest(dict(zip((0, 2, 5), own, strict=True))))
    for name, value in {"SLURM_JOB_ID": "99", "SLURM_ARRAY_JOB_ID": "97", "SLURM_ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    done = run_step(json.dumps(common), tmp_path, str(tmp_path / "manifest"))
    assert "t1: input is not visible" in done.stderr
    assert "absent-1" in done.stderr
    assert json.loads((tmp_path / "97_2.json").read_text())["task"] == "t1"


def test_the_log_of_an_element_has_a_second_name_by_its_wildcards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_ARRAY_JOB_ID": "97", "SLURM_ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "array-1.97_2.log").touch()
    spec = replace(spec_in(tmp_path), log_name=str(tmp_path / "i=2.%j.log"))
    program = "import sys; from snakemake_executor_plugin_kempner.step.light.job import Spec, open_log;"
    program += "import json; open_log(Spec(json.load(sys.stdin)))"
    for _ in range(2):  # also when Slurm starts it again
        with (tmp_path / "array-1.97_2.log").open("a") as log:
            text = json.dumps(spec.to_dict())
            subprocess.run([sys.executable, "-c", program], input=text, text=True, stdout=log, check=True)
    assert (tmp_path / "i=2.97_2.log").resolve().name == "array-1.97_2.log"
