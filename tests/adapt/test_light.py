"""A light job leaves what the job of a Snakemake leaves: each case runs both ways, in two folders, and the folders are compared.

Without Slurm: the spec is read from a real DAG, and its job is started as a job script starts it.
"""

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import snakemake.persistence as records
from builders import POLICY, a_plan
from reading import Read
from reading import read as read_here
from snakemake.settings.types import DeploymentMethod
from snakemake.shell import shell

from snakemake_executor_plugin_kempner.adapt.obstacles import obstacles_of_rule, takes
from snakemake_executor_plugin_kempner.adapt.reading_environment import reads_environment
from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.light import FORMATS
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.program import keep_program

pytestmark = pytest.mark.skipif(
    not hasattr(records, "MetadataRecord"), reason="there are light jobs with Snakemake 9.22 and later"
)
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
    Case(
        name="environments that are not used",
        rule=rule(
            "echo x > {output}", more="    conda: 'env.yaml'\n    container: 'docker://x'\n    envmodules: 'gcc/14'\n"
        ),
        before="echo 'dependencies: []' > env.yaml",
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
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout + done.stderr
    return End(code=done.returncode, said=said, tree=dict(_tree(folder)), records=dict(_records(folder)))


def run_full(folder: Path, task: Task, options: tuple[str, ...]) -> End:
    spec = step_of(task)
    threads = str(spec.light.threads) if spec.light else "1"
    arguments = (
        *("--snakefile", "Snakefile", "--allowed-rules", "made", "--cores", threads, "--force-use-threads", "--nolock"),
        *("--force", "--ignore-incomplete", "--target-files-omit-workdir-adjustment", "--default-resources"),
        *("--latency-wait", "1", "--scheduler", "greedy", "--mode", "remote", "--quiet", "host", "progress", "rules"),
    )
    full = replace(spec, light=None, light_rule=None, targets=(("made", {}),), arguments=(*arguments, *options))
    text, said = folder.parent / "spec.json", folder.parent / "said.txt"
    text.write_text(json.dumps(full.to_dict()))
    forks = forking()
    step = {"folder": str(folder), "environment": environment(), "spec": str(text), "said": str(said)}
    print(json.dumps(step), file=forks.stdin, flush=True)
    assert forks.stdout is not None
    code = int(forks.stdout.readline())
    return End(code=code, said=said.read_text(), tree=dict(_tree(folder)), records=dict(_records(folder)))


@cache
def forking() -> subprocess.Popen[str]:
    """The process that starts steps: each in a third of the time."""
    program = [sys.executable, str(Path(__file__).parent / "forked_step.py")]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True, scope="module")
def _end_of_forking() -> Iterator[None]:
    yield
    if forking.cache_info().currsize:
        forking().communicate()


def environment() -> dict[str, str]:
    return {**os.environ, "SLURM_JOB_ID": "4242"}


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
    reading, _ = read_here(case.rule, execution=execution, has_light_jobs=True, folder=str(folder))
    (task,) = reading.tasks
    (attempt,) = task.attempts
    (folder / "ended").mkdir()
    (folder / ".snakemake" / "incomplete").mkdir(exist_ok=True, parents=True)
    places = {"records": str(folder / "ended"), "checkpoints": str(folder / "checkpoints/x")}
    return replace(task, attempts=(replace(attempt, step=replace(attempt.step, latency_wait=1, **places)),))


@pytest.mark.filterwarnings(
    "ignore:unclosed file .*env.yaml:ResourceWarning"
)  # Snakemake's, when it records an environment
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


# --- rules drawn by chance ------------------------------------------------------------------------------------------


