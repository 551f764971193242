"""Limits are those of Snakemake's own scheduler: read from a real workflow object."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ExecutionSettings, OutputSettings, Quietness, ResourceSettings
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from snakemake_executor_plugin_kempner.adapt.capacities import capacities
from snakemake_executor_plugin_kempner.adapt.resources import NotYetError, units

SNAKEFILE = """
resource_scopes: disk_mb="global"
rule all:
    input: "joined", "sized", "greedy"
rule solve:
    output: "solved{n}"
    resources: licence=2, mem_mb=4000, disk_mb=7
    shell: "touch {output}"
rule join:
    input: "solved1", "solved2"
    output: "half"
    group: "together"
    resources: licence=1
    shell: "touch {output}"
rule finish:
    input: "half"
    output: "joined"
    group: "together"
    resources: licence=lambda wildcards, input: len(open(input[0]).read())
    shell: "touch {output}"
rule sized:
    input: "joined"
    output: "sized"
    resources: licence=lambda wildcards, input: len(open(input[0]).read())
    shell: "touch {output}"
rule greedy:
    output: "greedy"
    resources: licence=99
    shell: "touch {output}"
"""


@contextmanager
def a_workflow(folder: Path, **settings: Any) -> Iterator[Any]:
    """Snakemake's workflow object with its DAG, as the executor sees it."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    before = os.getcwd()
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        resources = ResourceSettings(**settings)
        workflow = api.workflow(resource_settings=resources, snakefile=folder / "Snakefile", workdir=folder)
        dag = workflow.dag()
        workflow._workflow._executor_plugin = ExecutorPluginRegistry().get_plugin("kempner")
        workflow._workflow.execution_settings = ExecutionSettings()
        dag.summary()
        workflow._workflow.async_run(workflow._workflow.dag.postprocess())
        yield workflow._workflow
    os.chdir(before)


def test_limits_are_jobs_and_what_all_jobs_share(tmp_path: Path) -> None:
    given = {"licence": 2, "mem_mb": 100_000, "disk_mb": 50, "place": "a"}
    with a_workflow(tmp_path, nodes=20, cores=3, resources=given) as workflow:
        assert capacities(workflow) == {"_nodes": 20, "licence": 2, "disk_mb": 50}


def test_unlimited_jobs_are_no_limit(tmp_path: Path) -> None:
    with a_workflow(tmp_path, nodes=sys.maxsize) as workflow:
        assert capacities(workflow) == {}


def test_a_scope_can_be_changed_on_the_command_line(tmp_path: Path) -> None:
    scopes = {"mem_mb": "global", "licence": "local"}
    with a_workflow(
        tmp_path, nodes=1, resources={"mem_mb": 9, "licence": 2}, overwrite_resource_scopes=scopes
    ) as workflow:
        assert capacities(workflow) == {"_nodes": 1, "mem_mb": 9}


def test_a_job_takes_what_snakemakes_scheduler_would_count(tmp_path: Path) -> None:
    with a_workflow(tmp_path, nodes=20, resources={"licence": 9, "disk_mb": 50, "mem_mb": 5}) as workflow:
        limited = capacities(workflow)
        found: dict[str, Any] = {}
        for job in workflow.dag.jobs:
            unit = workflow.dag.get_job_group(job) or job
            try:
                found[str(unit.name)] = units(unit, dict(unit.resources.items()), limited)
            except NotYetError:
                found[str(unit.name)] = NotYetError
                continue
            counted = {name: unit.scheduler_resources.get(name, 0) for name in limited}
            assert found[str(unit.name)] == {name: value for name, value in counted.items() if value}
        assert found == {
            "all": {"_nodes": 1},
            "solve": {"_nodes": 1, "licence": 2, "disk_mb": 7},
            "together_finish_join": {"_nodes": 1, "licence": 1},
            "sized": NotYetError,
            "greedy": {"_nodes": 1, "licence": 9},
        }


def test_what_is_not_limited_may_be_unknown(tmp_path: Path) -> None:
    with a_workflow(tmp_path, nodes=20) as workflow:
        for job in workflow.dag.jobs:
            assert units(job, dict(job.resources.items()), capacities(workflow)) == {"_nodes": 1}


@pytest.mark.parametrize("taken", [0, -1])
def test_what_takes_nothing_is_left_out(tmp_path: Path, taken: int) -> None:
    with a_workflow(tmp_path, nodes=1) as workflow:
        job = next(iter(workflow.dag.jobs))
        assert units(job, {"_nodes": 1, "licence": taken}, ["_nodes", "licence"]) == {"_nodes": 1}
