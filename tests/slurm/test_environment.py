"""Slurm's programs answer the same whoever asks, and sbatch takes from the environment what a run can live with."""

import pytest

from snakemake_executor_plugin_kempner.plan.sbatch import OPTIONS
from snakemake_executor_plugin_kempner.slurm.environment import (
    DROPPED,
    USED,
    chosen_options,
    cluster_of_user,
    notices,
    query_environment,
    submission_environment,
)

SITE = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CONF_SERVER": "c:1", "SLURM_JWT": "token"}
OWN = {"PATH": "/bin", "HOME": "/home/me", "MY_SLURM_NOTE": "kept", "SSH_AUTH_SOCK": "s", "SNAKEMAKE_PROFILE": "p"}
INSIDE = {
    "SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_NODE": "1", "SLURM_ARRAY_TASK_ID": "1",
    "SLURMD_NODENAME": "n1", "SLURM_EXPORT_ENV": "NONE", "SLURM_EXIT_ERROR": "0",
}  # fmt: skip
DISPLAY = (
    "SQUEUE_PARTITION", "SQUEUE_ACCOUNT", "SQUEUE_STATES", "SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_NAMES", "SQUEUE_USERS",
    "SQUEUE_ARRAY", "SQUEUE_SORT", "SQUEUE_QOS", "SQUEUE_LICENSES", "SQUEUE_ALL", "SQUEUE_CLUSTERS", "SACCT_LOCAL",
    "SACCT_FEDERATION", "SCANCEL_PARTITION", "SCANCEL_ACCOUNT", "SCANCEL_INTERACTIVE", "SCANCEL_STATE", "SCANCEL_NAME",
    "SCANCEL_USER", "SCANCEL_QOS", "SCANCEL_VERBOSE", "SCONTROL_ALL", "SINFO_PARTITION", "SINFO_FORMAT", "SLURM_TIME_FORMAT",
    "SLURM_BITSTR_LEN", "SLURM_DEBUG_FLAGS", "SLURM_TOPO_LEN", "SBATCH_ACCOUNT",
)  # fmt: skip


@pytest.mark.parametrize("name", DISPLAY)
def test_no_variable_of_a_program_changes_an_answer(name: str) -> None:
    assert query_environment({**SITE, **OWN, name: "x"}) == {**SITE, **OWN, "SLURM_BITSTR_LEN": "0"}


def test_the_variables_of_a_surrounding_job_do_not_reach_the_next_one() -> None:
    kept = {**SITE, **OWN, "SBATCH_ACCOUNT": "lab", "SLURM_TIME_FORMAT": "x"}
    assert submission_environment({**INSIDE, **kept}) == kept
    assert query_environment({**INSIDE, **SITE, **OWN}) == {**SITE, **OWN, "SLURM_BITSTR_LEN": "0"}


def test_devices_of_a_surrounding_job_are_not_passed_on() -> None:
    devices = {"CUDA_VISIBLE_DEVICES": "3"}
    assert submission_environment({**devices, "SLURM_JOB_ID": "1"}) == {}
    assert submission_environment(devices) == devices  # outside of a job it is the user's own wish


@pytest.mark.parametrize("name", [*DROPPED, "SBATCH_OF_ANOTHER_TIME"])
def test_what_would_break_a_run_is_dropped_and_said(name: str) -> None:
    environment = {**OWN, name: "1-3"}
    assert submission_environment(environment) == OWN
    assert chosen_options(environment).values == {}
    (said,) = notices(environment)
    assert said.startswith(f"{name}=1-3 is not passed on to sbatch: ")


@pytest.mark.parametrize("name", ["SLURM_HINT", "SLURM_EXIT_ERROR", "SLURM_UMASK", "SLURM_DEBUG_FLAGS"])
def test_what_a_surrounding_job_sets_too_is_said_outside_of_a_job(name: str) -> None:
    environment = {**OWN, name: "0"}
    assert submission_environment(environment) == OWN
    (said,) = notices(environment)
    assert said.startswith(f"{name}=0 is not passed on to sbatch: ")
    assert list(notices({**environment, "SLURM_JOB_ID": "7"})) == []


@pytest.mark.parametrize("name", USED)
def test_a_default_of_the_user_is_used_and_said(name: str) -> None:
    environment = {**OWN, name: "x"}
    assert submission_environment(environment) == environment
    assert chosen_options(environment).values == {USED[name]: "x"}
    (said,) = notices(environment)
    assert f"{name}=x (--{USED[name]})" in said


@pytest.mark.parametrize("name", ["SBATCH_CLUSTERS", "SLURM_CLUSTERS"])
def test_the_cluster_that_a_user_names_is_that_of_the_run_and_no_programs(name: str) -> None:
    environment = {**OWN, name: "fasse"}
    assert cluster_of_user(environment) == "fasse"
    assert submission_environment(environment) == OWN
    assert name not in query_environment(environment)
    (said,) = notices(environment)
    assert f"{name}=fasse (--clusters)" in said


def test_as_for_sbatch_its_own_variable_counts_before_that_of_all_programs() -> None:
    assert cluster_of_user({"SLURM_CLUSTERS": "cannon", "SBATCH_CLUSTERS": "fasse"}) == "fasse"
    assert cluster_of_user({"SLURM_CLUSTERS": ""}) == ""


def test_each_variable_has_one_rule_and_names_an_option_of_sbatch() -> None:
    assert not USED.keys() & DROPPED.keys()
    assert set(USED.values()) <= OPTIONS.keys()


def test_a_flag_is_set_by_an_empty_value_and_an_option_is_not() -> None:
    assert chosen_options({"SBATCH_REQUEUE": "", "SBATCH_PARTITION": ""}).values == {"requeue": ""}


def test_nothing_is_said_where_nothing_is_set() -> None:
    assert list(notices({**SITE, **OWN, **INSIDE})) == []
