"""Environments in which Slurm's programs are called; which variables that sbatch reads are kept or dropped. Pure."""

from collections.abc import Iterator, Mapping

from ..options import Options

_SITE = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
"""Variables of a site or user with which programs find their Slurm."""
_CLUSTERS = ("SBATCH_CLUSTERS", "SLURM_CLUSTERS")
"""Variables that name the cluster of a run. No program gets them: sacct would not read them, and jobs ask where they run."""
_OF_USER = frozenset({"SLURM_TIME_FORMAT"})
"""Variables that jobs keep from their user; our own queries run without them."""
_DEVICES = frozenset({"CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"})
"""Variables that Slurm sets in a job for its allocated devices (man gres.conf)."""
_OF_JOB = ("SLURM_", "SLURMD_")
"""Prefixes of variables that Slurm sets inside a job. They must not become options of jobs submitted from inside it
(SLURM_CPUS_PER_TASK, SLURM_MEM_PER_NODE, SLURM_TRES_PER_TASK, …)."""
_OF_PROGRAMS = (
    "SACCT_", "SACCTMGR_", "SALLOC_", "SBATCH_", "SCANCEL_", "SCONTROL_", "SDIAG_", "SINFO_", "SLURMD_", "SLURM_", "SPRIO_",
    "SQUEUE_", "SREPORT_", "SRUN_", "SSHARE_", "SSTAT_",
)  # fmt: skip
"""Prefixes of variables that change which jobs Slurm's programs show, or how they print them."""

# --- what sbatch reads: sbatch(1), INPUT ENVIRONMENT VARIABLES, of 22.05 and 24.11 ------------------------------------

USED = {
    "SBATCH_ACCOUNT": "account", "SBATCH_ACCTG_FREQ": "acctg-freq", "SBATCH_BATCH": "batch", "SBATCH_BURST_BUFFER": "bb",
    "SBATCH_CLUSTER_CONSTRAINT": "cluster-constraint", "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CONTAINER": "container", "SBATCH_CONTAINER_ID": "container-id", "SBATCH_CORE_SPEC": "core-spec",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu", "SBATCH_CPU_FREQ_REQ": "cpu-freq", "SBATCH_DELAY_BOOT": "delay-boot",
    "SBATCH_DISTRIBUTION": "distribution", "SBATCH_EXCLUSIVE": "exclusive", "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node", "SBATCH_GPUS_PER_SOCKET": "gpus-per-socket",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task", "SBATCH_GPU_BIND": "gpu-bind", "SBATCH_GPU_FREQ": "gpu-freq",
    "SBATCH_GRES": "gres", "SBATCH_GRES_FLAGS": "gres-flags", "SBATCH_HINT": "hint", "SBATCH_MEM_BIND": "mem-bind",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu", "SBATCH_MEM_PER_GPU": "mem-per-gpu", "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_NETWORK": "network", "SBATCH_NO_KILL": "no-kill", "SBATCH_NO_REQUEUE": "no-requeue",
    "SBATCH_OVERCOMMIT": "overcommit", "SBATCH_PARTITION": "partition", "SBATCH_POWER": "power",
    "SBATCH_PROFILE": "profile", "SBATCH_QOS": "qos", "SBATCH_REQUEUE": "requeue", "SBATCH_REQ_SWITCH": "switches",
    "SBATCH_RESERVATION": "reservation", "SBATCH_SEGMENT_SIZE": "segment", "SBATCH_SIGNAL": "signal",
    "SBATCH_SPREAD_JOB": "spread-job", "SBATCH_THREADS_PER_CORE": "threads-per-core", "SBATCH_THREAD_SPEC": "thread-spec",
    "SBATCH_TIMELIMIT": "time", "SBATCH_TRES_BIND": "tres-bind", "SBATCH_TRES_PER_TASK": "tres-per-task",
    "SBATCH_USE_MIN_NODES": "use-min-nodes", "SBATCH_WAIT4SWITCH": "switches", "SBATCH_WAIT_ALL_NODES": "wait-all-nodes",
    "SBATCH_WCKEY": "wckey",
}  # fmt: skip
"""A user's defaults for placement and resources, each with its option; a job's own option takes precedence."""

