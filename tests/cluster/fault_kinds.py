"""The faults that `faults.py` puts on a run: a table, and what each of them does."""

import os
import random
import shlex
import shutil
import signal
import stat
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from comparison import run_snakemake
from head import HELPERS, OVER, PAUSE, Queued, arguments, cancel_all, queued

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxError, SandboxOptions
from snakemake_executor_plugin_kempner.sandbox.options import SandboxPartition

PROGRAMS = ("sbatch", "squeue", "scontrol", "sacct", "scancel", "sacctmgr", "sinfo")
UNREACHABLE = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
TIMED_OUT = "error: Batch job submission failed: Socket timed out on send/recv operation"
PATIENCE = 8
"""Seconds that the plugin waits for an answer, in place of two minutes, where programs hang."""
SIZE = "16m"
"""Of the file system that gets full."""


class Effect(Enum):
    """What a fault may change about the end of a run."""

    NOTHING = "nothing"
    REPEATS = "a job that it ended starts again"
    FAILS = "tasks that it ended have failed; the command, given again, ends the run"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run that a fault is put on."""

    slurm: Sandbox
    folder: Path
    chance: random.Random
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def beside(self) -> Path:
        """For files of the fault."""
        return self.folder.parent

    def wait(self, least: float, most: float) -> None:
        self.over.wait(self.chance.uniform(least, most))

    def a_job(self, *states: str) -> Queued | None:
        """A job of the run in such a state, task or helper."""
        found = [one for one in queued(self.slurm, self.folder, helpers=True) if one.state in states]
        return self.chance.choice(found) if found else None


Act = Callable[[Scene], None]
"""Puts a fault on and takes it off again; called again and again while the run lasts."""


def nothing(scene: Scene) -> None:
    scene.wait(1, 1)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault: a row of the table."""

    does: str
    acts: Act = nothing
    says: str = ""
    """Bash in place of Slurm's programs; knows `$real`, `$program`, and `$lot`, a number below 100."""
    python: str = ""
    """Python that heads, guards, continuations and closing jobs run first; light jobs do not."""
    times: int = 4
    """How often it acts at most, so that each run comes to its end."""
    effect: Effect = Effect.NOTHING
    modes: tuple[str, ...] = ("watched", "detached", "again")
    accounting: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    """Of the private Slurm, beside those of each."""
    mounted: str = ""
    """A folder of the run that is a small file system of its own; `.` for all of it."""
    variables: Mapping[str, str] = field(default_factory=dict)

    def slurm(self) -> SandboxOptions:
        nodes = tuple(Node(name=name, cpus=8, memory_mb=32_000) for name in ("n1", "n2"))
        return SandboxOptions(**{"nodes": nodes, "min_job_age": 900, **self.options})  # type: ignore[arg-type]


# --- daemons --------------------------------------------------------------------------------------------------------


def controller_killed(scene: Scene) -> None:
    scene.slurm.stop_controller(hard=True)
    scene.wait(0, 6)
    scene.slurm.start_controller()


def controller_restarted(scene: Scene) -> None:
    scene.slurm.stop_controller()
    scene.slurm.start_controller()


def controller_stopped(scene: Scene) -> None:
    scene.slurm.pause_controller()
    scene.wait(2, 15)
    scene.slurm.resume_controller()


def accounting_down(scene: Scene) -> None:
    scene.slurm.stop_accounting()
    scene.wait(2, 10)
    scene.slurm.start_accounting()


def node_dies(scene: Scene) -> None:
    node = scene.chance.choice(("n1", "n2"))
    scene.slurm.stop_node(node)
    try:
        scene.slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=fault")
        scene.wait(0, 3)
        scene.slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    finally:
        scene.slurm.start_node(node)
    start_what_was_put_back(scene.slurm, scene.folder)


