"""A job script carries its step unharmed, whatever the names in it, and a person sees what it runs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from builders import POLICY, a_step
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.options import NO_OPTIONS
from snakemake_executor_plugin_kempner.plan.dependency import Ref
from snakemake_executor_plugin_kempner.plan.jobscript import call_script, gate_script
from snakemake_executor_plugin_kempner.plan.model import Call, Kind, Policy, Submission
from snakemake_executor_plugin_kempner.plan.step import StepSpec

HOSTILE = [
    "plain",
    "two words",
    "it's",
    'say "hello"',
    "new\nline",
    "END-OF-STEP",
    "\nEND-OF-STEP\nexit 7\n",
    "$(touch surprise) `touch surprise` $HOME ${x}",
    "back\\slash\\n",
    "a=b,c=d",
    "Größe-日本-🐍",
    "\u2028\x85separators",
    "tab\tcarriage\rreturn",
    "*?[a-z]",
    "--option",
    "",
]


def spec_with(value: str) -> StepSpec:
    return a_step(
        task=f"align[sample={value}]",
        folder=f"/flow/{value}",
        targets=(("align", {"sample": value}),),
        arguments=("--config", f"x={value}"),
        wait_for=(value,),
        outputs=(value, f"{value}/b"),
    )


def task_script(policy: Policy, step: StepSpec) -> str:
    """The script of a submission alone."""
    one = Submission(
        ref=Ref("align", step.attempt),
        kind=Kind.TASK,
        label=step.task,
        job_name="align.run1.1",
        options=NO_OPTIONS,
        log="",
        step=step,
    )
    script, manifest = call_script(Call(submissions=(one,)), policy, str)
    assert manifest is None
    return script


def run(script: str, folder: Path, **files: str) -> "subprocess.CompletedProcess[str]":
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return subprocess.run(["bash"], input=script, cwd=folder, text=True, capture_output=True, timeout=20, check=False)


@pytest.mark.parametrize("value", HOSTILE)
def test_the_step_arrives_unharmed_through_bash(value: str, tmp_path: Path) -> None:
    policy = replace(POLICY, python="./python")
    done = run(task_script(policy, spec_with(value)), tmp_path, python='#!/bin/sh\ncat >received\necho "$*"\n')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "-m snakemake_executor_plugin_kempner.step\n"
    assert StepSpec.from_dict(json.loads((tmp_path / "received").read_text())) == spec_with(value)
    assert {one.name for one in tmp_path.iterdir()} == {"python", "received"}


@settings(max_examples=50)
@given(st.text())
def test_no_value_ends_the_here_document_or_a_comment(value: str) -> None:
    lines = task_script(POLICY, spec_with(value)).split("\n")
    assert lines.count("END-OF-STEP") == 1
    assert lines[-2:] == ["END-OF-STEP", ""]
    assert lines[1].startswith("# align[sample=")
    assert lines[2].startswith("exec ")
    assert gate_script(value).count("\n") == 3


def test_the_script_says_whose_attempt_it_is() -> None:
    assert "# align[sample=a] · attempt 2\n" in task_script(POLICY, a_step(attempt=2))


def test_the_exit_code_of_the_step_is_that_of_the_job(tmp_path: Path) -> None:
    done = run(task_script(replace(POLICY, python="./python"), a_step()), tmp_path, python="#!/bin/sh\nexit 42\n")
    assert done.returncode == 42


def test_a_failing_precommand_ends_the_job_before_the_step(tmp_path: Path) -> None:
    policy = replace(POLICY, python="./python", precommand="(exit 5)")
    done = run(task_script(policy, a_step()), tmp_path, python="#!/bin/sh\ntouch started\n")
    assert done.returncode == 5
    assert not (tmp_path / "started").exists()


def test_an_interpreter_in_a_folder_with_spaces_and_quotes_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $folder"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    script = task_script(replace(POLICY, python=str(folder / "python")), a_step(folder=str(tmp_path)))
    assert (
        "No such file" not in run(script.replace("-m snakemake_executor_plugin_kempner.step", "-c ''"), tmp_path).stderr
    )


def test_what_slurm_finds_too_long_lies_beside_the_script() -> None:
    """Each job takes a script up to a length only (max_script_size); the step then comes from a file of the run."""
    step = a_step(wait_for=tuple(f"raw/{number}.txt" for number in range(1000)))
    one = Submission(
        ref=Ref("join", 1), kind=Kind.TASK, label="join", job_name="join.run1.1", options=NO_OPTIONS, log="", step=step
    )
    policy = replace(POLICY, largest_script=2000)
    script, manifest = call_script(Call(submissions=(one,)), policy, str)
    assert len(script) < policy.largest_script
    assert f"{policy.folder}/arrays/join.run1.1" in script
    assert manifest is not None
    assert b"raw/999.txt" in manifest


def test_a_gate_succeeds() -> None:
    assert subprocess.run(["bash"], input=gate_script("it's\na gate"), text=True, check=True).returncode == 0