_SET_BY_PLUGIN = "the plugin sets it for each job"
DROPPED = {
    "SBATCH_ARRAY_INX": "it makes an array of every job",
    "SBATCH_DEBUG": "it mixes messages into the answers of sbatch",
    "SBATCH_ERROR": "the log of a job holds its errors too",
    "SBATCH_EXPORT": _SET_BY_PLUGIN,
    "SBATCH_GET_USER_ENV": "jobs run in the environment of this command",
    "SBATCH_IGNORE_PBS": "the plugin writes the scripts",
    "SBATCH_INPUT": "a job reads its task from its script",
    "SBATCH_JOB_NAME": _SET_BY_PLUGIN,
    "SBATCH_OPEN_MODE": _SET_BY_PLUGIN,
    "SBATCH_OUTPUT": _SET_BY_PLUGIN,
    "SBATCH_WAIT": "with it sbatch does not return before the job has ended",
}
"""Variables that would break a run, and why. Other SBATCH_ variables that are not in `USED` are dropped too."""

_DROPPED_OUTSIDE = {
    "SLURM_DEBUG_FLAGS": "it mixes messages into the answers of sbatch",
    "SLURM_EXIT_ERROR": "the exit code of sbatch says whether a job was taken",
    "SLURM_HINT": "a surrounding job sets it too; take SBATCH_HINT",
    "SLURM_UMASK": "a surrounding job sets it too; the umask of this process counts",
}
"""Further variables that sbatch reads. Inside a job, Slurm has set them; outside, the user has, and gets a message."""

_FLAGS = frozenset({"SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"})


def query_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for queries, so that Slurm's answers do not depend on the user's settings."""
    kept = {name: value for name, value in environment.items() if name in _SITE or not name.startswith(_OF_PROGRAMS)}
    # Slurm prints all elements of an array that share a record, not only as many as fit into 64 characters.
    return {**kept, "SLURM_BITSTR_LEN": "0"}


def cluster_of_user(environment: Mapping[str, str]) -> str:
    """The cluster that a user's environment names; empty for that of this machine."""
    return next(filter(None, (environment.get(name, "") for name in _CLUSTERS)), "")


def submission_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """For sbatch and the jobs, which inherit it: without variables of a surrounding job or that would break a run."""
    of_job = _DEVICES if "SLURM_JOB_ID" in environment else frozenset()
    kept = _SITE | _OF_USER
    return {
        name: value
        for name, value in environment.items()
        if name in kept or not (name in of_job or name.startswith(_OF_JOB) or name in _CLUSTERS or _is_dropped(name))
    }


def chosen_options(environment: Mapping[str, str]) -> Options:
    """Options of sbatch that its environment sets."""
    return Options(
        {
            option: value
            for name, option in USED.items()
            if (value := environment.get(name)) is not None and (value or name in _FLAGS)
        }
    )


def notices(environment: Mapping[str, str]) -> Iterator[str]:
    """Messages to the user about variables that sbatch would read."""
    known = {**USED, **dict.fromkeys(_CLUSTERS, "clusters")}
    used = [f"{name}={environment[name]} (--{option})" for name, option in known.items() if name in environment]
    if used:
        yield f"From your environment, for each job that does not say otherwise: {', '.join(used)}."
    for name in sorted(filter(_is_dropped, environment)):
        why = DROPPED.get(name, "the plugin does not know what it does")
        yield f"{name}={environment[name]} is not passed on to sbatch: {why}."
    for name, why in _DROPPED_OUTSIDE.items():
        if name in environment and "SLURM_JOB_ID" not in environment:
            yield f"{name}={environment[name]} is not passed on to sbatch: {why}."


def _is_dropped(name: str) -> bool:
    return name.startswith("SBATCH_") and name not in USED and name not in _CLUSTERS