def start_what_was_put_back(slurm: Sandbox, folder: Path, of_rule: str = "") -> bool:
    """Slurm keeps a job that it puts back for two minutes.

    Args:
        slurm: where it waits.
        folder: of the workflow.
        of_rule: the only ones to start; by default all but closing jobs, which wait like that while a head lives.

    Returns:
        Whether there was one.
    """
    time.sleep(2.5)  # a start within the second of the first end is refused by slurmd
    waiting = [
        job
        for job in queued(slurm, folder, helpers=True)
        if job.state == "PENDING" and job.reason == "BeginTime"
        if (job.rule == of_rule if of_rule else job.rule != "closing")
    ]
    for job in waiting:
        slurm.run("scontrol", "update", f"JobId={job.job_id}", "StartTime=now")
    return bool(waiting)


def preempted(scene: Scene) -> None:
    """A job of a partition with precedence takes both nodes for a second."""
    words = ("sbatch", "--parsable", "-p", "first", "-N2", "--exclusive", "-o", "/dev/null", "-D", "/tmp")
    job = scene.slurm.run(*words, stdin="#!/bin/bash\nsleep 1\n").strip()
    scene.wait(3, 5)
    scene.slurm.run("scancel", job)
    start_what_was_put_back(scene.slurm, scene.folder)


# --- jobs -----------------------------------------------------------------------------------------------------------


def cancelled(scene: Scene) -> None:
    if job := scene.a_job("PENDING", "RUNNING"):
        scene.slurm.run("scancel", job.job_id)


def held(scene: Scene) -> None:
    if job := scene.a_job("PENDING"):
        scene.slurm.run("scontrol", "hold", job.job_id)
        scene.wait(1, 8)
        scene.slurm.run("scontrol", "release", job.job_id)


def released(scene: Scene) -> None:
    """Where ids are given again, slurmd refuses a job as the one that it has had; Slurm holds it then."""
    for job in queued(scene.slurm, scene.folder):
        if job.state == "PENDING" and job.reason == "launch failed requeued held":
            scene.slurm.run("scontrol", "release", job.job_id)


def requeued(scene: Scene) -> None:
    if job := scene.a_job("RUNNING"):
        scene.slurm.run("scontrol", "requeue", job.job_id)
        start_what_was_put_back(scene.slurm, scene.folder)


def updated(scene: Scene) -> None:
    if job := scene.a_job("PENDING"):
        change = scene.chance.choice(("Nice=100", "TimeLimit=30", "Priority=7", "StartTime=now+4"))
        scene.slurm.run("scontrol", "update", f"JobId={job.job_id}", change)


def priority_changed_of_arrays(scene: Scene) -> None:
    """Slurm splits an element whose own record is changed from the array."""
    elements = [one for one in queued(scene.slurm, scene.folder) if "_" in one.job_id and one.state == "PENDING"]
    for job in scene.chance.sample(elements, min(2, len(elements))):
        scene.slurm.run("scontrol", "update", f"JobId={job.job_id}", "Nice=50")


def helper_cancelled(scene: Scene) -> None:
    """A gate, guard, continuation or closing job."""
    helpers = [
        one
        for one in queued(scene.slurm, scene.folder, helpers=True)
        if one.rule in HELPERS and one.state not in OVER
    ]  # fmt: skip
    if helpers:
        scene.slurm.run("scancel", scene.chance.choice(helpers).job_id)


# --- heads and folders ----------------------------------------------------------------------------------------------