def random_case(seed: int) -> Case:
    """A rule with outputs of any kind, of which the command makes some as declared, and which fails or not."""
    chance = random.Random(seed)
    flags = ("{}", "{}", "touch({})", "protected({})", "temp({})", "ensure({}, non_empty=True)", "directory({})")
    outputs, commands, before = [], [], ["true"]
    for number in range(chance.randint(1, 4)):
        path, flag = f"{chance.choice(('', 'deep/', 'very/deep/'))}o{number}", chance.choice(flags)
        if flag == "directory({})" and chance.random() < 0.4:
            flag = chance.choice(("protected(directory({}))", "temp(directory({}))", "touch(directory({}))"))
        outputs.append(flag.format(repr(path)))
        makes = f"mkdir -p {path}; echo {number} > {path}/f" if "directory" in flag else f"echo {number} > {path}"
        others = (f"mkdir -p {path}/x", f"rm -rf {path}; touch {path}", f"rm -rf {path}; ln -s . {path}", "true")
        commands.append(chance.choices((makes, *others), (20, 1, 1, 1, 1))[0])
        if chance.random() < 0.2:
            commands.append(f"touch -h -d 2001-01-01 {path}")
        if number and chance.random() < 0.3:
            before.append(
                f"mkdir -p {chance.choice((f'{path}/left', os.path.dirname(path) or '.'))}; touch {path} || true"
            )
    commands += chance.choices(((), ("exit 4",), ("kill -9 $$",), ("false", "touch never")), (10, 3, 1, 1))[0]
    chance.shuffle(before)
    log = f"    log: '{chance.choice(('', 'logs/'))}l'\n" if chance.random() < 0.5 else ""
    if log and chance.random() < 0.5:
        commands.insert(0, "echo said > {log}")
    options = tuple(one for one in ("--keep-incomplete", "--drop-metadata") if chance.random() < 0.2)
    more = f"{log}    input: {chance.choice(('[]', repr('in.txt')))}\n    threads: {chance.randint(1, 3)}\n"
    text = rule("; ".join(commands), ", ".join(outputs), more)
    return Case(name=f"seed {seed}", rule=text, before="; ".join(before), options=options)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(4, 100))]
)
def test_a_rule_drawn_by_chance_leaves_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(seed)
    folders = tmp_path / "light" / "run", tmp_path / "full" / "run"
    tasks = [planned(case, monkeypatch, folder) for folder in folders]
    assert step_of(tasks[0]).light is not None, step_of(tasks[0]).runs_snakemake
    light, full = run_light(folders[0], tasks[0]), run_full(folders[1], tasks[1], case.options)
    said = f"{case}\nlight:\n{light.said}\nfull:\n{full.said}"
    assert bool(full.code) == bool(light.code), said
    assert _without(light.tree, tmp_path / "light") == _without(full.tree, tmp_path / "full"), said
    assert light.records == full.records, said


# --- who qualifies --------------------------------------------------------------------------------------------------


def reasons(read: Read, snakefile: str, **more: Any) -> dict[str, str]:
    """Why each task runs Snakemake, by its name and wildcards; empty for a light job."""
    reading, _ = read(snakefile, has_light_jobs=True, **more)
    return {task.label: task.attempts[0].step.runs_snakemake for task in reading.tasks}


MADE = "rule made:\n    output: 'out.txt'\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("    shell: 'x {output} {wildcards} {params} {threads} {log} {rule} {input}'\n", ""),
        ("    params: a=lambda wildcards: 'a' * 3\n    shell: 'x {params.a}'\n", ""),
        ("    resources: a=lambda wildcards, attempt: attempt, mem_mb=5\n    shell: 'x {resources.a} {resources.mem_mb}'\n", ""),
        ("    params: a=type('A', (), {})()\n    shell: 'x {params.a}'\n", "params: that are objects of a class"),
        ("    script: 'x.py'\n", "script:"),
        ("    run: print(1)\n", "run:"),
        ("    shadow: 'minimal'\n    shell: 'x'\n", "shadow:"),
        ("    benchmark: 'b.txt'\n    shell: 'x'\n", "benchmark:"),
        ("    conda: lambda wildcards: 'env.yaml'\n    shell: 'x'\n", "conda:"),
        ("    conda: 'missing.yaml'\n    shell: 'x'\n", "conda:"),
        ("    conda: 'an-environment'\n    shell: 'x'\n", "conda:"),
        ("    container: lambda wildcards: 'docker://x'\n    shell: 'x'\n", "container:"),
        ("    cache: True\n    shell: 'x'\n", "cache:"),
        ("    group: 'g'\n    shell: 'x'\n", "its group"),
        ("    resources: slurm_light=0\n    shell: 'x'\n", "slurm_light=0"),
        ("    resources: tmpdir='/scratch'\n    shell: 'x'\n", "its resource tmpdir"),
        ("    resources: shell_exec='sh'\n    shell: 'x'\n", "its resource shell_exec"),
        ("    shell: 'x {resources.tmpdir}'\n", "its resource tmpdir"),
        ("    shell: 'x {jobid}'\n", "its command, which names what only Snakemake has"),
        ("    shell: 'x ' 'y'\n", ""),
        ("    shell: f'x {HERE}'\n", "its command, which Python computes when it runs"),
        ("    shell: 'x' if HERE else 'y'\n", "its command, which Python computes when it runs"),
        ("    shell: 'x ' + str(HERE)\n", "its command, which Python computes when it runs"),
        ("    shell: 'x }'\n", "its command, which names what only Snakemake has"),
        ("    shell: 'x {{}} {HERE}'\n", ""),
        ("    shell: 'x {os.environ}'\n", "its command, which names what only Snakemake has"),
        ("    input: 'here'\n    shell: 'x {resources.disk_mb}'\n", "a resource in its command that is computed from files"),
        ("    params: lambda wildcards: open('here').read()\n    shell: 'x {params[0]}'\n", "params: that read files"),
        ("    params: lambda wildcards: os.path.exists('here')\n    shell: 'x'\n", "params: that read files"),
        ("    params: lambda wildcards: os.listdir('.')\n    shell: 'x'\n", "params: that read files"),
        ("    params: lambda wildcards: shell('ls', read=True)\n    shell: 'x'\n", "params: that read files"),
        (
            "    resources: mem_mb=5, disk_mb=5\n    params: lambda wildcards, resources: 1\n    shell: 'x'\n",
            "params: that are computed from resources or threads",
        ),
        (f"    shell: '{'x' * 70_000}'\n", "its command, which is too long for an argument"),
    ],
)  # fmt: skip
def test_what_is_doubtful_runs_snakemake_and_the_reason_is_known(read: Read, text: str, why: str) -> None:
    for name in ("here", "x.py"):
        (Path.cwd() / name).write_text("here")
    (Path.cwd() / "env.yaml").write_text("dependencies: []\n")
    assert set(reasons(read, "import os, pathlib\nHERE = pathlib.Path('here')\n" + MADE + text).values()) == {why}


