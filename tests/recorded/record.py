"""Records what the real Slurm of this machine prints: `python tests/recorded/record.py`, about five minutes.

It starts a private Slurm with accounting, brings jobs into every state that can be had, and writes the output of the
commands that the package calls, with the package's own options, into a folder named after the version of Slurm. Nothing
in there is typed by hand; `jobs.json` says which job id is in which state.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from getpass import getuser
from pathlib import Path

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxOptions
from snakemake_executor_plugin_kempner.sandbox.options import SandboxPartition
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.slurm.consumption import CONSUMPTION_FORMAT
from snakemake_executor_plugin_kempner.slurm.parse import SACCT_FORMAT, SQUEUE_FORMAT
from snakemake_executor_plugin_kempner.slurm.site_limits import SiteLimits

SQUEUE = ("squeue", "--me", "--noheader", "--states=all", f"--Format={SQUEUE_FORMAT}")
SACCT = ("sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--format={SACCT_FORMAT}")
CONSUMPTION = (
    "sacct", "--noheader", "--parsable2", "--duplicates", "--units=M", f"--format={CONSUMPTION_FORMAT}",
)  # fmt: skip
OPTIONS = SandboxOptions(
    nodes=tuple(Node(name=f"n{number}", cpus=16, memory_mb=8000) for number in range(1, 5)),
    slurmd_timeout=30,
    enforce_memory=True,
)
GREEDY = "python3 -c 'import time; x = bytearray(300 * 2**20); time.sleep(60)'"
BURNS = "python3 -c 'x = bytearray(80 * 2**20)\nwhile True: pass'"
MAIN = SandboxPartition(name="main", nodes=("n1", "n2"), default=True)
REFUSED = {
    "partition": ("--partition=no-such-partition",),
    "dependency": ("--dependency=afterok:align",),
    "too_much_memory": ("--mem=900T",),
    "unknown_gres": ("--gres=quantum:1",),
    "unknown_option": ("--no-such-option",),
    "bad_time": ("--time=soon",),
}
WITH_LIMITS = SandboxOptions(
    nodes=OPTIONS.nodes[:3],
    partitions=(
        SandboxPartition(name="main", nodes=("n1", "n2"), default=True),
        SandboxPartition(name="small", nodes=("n3",), extra="QOS=few"),
    ),
    max_array_size=501,
    max_job_count=60,
    accounts=("lab", "other_lab"),
    accounting_enforce="associations,limits,qos",
    sacctmgr=(
        "add qos few set maxsubmitjobsperuser=2",
        "add qos long set maxsubmitjobsperaccount=3 flags=OverPartQOS",
        f"modify user {getuser()} set qos=normal,long",
        f"modify user {getuser()} account=other_lab set defaultqos=long",
        "modify account lab set grpsubmitjobs=9",
        f"modify user {getuser()} account=lab set maxsubmitjobs=5",
    ),
)
SUBMIT_LIMITS = {
    "association": (f"user {getuser()} account=lab", "maxsubmitjobs=0", "maxsubmitjobs=-1"),
    "group": ("account lab", "grpsubmitjobs=0", "grpsubmitjobs=-1"),
    "qos_user": ("qos normal", "maxsubmitjobsperuser=0", "maxsubmitjobsperuser=-1"),
    "qos_account": ("qos normal", "maxsubmitjobsperaccount=0", "maxsubmitjobsperaccount=-1"),
    "qos_group": ("qos normal", "grpsubmitjobs=0", "grpsubmitjobs=-1"),
}
RECORDS = ("scontrol:", "PartitionName=", "ClusterName=", "QOS=")
ABOUT_LIMITS = ("MaxArraySize", "MaxJobCount", "SchedulerParameters", "AccountingStorageEnforce")


def main() -> None:
    record_limits()
    record_jobs()
    record_consumption()


def record_limits() -> None:
    """What the site allows, and how sbatch says that there is no room; most of the time goes by in sbatch's own patience."""
    with Sandbox.start(accounting=True, options=WITH_LIMITS) as slurm:
        folder = _folder(slurm)
        _sbatch(slurm, "true", "--hold", "--array=0-1")
        _sbatch(slurm, "true", "--hold", "--account=other_lab", "--qos=long")
        _sbatch(slurm, "true", "--hold", "--partition=small")
        told: dict[str, str] = {}

        def tell(program: str, questions: Sequence[str]) -> str:
            told[program] = SlurmCommands(slurm.environment).tell(program, questions)
            return told[program]

        SiteLimits(tell).limits()
        # Of the configuration only what is read: the rest speaks of this machine.
        lines = [one for one in told["scontrol"].splitlines() if one.startswith((*ABOUT_LIMITS, *RECORDS))]
        (folder / "limits_scontrol.txt").write_text("\n".join(lines) + "\n")
        (folder / "limits_sacctmgr.txt").write_text(told["sacctmgr"])
        (folder / "limits_user.txt").write_text(f"{getuser()}\n")
        (folder / "sbatch_no_room_cluster.txt").write_text(_refusal(slurm, ("--array=0-99",)))
        for name, (whose, limit, none) in SUBMIT_LIMITS.items():
            slurm.run("sacctmgr", "-i", "modify", *whose.split(), "set", limit)
            (folder / f"sbatch_no_room_{name}.txt").write_text(_refusal(slurm, ()))
            slurm.run("sacctmgr", "-i", "modify", *whose.split(), "set", none)
        slurm.run("sacctmgr", "-i", "modify", "qos", "normal", "set", "flags=DenyOnLimit", "maxtresperjob=cpu=1")
        (folder / "sbatch_refused_qos_cpus.txt").write_text(_refusal(slurm, ("--cpus-per-task=2",)))
        (folder / "sbatch_refused_array_size.txt").write_text(_refusal(slurm, ("--array=501",)))


