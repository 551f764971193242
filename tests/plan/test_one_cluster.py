"""A run goes to one cluster, because Slurm's dependencies do not cross clusters."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders import POLICY, a_task

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.model import Kind, Policy
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.site.modes import Checks

THERE = replace(POLICY, cluster="fasse", home="cannon", at=Options.of("--clusters=fasse"))
HERE = replace(POLICY, cluster="cannon", home="cannon")


def faults(policy: Policy, **clusters: str) -> Mapping[str, str]:
    """What is wrong with a rule, by its name; each rule has one task, and names a cluster unless that is empty."""
    tasks = [
        a_task(name, wildcards={"seed": "1"}, resources={"clusters": cluster} if cluster else {})
        for name, cluster in clusters.items()
    ]
    try:
        make_plan(tasks, policy)
    except PlanError as error:
        return {fault.where: fault.what for fault in error.faults}
    return {}


@pytest.mark.parametrize("checks", Checks)
def test_a_rule_for_another_cluster_than_the_others_is_refused_whatever_is_checked(checks: Checks) -> None:
    what = "clusters=cannon, and this run goes to fasse: Slurm's dependencies do not cross clusters"
    assert faults(replace(THERE, checks=checks), train="fasse", plot="cannon") == {"plot[seed=1]": what}


def test_a_rule_that_names_no_cluster_would_go_to_that_of_this_machine() -> None:
    what = "names no cluster, so it would go to cannon, and this run goes to fasse: Slurm's dependencies do not cross clusters"
    assert faults(THERE, train="fasse", plot="") == {"plot[seed=1]": what}


def test_where_the_environment_names_the_cluster_no_rule_has_to() -> None:
    assert faults(replace(THERE, home="fasse"), train="", plot="fasse") == {}


def test_a_rule_may_name_the_cluster_of_this_machine() -> None:
    assert faults(HERE, train="cannon", plot="", align="CANNON") == {}


@pytest.mark.parametrize("names", ["cannon,fasse", "all"])
def test_a_choice_of_clusters_is_refused(names: str) -> None:
    (what,) = faults(HERE, train=names).values()
    assert what == f"clusters={names} names several clusters: Slurm's dependencies do not cross clusters"


def test_without_an_answer_of_slurm_the_names_are_compared_with_each_other() -> None:
    assert faults(POLICY, train="fasse", plot="cannon").keys() == {"plot[seed=1]"}
    assert faults(POLICY, train="fasse", plot="fasse") == {}


def test_a_local_rule_that_is_a_job_follows_the_run() -> None:
    assert faults(replace(THERE, local_rules=frozenset({"plot"})), train="fasse", plot="") == {}


def test_helper_jobs_go_where_the_tasks_go() -> None:
    """Also where the environment names the cluster, so that a script of the plan does."""
    policy = replace(THERE, home="fasse", detached=True)
    plan = make_plan([a_task("train"), a_task("plot")], policy)
    kinds = {call.first.kind for call in plan.calls}
    assert {Kind.TASK, Kind.CLOSING, Kind.GUARD} <= kinds
    assert {call.first.options.get("clusters") for call in plan.calls} == {"fasse"}