@pytest.mark.filterwarnings("ignore:unclosed file .*env.yaml:ResourceWarning")
@pytest.mark.parametrize(
    ("text", "method", "obstacle"),
    [
        ("conda: 'env.yaml'", DeploymentMethod.CONDA, "conda"),
        ("container: 'docker://x'", DeploymentMethod.APPTAINER, "container"),
        ("envmodules: 'gcc'", DeploymentMethod.ENV_MODULES, "envmodules"),
    ],
)
def test_an_environment_is_an_obstacle_only_where_the_command_line_says_that_it_is_used(
    read: Read, text: str, method: DeploymentMethod, obstacle: str
) -> None:
    (Path.cwd() / "env.yaml").write_text("dependencies: []\n")
    reading, dag = read(f"{MADE}    {text}\n    shell: 'x'\n", has_light_jobs=True)
    (job,) = dag.jobs
    assert [task.attempts[0].step.runs_snakemake for task in reading.tasks] == [""]
    dag.workflow.deployment_settings.deployment_method = {method}
    assert set(obstacles_of_rule(job, dag.workflow, ())) == {obstacle}


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("update('a')", "a flag of an output"),
        ("ensure('a', sha256=lambda wildcards: '0')", "a function in ensure()"),
        ("protected(directory('a'))", ""),
        ("report('a')", ""),
    ],
)
def test_flags_of_outputs_that_only_snakemake_knows_are_doubtful(read: Read, output: str, why: str) -> None:
    assert set(reasons(read, f"rule made:\n    output: {output}\n    shell: 'x'\n").values()) == {why}


def test_each_attempt_has_its_own_command_where_it_names_resources_or_threads(read: Read) -> None:
    text = "    retries: 1\n    threads: lambda wildcards, attempt: attempt * 2\n"
    text += "    resources: a=lambda wildcards, attempt: attempt * 10\n    shell: 'x {threads} {resources.a}'\n"
    (task,) = read(MADE + text, has_light_jobs=True)[0].tasks
    steps = [attempt.step.light for attempt in task.attempts]
    assert [(step.command, step.threads) for step in steps if step] == [("x 2 10", 2), ("x 4 20", 4)]


def test_a_file_that_a_function_reads_once_and_keeps_makes_the_whole_rule_doubtful(read: Read) -> None:
    keeps = "import functools\n@functools.cache\ndef table():\n    return open('here').read()\n"
    keeps += "rule all:\n    input: 'a.txt', 'b.txt', 'c.txt'\n"
    keeps += "rule made:\n    output: '{x}.txt'\n    params: lambda wildcards: table()\n    shell: 'x {params[0]}'\n"
    (Path.cwd() / "here").write_text("here")
    assert set(reasons(read, keeps).values()) == {"params: that read files"}


