"""Which cluster of the site the rules of a workflow name, before any of their tasks is planned.

All questions to Slurm go there, so it has to be known first. Whether every task of the run names the same cluster is checked
with the plan (`plan/one_cluster.py`).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from snakemake.common.tbdstring import TBDString

from ..plan.resources import CLUSTER_NAMES, sbatch_options
from .resources import constant_of, is_same_for_all_jobs


def cluster_of_rules(workflow: Any) -> tuple[str, tuple[str, ...]]:
    """The name that most rules give, with the rules that do; empty if none names a cluster."""
    found: dict[str, list[str]] = {}
    for rule, job in _rules(workflow):
        if name := _cluster(rule, job):
            found.setdefault(name, []).append(rule.name)
    name = max(found, key=lambda name: len(found[name]), default="")
    return name, tuple(sorted(found.get(name, ())))


def _rules(workflow: Any) -> Iterator[tuple[Any, Any]]:
    """The rules of jobs that are to run, each with one of its jobs; without such jobs, all rules."""
    jobs = {job.rule: job for job in workflow.dag.needrun_jobs()} if workflow.dag else {}
    every: Iterable[tuple[Any, Any]] = jobs.items() or ((rule, None) for rule in workflow.rules)
    return ((rule, job) for rule, job in every if not workflow.is_local(rule))


def _cluster(rule: Any, job: Any) -> str:
    resources = {}
    for name in CLUSTER_NAMES & rule.resources.keys():
        resource = rule.resources[name]
        with suppress(Exception):  # a function of the workflow may raise anything; the plan reports it
            value = constant_of(resource) if is_same_for_all_jobs(resource) or job is None else job.resources.get(name)
            if isinstance(value, str) and not isinstance(value, TBDString):  # a placeholder is a text, too
                resources[name] = value
    return sbatch_options(rule.name, resources, 1).sbatch.get("clusters") if resources else ""
