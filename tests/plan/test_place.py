"""Where gates, the guard and the closing job run: never with a GPU, and where such jobs are taken."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_task
from kempner_site import SITE

from snakemake_executor_plugin_kempner.plan.model import Kind, Plan
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.site.model import NodeShape, Partition, Site

GPU = {"gpu": 1, "slurm_partition": "kempner", "slurm_account": "kempner_doe_lab", "runtime": 60}


def partition(
    name: str, *, gpus: int = 0, only_gpu: bool = False, default: bool = False, minutes: int = 600
) -> Partition:
    shape = NodeShape(cores=8, memory_mb=64_000, gpus=gpus, gpu="a100" if gpus else "")
    return Partition(name=name, nodes=(shape,), only_gpu=only_gpu, is_default=default, minutes=minutes)


def site(*partitions: Partition) -> Site:
    return Site(partitions={one.name: one for one in partitions}, is_complete=True)


def helpers(plan: Plan) -> set[tuple[str, ...]]:
    """What of the options of jobs of ours says where they run."""
    options = (one.options for one in plan.submissions if one.kind is not Kind.TASK)
    names = ("partition", "account", "gres", "gpus", "constraint")
    return {of_job.only(*names).argv for of_job in options}


def trainings(resources: Mapping[str, int | str]) -> tuple[Task, ...]:
    return tuple(a_task("train", attempts=2, wildcards={"n": str(n)}, resources=resources) for n in range(2))


ALL_GPUS = site(partition("gpu", gpus=4, only_gpu=True, default=True), partition("cpu"))
MIXED = site(partition("gpu", gpus=4, default=True))


@pytest.mark.parametrize(
    ("at", "resources", "place"),
    [
        (None, {"gpu": 1, "slurm_partition": "gpu", "constraint": "a100"}, ("--partition=gpu",)),
        (None, {"slurm_partition": "gpu", "slurm_extra": "--gpus=2"}, ("--partition=gpu",)),
        (SITE, GPU, ()),
        (ALL_GPUS, {"gpu": 1, "slurm_partition": "gpu"}, ("--partition=cpu",)),
        (MIXED, {"gpu": 1, "slurm_partition": "gpu"}, ()),
        (
            site(partition("gpu", gpus=4), partition("short", default=True, minutes=10)),
            {"gpu": 1, "slurm_partition": "gpu", "runtime": 60},
            ("--partition=gpu",),
        ),
        (
            site(partition("gpu", gpus=4, only_gpu=True), partition("cpu")),
            {"gpu": 1, "slurm_partition": "gpu", "runtime": 60},
            ("--partition=cpu",),
        ),
        (
            site(partition("gpu", gpus=4, only_gpu=True)),
            {"gpu": 1, "slurm_partition": "gpu", "runtime": 60},
            (),
        ),
    ],
    ids=[
        "nothing is known", "GPUs by an option", "Kempner", "the default wants GPUs", "GPUs and others",
        "the default is too short", "no default", "nowhere else",
    ],
)  # fmt: skip
def test_where_all_tasks_have_a_gpu_jobs_of_ours_have_none(
    at: Site | None, resources: Mapping[str, int | str], place: tuple[str, ...]
) -> None:
    plan = a_plan(*trainings(resources), policy=replace(POLICY, site=at, detached=True))
    assert helpers(plan) == {place}
    said = [one for one in plan.notices if "look after the run" in one]
    assert len(said) == (at is not None)


def test_jobs_of_ours_run_beside_a_task_without_a_gpu() -> None:
    plan = a_plan(*trainings(GPU), a_task("plot", resources={"slurm_partition": "shared"}), policy=POLICY)
    assert helpers(plan) == {("--partition=shared",)}
    assert not [one for one in plan.notices if "look after the run" in one]


def test_a_run_without_jobs_of_ours_says_nothing_of_them() -> None:
    plan = a_plan(a_task("train", resources=GPU), policy=replace(POLICY, site=SITE, keep_going=True))
    assert not helpers(plan)
    assert not [one for one in plan.notices if "look after the run" in one]
