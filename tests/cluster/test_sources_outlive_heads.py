"""What a job reads of its workflow is there when the head and its files are gone, and the same for every head."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from comparison import Outcome, run_forked
from head import (
    PATIENCE,
    UNTIL_GO,
    Head,
    arguments,
    asked,
    cancel_all,
    closed,
    ended,
    go,
    queued,
    run,
    written,
)
from snakefiles import rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

DETACHED = "--kempner-detach"
SOURCES_OF_MANY_KINDS = f"""
configfile: "config.yaml"
include: "rules/deep.smk"
module other:
    snakefile: "other/Snakefile"
use rule * from other as other_*

rule all:
    default_target: True
    input:
        "input.txt", "text.txt", "function.txt", "grouped.txt", "wrapped.txt", "prefixed.txt", "late.txt",
        "config.txt", "temporary.txt", rules.other_script.output, rules.other_path.output
rule first:
    output: touch("first.txt")
    shell: "{UNTIL_GO}"
rule wrapped:
    input: "first.txt"
    output: "wrapped.txt"
    wrapper: "file:wrappers/copy"
rule prefixed:
    input: "first.txt"
    output: "prefixed.txt"
    wrapper: "wrappers/copy"
rule config:
    input: "first.txt"
    output: "config.txt"
    params: config["word"], config["more"]
    shell: "echo {{params}} >{{output}}"
rule temporary:
    input: "first.txt"
    output: "temporary.txt"
    script: "scripts/temporary.py"
"""
DEEP = """
rule input:
    input: "first.txt", source=workflow.source_path("../data/word.txt")
    output: "input.txt"
    shell: "cat {input.source} >{output}"
rule text:
    input: "first.txt", source=str(workflow.source_path("../data/word.txt"))
    output: "text.txt"
    shell: "cat {input.source} >{output}"
def source(wildcards):
    return workflow.source_path("../data/function.txt")
rule function:
    input: "first.txt", source=source
    output: "function.txt"
    shell: "cat {input.source} >{output}"
rule half:
    input: "first.txt", source=workflow.source_path("../data/group.txt")
    output: "half.txt"
    group: "pair"
    shell: "cat {input.source} >{output}"
rule grouped:
    input: "half.txt", source=workflow.source_path("../data/group.txt")
    output: "grouped.txt"
    group: "pair"
    run:
        shell("cat {input} >{output}; echo {config[word]} >>{output}")
checkpoint decide:
    input: "first.txt"
    output: "decided.txt"
    shell: "echo late >{output}"
def decided(wildcards):
    return workflow.source_path(f"../data/{open(checkpoints.decide.get().output[0]).read().strip()}.txt")
rule late:
    input: "decided.txt", source=decided
    output: "late.txt"
    shell: "cat {input.source} >{output}"
"""
FILES = {
    "rules/deep.smk": DEEP,
    "config.yaml": "word: config\nmore: none\n",
    "more.yaml": "more: more\n",
    "scripts/temporary.py": "import tempfile\nopen(snakemake.output[0], 'w').write('temporary')\ntempfile.mkstemp()\n",
    "wrappers/copy/wrapper.py": "open(snakemake.output[0], 'w').write('wrapped')\n",
    "wrappers/copy/environment.yaml": "channels: [conda-forge]\ndependencies: [python]\n",
    "other/Snakefile": """
rule script:
    input: "first.txt"
    output: "other-script.txt"
    script: "scripts/other.py"
rule path:
    input: "first.txt", source=workflow.source_path("data/other.txt")
    output: "other-path.txt"
    shell: "cat {input.source} >{output}"
