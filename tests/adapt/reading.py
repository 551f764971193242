"""A real DAG of Snakemake and what is read from it, without Slurm."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.resources import Resources
from snakemake.settings.types import (
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    RemoteExecutionSettings,
    ResourceSettings,
)

from snakemake_executor_plugin_kempner.adapt.dag import Reading, read_dag
from snakemake_executor_plugin_kempner.adapt.sources import Sources
from snakemake_executor_plugin_kempner.adapt.units import Scope
from snakemake_executor_plugin_kempner.adapt.watching import watch_params
from snakemake_executor_plugin_kempner.settings import common_settings

Read = Callable[..., tuple[Reading, Any]]
NOTHING = {"ready": (), "known": lambda _: False, "in_flight": ()}


class Command:
    """Builds command lines of a word and the outputs that the job may remove."""

    config: Mapping[str, Any] = {}
    sources = Sources(of_head=("/tmp/head",), kept="/runs/run1/sources")

    def arguments(self, _job: Any, _threads: int, _attempt: int, unneeded: tuple[str, ...]) -> tuple[str, ...]:
        return ("snakemake", *unneeded)


def read(
    snakefile: str,
    defaults: tuple[str, ...] = (),
    targets: Iterable[str] = (),
    execution: Mapping[str, Any] = MappingProxyType({}),
    **scope: Any,
) -> tuple[Reading, Any]:
    """Build the DAG of a Snakefile here, as the head does before anything is ready; returns what was read, and the DAG."""
    Path("Snakefile").write_text(snakefile)
    watch_params()
    parsed = Resources.parse(list(defaults), allow_expressions=True, defaults="full")
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        settings = ResourceSettings(nodes=10, default_resources=parsed)
        dag = api.workflow(resource_settings=settings, snakefile=Path("Snakefile")).dag(
            DAGSettings(targets=set(targets))
        )
        workflow = dag.workflow_api._workflow
        workflow.execution_settings = ExecutionSettings(**execution)
        workflow.remote_execution_settings = RemoteExecutionSettings()
        workflow._executor_plugin = SimpleNamespace(common_settings=common_settings)
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        workflow.async_run(workflow.dag.postprocess(update_needrun=False, check_initial=True))
        scope = {"folder": "/runs/run1", **NOTHING, **scope}
        return read_dag(workflow, Command(), Scope(**scope)), workflow.dag
