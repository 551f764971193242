"""The program of light jobs as a job script starts it, without Snakemake: signals, what it asks the package, what cannot be written."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import POLICY, a_plan, a_step, a_task
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.light import FORMATS, LightRule, LightTask
from snakemake_executor_plugin_kempner.plan.model import Call, Submission
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger
from snakemake_executor_plugin_kempner.run.program import keep_program
from snakemake_executor_plugin_kempner.slurm.ids import own_job_id
from snakemake_executor_plugin_kempner.step.light import job
from snakemake_executor_plugin_kempner.step.light.plain import dumps, loads, printable

RECORD = dict.fromkeys(FORMATS[6]) | {"rule": "align"}


def a_light_step(folder: Path, command: str, *outputs: str, **fields: Any) -> StepSpec:
    rule = LightRule(
        place='rule align in file "Snakefile", line 1', shell="bash", prefix="set -euo pipefail; ", suffix="", tmpdir=True,
        keep_incomplete=False, notes=str(folder / ".snakemake"), record=RECORD, max_checksum_size=1000,
    )  # fmt: skip
    task = LightTask(
        command=command, threads=1, outputs=dict.fromkeys(outputs, ()), logs=(), ensured={}, params=(), job_hash=1
    )
    (folder / "records").mkdir(exist_ok=True)
    known = {
        "folder": str(folder),
        "records": str(folder / "records"),
        "targets": (),
        "latency_wait": 0,
        "outputs": outputs,
    }
    return a_step(light=task, light_rule=rule, **{**known, **fields})


def script(spec: StepSpec, folder: Path, **known: Any) -> str:
    policy = replace(POLICY, folder=str(folder), python=sys.executable, light_program=keep_program(folder))
    (call,) = [one for one in a_plan(a_task("align"), policy=policy).calls if one.first.step]
    submission: Submission = replace(call.first, step=spec, **known)
    return call_script(replace(call, submissions=(submission,)), policy, str)[0]


def start(text: str, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "SLURM_JOB_ID": "4242", **environment},
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    return process


def ended(text: str, folder: Path, **environment: str) -> tuple[int, str]:
    process = start(text, folder, **environment)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def told(folder: Path) -> Mapping[str, Any]:
    (path,) = (folder / "records").glob("*.json")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def until(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def test_it_imports_nothing_of_the_packages_and_little_of_python(tmp_path: Path) -> None:
    names = "json,re,enum,subprocess,shutil,hashlib,typing,pathlib,site,snakemake,snakemake_executor_plugin_kempner"
    program = f"import sys; sys.path.insert(0, {keep_program(tmp_path)!r}); import kempner_light.work;"
    program += f"print([name for name in {names!r}.split(',') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_copy_stays_as_it_is_and_is_made_once(tmp_path: Path) -> None:
    place = Path(keep_program(tmp_path))
    assert list(place.rglob("*.pyc"))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert Path(keep_program(tmp_path)) == place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_a_job_that_works_is_recorded_with_what_it_has_used(tmp_path: Path) -> None:
    spec = a_light_step(tmp_path, "echo $KEMPNER_CHECKPOINT_DIR > a; cat >> a", "a", checkpoints=str(tmp_path / "kept"))
    code, said = ended(script(spec, tmp_path), tmp_path)
    assert (code, said) == (0, "")
    assert (tmp_path / "a").read_text() == f"{tmp_path / 'kept'}\n"
    assert not (tmp_path / "kept").exists()
    record = told(tmp_path)
    assert (record["exit_code"], record["job_id"], record["attempt"]) == (0, "4242", 1)
    assert record["start"] <= record["end"]
    assert record["peak_memory_mb"] > 0


def test_the_element_of_an_array_reads_its_own_command_and_does_not_see_the_array(tmp_path: Path) -> None:
    policy = replace(POLICY, folder=str(tmp_path), python=sys.executable, light_program=keep_program(tmp_path))
    tasks = [a_task("align", wildcards={"i": str(number)}) for number in range(3)]
    plan = a_plan(*tasks, policy=replace(policy, array_from=2))
    call: Call = next(one for one in plan.calls if one.is_array)
    command = "env | grep -c ^SLURM_ARRAY_ > {0}; echo {0} >> {0}"
    specs = [a_light_step(tmp_path, f"{{ {command.format(name)}; }} || true", name) for name in "abc"]
    call = replace(
        call, submissions=tuple(replace(one, step=spec) for one, spec in zip(call.submissions, specs, strict=True))
    )
    text, manifest = call_script(call, policy, str)
    assert manifest is not None
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / call.job_name).write_bytes(manifest)
    code, said = ended(text, tmp_path, SLURM_ARRAY_JOB_ID="97", SLURM_ARRAY_TASK_ID="2")
    assert (code, said, (tmp_path / "c").read_text()) == (0, "", "0\nc\n")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_reaches_the_command_and_what_it_leaves_is_removed(tmp_path: Path, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    command = f"trap 'echo heard > heard; exit 5' {name}; touch a started; sleep 60 > {os.devnull} 2>&1 & wait"
    process = start(
        script(a_light_step(tmp_path, command, "a", checkpoints=str(tmp_path / "kept")), tmp_path), tmp_path
    )
    until(tmp_path / "started")
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert (tmp_path / "heard").exists()
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "kept").exists()
    assert told(tmp_path)["exit_code"] == 5
    assert not [path for path in (tmp_path / ".snakemake/incomplete").rglob("*") if path.is_file()]


def test_a_command_that_ends_well_after_sigterm_is_no_success_but_keeps_its_output(tmp_path: Path) -> None:
    """As Snakemake: it lets what runs end, and leaves with an error."""
    command = "trap 'touch a; exit 0' TERM; touch started; sleep 60 & wait"
    process = start(script(a_light_step(tmp_path, command, "a"), tmp_path), tmp_path)
    until(tmp_path / "started")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert (tmp_path / "a").exists()


def test_a_command_that_ignores_signals_hears_the_second_too(tmp_path: Path) -> None:
    command = "trap 'echo x >> heard; [ $(wc -l < heard) = 2 ] && exit 6' TERM; touch started; while :; do sleep 0.05 || true; done"
    process = start(script(a_light_step(tmp_path, command, "a"), tmp_path), tmp_path)
    until(tmp_path / "started")
    process.send_signal(signal.SIGTERM)
    until(tmp_path / "heard")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 6


def test_an_input_that_is_missing_is_a_failure_before_the_start(tmp_path: Path) -> None:
    code, said = ended(script(a_light_step(tmp_path, "touch a", "a", wait_for=("in",)), tmp_path), tmp_path)
    assert code == 1
    assert "input is not visible on this node after 0 s (--latency-wait):\n  in\n" in said
    assert not (tmp_path / "a").exists()


def test_a_job_that_had_succeeded_before_it_was_put_back_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "succeeded").mkdir()
    (tmp_path / "succeeded/x").write_text("4242")
    spec = a_light_step(tmp_path, "touch a", "a", mark=str(tmp_path / "succeeded/x"))
    code, said = ended(script(spec, tmp_path), tmp_path)
    assert code == 0
    assert "had succeeded before Slurm put this job back" in said
    assert not (tmp_path / "a").exists()


def test_the_last_reader_removes_a_temporary_file(tmp_path: Path) -> None:
    run = tmp_path / "runs/run1"
    make_folders(run, ())
    Ledger(run, run="run1")
    (tmp_path / "t").touch()
    mark = str(run / "succeeded/x")
    spec = a_light_step(tmp_path, "touch a", "a", mark=mark, temp_inputs=(("t", (mark,)),))
    code, said = ended(script(spec, tmp_path), tmp_path)
    assert (code, said) == (0, "Removing temporary output t.\n")
    assert not (tmp_path / "t").exists()
    assert Path(mark).read_text() == "4242"


SQUEUE = """#!/bin/sh
case "$*" in *%j*) echo "7|align.run1.1|align.run1.1" ;; *) echo "{queue}" ;; esac
"""


def with_slurm(folder: Path, queue: str) -> str:
    """A PATH whose squeue says that of job 7, and whose scancel notes what it cancels."""
    programs = {"squeue": SQUEUE.replace("{queue}", queue), "scancel": f'#!/bin/sh\necho "$@" >> {folder}/cancelled\n'}
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("queue", "code", "says"),
    [
        ("7|CANCELLED|None|15|n1", 1, "Slurm job 7 was cancelled, so there is no further attempt"),
        ("7|FAILED|NonZeroExitCode|256|n1", 0, ""),
        ("7|COMPLETED|None|0|n1", 0, "Slurm job 7 has succeeded, so there is no further attempt"),
    ],
    ids=["cancelled by somebody", "failed", "succeeded"],
)
def test_a_further_attempt_asks_about_the_ones_before(tmp_path: Path, queue: str, code: int, says: str) -> None:
    text = script(a_light_step(tmp_path, "touch a", "a"), tmp_path).replace(
        '"earlier_attempts": []', '"earlier_attempts": ["7"]'
    )
    assert '["7"]' in text
    found, said = ended(text, tmp_path, PATH=with_slurm(tmp_path, queue))
    assert found == code, said
    assert says in said
    assert (tmp_path / "a").exists() is not bool(says)


def test_a_failure_stops_the_run_and_keeps_the_exit_code(tmp_path: Path) -> None:
    """The whole package does it, in a process of its own; here it finds a run without a ledger, and says so."""
    spec = a_light_step(tmp_path, "exit 9", "a")
    text = script(spec, tmp_path).replace('"stops": ""', f'"stops": {json.dumps(str(tmp_path / "norun"))}')
    code, said = ended(text, tmp_path, PATH=with_slurm(tmp_path, ""))
    assert code == 9
    assert "the run could not be stopped" in said


def test_a_record_of_snakemake_that_cannot_be_written_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / ".snakemake/metadata").write_text("a file, not a folder")
    code, said = ended(script(a_light_step(tmp_path, "touch a", "a"), tmp_path), tmp_path)
    assert code == 1
    assert "kempner: align[sample=a]: " in said
    assert "Traceback" not in said
    assert told(tmp_path)["exit_code"] == 1
    assert list((tmp_path / ".snakemake/incomplete").iterdir()), "its output counts as complete"


def test_a_shell_that_is_not_there_is_a_failure_that_names_it(tmp_path: Path) -> None:
    spec = a_light_step(tmp_path, "touch a", "a")
    assert spec.light_rule
    spec = replace(spec, light_rule=replace(spec.light_rule, shell="no-such-shell"))
    code, said = ended(script(spec, tmp_path), tmp_path)
    assert code == 1
    assert "no-such-shell" in said


def test_a_log_that_slurm_cannot_name_is_opened_by_the_job(tmp_path: Path) -> None:
    text = script(a_light_step(tmp_path, "echo said; touch a", "a"), tmp_path)
    text = text.replace('"log": ""', f'"log": {json.dumps(str(tmp_path / "of.%j.log"))}')
    assert ended(text, tmp_path)[0] == 0
    assert (tmp_path / "of.4242.log").read_text() == "said\n"


# --- what it has of its own, because the package is not at hand -----------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_its_json_is_that_of_python(value: Any) -> None:
    assert dumps(value) == json.dumps(value)
    assert loads(f" {json.dumps(value, indent=1)}\n") == value


@pytest.mark.parametrize("text", ["", "{", "nothing", '{"a": 1', "[1,"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)


@given(st.text())
def test_what_it_prints_is_safe_for_a_terminal(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    "environment",
    [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}],
)
def test_its_job_id_is_that_of_the_package(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert job.own_job_id() == own_job_id(environment)


def test_what_surrounds_a_full_job_imports_neither_slurms_commands_nor_the_records_of_runs() -> None:
    package = "snakemake_executor_plugin_kempner"
    program = f"import sys, {package}.step.__main__; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"{package}.step.asked" in imported
    assert not {f"{package}.{name}" for name in ("slurm", "run", "adapt", "site")} & set(imported.split())
    assert not {"subprocess", "tempfile", "snakemake"} & set(imported.split())


@pytest.mark.parametrize("restarts", ["0", "1"], ids=["its end was forgotten", "put back into the queue"])
@pytest.mark.parametrize("code", [0, 3])
def test_a_job_that_slurm_starts_again_although_it_has_ended_runs_only_if_it_was_put_back(
    tmp_path: Path, code: int, restarts: str
) -> None:
    """A slurmctld that is killed does not know what has ended since it wrote down its state, and starts it again."""
    text = script(a_light_step(tmp_path, f"echo x >> runs; touch a; exit {code}", "a"), tmp_path)
    assert ended(text, tmp_path)[0] == code
    (tmp_path / "a").write_text("by a later attempt")
    again, said = ended(text, tmp_path, SLURM_RESTART_COUNT=restarts)
    runs_again = restarts == "1"
    assert again == code
    assert len((tmp_path / "runs").read_text().split()) == 1 + runs_again
    assert (f"this job had ended with exit code {code} when Slurm started it once more" in said) != runs_again
    if not runs_again:
        assert (tmp_path / "a").read_text() == "by a later attempt"


# --- segments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "signalled", "segment", "code"),
    [
        ("exit 75", False, 1, 75),
        ("exit 3", False, 1, 3),
        ("exit 143", False, 1, 75),
        ("exit 75", False, 3, 75),
        ("trap 'exit 1' TERM; touch running; sleep 60 & wait", True, 1, 75),
        ("touch running; exec sleep 60", True, 1, 75),
        ("trap 'touch {out}; exit 0' TERM; touch running; sleep 60 & wait", True, 1, 0),
        ("(sleep 0.1; kill -TERM $PPID) >&- 2>&- & exit 1", False, 1, 75),
    ],
    ids=[
        "it says so", "it fails", "it was terminated", "it was the last", "it ends after a signal", "it dies of it",
        "it finishes in time", "the command hears the signal first",
    ],
)  # fmt: skip
def test_how_a_segment_ends_tells_whether_the_next_goes_on(
    tmp_path: Path, command: str, signalled: bool, segment: int, code: int
) -> None:
    kept = tmp_path / "kept"
    spec = a_light_step(
        tmp_path, command.replace("{out}", "out.txt"), "out.txt", segment=segment, segments=3, checkpoints=str(kept)
    )
    job = start(script(spec, tmp_path), tmp_path)
    if signalled:
        until(tmp_path / "running")
        job.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == told(tmp_path)["exit_code"] == code
    assert kept.exists() or code == 0
    goes_on = code == 75
    assert (f"segment {segment} of 3 is to be continued from {kept}" in said) == goes_on
    assert ("There is no further segment. Give the same command again" in said) == (goes_on and segment == 3)


EARLY = """
import os, signal, sys
from snakemake_executor_plugin_kempner.step.light.signals import hold_signals, wait
hold_signals()
child = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ, setpgroup=0, setsigmask=())
os.kill(os.getpid(), int(sys.argv[1]))
print(wait(child))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_comes_when_the_command_has_just_started_reaches_it(number: signal.Signals) -> None:
    """It would end the job, and leave its command alone."""
    argv = [sys.executable, "-c", EARLY, str(int(number))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == f"{-number}\n"