""",
    "other/scripts/other.py": "open(snakemake.output[0], 'w').write('other')\n",
    "other/data/other.txt": "other\n",
    **{f"data/{name}.txt": f"{name}\n" for name in ("word", "function", "group", "late")},
}
MADE = {
    "input": "word\n",
    "text": "word\n",
    "function": "function\n",
    "grouped": "group\ngroup\nconfig\n",
    "wrapped": "wrapped",
    "prefixed": "wrapped",
    "late": "late\n",
    "config": "config more\n",
    "temporary": "temporary",
    "other-script": "other",
    "other-path": "other\n",
}


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """A workflow with sources of many kinds; nothing that was queued there outlives the test."""
    place = written(tmp_path / "run", SOURCES_OF_MANY_KINDS)
    for path, text in FILES.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    yield place
    cancel_all(slurm, place)


def options(folder: Path) -> tuple[str, ...]:
    return "--configfile", "more.yaml", "--wrapper-prefix", f"file://{folder}/"


def made(folder: Path) -> dict[str, str]:
    return {name: path.read_text() for name in MADE if (path := folder / f"{name}.txt").exists()}


def to_be_run(outcome: Outcome) -> set[str]:
    """Rules that a dry run would run."""
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", outcome.output, re.MULTILINE))


def test_jobs_find_their_sources_when_the_head_has_left_and_its_files_are_gone(
    slurm: Sandbox, folder: Path, tmp_path: Path
) -> None:
    session = tmp_path / "session"
    session.mkdir()
    shutil.copytree(folder, local := tmp_path / "local")
    left = run(slurm, folder, DETACHED, *options(folder), TMPDIR=str(session))
    assert left.exit_code == 0, left.output
    shutil.rmtree(session)
    (folder / "more.yaml").unlink()
    (folder / "config.yaml").write_text("word: edited\nmore: edited\n")
    go(folder)
    closing = closed(slurm, folder, left)
    assert (closing.exit_code, made(folder)) == (0, MADE), closing.output

    for place in (folder, local):
        for name in ("config.yaml", "more.yaml"):
            (place / name).write_text(FILES[name])
    go(local)
    locally = run_forked(local, ("--cores", "2", *options(local)), slurm.environment)
    assert (locally.exit_code, made(local)) == (0, MADE), locally.output
    again = run_forked(local, ("--cores", "2", "--dry-run", *options(local)), slurm.environment)
    assert to_be_run(asked(slurm, folder, "--dry-run", *options(folder))) == to_be_run(again)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_find_their_sources_when_a_watched_head_is_gone_and_the_next_sees_no_change(
    slurm: Sandbox, folder: Path, number: signal.Signals
) -> None:
    with Head(slurm, folder, *options(folder)) as head:
        head.until_queued()
        head.signal(number)
        go(folder)
        head.end()
        ended(slurm, folder)
        before = {name: text for name, text in made(folder).items() if name != "late"}
        assert before == {name: text for name, text in MADE.items() if name != "late"}, head.said
    again = run(slurm, folder, "--rerun-incomplete", "--nolock", *options(folder))
    assert (again.exit_code, made(folder)) == (0, MADE), again.output


def test_a_second_head_finds_no_change_in_what_waits(slurm: Sandbox, folder: Path) -> None:
    with Head(slurm, folder, *options(folder)) as first:
        first.until_queued()
        first.kill()
        before = queued(slurm, folder)
        with Head(slurm, folder, "--rerun-incomplete", "--nolock", *options(folder)) as head:
            head.until(lambda: "Goes on with run" in head.said)
            go(folder)
            assert (head.end(), made(folder)) == (0, MADE), head.said
            assert "was submitted with other" not in head.said
            assert [one.rule for one in queued(slurm, folder)[len(before) :]] == ["late"], head.said


# --- files that only the head can read ------------------------------------------------------------------------------

SMALL_WORKFLOW = snakefile(
    wanted("b.txt"),
    rule("a", shell="sleep 2; echo {config[word]} >{output}"),
    rule("b", "a.txt", shell="cp {input} {output}"),
)


def in_a_shell(slurm: Sandbox, folder: Path, redirection: str, *more: str) -> Outcome:
    """A detached head that a shell gives something to read."""
    words = " ".join((sys.executable, "-m", "snakemake", *arguments(DETACHED, *more)))
    done = subprocess.run(
        ["bash", "-c", f"{words} {redirection}"],
        cwd=folder,
        env=slurm.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Outcome(exit_code=done.returncode, output=done.stdout)


@pytest.mark.parametrize("redirection", ["--snakefile <(cat workflow)", "--snakefile /dev/stdin < workflow"])
def test_a_snakefile_may_come_from_a_pipe(slurm: Sandbox, tmp_path: Path, redirection: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "workflow").write_text(SMALL_WORKFLOW)
    closing = closed(slurm, folder, in_a_shell(slurm, folder, f"--config word=piped {redirection}"))
    assert closing.exit_code == 0, closing.output
    assert (folder / "b.txt").read_text() == "piped\n"


def test_a_configuration_file_may_come_from_standard_input(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", SMALL_WORKFLOW)
    (folder / "given.yaml").write_text("word: given\n")
    closing = closed(slurm, folder, in_a_shell(slurm, folder, "--configfile /dev/stdin < given.yaml"))
    assert closing.exit_code == 0, closing.output
    assert (folder / "b.txt").read_text() == "given\n"


@pytest.mark.parametrize("redirection", ["<(echo '{\"word\": 1}')", "/dev/stdin < <(echo '{\"word\": 1}')"])
def test_a_configuration_that_can_be_read_only_once_is_refused(
    slurm: Sandbox, tmp_path: Path, redirection: str
) -> None:
    folder = written(tmp_path / "run", SMALL_WORKFLOW)
    refused = in_a_shell(slurm, folder, f"--configfile {redirection}")
    assert refused.exit_code == 1
    assert "it can be read only once (write it to a file" in refused.output
    assert queued(slurm, folder) == []