def heads(folder: Path) -> Iterator[int]:
    """Processes that look like a head of this folder, and not like a job."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and process.joinpath("cwd").resolve() == folder:
                words = process.joinpath("cmdline").read_bytes().split(b"\0")
                if b"kempner" in words and b"SLURM_JOB_ID=" not in process.joinpath("environ").read_bytes():
                    yield int(process.name)
        except OSError:  # it has ended
            continue


def head_stopped(scene: Scene) -> None:
    stopped = list(heads(scene.folder))
    try:
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        scene.wait(2, 25)
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):  # killed meanwhile
                os.kill(process, signal.SIGCONT)


def copied(scene: Scene) -> None:
    """The command is given in a copy of the folder while the run lasts."""
    copy = scene.beside / f"copy-{time.monotonic_ns()}"
    subprocess.run(["cp", "-r", scene.folder, copy], check=False, capture_output=True)
    environment = scene.slurm.environment
    run_snakemake(copy, arguments("--unlock"), environment)
    run_snakemake(copy, arguments("--rerun-incomplete"), environment)
    cancel_all(scene.slurm, copy)
    shutil.rmtree(copy, ignore_errors=True)


def filled(scene: Scene) -> None:
    """No byte is left on the file system of the folder."""
    place = scene.folder / ".snakemake" if (scene.folder / ".snakemake").is_mount() else scene.folder
    ballast = place / ".ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 65_536):
                pass
    except OSError:
        scene.wait(1, 5)
    finally:
        ballast.unlink(missing_ok=True)


def read_only(scene: Scene) -> None:
    place = scene.folder / ".snakemake" if (scene.folder / ".snakemake").is_mount() else scene.folder
    for _ in range(200):  # refused while a file is open for writing
        if subprocess.run(["mount", "-o", "remount,ro,bind", place], check=False, capture_output=True).returncode == 0:
            break
        scene.over.wait(0.02)
    scene.wait(1, 5)
    subprocess.run(["mount", "-o", "remount,rw,bind", place], check=True, capture_output=True)


@contextmanager
def mounted(fault: Fault, folder: Path) -> Iterator[None]:
    """The small file system that a fault asks for."""
    place = folder / fault.mounted
    if not fault.mounted:
        yield
        return
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "kempner-fault", place], check=True)
    try:
        yield
    finally:
        left = folder.parent / "left"
        shutil.copytree(folder, left, symlinks=True, dirs_exist_ok=True)
        subprocess.run(["umount", "--lazy", place], check=True)


# --- Slurm's programs, and Python -----------------------------------------------------------------------------------------------


SHORTER = f"""
import subprocess
run = subprocess.run
shorter = lambda timeout: {PATIENCE} if timeout in (120, 150) else timeout
subprocess.run = lambda *words, timeout=None, **more: run(*words, timeout=shorter(timeout), **more)
"""
LATE = """
import builtins, io, os, time
LAG = 8
kinds = {"ended", "succeeded", "short_lived", "stopped", "kept_off"}
listdir, stat, opened = os.listdir, os.stat, builtins.open

def unseen(path):
    parts = os.fspath(path).split("/") if isinstance(path, (str, os.PathLike)) else []
    if len(parts) < 2 or not kinds & set(parts[-3:-1]):
        return False
    try:
        return time.time() - stat(path).st_mtime < LAG
    except OSError:
        return False

def late_stat(path, *words, **more):
    if unseen(path):
        raise FileNotFoundError(2, "not yet", path)
    return stat(path, *words, **more)

def late_listdir(path="."):
    return [name for name in listdir(path) if not unseen(os.path.join(os.fspath(path), name))]

def late_open(path, mode="r", *words, **more):
    if mode[0] == "r" and unseen(path):
        raise FileNotFoundError(2, "not yet", path)
    return opened(path, mode, *words, **more)

os.listdir, os.stat, builtins.open, io.open = late_listdir, late_stat, late_open, late_open
"""
WRONG_CLOCK = """
import os, random, time
now, wrong = time.time, random.Random(os.getpid()).uniform(-600, 600)
time.time = lambda: now() + wrong
"""


def wrappers(fault: Fault, scene: Scene) -> Mapping[str, str]:
    """Variables of the head, and so of its jobs, with which Slurm's programs and Python do what the fault says."""
    if not (fault.says or fault.python):
        return {}
    here = scene.beside / "programs"
    here.mkdir()
    path = scene.slurm.environment["PATH"]
    for program in PROGRAMS if fault.says else ():
        real = shutil.which(program, path=path)
        if real is None:
            continue
        script = here / program
        script.write_text(
            f"#!/bin/bash\nprogram={program} real={shlex.quote(real)} here={shlex.quote(str(here))}\n"
            f'echo "$program $*" >>"$here/calls"\n'
            f'RANDOM=$(( {scene.chance.randint(0, 9999)} + $(wc -l <"$here/calls") )); lot=$(( RANDOM % 100 ))\n'
            f'{textwrap.dedent(fault.says)}\nexec $real "$@"\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (here / "sitecustomize.py").write_text(textwrap.dedent(fault.python) or SHORTER)
    return {"PATH": f"{here}:{path}", "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")}


