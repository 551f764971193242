"""The program inside a job, run as a job runs it, with a real Snakemake and a small Snakefile.

All of them are started at once and waited for once: a Snakemake needs a second to start.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.run.ledger import Ledger, make_folders
from snakemake_executor_plugin_kempner.step.__main__ import _remove_temporary, _wait_for

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

rule stubborn:
    output: "stubborn.txt"
    shell: "touch started.txt; exec sleep 60"
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
    process.stdin.write(spec.to_json())
    process.stdin.close()
    process.stdin = None
    return Started(folder=folder, process=process)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    def folder(name: str) -> Path:
        return tmp_path_factory.mktemp("step") / f"it's {name}"

    name = "a, b=c\td"
    started = {
        "good": start(folder("good"), "good", {"name": name}, outputs=(f"good/{name}.txt",), config={"note": NOTE}),
        "bad": start(folder("bad"), "bad"),
        "forgetful": start(folder("forgetful"), "unset", outputs=("good.txt", "never.txt", "nowhere/")),
        "without input": start(folder("without input"), "unset", wait_for=("absent.txt", "gone.txt")),
        "slow": start(folder("slow"), "slow"),
        "stubborn": start(folder("stubborn"), "stubborn"),
    }
    for key, number in (("slow", signal.SIGTERM), ("stubborn", signal.SIGTERM)):
        wait_until(lambda step=started[key]: step.has("started.txt") or step.process.poll() is not None)
        started[key].process.send_signal(number)
    for step in started.values():
        step.output, _ = step.process.communicate(timeout=180)
    yield started
    for step in started.values():
        step.process.kill()


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


def test_what_a_failed_attempt_has_kept_stays_for_the_next(steps: dict[str, Started]) -> None:
    assert steps["bad"].read("checkpoints/bad/epoch") == "something to keep"


def test_a_rule_that_fails_ends_the_job_with_another_code(steps: dict[str, Started]) -> None:
    step = steps["bad"]
    assert step.code == 1
    assert "Error in rule bad" in step.output


def test_a_rule_with_retries_is_tried_once_in_a_job(steps: dict[str, Started]) -> None:
    assert steps["bad"].read("tries.txt") == "tried"


def test_a_declared_output_that_is_missing_is_a_failure_that_names_it(steps: dict[str, Started]) -> None:
    step = steps["forgetful"]
    assert step.code == 1
    assert step.has("good.txt")
    said = "kempner: unset[of this test]: Snakemake has ended with exit code 0, but declared output is missing:"
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
    assert 0 < record["end"] - record["start"] < 60


@pytest.mark.parametrize("which", ["good", "bad", "forgetful", "without input", "slow", "stubborn"])
def test_the_recorded_exit_code_is_that_of_the_job(steps: dict[str, Started], which: str) -> None:
    assert steps[which].record["exit_code"] == steps[which].code
    assert not list((steps[which].folder / "records").glob("*.new"))


# --- without Snakemake ----------------------------------------------------------------------------------------------


def run_step(text: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """With the folder first on PATH."""
    argv: Sequence[str] = (sys.executable, "-m", "snakemake_executor_plugin_kempner.step")
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
    spec = replace(spec_in(tmp_path), earlier_attempts=("train.run1.1",), wait_for=("absent",), latency_wait=0)
    done = run_step(spec.to_json(), tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_attempt_that_cannot_ask_about_the_ones_before_goes_on(tmp_path: Path) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    spec = replace(spec_in(tmp_path), earlier_attempts=("train.run1.1",), wait_for=("absent",), latency_wait=0)
    done = run_step(spec.to_json(), tmp_path)
    assert "Slurm could not be asked about earlier attempts" in done.stderr
    assert "input is not visible" in done.stderr


def test_a_record_that_cannot_be_written_is_said_and_does_not_fail_the_job(tmp_path: Path) -> None:
    spec = replace(spec_in(tmp_path), records=str(tmp_path / "no/such/folder"), wait_for=("absent",), latency_wait=0)
    done = run_step(spec.to_json(), tmp_path)
    assert "this job cannot be recorded in" in done.stderr
    assert "input is not visible" in done.stderr


def test_a_spec_of_another_version_ends_the_job_with_a_message(tmp_path: Path) -> None:
    done = run_step('{"version": 99}', tmp_path)
    assert done.returncode != 0
    assert "job and plugin do not match" in done.stderr


def test_files_that_exist_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert _wait_for(spec_in(tmp_path), ["here", "dangling", str(tmp_path / "here")], 30) == []


def test_files_that_do_not_come_are_all_named_after_the_wait(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    began = time.monotonic()
    assert _wait_for(spec_in(tmp_path), ["b", "here", "a"], 0.3) == ["b", "a"]
    assert 0.3 <= time.monotonic() - began < 5


def spec_in(folder: Path) -> StepSpec:
    return StepSpec(task="t", attempt=1, folder=str(folder), records=str(folder), targets=(), arguments=())


@pytest.mark.parametrize(
    ("claim", "heir", "goes"), [("", "", True), ("run1", "", True), ("run2", "", False), ("", "run2", False)]
)
def test_a_temporary_file_goes_unless_another_command_may_have_more_readers(
    tmp_path: Path, claim: str, heir: str, *, goes: bool
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
    _remove_temporary(
        StepSpec(
            task="read", attempt=1, folder=str(tmp_path), records=str(run / "ended"), targets=(), arguments=(),
            mark=mark, temp_inputs=(("made.tmp", (mark,)),),
        )
    )  # fmt: skip
    assert made.exists() is not goes