def _folder(slurm: Sandbox) -> Path:
    folder = Path(__file__).parent / slurm.run("sbatch", "--version").split()[1]
    folder.mkdir(exist_ok=True)
    return folder


def record_jobs() -> None:
    """What the commands print about jobs in every state."""
    with Sandbox.start(accounting=True, options=OPTIONS) as slurm:
        folder = _folder(slurm)
        for name, options in REFUSED.items():
            (folder / f"sbatch_refused_{name}.txt").write_text(_refusal(slurm, options))
        jobs = _jobs(slurm)
        (folder / "jobs.json").write_text(json.dumps(jobs, indent=1) + "\n")
        (folder / "sbatch.txt").write_text(_sbatch(slurm, "true", raw=True))
        (folder / "squeue.txt").write_text(slurm.run(*SQUEUE))
        ids = ",".join(jobs.values())
        _until(lambda: "PENDING" not in slurm.run(*SACCT, f"--jobs={jobs['failed']},{jobs['node failed']}"))
        (folder / "sacct.txt").write_text(slurm.run(*SACCT, f"--jobs={ids}"))
        slurm.stop_controller()
        for name, argv in {"sbatch": ("sbatch", "--wrap=true"), "squeue": SQUEUE, "scancel": ("scancel", "1")}.items():
            (folder / f"{name}_without_controller.txt").write_text(_said(slurm, argv))
    with Sandbox.start() as slurm:
        (folder / "sacct_without_accounting.txt").write_text(_said(slurm, (*SACCT, "--jobs=1")))
    without = {"SLURM_CONF": "/no/such/file"}
    done = subprocess.run(SQUEUE, env={**slurm.environment, **without}, capture_output=True, text=True, check=False)
    (folder / "squeue_without_configuration.txt").write_text(done.stderr)


def _jobs(slurm: Sandbox) -> dict[str, str]:
    failed = _sbatch(slurm, "exit 3")
    never = _sbatch(slurm, "true", f"--dependency=afterok:{failed}")
    jobs = {
        "succeeded": _sbatch(slurm, "true"),
        "failed": failed,
        "killed": _sbatch(slurm, "kill -KILL $$"),
        "timed out": _sbatch(slurm, "sleep 300", "--time=1", "--nodelist=n3"),
        "node failed": _sbatch(slurm, "sleep 300", "--nodelist=n1", "--no-requeue"),
        "requeued": _sbatch(slurm, "sleep 300", "--nodelist=n2", "--requeue"),
        "cancelled while running": _sbatch(slurm, "sleep 300", "--nodelist=n3"),
        "cancelled while waiting": _sbatch(slurm, "true", "--hold"),
        "running": _sbatch(slurm, "sleep 300", "--nodelist=n2"),
        "held": _sbatch(slurm, "true", "--hold"),
        "begins later": _sbatch(slurm, "true", "--begin=now+1hour"),
        "never": never,
        "behind never": _sbatch(slurm, "true", f"--dependency=afterok:{never}"),
        "removed": _sbatch(slurm, "true", f"--dependency=afterok:{failed}", "--kill-on-invalid-dep=yes"),
        "array": _sbatch(slurm, "exit $SLURM_ARRAY_TASK_ID", "--array=0-1"),
        "no resources": _sbatch(slurm, "true", "--exclusive", "--nodes=4"),
        "over its memory": _sbatch(slurm, GREEDY, "--mem=50M", "--nodelist=n3"),
    }
    _until(lambda: all(_state(slurm, jobs[name]) == "RUNNING" for name in ("node failed", "requeued", "running")))
    slurm.run("scancel", jobs["cancelled while running"], jobs["cancelled while waiting"])
    slurm.run("scontrol", "requeue", jobs["requeued"])
    slurm.stop_node("n1")
    _until(lambda: _state(slurm, jobs["node failed"]) == "NODE_FAIL", patience=180)
    _until(lambda: _state(slurm, jobs["timed out"]) == "TIMEOUT", patience=180)
    return jobs


