"""What rules declare, in the spellings that are found in the wild, by name: resources, threads."""

Declared = dict[str, int | str | bool]

GPU = {"runtime": 60, "mem_mb": 4000}

REQUESTS: dict[str, tuple[Declared, int]] = {
    # nothing, and the usual
    "nothing": ({}, 1),
    "threads": ({}, 8),
    "memory and time": ({"mem_mb": 16000, "runtime": 120}, 4),
    "memory as a text that Snakemake has read": ({"mem": 16000, "runtime": 120}, 1),
    "memory for each core": ({"mem_mb_per_cpu": 2000, "runtime": 30}, 4),
    "all memory of a node": ({"mem_mb": 0, "runtime": 30}, 1),
    "cpus_per_task": ({"cpus_per_task": 12, "runtime": 30}, 1),
    # time
    "minutes": ({"runtime": 90}, 1),
    "minutes as a text": ({"runtime": "90"}, 1),
    "days, hours": ({"runtime": "1-12:00:00"}, 1),
    "hours, minutes, seconds": ({"runtime": "04:00:00"}, 1),
    "days and hours": ({"runtime": "1-12"}, 1),
    "time": ({"time": "02:30:00"}, 1),
    "walltime": ({"walltime": 45}, 1),
    "runtime goes before time": ({"runtime": 20, "time": "02:30:00"}, 1),
    # where, without GPUs
    "slurm_partition": ({"slurm_partition": "shared", "runtime": 30}, 1),
    "partition": ({"partition": "test", "runtime": 30}, 1),
    "an account": ({"slurm_account": "doe_lab", "runtime": 30}, 1),
    "account": ({"account": "doe_lab", "runtime": 30}, 1),
    "several partitions for CPUs": ({"slurm_partition": "shared,test", "runtime": 30}, 1),
    "qos": ({"qos": "normal", "runtime": 30}, 1),
    "slurm_qos": ({"slurm_qos": "normal", "runtime": 30}, 1),
    "nodes to keep off": ({"exclude": "n8", "runtime": 30}, 1),
    "this cluster, by its name": ({"clusters": "sandbox", "runtime": 30}, 1),
    "one node": ({"nodelist": "n7", "runtime": 30}, 1),
    # GPUs by their model
    "an A100": ({"gpu": 1, "gpu_model": "a100", **GPU}, 8),
    "an H100": ({"gpu": 1, "gpu_model": "h100", **GPU}, 8),
    "an H200": ({"gpu": 1, "gpu_model": "h200", **GPU}, 8),
    "an RTX": ({"gpu": 1, "gpu_model": "rtx6000pro", **GPU}, 8),
    "four H100 with all that goes with them": ({"gpu": 4, "gpu_model": "h100", "runtime": 600}, 1),
    "gpu_type": ({"gpu": 2, "gpu_type": "h100", **GPU}, 8),
    "model and number in one": ({"gpu": "h200:2", **GPU}, 8),
    "gpus": ({"gpus": 1, "gpu_model": "a100", **GPU}, 8),
    "nvidia_gpu": ({"nvidia_gpu": 1, "gpu_model": "a100", **GPU}, 8),
    "no GPU after all": ({"gpu": 0, "runtime": 30}, 4),
    "one thread is a rule that says nothing": ({"gpu": 1, "gpu_model": "a100", "mem_mb": 8000, "runtime": 60}, 1),
    "one core is a wish": ({"gpu": 1, "gpu_model": "a100", "cpus_per_task": 1, "mem_mb": 8000, "runtime": 60}, 1),
    "memory that goes with the GPU": ({"gpu": 1, "gpu_model": "h200", "runtime": 60}, 4),
    # GPUs by their partition
    "partition and gpu": ({"slurm_partition": "kempner", "gpu": 1, **GPU}, 8),
    "partition, gpu and model": ({"slurm_partition": "kempner_h100", "gpu": 1, "gpu_model": "h100", **GPU}, 8),
    "partition, gpu and account": (
        {"slurm_partition": "kempner_h100", "slurm_account": "kempner_doe_lab", "gpu": 2, **GPU},
        16,
    ),
    "the whole of a node": ({"slurm_partition": "kempner_rtx", "gpu": 8, "runtime": 60}, 1),
    "gres": ({"slurm_partition": "kempner", "gres": "gpu:2", **GPU}, 8),
    "gres with a model": ({"slurm_partition": "kempner", "gres": "gpu:a100:2", **GPU}, 8),
    "gres and gpu that agree": ({"slurm_partition": "kempner", "gres": "gpu:2", "gpu": 2, **GPU}, 8),
    "gres, gpu and a model": ({"gres": "gpu:1", "gpu": 1, "gpu_model": "h100", **GPU}, 8),
    "a model alone": ({"gpu_model": "h200", **GPU}, 8),
    "slurm_gres": ({"slurm_partition": "kempner", "slurm_gres": "gpu:1", **GPU}, 8),
    "gres says the partition": ({"gres": "gpu:h100:1", **GPU}, 8),
    "a constraint says the partition": ({"gpu": 1, "constraint": "h200", **GPU}, 8),
    # slurm_extra
    "gres in slurm_extra": ({"slurm_partition": "kempner", "slurm_extra": "--gres=gpu:1", **GPU}, 8),
    "gres in slurm_extra, quoted twice": ({"slurm_partition": "kempner", "slurm_extra": "'--gres=gpu:1'", **GPU}, 8),
    "gres in slurm_extra, two words": ({"slurm_partition": "kempner", "slurm_extra": "--gres gpu:1", **GPU}, 8),
    "gpus in slurm_extra": ({"slurm_partition": "kempner_h100", "slurm_extra": "--gpus=1", **GPU}, 8),
    "gpus per node in slurm_extra": ({"slurm_partition": "kempner", "slurm_extra": "--gpus-per-node=2", **GPU}, 8),
    "counted by gpu, asked for in slurm_extra": (
        {"slurm_partition": "kempner", "gpu": 1, "slurm_extra": "--gpus=1", **GPU},
        8,
    ),
    "all of it in slurm_extra": (
        {"slurm_extra": "-p kempner -A kempner_doe_lab --gres=gpu:1 -t 30 --mem=8G", "cpus_per_task": 4},
        1,
    ),
    "mail": ({"slurm_extra": "--mail-type=END --mail-user=me@lab.edu", "runtime": 30}, 1),
    # the partition that takes jobs back
    "requeue, by model": ({"slurm_partition": "kempner_requeue", "gpu": 1, "gpu_model": "h100", **GPU}, 8),
    "requeue, by constraint": ({"slurm_partition": "kempner_requeue", "gpu": 1, "constraint": "a100", **GPU}, 8),
    "requeue, any model": ({"slurm_partition": "kempner_requeue", "gpu": 1, **GPU}, 8),
    "requeue, with a signal of its own": (
        {"slurm_partition": "kempner_requeue", "gpu": 1, "slurm_extra": "--signal=B:USR1@300", **GPU},
        8,
    ),
    "requeue, but not this": (
        {"slurm_partition": "kempner_requeue", "gpu": 1, "slurm_extra": "--no-requeue", **GPU},
        8,
    ),
    "requeue by wish": ({"slurm_partition": "kempner", "gpu": 1, "requeue": True, **GPU}, 8),
    # several nodes and tasks
    "two nodes with four GPUs each": (
        {"slurm_partition": "kempner_h100", "nodes": 2, "tasks_per_node": 4, "gpu": 4, "cpus_per_task": 8, **GPU},
        1,
    ),
    "tasks": ({"tasks": 8, "nodes": 2, "mpi": "srun", "runtime": 30}, 1),
    "tasks on each node": ({"nodes": 2, "ntasks_per_node": 4, "runtime": 30}, 1),
    "a task for each GPU": ({"slurm_partition": "kempner", "gpu": 2, "tasks_per_gpu": 1, **GPU}, 1),
    "cores for each GPU": ({"slurm_partition": "kempner", "gpu": 2, "cpus_per_gpu": 8, **GPU}, 1),
    # what does not reach Slurm
    "what the workflow counts for itself": ({"load": 50, "io": 1, "tmpdir": "/scratch", "runtime": 30}, 2),
    "default resources of Snakemake": (
        {"mem_mb": 1000, "mem_mib": 954, "disk_mb": 1000, "disk_mib": 954, "tmpdir": "/scratch", "runtime": 30},
        1,
    ),
}
