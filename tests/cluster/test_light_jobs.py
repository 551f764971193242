"""On a real Slurm, light jobs end and leave what jobs with Snakemake leave: files, records, exit codes, attempts.

The feature matrix and the soak run with light jobs as well, and compare with local runs.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from comparison import Tree, differences, snapshot
from head import assert_settled, cancel_all, ended, run, run_detached, written
from snakefiles import directory, rule, snakefile, wanted
from snakemake import persistence
from soak_workflows import random_workflow

from snakemake_executor_plugin_kempner.sandbox import Sandbox

pytestmark = pytest.mark.skipif(
    not hasattr(persistence, "MetadataRecord"), reason="there are light jobs with Snakemake 9.22 and later"
)
TIMES = ("starttime", "endtime", "job_hash")
FULL = ("--kempner-light-jobs", "no")

FEATURES = """
rule all:
    input: "environment.txt", "report.txt", "flags.done", "kept.txt", expand("sweep/{i}.txt", i=range(6)), "tried.txt"

rule source:
    output: temp("source.txt"), folder=directory("parts")
    log: "logs/source.log"
    shell: "mkdir {output.folder}; for i in 0 1 2 3 4 5; do echo part $i > {output.folder}/$i; done; echo s > {output[0]}; echo l > {log}"

rule sweep:
    input: "parts", "source.txt"
    output: "sweep/{i}.txt"
    params: double=lambda wildcards: int(wildcards.i) * 2
    threads: 2
    resources: mem_mb=100
    shell: "echo {wildcards.i} {params.double} {threads} $OMP_NUM_THREADS ${{SLURM_ARRAY_TASK_ID-none}} > {output}; cat parts/{wildcards.i} >> {output}"

rule environment:
    output: "environment.txt"
    shell: "env | cut -d= -f1 | grep -v ' ' | sort > {output}; echo $TMPDIR >> {output}"

rule report:
    input: expand("sweep/{i}.txt", i=range(6))
    output: "report.txt"
    shell: "cat {input} > {output}"

rule flags:
    input: "report.txt"
    output: touch("flags.done")
    shell: "true"

rule kept:
    input: "report.txt"
    output: protected(ensure("kept.txt", non_empty=True))
    shell: "wc -l < {input} > {output}"

rule tried:
    output: "tried.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "echo {resources.mem_mb} >> tries; [ {resources.mem_mb} -gt 100 ] && echo {resources.mem_mb} > {output}"
"""

FAILS = snakefile(
    wanted("after.txt", "beside.txt"),
    rule(
        "fails",
        output=("made.txt", directory("folder")),
        shell="touch {output[0]}; mkdir {output[1]}; echo trouble > {log}; exit 7",
        log="logs/fails.log",
    ),
    rule("after", "made.txt", shell="touch {output}"),
    rule("beside", shell="touch {output}"),
)


def records(folder: Path) -> Iterator[tuple[str, Any]]:
    """Snakemake's records by output, with the kinds of values that differ between runs."""
    place = folder / ".snakemake/metadata"
    for path in sorted(one for one in place.rglob("*") if one.is_file()):
        name = base64.urlsafe_b64decode("".join(part.removeprefix("@") for part in path.relative_to(place).parts))
        record = json.loads(path.read_text())
        yield name.decode(), {**record, **{key: type(record[key]).__name__ for key in TIMES}}


def ends(folder: Path) -> Mapping[tuple[str, int, bool], int]:
    """How often each task has ended how, by what its jobs have written down."""
    told = [json.loads(path.read_text()) for path in folder.glob(".snakemake/kempner/[0-9a-f]*/ended/*.json")]
    return Counter((one["task"], one["attempt"], one["exit_code"] == 0) for one in told)


def light_tasks(folder: Path) -> set[str]:
    """Rules whose jobs were light, by their logs: Snakemake says there what it does."""
    logs = folder.glob(".snakemake/kempner/[0-9a-f]*/logs/*/*.log")
    found = {path.parent.name for path in logs if "Building DAG of jobs" not in path.read_text()}
    return found - {"gates", "guards"}


def both(slurm: Sandbox, folder: Path, snakefile: str, *options: str, detached: bool) -> tuple[Path, Path]:
    """The folders of a run with light jobs and of a run without, which end alike."""
    folders = folder / "light" / "run", folder / "full" / "run"
    codes = []
    for place, more in zip(folders, ((), FULL), strict=True):
        written(place, snakefile)
        outcome = (run_detached if detached else run)(slurm, place, *more, *options)
        ended(slurm, place)
        codes.append(outcome.exit_code)
        assert "Traceback" not in outcome.output
    assert codes[0] == codes[1]
    return folders


def same(light: Path, full: Path) -> None:
    trees: list[Tree] = [snapshot(folder) for folder in (light, full)]
    assert differences(trees[1], trees[0]) == []
    assert dict(records(light)) == dict(records(full))
    assert ends(light) == ends(full)


@pytest.mark.parametrize("detached", [False, True], ids=["watched", "detached"])
def test_features_of_shell_rules_leave_the_same(slurm: Sandbox, tmp_path: Path, *, detached: bool) -> None:
    light, full = both(slurm, tmp_path, FEATURES, detached=detached)
    same(light, full)
    assert light_tasks(light) == {"source", "environment", "sweep", "report", "flags", "kept", "tried"}
    assert light_tasks(full) == set()
    assert_settled(slurm, light)


@pytest.mark.parametrize("option", ["--keep-incomplete", "--keep-going"])
def test_a_failure_leaves_the_same_and_ends_with_the_exit_code_of_the_command(
    slurm: Sandbox, tmp_path: Path, option: str
) -> None:
    light, full = both(slurm, tmp_path, FAILS, "--keep-going", option, detached=False)
    same(light, full)
    told = [json.loads(path.read_text()) for path in light.glob(".snakemake/kempner/[0-9a-f]*/ended/*.json")]
    assert {one["exit_code"] for one in told if one["task"] == "fails"} == {7}


@pytest.mark.slow
def test_a_random_workflow_leaves_the_same(slurm: Sandbox, tmp_path: Path) -> None:
    seed = next(seed for seed in range(100, 200) if _is_for_all_jobs(seed))
    workflow = random_workflow(seed)
    folders = tmp_path / "light" / "run", tmp_path / "full" / "run"
    try:
        for place, more in zip(folders, ((), FULL), strict=True):
            place.mkdir(parents=True)
            for name, text in workflow.files.items():
                (place / name).write_text(text)
            run_detached(slurm, place, *more, *workflow.options, *workflow.kempner_options)
            ended(slurm, place)
            (place / "runs").write_text("\n".join(sorted((place / "runs").read_text().split())))
    finally:
        for place in folders:
            cancel_all(slurm, place)
    same(*folders)


def _is_for_all_jobs(seed: int) -> bool:
    """The workflow of the seed ends the same way in whatever order its jobs run."""
    workflow = random_workflow(seed)
    return not workflow.fails or "--keep-going" in workflow.options
