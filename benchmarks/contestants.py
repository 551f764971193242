"""Who takes part: each way to run one and the same work, and the command line that starts it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import environments
from head import Command

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxOptions

WORKFLOWS = Path(__file__).resolve().parent / "workflows"
PARTITION = "shared"
EAGER = 10
"""Seconds between the slurm plugin's looks, where it is not left at its default of 40."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to run a work."""

    title: str
    executor: str = ""
    """Of Snakemake; empty: no Snakemake, but a script with sbatch lines."""
    flags: Sequence[str] = ()
    script: str = ""
    """What stands behind the work's name in the name of the script."""

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(environments.slurm_plugin_python()) if self.executor == "slurm" else sys.executable


CONTESTANTS: Mapping[str, Contestant] = {
    "handwritten": Contestant(title="sbatch by hand"),
    "handwritten-array": Contestant(title="sbatch --array by hand", script="-array"),
    "kempner": Contestant(title="--executor kempner", executor="kempner"),
    "kempner-full": Contestant(
        title="--executor kempner --kempner-light-jobs no",
        executor="kempner",
        flags=["--kempner-light-jobs", "no"],
    ),
    "kempner-detach": Contestant(
        title="--executor kempner --kempner-detach", executor="kempner", flags=["--kempner-detach"]
    ),
    "slurm": Contestant(title="--executor slurm", executor="slurm"),
    "slurm-array": Contestant(
        title="--executor slurm --slurm-array-jobs all", executor="slurm", flags=["--slurm-array-jobs", "all"]
    ),
    "slurm-eager": Contestant(
        title=f"--executor slurm, polling every {EAGER} s",
        executor="slurm",
        flags=["--slurm-init-seconds-before-status-checks", str(EAGER)],
    ),
}
TITLES = {name: one.title for name, one in CONTESTANTS.items()}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A workflow that exists as a Snakefile and as a script with the same meaning, and its parameters."""

    name: str
    """Of the files in `workflows`, without their endings."""
    parameters: Mapping[str, int | float]
    tasks: int
    flags: Sequence[str] = ()
    """More of Snakemake's, for everybody who uses Snakemake."""


def command(name: str, work: Workload, folder: Path, sandbox: Sandbox) -> Command:
    """Return what runs the work in a new folder on this Slurm, all with the same account, partition, memory and time."""
    contestant = CONTESTANTS[name]
    account = SandboxOptions().accounts[0]
    words = [f"{key}={value}" for key, value in work.parameters.items()]
    folder.mkdir(parents=True)
    if contestant.executor:
        argv = [contestant.python, "-m", "snakemake", "--executor", contestant.executor]
        argv += ["--jobs", str(max(100, work.tasks)), *work.flags, *contestant.flags]
        argv += ["--snakefile", str(WORKFLOWS / f"{work.name}.smk"), "--config", *words]
        resources = ["mem_mb=500", "runtime=600", f"slurm_partition={PARTITION}", f"slurm_account={account}"]
        argv += ["--default-resources", *resources]
    else:
        script = WORKFLOWS / f"{work.name}{contestant.script}.sh"
        argv = ["bash", str(script), *words, f"partition={PARTITION}", f"account={account}"]
    environment = environments.environment(sandbox.environment, contestant.python)
    return Command(argv=argv, environment=environment, folder=folder)


@contextmanager
def private_slurm(names: Sequence[str], options: SandboxOptions, machine: dict[str, str]) -> Iterator[Sandbox]:
    """A Slurm of our own, with accounting, which the slurm plugin asks. Notes what machine this is.

    Snakemake is started once, so that nobody's first run pays for reading it from the disk.
    """
    with Sandbox.start(accounting=True, options=options) as sandbox:
        machine.update(environments.machine(sandbox.run("sinfo", "--version").split()[-1]))
        for python in {CONTESTANTS[name].python for name in names}:
            environments.warm_up(python, sandbox.environment)
        yield sandbox


def in_turn(names: Sequence[str], repeats: int) -> Iterator[tuple[int, str]]:
    """Each contestant once per repetition, each time another one first: the load of the machine changes with time."""
    for repetition in range(repeats):
        turn = repetition % len(names)
        for name in [*names[turn:], *names[:turn]]:
            yield repetition + 1, name
