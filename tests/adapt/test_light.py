"""A light job leaves what the job of a Snakemake leaves: each case runs both ways, in two folders, and the folders are compared.

Without Slurm: the spec is read from a real DAG, and its job is started as a job script starts it.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from builders import POLICY, a_plan
from reading import read
from snakemake.shell import shell

from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.model import Task
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.run.program import keep_program

TIMES = ("starttime", "endtime", "job_hash")
"""In a record of Snakemake: when, and a number that is another one in each process."""


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake keeps what a Snakefile says of the shell in a class, for the whole process."""
    for name in ("_process_args", "_process_prefix", "_process_suffix"):
        monkeypatch.setattr(shell, name, copy(getattr(shell, name)))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A rule, and what lies in its folder before."""

    name: str
    rule: str
    before: str = "true"
    """Shell: what lies there."""
    code: int = 0
    """Exit code of the light job."""
    options: tuple[str, ...] = ()
    """Of the job's Snakemake."""
    says: str = ""


def rule(command: str, output: str = '"out.txt"', more: str = "") -> str:
    return f"rule made:\n    output: {output}\n{more}    shell: {command!r}\n"


IN = '    input: "in.txt"\n'
CASES = (
    Case(name="a file", rule=rule("echo {input} > {output}", more=IN)),
    Case(name="nothing on standard input", rule=rule("cat > {output}")),
    Case(
        name="every kind of output",
        rule=rule(
            "echo a > {output.a}; mkdir {output.folder}; echo b > {output.folder}/b; echo c > {output.kept}; echo d > {output.t}",
            'a="deep/er/a.txt", folder=directory("some/folder"), kept=protected("kept.txt"), done=touch("x/y.done"), t=temp("t")',
            '    log: "logs/of/it.log"\n    threads: 3\n    params: x=lambda wildcards, output: len(output)\n',
        ),
        says="Write-protecting output file kept.txt.",
    ),
    Case(name="a protected folder", rule=rule("mkdir -p d/e; touch d/e/f", 'protected(directory("d"))')),
    Case(name="a touched folder", rule=rule("true", 'touch(directory("d/e"))')),
    Case(name="a link", rule=rule("echo x > other; ln -s other {output}")),
    Case(name="a link to a folder", rule=rule("mkdir other; ln -s other {output}", 'directory("d")')),
    Case(name="a link to nothing", rule=rule("ln -s nowhere {output}"), code=1, says="out.txt"),
    Case(name="a command that fails", rule=rule("echo x > {output}; exit 3"), code=3, says="non-zero exit status 3"),
    Case(
        name="a failure that keeps its log",
        rule=rule("echo trouble > {log}; false", more='    log: "logs/a.log"\n'),
        code=1,
    ),
    Case(name="a failure that is kept", rule=rule("echo x > {output}; exit 3"), code=3, options=("--keep-incomplete",)),
    Case(name="a folder of a failure", rule=rule("mkdir d; touch d/f; false", 'directory("d")'), code=1),
    Case(name="an unset variable", rule=rule("echo $UNSET > {output}"), code=1, says="UNSET: unbound variable"),
    Case(name="a pipe that breaks", rule=rule("yes | head -1 > {output}"), code=141),
    Case(name="a command that is killed", rule=rule("echo x > {output}; kill -9 $$"), code=137, says="signal 9"),
    Case(name="an output that is not made", rule=rule("touch {output[0]}", '"a", "b/c"'), code=1, says="b/c"),
    Case(name="a folder that is not declared", rule=rule("mkdir {output}"), code=1, says="out.txt"),
    Case(name="a file in place of a folder", rule=rule("touch d", 'directory("d")'), code=1, says="d"),
    Case(name="an output that is empty", rule=rule("touch {output}", 'ensure("a", non_empty=True)'), code=1, says="a"),
    Case(name="an output that is not empty", rule=rule("echo a > {output}", 'ensure("a", non_empty=True)')),
    Case(
        name="a checksum that agrees",
        rule=rule("printf a > {output}", 'ensure("a", sha1="86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")'),
    ),
    Case(name="a checksum that does not", rule=rule("printf a > {output}", 'ensure("a", md5="00")'), code=1, says="a"),
    Case(
        name="an input of the future",
        rule=rule("touch {output}", more=IN),
        before="touch -d 'now + 1 day' in.txt",
        code=1,
        says="older modification time",
    ),
    Case(name="an output with an old time", rule=rule("touch -d 2001-01-01 {output}", more=IN)),
    Case(
        name="what an earlier run has left",
        rule=rule(
            "[ ! -e a ] && [ ! -e logs/l ] && [ ! -e d/old ] && mkdir d && touch {output}",
            '"a", directory("d"), "f/g"',
            '    log: "logs/l"\n',
        ),
        before="mkdir -p logs d; touch a logs/l d/old",
    ),
    Case(
        name="a folder in the way, with content",
        rule=rule("touch {output}", '"a/b", "c"'),
        before="mkdir -p a/b/c",
        code=1,
        says="non-empty directory",
    ),
    Case(
        name="inputs of many kinds",
        rule=rule(
            "cat {input.small} > {output}",
            more='    input: "folder", "large", "link", "empty", ancient("old"), small="small"\n',
        ),
        before="mkdir folder; head -c 1000001 /dev/zero > large; touch empty old; echo a > small; ln -s small link",
    ),
    Case(
        name="odd characters",
        rule=rule(
            "printf %s {params.text:q} > {output[0]:q}; echo '{{}}' \"$(printf x)\" > {output[1]:q}",
            '"it\'s ä \\"file\\" $HOME.txt", "a b\\tc"',
            "    params: text='ü \"$x\" \\\\ %s'\n",
        ),
    ),
    Case(name="a long name", rule=rule("touch {output}", '"/".join(["n" * 100] * 5) + "/x"')),
    Case(name="a long command", rule=rule(f"echo {'x' * 40_000} > {{output}}")),
    Case(name="without a record", rule=rule("touch {output}"), options=("--drop-metadata",)),
    Case(
        name="a prefix and a suffix",
        rule="shell.prefix('export A=1; ')\nshell.suffix('; echo $A >> out.txt')\n" + rule("false; echo $A > {output}"),
    ),
    Case(name="another shell", rule="shell.executable('sh')\n" + rule("echo $0 > {output}")),
    Case(name="globals", rule="X = ['a', 'b']\n" + rule("echo {X} {X[1]} {config} > {output}")),
    Case(
        name="resources and threads",
        rule=rule(
            "echo {resources.a} {resources.b} {resources.mem_mb} {threads} > {output}",
            more="    threads: 2\n    resources: a=lambda wildcards, attempt: attempt * 7, b='x', mem_mb=1500\n",
        ),
    ),
    Case(
        name="the environment",
        rule=rule("env -0 | grep -zv '^KEMPNER_CHECKPOINT_DIR\\|^_=' | sort -z > {output}", more="    threads: 2\n"),
    ),
    Case(name="open files", rule=rule("ls /proc/$$/fd > {output}")),
    Case(name="its folder", rule=rule("pwd | sed 's,.*/,,' > {output}; umask >> {output}; echo $0 >> {output}")),
)