def record_consumption() -> None:
    """What accounting keeps of time, cores, memory and GPUs."""
    nodes = (Node(name="n1", cpus=8, memory_mb=8000, gpu="a100", gpus=2), Node(name="n2", cpus=8, memory_mb=8000))
    # At every second: what has ended before Slurm has looked once has no MaxRSS.
    options = SandboxOptions(nodes=nodes, enforce_memory=True, partitions=(MAIN,))
    with Sandbox.start(accounting=True, options=options) as slurm:
        jobs = {
            "burns": _sbatch(slurm, f"timeout 6 {BURNS}; true", "--cpus-per-task=2", "--mem=1000", "--time=10"),
            "burns until its limit": _sbatch(slurm, BURNS, "--mem=200", "--time=1"),
            "over its memory": _sbatch(slurm, GREEDY, "--mem=50M"),
            "array": _sbatch(slurm, "sleep $SLURM_ARRAY_TASK_ID", "--array=0-2", "--mem-per-cpu=100", "--ntasks=2"),
            "two nodes": _sbatch(slurm, "srun sleep 3", "--nodes=2", "--ntasks=4", "--mem=300"),
            "several sruns": _sbatch(slurm, "srun -n1 sleep 2\nsrun -n2 sleep 3", "--ntasks=2", "--mem=300"),
            "requeued": _sbatch(slurm, "sleep 4; exit 3", "--mem=100", "--requeue"),
            "with gpu": _sbatch(slurm, "sleep 2", "--mem=100", "--gres=gpu:a100:2"),
            "asks for nothing": _sbatch(slurm, "sleep 1", "--oversubscribe"),
            "cancelled while running": _sbatch(slurm, "sleep 300", "--mem=100"),
            "cancelled while waiting": _sbatch(slurm, "true", "--hold", "--mem=100"),
            "array that waits": _sbatch(slurm, "true", "--hold", "--array=0-2", "--mem=100"),
            "running": _sbatch(slurm, "sleep 300", "--mem=100"),
        }
        _until(lambda: all(_state(slurm, jobs[name]) == "RUNNING" for name in ("requeued", "cancelled while running")))
        time.sleep(2)
        slurm.run("scontrol", "requeue", jobs["requeued"])
        slurm.run("scancel", jobs["cancelled while running"], jobs["cancelled while waiting"])
        _until(lambda: _state(slurm, jobs["requeued"]) == "PENDING")
        time.sleep(2.1)  # a start within the second in which the first run has ended would fail
        slurm.run("scontrol", "update", f"JobId={jobs['requeued']}", "StartTime=now")
        _until(lambda: _state(slurm, jobs["burns until its limit"]) == "TIMEOUT", patience=180)
        _until(lambda: _state(slurm, jobs["requeued"]) == "FAILED", patience=180)
        time.sleep(3)
        folder = _folder(slurm)
        (folder / "consumption_jobs.json").write_text(json.dumps(jobs, indent=1) + "\n")
        ids = ",".join(jobs.values())
        (folder / "sacct_consumption.txt").write_text(slurm.run(*CONSUMPTION, f"--jobs={ids}"))


def _sbatch(slurm: Sandbox, script: str, *options: str, raw: bool = False) -> str:
    words = ("sbatch", "--parsable", "--chdir=/", "--output=/dev/null", *options)
    answer = slurm.run(*words, stdin=f"#!/bin/bash\n{script}\n")
    return answer if raw else answer.strip()


def _state(slurm: Sandbox, job: str) -> str:
    return slurm.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


def _refusal(slurm: Sandbox, options: tuple[str, ...]) -> str:
    return _said(slurm, ("sbatch", "--parsable", "--output=/dev/null", *options))


def _said(slurm: Sandbox, argv: tuple[str, ...]) -> str:
    script = "#!/bin/bash\ntrue\n"
    done = subprocess.run(
        argv, input=script, env=slurm.environment, capture_output=True, text=True, check=False, timeout=180
    )
    return done.stderr


def _until(is_so: Callable[[], bool], patience: float = 60) -> None:
    end = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.5)


if __name__ == "__main__":
    main()
