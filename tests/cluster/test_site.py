"""On a Slurm with Kempner's partitions and accounts: what it says of itself, what it takes, what is said before it is asked."""

import os
import subprocess
import sys

import pytest
from declarations import REQUESTS
from kempner_site import ACCOUNTS, SITE, live

from snakemake_executor_plugin_kempner.plan.at_site import options_at
from snakemake_executor_plugin_kempner.sandbox import Sandbox
from snakemake_executor_plugin_kempner.site.file import parse_site
from snakemake_executor_plugin_kempner.site.live import live_site, together
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.slurm.limits import user_name


def test_what_slurm_says_of_itself(kempner: Sandbox) -> None:
    said = live_site(SlurmCommands(kempner.environment).tell, user_name(), {})
    assert said is not None
    expected = live("kempner_doe_lab")
    assert dict(said.partitions) == dict(expected.partitions)
    assert said.own_accounts is not None
    assert set(said.own_accounts) - {"root"} == set(ACCOUNTS)  # root has an account of that name everywhere
    assert said.default_account == expected.default_account
    assert said.is_complete


@pytest.mark.parametrize("name", REQUESTS)
def test_sbatch_takes_what_a_declaration_becomes(kempner: Sandbox, name: str) -> None:
    options = options_at(SITE, name, *REQUESTS[name])
    assert not options.faults
    answer = kempner.run("sbatch", "--test-only", *options.arguments, "--wrap=true")
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
