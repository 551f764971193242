"""On a Slurm with Kempner's partitions and accounts: what it says of itself, what it takes, what is said before it is asked."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from comparison import fresh_copy
from declarations import REQUESTS
from head import queued, run, run_detached, written
from kempner_site import ACCOUNTS, NODES, SITE, live

from snakemake_executor_plugin_kempner.plan.asking import options_at
from snakemake_executor_plugin_kempner.sandbox import Sandbox
from snakemake_executor_plugin_kempner.sandbox.options import kempner_partitions
from snakemake_executor_plugin_kempner.site.file import parse_site
from snakemake_executor_plugin_kempner.site.live import live_site, together
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.slurm.site_limits import user_name


def test_what_slurm_says_of_itself(kempner: Sandbox) -> None:
    said = live_site(SlurmCommands(kempner.environment).tell, user_name(), {})
    assert said is not None
    expected = live("kempner_doe_lab")
    nodes = {one.name: len(one.nodes) for one in kempner_partitions(NODES)}
    assert dict(said.partitions) == {
        name: replace(one, whole_nodes_of=nodes[name]) for name, one in expected.partitions.items()
    }
    assert said.own_accounts is not None
    assert set(said.own_accounts) - {"root"} == set(ACCOUNTS)  # root has an account of that name everywhere
    assert said.default_account == expected.default_account
    assert said.is_complete


@pytest.mark.parametrize("name", REQUESTS)
def test_sbatch_takes_what_a_declaration_becomes(kempner: Sandbox, name: str) -> None:
    options = options_at(SITE, name, *REQUESTS[name])
    assert not options.faults
    answer = kempner.run("sbatch", "--test-only", *options.sbatch.argv, "--wrap=true")
    assert "allocation failure" not in answer


def test_a_draft_is_a_site_file_that_adds_nothing_of_its_own(kempner: Sandbox) -> None:
    command = [sys.executable, "-m", "snakemake_executor_plugin_kempner.draft_site"]
    done = subprocess.run(command, env=os.environ | kempner.environment, capture_output=True, text=True, check=True)
    drafted, _ = parse_site(done.stdout, "draft")
    said = live("kempner_doe_lab")
    both = together(drafted, said)
    assert {name: (one.nodes, one.minutes, one.requeues) for name, one in both.partitions.items()} == {
        name: (one.nodes, one.minutes, one.requeues) for name, one in said.partitions.items()
    }
    assert drafted.cpu_partition == "shared"
    assert drafted.gpus["a100"].cores == 16
    assert [one.minutes for one in drafted.partitions.values()] == [one.minutes for one in said.partitions.values()]


# --- several nodes --------------------------------------------------------------------------------------------------

WORKFLOWS = Path(__file__).parent.parent / "workflows"


def test_a_training_on_several_nodes_has_one_allocation_and_its_workers_find_each_other(
    kempner: Sandbox, tmp_path: Path
) -> None:
    folder = fresh_copy(WORKFLOWS / "real_distributed", tmp_path / "run")
    outcome = run(kempner, folder)
    assert outcome.exit_code == 0, outcome.output
    places = [(0, "n3"), (1, "n3"), (2, "n4"), (3, "n4")]
    expected = [f"{rank} of 4 on {node}, GPUs 0,1" for rank, node in places]
    assert (folder / "model.txt").read_text().splitlines() == expected
    assert (folder / "evaluated.txt").read_text().splitlines() == [
        f"rank {rank} of 3 read 4 lines" for rank in range(3)
    ]


# --- a preview ------------------------------------------------------------------------------------------------------

PREVIEWED = """
onstart:
    shell("touch started")
onsuccess:
    shell("touch succeeded")

rule all:
    input:
        "report.txt",

localrules: note

rule note:
    output:
        "note.txt",
    shell:
        "touch {output}"

rule split:
    output:
        "split.txt",
    resources:
        runtime=10,
    shell:
        "touch {output}"

rule train:
    input:
        "split.txt",
    output:
        "model{seed}.txt",
    retries: 1
    resources:
        gpu=1, gpu_model="h100", mem_mb=600, cpus_per_task=1, runtime=20,
    shell:
        "touch {output}"

rule report:
    input:
        "note.txt",
        expand("model{seed}.txt", seed=range(6)),
    output:
        "report.txt",
    resources:
        runtime=10,
    shell:
        "touch {output}"
"""


def test_a_preview_shows_what_is_then_queued_and_does_nothing(kempner: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", PREVIEWED)
    shown = run(kempner, folder, "--kempner-preview", "--kempner-detach")
    assert shown.exit_code == 0, shown.output
    assert not queued(kempner, folder, helpers=True)
    assert not [path.name for path in folder.iterdir() if path.name not in ("Snakefile", ".snakemake")]
    assert not (folder / ".snakemake" / "kempner").exists()

    done = run_detached(kempner, folder, "--kempner-logdir", "slurm_logs")
    assert done.exit_code == 0, done.output
    assert len(list(folder.glob("slurm_logs/*/report/*.log"))) == 1
    (number,) = re.findall("Would queue (.*)", shown.output)
    assert f"Queued {number.removesuffix('.')} (run" in done.output
    for said in re.findall(r"^(?:train gets|workflow:) .*", shown.output, re.MULTILINE):
        assert said in done.output
    (ledger,) = folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
    asked = [re.sub(" --(job-name|comment|output).*", "", line) for line in re.findall(r"sbatch +(.*)", shown.output)]
    entries = map(json.loads, ledger.read_text().splitlines())
    submitted = [[*entry["options"]] for entry in entries if "intent" in entry]
    for line in asked:
        assert any(set(line.split()) <= set(options) for options in submitted), line


def test_a_preview_of_what_can_never_start_says_so(kempner: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", PREVIEWED.replace("h100", "b200"))
    shown = run(kempner, folder, "--kempner-preview")
    assert shown.exit_code == 1
    assert "train (6 tasks): no partition has b200 GPUs" in shown.output
    assert "File " not in shown.output.rsplit("WorkflowError", 1)[1]
    assert not queued(kempner, folder, helpers=True)
