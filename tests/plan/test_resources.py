"""What a rule's resources become, one row each; and every way to get them wrong."""

import pytest

from snakemake_executor_plugin_kempner.plan.resources import STEP_MEMORY_MB, sbatch_options
from snakemake_executor_plugin_kempner.plan.slurm_extra import OWNED_OPTIONS

ONE_CPU = ("--cpus-per-task=1",)

TABLE = {
    # CPUs
    "nothing": ({}, 1, "--cpus-per-task=1"),
    "threads": ({}, 8, "--cpus-per-task=8"),
    "no threads at all are one CPU": ({}, 0, "--cpus-per-task=1"),
    "cpus_per_task goes before threads": ({"cpus_per_task": 4}, 2, "--cpus-per-task=4"),
    "tasks for each GPU": ({"gpu": 2, "tasks_per_gpu": 1}, 1, "--ntasks-per-gpu=1 --gres=gpu:2 --cpus-per-task=1"),
    "cpus_per_gpu takes the place of cpus_per_task": ({"gpu": 2, "cpus_per_gpu": 6}, 8, "--cpus-per-gpu=6 --gres=gpu:2"),
    # where
    "partition": ({"slurm_partition": "kempner"}, 1, "--partition=kempner --cpus-per-task=1"),
    "partition as people write it": ({"partition": "gpu"}, 1, "--partition=gpu --cpus-per-task=1"),
    "several partitions": ({"slurm_partition": "gpu,shared"}, 1, "--partition=gpu,shared --cpus-per-task=1"),
    "the plugin's own name comes first": (
        {"partition": "shared", "slurm_partition": "kempner"},
        1,
        "--partition=kempner --cpus-per-task=1",
    ),
    "an empty name is not given": (
        {"slurm_partition": "", "partition": "shared"},
        1,
        "--partition=shared --cpus-per-task=1",
    ),
    "spaces around a name": ({"slurm_partition": " shared "}, 1, "--partition=shared --cpus-per-task=1"),
    "account": ({"slurm_account": "kempner_lab"}, 1, "--account=kempner_lab --cpus-per-task=1"),
    "account as people write it": ({"account": "kempner_lab"}, 1, "--account=kempner_lab --cpus-per-task=1"),
    "cluster": ({"clusters": "c1,c2"}, 1, "--clusters=c1,c2 --cpus-per-task=1"),
    "quality of service": ({"slurm_qos": "high"}, 1, "--qos=high --cpus-per-task=1"),
    "quality of service as people write it": ({"qos": "high"}, 1, "--qos=high --cpus-per-task=1"),
    "constraint": ({"constraint": "icelake&ib"}, 1, "--constraint=icelake&ib --cpus-per-task=1"),
    "constraint in brackets": ({"constraint": "[a100|h100]"}, 1, "--constraint=[a100|h100] --cpus-per-task=1"),
    "reservation": ({"reservation": "course"}, 1, "--reservation=course --cpus-per-task=1"),
    "list of nodes": ({"nodelist": "n[1-3]"}, 1, "--nodelist=n[1-3] --cpus-per-task=1"),
    "nodes to leave out": ({"exclude": "n7"}, 1, "--exclude=n7 --cpus-per-task=1"),
    # time
    "minutes": ({"runtime": 90}, 1, "--time=90 --cpus-per-task=1"),
    "minutes as text": ({"runtime": "90"}, 1, "--time=90 --cpus-per-task=1"),
    "hours, minutes, seconds": ({"runtime": "01:30:00"}, 1, "--time=01:30:00 --cpus-per-task=1"),
    "days and hours": ({"runtime": "2-12"}, 1, "--time=2-12 --cpus-per-task=1"),
    "days and a time": ({"runtime": "2-12:30:00"}, 1, "--time=2-12:30:00 --cpus-per-task=1"),
    "walltime": ({"walltime": 30}, 1, "--time=30 --cpus-per-task=1"),
    "runtime goes before walltime": ({"walltime": 30, "runtime": 60}, 1, "--time=60 --cpus-per-task=1"),
    # memory
    "memory": ({"mem_mb": 4000}, 1, "--cpus-per-task=1 --mem=4000M"),
    "memory of a node": ({"mem_mb": 0}, 1, "--cpus-per-task=1 --mem=0"),
    "memory per CPU": ({"mem_mb_per_cpu": 2000}, 4, "--cpus-per-task=4 --mem-per-cpu=2000M"),
    "memory per CPU goes before memory": (
        {"mem_mb": 4000, "mem_mb_per_cpu": 2000},
        1,
        "--cpus-per-task=1 --mem-per-cpu=2000M",
    ),
    # devices
    "a GPU": ({"gpu": 1}, 1, "--gres=gpu:1 --cpus-per-task=1"),
    "GPUs": ({"gpus": 4}, 1, "--gres=gpu:4 --cpus-per-task=1"),
    "no GPU": ({"gpu": 0}, 1, "--cpus-per-task=1"),
    "GPUs of a model": ({"gpu": 2, "gpu_model": "nvidia_h100_80gb_hbm3"}, 1, "--gres=gpu:nvidia_h100_80gb_hbm3:2 --cpus-per-task=1"),
    "model and number in one": ({"gpu": "a100:2"}, 1, "--gres=gpu:a100:2 --cpus-per-task=1"),
    "model and number in one go before the model": (
        {"gpu": "a100:2", "gpu_model": "h100"},
        1,
        "--gres=gpu:a100:2 --cpus-per-task=1",
    ),
    "gres": ({"gres": "gpu:a100:1,lscratch:10"}, 1, "--gres=gpu:a100:1,lscratch:10 --cpus-per-task=1"),
    "a model alone": ({"gpu_model": "a100"}, 1, "--gres=gpu:a100:1 --cpus-per-task=1"),
    "a model, but no GPU": ({"gpu_model": "a100", "gpu": 0}, 1, "--cpus-per-task=1"),
    "gres and a number that agree": ({"gres": "gpu:2", "gpu": 2}, 1, "--gres=gpu:2 --cpus-per-task=1"),
    "gres, a number and a model": ({"gres": "gpu:2", "gpu": 2, "gpu_model": "a100"}, 1, "--gres=gpu:a100:2 --cpus-per-task=1"),
    "gres with a model of its own": ({"gres": "gpu:h100:1", "gpu_model": "a100"}, 1, "--gres=gpu:h100:1 --cpus-per-task=1"),
    "gres without a number": ({"gres": "gpu", "gpu": 1}, 1, "--gres=gpu --cpus-per-task=1"),
    "another device, and GPUs": ({"gres": "lscratch:10", "gpu": 1}, 1, "--gres=lscratch:10,gpu:1 --cpus-per-task=1"),
    "gres of the other plugin": ({"slurm_gres": "gpu:1"}, 1, "--gres=gpu:1 --cpus-per-task=1"),
    # MPI
    "tasks": ({"tasks": 16}, 2, "--ntasks=16 --cpus-per-task=2"),
    "tasks on nodes": (
        {"nodes": 2, "tasks_per_node": 8},
        1,
        "--nodes=2 --ntasks-per-node=8 --cpus-per-task=1",
    ),
    # others
    "requeue": ({"requeue": 1}, 1, "--cpus-per-task=1 --requeue"),
    "no requeue": ({"requeue": 0}, 1, "--cpus-per-task=1"),
    "further options": (
        {"slurm_extra": "--mail-type=END --nice=100"},
        1,
        "--cpus-per-task=1 --mail-type=END --nice=100",
    ),
    "further options in a second pair of quotes": (
        {"slurm_extra": "'--mail-type=END --nice=100'"},
        1,
        "--cpus-per-task=1 --mail-type=END --nice=100",
    ),
    "no further options": ({"slurm_extra": ""}, 1, "--cpus-per-task=1"),
    "the workflow's own resources pass by": ({"load": 50, "licence": 1, "tmpdir": "/tmp", "disk_mb": 99}, 1, "--cpus-per-task=1"),
    "memory in another unit beside the one in MB": ({"mem_mb": 4000, "mem_mib": 3815}, 1, "--cpus-per-task=1 --mem=4000M"),
    "a whole training job": (
        {
            "slurm_partition": "kempner_h100", "slurm_account": "kempner_lab", "runtime": 2880, "mem_mb": 250_000,
            "gpu": 4, "nodes": 1,
        },
        16,
        "--partition=kempner_h100 --account=kempner_lab --time=2880 --nodes=1 --gres=gpu:4 --cpus-per-task=16 --mem=250000M",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLE)
def test_resources_become_exactly_these_options(what: str) -> None:
    resources, threads, expected = TABLE[what]
    options = sbatch_options("align", resources, threads)
    assert options.faults == ()
    assert sorted(options.sbatch.argv) == sorted(expected.split())


def test_an_option_with_a_space_stays_one_argument() -> None:
    options = sbatch_options("align", {"slurm_extra": "--mail-user='a person' -H"}, 1)
    assert options.sbatch.argv[-2:] == ("--mail-user=a person", "--hold")


# --- memory that the job's own Snakemake needs ----------------------------------------------------------------------

FLOORS = {
    "enough": ({"mem_mb": STEP_MEMORY_MB}, 1, f"--mem={STEP_MEMORY_MB}M", None),
    "too little": ({"mem_mb": 10}, 1, f"--mem={STEP_MEMORY_MB}M", 10),
    "enough over all CPUs": ({"mem_mb_per_cpu": 250}, 2, "--mem-per-cpu=250M", None),
    "too little over all CPUs": ({"mem_mb_per_cpu": 100}, 2, "--mem-per-cpu=250M", 200),
    "rounded up": ({"mem_mb_per_cpu": 100}, 3, "--mem-per-cpu=167M", 300),
    "over cpus_per_task rather than threads": (
        {"mem_mb_per_cpu": 100, "cpus_per_task": 5},
        1,
        "--mem-per-cpu=100M",
        None,
    ),
}


@pytest.mark.parametrize("what", FLOORS)
def test_memory_is_raised_to_what_snakemake_itself_needs(what: str) -> None:
    resources, threads, expected, raised = FLOORS[what]
    options = sbatch_options("align", resources, threads)
    assert expected in options.sbatch.argv
    assert options.raised_memory == raised


# --- faults ---------------------------------------------------------------------------------------------------------

FAULTS = {
    "partition with a space": ({"slurm_partition": "gpu h100"}, "slurm_partition='gpu h100' takes a name"),
    "partition with a quote": ({"slurm_partition": "gpu'"}, "takes a name without spaces or quotes"),
    "account with a newline": ({"slurm_account": "a\nb"}, "slurm_account='a\\nb' takes a name"),
    "a value of spaces": ({"constraint": "  "}, "constraint='  ' takes a name"),
    "runtime in words": ({"runtime": "long"}, "runtime='long' takes minutes, a text like '2h 30m'"),
    "runtime of nothing": ({"runtime": 0}, "runtime=0 takes minutes"),
    "runtime below nothing": ({"runtime": -5}, "runtime=-5 takes minutes"),
    "nodes of nothing": ({"nodes": 0}, "nodes=0 takes a whole number from 1"),
    "tasks in words": ({"tasks": "many"}, "tasks='many' takes a whole number from 1"),
    "a truth value": ({"nodes": True}, "nodes=True takes a whole number from 1"),
    "CPUs in words": ({"cpus_per_task": "all"}, "cpus_per_task='all' takes a whole number from 1"),
    "negative memory": ({"mem_mb": -1}, "mem_mb=-1 takes MB, or a text like '16 GB'"),
    "memory in words": ({"mem_mb": "plenty"}, "mem_mb='plenty' takes MB"),
    "memory per CPU of nothing": ({"mem_mb_per_cpu": 0}, "mem_mb_per_cpu=0 takes a whole number from 1"),
    "GPUs in words": ({"gpu": "some"}, "gpu='some' takes a number of GPUs, or model:number"),
    "negative GPUs": ({"gpu": -1}, "gpu=-1 takes a number of GPUs"),
    "GPUs asked for twice": (
        {"gpu": 2, "gres": "gpu:1"},
        "both gres='gpu:1' and gpu=2 ask for GPUs (let them agree, or keep one of them)",
    ),
    "a model with a space": ({"gpu": 1, "gpu_model": "a 100"}, "gpu_model='a 100' takes a name"),
    "an open quote": ({"slurm_extra": "--comment='a"}, "cannot be read: No closing quotation"),
    "an owned option": ({"slurm_extra": "--dependency=afterok:1"}, "slurm_extra sets --dependency, which the plugin sets itself (remove it there)"),
    "an owned option behind others": ({"slurm_extra": "--nice --job-name x"}, "slurm_extra sets --job-name"),
    "an owned short option": ({"slurm_extra": "-o log.txt"}, "slurm_extra sets --output"),
    "an owned short option with its value": ({"slurm_extra": "-Jname"}, "slurm_extra sets --job-name"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_a_wrong_value_is_a_fault_that_names_it(what: str) -> None:
    resources, expected = FAULTS[what]
    (fault,) = sbatch_options("align[sample=a]", resources, 1).faults
    assert str(fault).startswith("align[sample=a]: ")
    assert expected in str(fault)


def test_every_wrong_value_is_found_at_once() -> None:
    resources = {"slurm_partition": "a b", "runtime": "long", "mem_mb": -1, "gpu": "some", "slurm_extra": "-J x -o y"}
    assert len(sbatch_options("align", resources, 1).faults) == 6


@pytest.mark.parametrize("option", OWNED_OPTIONS)
def test_what_the_plugin_sets_cannot_be_set_by_slurm_extra(option: str) -> None:
    assert sbatch_options("align", {"slurm_extra": f"--{option}=x"}, 1).faults
