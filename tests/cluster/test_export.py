"""A workflow as a bash script of `sbatch` lines: queued without the plugin, it makes what a local run makes."""

import subprocess
import time
from pathlib import Path

import pytest
from comparison import SECONDS_PER_RUN, run_forked
from head import OVER, PAUSE, run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

pytestmark = pytest.mark.cluster

WORKFLOW = """
NAMES = ["it's", 'say "no"', "a b", "$(touch caught)", "x;y", "a,b", "two\\nlines"]

rule all:
    input: "report.txt", "script.txt", "odd.txt"

rule preprocess:
    output: "data.txt"
    shell: "echo data > {output}"

rule train:
    input: "data.txt"
    output: "models/{seed}.txt"
    log: "logs/{seed}.log"
    threads: 2
    shell:
        '''
        echo "epoch 1" > {log}
        # a comment, and a here-document
        cat {input} - > {output} <<END
        seed {wildcards.seed} with $OMP_NUM_THREADS threads
END
        '''

rule evaluate:
    input: "models/{seed}.txt"
    output: "scores/{seed}.txt"
    shell: "test -z \\"${{SLURM_ARRAY_TASK_ID-}}\\"; (cat {input}; echo score {wildcards.seed}) > {output}"

rule flaky:
    output: "flaky.txt"
    retries: 1
    resources: runtime=lambda wildcards, attempt: 5 * attempt
    shell: "echo try >> tries; test $(wc -l < tries) -gt 1; echo well >> {output}"

rule odd:
    output: "odd/{name}.txt"
    wildcard_constraints: name="(.|\\n)*"
    shell: "printf %s {wildcards.name:q} > {output:q}"

rule odds:
    input: [f"odd/{name}.txt" for name in NAMES]
    output: "odd.txt"
    shell: "cat {input:q} > {output}"

rule report:
    input: expand("scores/{seed}.txt", seed=range(12)), "flaky.txt", "data.txt"
    output: "report.txt"
    shell: "cat {input} > {output}"

rule script:
    input: "report.txt"
    output: "script.txt"
    run:
        with open(output[0], "w") as file:
            file.write(open(input[0]).read().upper() + str(config.get("word")))
"""
OPTIONS = ("--default-resources", "mem_mb=600", "--config", "word=it's so")


def outputs(folder: Path) -> dict[str, str]:
    """All files that rules have made, by name."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith((".", "slurm-logs", "plan", "Snakefile"))
    }


def queue(slurm: Sandbox, script: Path, folder: Path) -> None:
    """Run the script, and wait until the queue has nothing of it left."""
    done = subprocess.run(
        ["bash", str(script), str(folder)],
        cwd=script.parent, env=slurm.environment, capture_output=True, text=True, check=False, timeout=SECONDS_PER_RUN,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + SECONDS_PER_RUN
    while True:
        lines = slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%T|%j|%r|%Z").splitlines()
        jobs = [line for line in lines if line.endswith(f"|{folder}")]
        assert time.monotonic() < deadline, jobs
        if jobs and all(line.split("|")[0] in OVER for line in jobs):
            return
        time.sleep(PAUSE)


def exported_and_run(slurm: Sandbox, folder: Path, elsewhere: Path) -> dict[str, str]:
    """What the exported script of the run in a folder makes in another."""
    said = subprocess.run(
        ["kempner", "export", "-o", "plan.sh"], cwd=folder, env=slurm.environment, capture_output=True, text=True,
        check=False, timeout=SECONDS_PER_RUN,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    queue(slurm, folder / "plan.sh", elsewhere)
    made = outputs(elsewhere)
    assert made, "\n".join(path.read_text() for path in elsewhere.glob("slurm-logs/*.log"))
    return made


@pytest.fixture(scope="module")
def made_locally(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = written(tmp_path_factory.mktemp("local") / "run", WORKFLOW)
    done = run_forked(folder, ("--cores", "2", "--nocolor", *OPTIONS), {})
    assert done.exit_code == 0, done.output
    return outputs(folder)


def test_a_plan_that_was_never_submitted_runs_as_a_script(
    slurm: Sandbox, tmp_path: Path, made_locally: dict[str, str]
) -> None:
    folder = written(tmp_path / "run", WORKFLOW)
    said = run(slurm, folder, "--kempner-export", "plan.sh", *OPTIONS)
    assert said.exit_code == 0, said.output
    text = (folder / "plan.sh").read_text()
    assert "--dependency=aftercorr:$train" in text
    assert '--dependency="afterok:$flaky?afterok:$flaky_attempt2"' in text
    assert not list((folder / ".snakemake").glob("kempner/*/ledger.jsonl"))
    queue(slurm, folder / "plan.sh", folder)
    logs = "\n".join(path.read_text() for path in folder.glob("slurm-logs/*.log"))
    assert outputs(folder) == made_locally, logs


def test_a_run_that_has_ended_is_exported_and_runs_again_elsewhere(
    slurm: Sandbox, tmp_path: Path, made_locally: dict[str, str]
) -> None:
    folder = written(tmp_path / "run", WORKFLOW)
    done = run_detached(slurm, folder, *OPTIONS)
    assert done.exit_code == 0, done.output
    (page,) = folder.glob(".snakemake/kempner/[0-9a-f]*/report.html")
    assert "succeeded</title>" in page.read_text()
    assert exported_and_run(slurm, folder, written(tmp_path / "again", WORKFLOW)) == made_locally


BEHIND_A_CHECKPOINT = """
rule all:
    input: "whole.txt"

rule data:
    output: "data.txt"
    retries: 1
    shell: "echo 3 > {output}"

checkpoint split:
    input: "data.txt"
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2 3; do echo $i > {output}/$i.txt; done"

rule double:
    input: "parts/{n}.txt", "data.txt"
    output: "doubled/{n}.txt"
    shell: "cat {input} > {output}"

def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return [f"doubled/{n}.txt" for n in sorted(glob_wildcards(folder + "/{n}.txt").n)]

rule whole:
    input: parts
    output: "whole.txt"
    shell: "cat {input} > {output}"
"""


def test_what_a_continuation_has_planned_is_exported_behind_what_it_needs(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", BEHIND_A_CHECKPOINT)
    done = run_detached(slurm, folder, *OPTIONS)
    assert done.exit_code == 0, done.output
    made = exported_and_run(slurm, folder, written(tmp_path / "again", BEHIND_A_CHECKPOINT))
    assert made == outputs(folder)
    assert made["whole.txt"] == "1\n3\n2\n3\n3\n3\n"