@dataclass(kw_only=True)
class End:
    code: int
    said: str
    tree: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)


def run_light(folder: Path, task: Task) -> End:
    policy = replace(
        POLICY, folder=str(folder.parent), python=sys.executable, light_program=keep_program(folder.parent)
    )
    script, _ = call_script(a_plan(task, policy=policy).calls[0], policy, str)
    return _run(["bash"], script, folder)


def run_full(folder: Path, task: Task, options: tuple[str, ...]) -> End:
    spec = step_of(task)
    threads = str(spec.light.threads) if spec.light else "1"
    arguments = (
        *("--snakefile", "Snakefile", "--allowed-rules", "made", "--cores", threads, "--force-use-threads", "--nolock"),
        *("--force", "--ignore-incomplete", "--target-files-omit-workdir-adjustment", "--default-resources"),
        *("--latency-wait", "1", "--scheduler", "greedy", "--mode", "remote", "--quiet", "host", "progress", "rules"),
    )
    full = replace(spec, light=None, light_rule=None, targets=(("made", {}),), arguments=(*arguments, *options))
    step = [sys.executable, "-m", "snakemake_executor_plugin_kempner.step"]
    return _run(step, json.dumps(full.to_dict()), folder)


def _run(program: list[str], text: str, folder: Path) -> End:
    environment = {**os.environ, "SLURM_JOB_ID": "4242"}
    done = subprocess.run(
        program, input=text, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return End(
        code=done.returncode, said=done.stdout + done.stderr, tree=dict(_tree(folder)), records=dict(_records(folder))
    )


def _tree(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.startswith((".snakemake", "ended", "checkpoints")) or name.startswith(".snakemake/incomplete/"):
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            yield name, (oct(status.st_mode), content)


def _records(folder: Path) -> Iterator[tuple[str, Any]]:
    place = folder / ".snakemake/metadata"
    for path in sorted(one for one in place.rglob("*") if one.is_file()):
        name = base64.urlsafe_b64decode(
            "".join(part.removeprefix("@") for part in path.relative_to(place).parts)
        ).decode()
        record = json.loads(path.read_text())
        times = {key: type(record[key]).__name__ for key in TIMES}
        yield name, (oct(path.stat().st_mode), list(record), {**record, **times})


def step_of(task: Task) -> StepSpec:
    return task.attempts[0].step


def planned(case: Case, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Task:
    """The task of the rule, read from a real DAG in the folder."""
    folder.mkdir(parents=True)
    (folder / "in.txt").write_text("input\n")
    subprocess.run(["bash", "-ec", case.before], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    execution = {
        "keep_incomplete": "--keep-incomplete" in case.options,
        "keep_metadata": "--drop-metadata" not in case.options,
    }
    reading, _ = read(case.rule, execution=execution, has_light_jobs=True, folder=str(folder))
    (task,) = reading.tasks
    (attempt,) = task.attempts
    (folder / "ended").mkdir()
    (folder / ".snakemake" / "incomplete").mkdir(exist_ok=True, parents=True)
    places = {"records": str(folder / "ended"), "checkpoints": str(folder / "checkpoints/x")}
    return replace(task, attempts=(replace(attempt, step=replace(attempt.step, latency_wait=1, **places)),))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_light_job_leaves_what_the_job_of_a_snakemake_leaves(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = planned(case, monkeypatch, tmp_path / "light" / "run")
    assert step_of(task).light is not None, step_of(task).runs_snakemake
    light = run_light(tmp_path / "light" / "run", task)
    full = run_full(tmp_path / "full" / "run", planned(case, monkeypatch, tmp_path / "full" / "run"), case.options)
    said = f"light:\n{light.said}\nfull:\n{full.said}"
    assert light.code == case.code, said
    assert bool(full.code) == bool(light.code), said
    assert case.says in light.said, said
    assert _without(light.tree, tmp_path / "light") == _without(full.tree, tmp_path / "full"), said
    assert light.records == full.records, said


def _without(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tree, with another path of its folder."""
    return json.loads(json.dumps({name: repr(entry) for name, entry in tree.items()}).replace(str(folder), "<folder>"))
