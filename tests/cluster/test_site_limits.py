"""Limits that a real site has set are read back as sbatch then enforces them."""

import pytest
from conftest import StartSlurm

from snakemake_executor_plugin_kempner.errors import SlurmRefused
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.sandbox import Node
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.slurm.site_limits import SiteLimits
from snakemake_executor_plugin_kempner.slurm.submit_limits import Bound, LimitScope, lacks_room

HELD = Options.of("--hold", "--output=/dev/null")
SCRIPT = "#!/bin/sh\ntrue\n"


def _tightest(site: SiteLimits) -> Bound:
    bound = site.limits().tightest([LimitScope()])
    assert bound
    return bound


def test_what_is_said_to_fit_is_what_sbatch_takes(private_slurm: StartSlurm) -> None:
    slurm = private_slurm(
        accounting=True,
        nodes=(Node(name="n1", cpus=4, memory_mb=4000),),
        accounts=("lab", "other_lab"),
        accounting_enforce="limits",
        max_array_size=77,
        sacctmgr=("modify account lab set maxsubmitjobs=4", "modify qos normal set maxsubmitjobsperaccount=6"),
    )
    client = SlurmCommands(slurm.environment)
    site = SiteLimits(client.tell)
    assert site.limits().array_size == 77
    assert str(site.limits().tightest([LimitScope()])) == "6 jobs in the queue (MaxSubmitJobsPerAccount of QOS normal)"
    in_front = client.submit(
        HELD | Options.of("--array=0-5"), SCRIPT
    )  # more than the association allows: the QOS goes before it
    assert _tightest(site).left == 0
    slurm.run("scancel", in_front)
    slurm.run("sacctmgr", "-i", "modify", "qos", "normal", "set", "maxsubmitjobsperaccount=-1")
    client.submit(HELD | Options.of("--array=0-1"), SCRIPT)
    client.submit(HELD | Options.of("--account=other_lab"), SCRIPT)
    bound = _tightest(site)
    assert bound.left == 2
    assert str(bound) == "4 jobs in the queue (MaxSubmitJobs of your association with account lab)"
    for _ in range(bound.left):
        client.submit(HELD, SCRIPT)
    with pytest.raises(SlurmRefused) as refused:
        client.submit(HELD, SCRIPT)
    assert lacks_room(refused.value.answer) == "AssocMaxSubmitJobLimit"