def test_a_checkpoint_and_a_rule_without_command_run_snakemake(read: Read) -> None:
    text = "rule all:\n    input: 'a', 'b'\nrule b:\n    input: 'c'\n    output: touch('b')\n"
    text += "rule c:\n    output: 'c'\n    shell: 'x'\ncheckpoint a:\n    output: 'a'\n    shell: 'x'\n"
    assert reasons(read, text, detached=True) == {"a": "checkpoint", "b": "no command", "c": ""}


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ("import os", False),
        ("X = os.environ['HOME']", False),
        ("X = os.environ.get('HOME', '')", False),
        ("os.environ['A'] = 'b'", False),
        ("from os import environ", False),
        ("# os.environ['SLURM_JOB_ID']", False),
        ("X = 'os.environ[name]'", False),
        ("X = os.environ['SLURM_JOB_ID']", True),
        ("X = os.getenv('CUDA_VISIBLE_DEVICES')", True),
        ("X = os.environ[name]", True),
        ("import os; X = os.environ['SLURM_JOB_ID']", True),
        ("from os import environ as E", True),
        ("X = dict(os.environ)", True),
        ("X = f\"{os.environ['HOME']}\"", True),
        ("X = socket.gethostname()", True),
        ("X = os.cpu_count()", True),
        ("os.umask(7)", True),
        ("X = os.path.expandvars('$SLURM_JOB_ID')", True),
        ("X = platform.node()", True),
        ("X = tempfile.mkdtemp()", True),
        ("if workflow.remote_exec: shell.prefix('export A=1; ')", True),
    ],
)
def test_a_snakefile_that_reads_what_differs_in_each_job_is_known_by_its_words(line: str, *, is_read: bool) -> None:
    snakefile = f"{line}\nrule a:\n    output: 'a'\n    shell: 'echo $SLURM_JOB_ID $(hostname) os.environ'\n"
    assert reads_environment(snakefile) is is_read


def test_a_secret_of_the_workflow_stays_out_of_scripts(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-token")
    text = (
        "import os\nenvvars: 'MY_TOKEN'\n" + MADE + "    params: os.environ['MY_TOKEN']\n    shell: 'x {params[0]}'\n"
    )
    assert set(reasons(read, text).values()) == {"its command, which holds the value of a variable of envvars:"}


@pytest.mark.parametrize(
    ("function", "does"),
    [
        (lambda wildcards: 1, False),
        (lambda wildcards, threads: threads, True),
        (partial(lambda wildcards, threads: threads), True),
        (lambda wildcards, **more: more["threads"], True),
        (dict, True),
    ],
)
def test_whether_params_take_threads_is_known_as_snakemake_knows_it(function: Any, *, does: bool) -> None:
    assert takes(function, "resources", "threads") is does


def test_a_secret_in_the_prefix_of_the_shell_stays_out_of_scripts(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-token")
    monkeypatch.setattr(shell, "_process_prefix", "export T='s3cr3t-token'; ")
    text = "envvars: 'MY_TOKEN'\n" + MADE + "    shell: 'x'\n"
    assert set(reasons(read, text).values()) == {"its command, which holds the value of a variable of envvars:"}


def test_a_command_that_goes_by_a_shell_of_the_snakefile_is_no_light_job(read: Read) -> None:
    text = "def shell(command, **more): pass\n" + MADE + "    shell: 'x'\n"
    assert reasons(read, text)["made"]


def test_a_record_of_an_unknown_snakemake_turns_light_jobs_off(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORD_FORMAT_VERSION", 7)
    assert "Snakemake's records" in reasons(read, MADE + "    shell: 'x'\n")["made"]


def test_the_record_of_the_installed_snakemake_is_known() -> None:
    assert tuple(records.MetadataRecord().model_dump()) == FORMATS[records.RECORD_FORMAT_VERSION]


def test_a_path_of_the_head_that_no_job_can_read_is_not_in_a_command(read: Read) -> None:
    """`str(workflow.source_path(…))` has no flag; the head deletes its copy when it ends."""
    text = MADE + "    shell: 'cat /tmp/head/source'\n"
    words = "its command, which names a copy of a source that the job keeps elsewhere"
    assert set(reasons(read, text).values()) == {words}


def test_without_light_jobs_every_task_runs_snakemake(read: Read) -> None:
    reading, _ = read(MADE + "    shell: 'x'\n")
    assert [task.attempts[0].step.runs_snakemake for task in reading.tasks] == ["--kempner-light-jobs no"]


def test_inputs_with_flags_that_only_snakemake_knows_are_doubtful(read: Read) -> None:
    (Path.cwd() / "here").write_text("here")
    text = "rule made:\n    input: workflow.source_path('here')\n    output: 'out.txt'\n    shell: 'x {input}'\n"
    assert set(reasons(read, text).values()) == {"a flag of an input"}
