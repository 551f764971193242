"""A sweep on Friday, looked at on Monday: two commands name every cause, and nothing else has to be opened."""

import json
from pathlib import Path

import pytest
from conftest import StartSlurm
from detached import is_closed, page, until
from head import PATIENCE, run, written
from test_command_line import kempner

from snakemake_executor_plugin_kempner.sandbox import Node

pytestmark = pytest.mark.cluster

SWEEP = """
wildcard_constraints: lr="[0-9]+", seed="[0-9]+"

rule all:
    input: "report.txt"

rule preprocess:
    output: "data.txt"
    resources: mem_mb=500, runtime=5
    shell: "echo data > {output}"

rule train:
    input: "data.txt"
    output: "model-{lr}-{seed}.txt"
    log: "logs/train-{lr}-{seed}.log"
    retries: 1
    resources:
        gpu=1, mem_mb=500,
        runtime=lambda wildcards: 1 if (wildcards.lr, wildcards.seed) == ("7", "8") else 5
    shell:
        '''
        ( echo epoch 1
          case {wildcards.lr}-{wildcards.seed} in
            0-[0-2]) python3 -c "raise ValueError('loss is NaN')" ;;
            1-3) exit 137 ;;
            7-8) sleep 300 ;;
          esac ) > {log} 2>&1
        touch {output}
        '''

rule evaluate:
    input: "model-{lr}-{seed}.txt"
    output: "eval-{lr}-{seed}.txt"
    resources: mem_mb=500, runtime=5
    shell: "touch {output}"

rule report:
    input: expand("eval-{lr}-{seed}.txt", lr=range(8), seed=range(9))
    output: "report.txt"
    resources: mem_mb=500, runtime=5
    shell: "touch {output}"
"""


@pytest.mark.slow
def test_monday_takes_two_commands(private_slurm: StartSlurm, tmp_path: Path) -> None:
    nodes = tuple(Node(name=f"n{n}", cpus=32, memory_mb=64_000, gpu="a100", gpus=16) for n in (1, 2))
    slurm = private_slurm(nodes=nodes)
    folder = written(tmp_path / "sweep", SWEEP)
    left = run(slurm, folder, "--kempner-detach", "--keep-going", "--jobs", "200")
    assert left.exit_code == 0, left.output
    until(lambda: is_closed(folder), within=6 * PATIENCE, shown=lambda: kempner(slurm, folder))
    said, why = kempner(slurm, folder), kempner(slurm, folder, "why", "failed")
    assert "of sweep has failed: 135 of 146 tasks done, 5 failed, 6 never" in said
    causes = {
        "3 × ValueError: loss is NaN": "train[lr=0,seed=0-2]",
        "1 × killed by SIGKILL": "train[lr=1,seed=3]",
        "1 × stopped at its time limit of 1 min": "train[lr=7,seed=8]",
    }
    for cause, tasks in causes.items():
        assert any(cause in line and tasks in line for line in said.splitlines()), said
        assert cause.partition("× ")[2] in why
    assert len(said.splitlines()) <= 25
    assert page(folder).splitlines()[0].endswith("135 of 146 tasks done, 5 failed, 6 never")
    assert len(page(folder).splitlines()) <= 40
    rows = {row["rule"]: row["numbers"] for row in json.loads(kempner(slurm, folder, "--json"))["rows"]}
    assert rows["train"] == {"done": 67, "failed": 5}