# --- the table ------------------------------------------------------------------------------------------------------

ONLY_HEADS = ("watched", "again")
PARTITIONS = (
    SandboxPartition(name="usual", nodes=("n1", "n2"), priority_tier=1, preemptible=True, default=True),
    SandboxPartition(name="first", nodes=("n1", "n2"), priority_tier=9),
)
FAULTS: Mapping[str, Fault] = {
    "none": Fault(does="No fault; heads are killed, and replaced.", modes=("watched", "detached", "killed", "again")),
    "controller-killed": Fault(
        does="slurmctld is killed and comes back seconds later, without what it has not saved: jobs are gone, ids are given again.",
        acts=controller_killed,
        effect=Effect.FAILS,
    ),
    "controller-restarted": Fault(does="slurmctld is restarted.", acts=controller_restarted, times=8),
    "controller-stopped": Fault(does="slurmctld does not answer for up to 15 s.", acts=controller_stopped),
    "accounting-down": Fault(does="slurmdbd is down for up to 10 s.", acts=accounting_down, accounting=True),
    "node-requeues": Fault(
        does="A node dies with its jobs and comes back; Slurm puts them back into the queue.",
        acts=node_dies, times=2, effect=Effect.REPEATS,
    ),
    "node-fails": Fault(
        does="A node dies with its jobs and comes back; Slurm does not put them back (`JobRequeue=0`).",
        acts=node_dies, times=2, effect=Effect.FAILS, options={"slurm_conf": ("JobRequeue=0",)},
    ),
    "preempted": Fault(
        does="A job with precedence takes all nodes, again and again.",
        acts=preempted, effect=Effect.REPEATS, options={"partitions": PARTITIONS},
    ),
    "programs-hang": Fault(does="Each program hangs, 1 call in 12.", says="[ $lot -lt 8 ] && exec sleep 600"),
    "programs-late": Fault(does="Each program answers up to 4 s late.", says="sleep $(( lot / 25 ))"),
    "answers-garbage": Fault(
        does="Each program but sbatch answers with random bytes, 1 call in 5.",
        says='[ $lot -lt 20 ] && [ $program != sbatch ] && { "$real" "$@" >/dev/null; head -c 300 /dev/urandom; exit 0; }',
    ),
    "answers-nothing": Fault(
        does="Each program but sbatch answers with nothing and success, 1 call in 5.",
        says='[ $lot -lt 20 ] && [ $program != sbatch ] && { "$real" "$@" >/dev/null 2>&1; exit 0; }',
    ),
    "answers-cut": Fault(
        does="The answers of each program but sbatch are cut off somewhere, 1 call in 5.",
        says='[ $lot -lt 20 ] && [ $program != sbatch ] && { "$real" "$@" | head -c $(( RANDOM % 400 )); exit 0; }',
    ),
    "noise-on-stderr": Fault(
        does="Each program warns on stderr, beside its answer.",
        says='echo "$program: warning: Unable to contact the weather service, try again" >&2',
    ),
    "timed-out-but-taken": Fault(
        does="sbatch says that it timed out after the job was accepted, 1 call in 4.",
        says=f'[ $lot -lt 25 ] && [ $program = sbatch ] && {{ "$real" "$@" >/dev/null; echo "sbatch: {TIMED_OUT}" >&2; exit 1; }}',
    ),
    "killed-but-taken": Fault(
        does="sbatch is killed, or ends without an answer, after the job was accepted, 1 call in 4.",
        says='[ $lot -lt 25 ] && [ $program = sbatch ] && { "$real" "$@" >/dev/null; [ $lot -lt 12 ] && exit 0; kill -9 $$; }',
    ),
    "programs-fail": Fault(
        does="Each program cannot reach the controller, 3 calls in 10.",
        says=f'[ $lot -lt 30 ] && {{ echo "$program: error: {UNREACHABLE}" >&2; exit 1; }}',
    ),
    "records-late": Fault(
        does="What jobs write into the run's folder is seen 8 s later, as on a file system that keeps answers for a while.",
        python=LATE, modes=("watched", "detached", "killed", "again"),
    ),
    "wrong-clocks": Fault(
        does="The clock of each head and of each helper job is wrong, by up to ten minutes, in both directions.",
        python=WRONG_CLOCK, modes=("watched", "detached", "killed", "again"),
    ),
    "records-full": Fault(
        does="The file system of `.snakemake` (records, ledger, logs) is full for seconds.",
        acts=filled, mounted=".snakemake", effect=Effect.FAILS,
    ),
    "disk-full": Fault(
        does="The file system of the folder is full for seconds.", acts=filled, mounted=".", effect=Effect.FAILS
    ),
    "records-read-only": Fault(
        does="The file system of `.snakemake` is read-only for seconds.",
        acts=read_only, mounted=".snakemake", effect=Effect.FAILS,
    ),
    "disk-read-only": Fault(
        does="The file system of the folder is read-only for seconds.",
        acts=read_only, mounted=".", effect=Effect.FAILS,
    ),
    "cancelled": Fault(does="A job of the run is cancelled, task or helper.", acts=cancelled, times=2, effect=Effect.FAILS),
    "helper-cancelled": Fault(
        does="A gate, guard, continuation or closing job is cancelled.",
        acts=helper_cancelled, times=2, effect=Effect.FAILS,
    ),
    "held": Fault(does="A waiting job is held, and released seconds later.", acts=held, times=8),
    "requeued": Fault(does="A running job is put back into the queue.", acts=requeued, times=3, effect=Effect.REPEATS),
    "updated": Fault(does="Priority, limit or start of a waiting job is changed.", acts=updated, times=12),
    "elements-changed": Fault(does="Waiting elements of arrays are changed.", acts=priority_changed_of_arrays, times=12),
    "forgotten": Fault(
        does="Slurm forgets jobs 2 s after their end; there is no accounting.",
        options={"min_job_age": 2}, modes=("watched", "detached", "killed", "again"),
    ),
    "forgotten-accounted": Fault(
        does="Slurm forgets jobs 2 s after their end; accounting knows them.",
        options={"min_job_age": 2}, accounting=True, modes=("watched", "detached", "killed", "again"),
    ),
    "heads-stopped": Fault(does="The head is stopped (SIGSTOP) for up to 25 s.", acts=head_stopped, modes=ONLY_HEADS),
    "copied": Fault(does="The folder is copied while the run lasts, and the command given there.", acts=copied, times=2),
}  # fmt: skip

RELEASES = Fault(
    does="No fault: what Slurm holds since it could not be launched is released.", acts=released, times=1000
)


@contextmanager
def put_on(fault: Fault, scene: Scene) -> Iterator[list[str]]:
    """The fault acts in a thread while the run lasts; what it could not do is told."""
    said: list[str] = []

    def acts() -> None:
        for _ in range(fault.times):
            scene.wait(0.5, 7)
            if scene.over.is_set():
                return
            try:
                fault.acts(scene)
            except SandboxError as error:  # the job has ended meanwhile
                said.append(str(error))

    thread = threading.Thread(target=acts)
    thread.start()
    try:
        yield said
    finally:
        scene.over.set()
        thread.join()
        time.sleep(PAUSE)
