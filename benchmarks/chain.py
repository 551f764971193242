"""How long a chain of jobs takes: queued by hand, by this plugin, and by the slurm executor plugin.

`python benchmarks/chain.py` starts a private Slurm, runs them in turn, and leaves tables, JSON and a chart in
`benchmarks/results`. See README.md beside this file.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import environments
import showing
from measuring import Attempt, BenchmarkError, Measurement, measure

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxError, SandboxOptions

HERE = Path(__file__).resolve().parent
PARTITION = "shared"
EAGER = 10
"""Seconds between the slurm plugin's looks, where it is not left at its default of 40; fewer make this chain slower."""
PATIENCE_PER_STEP = 180

TITLES = {
    "handwritten": "sbatch --dependency by hand",
    "kempner": "--executor kempner",
    "slurm": "--executor slurm",
    "slurm-eager": f"--executor slurm, polling every {EAGER} s",
}
SCHEDULING = {
    "default": "Slurm's default scheduling",
    "fast": "Scheduling without delays",
}


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The work: independent lanes, in each a row of steps."""

    lanes: int
    steps: int

    @property
    def tasks(self) -> int:
        """How many steps there are in all."""
        return self.lanes * self.steps

    def last_outputs(self, folder: Path) -> list[Path]:
        """The file at the end of each lane."""
        return [folder / f"lane{lane}" / f"step{self.steps}.txt" for lane in range(1, self.lanes + 1)]

    def __str__(self) -> str:
        """Describe it."""
        return f"{self.lanes} lanes of {self.steps} steps"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to run the chain."""

    name: str
    argv: Sequence[str]
    python: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured so far, and where it is written."""

    chain: Chain
    folder: Path
    machine: dict[str, str] = field(default_factory=dict)
    panels: dict[str, dict[str, list[Measurement]]] = field(default_factory=dict)
    """Scheduling → contestant → one measurement per repetition."""

    def add(self, scheduling: str, name: str, measurement: Measurement) -> None:
        """Take one more, and write all, so that a run that is broken off leaves what it had."""
        self.panels.setdefault(scheduling, {}).setdefault(name, []).append(measurement)
        self.folder.mkdir(parents=True, exist_ok=True)
        runs = [
            {"scheduling": scheduling, "contestant": name, **asdict(one)}
            for scheduling, panel in self.panels.items()
            for name, many in panel.items()
            for one in many
        ]
        content = {"chain": asdict(self.chain), "machine": self.machine, "runs": runs}
        short = json.loads(json.dumps(content), parse_float=lambda text: round(float(text), 3))
        (self.folder / "chain.json").write_text(f"{json.dumps(short, indent=1)}\n")

    def show(self, scheduling: str) -> None:
        """Print the tables of one part."""
        panel = self.panels[scheduling]
        runs = {name: panel[name] for name in TITLES if name in panel}
        parts = [
            f"\n{SCHEDULING[scheduling]}: {self.chain}",
            showing.times(runs, TITLES),
            showing.costs(runs, TITLES, self.chain.tasks),
            showing.ratios(runs, TITLES),
            showing.loads(runs),
        ]
        print(*parts, sep="\n\n", end="\n\n", flush=True)

    def draw(self) -> None:
        """Draw the chart, where that is possible."""
        panels = {
            SCHEDULING[scheduling]: {name: panel[name] for name in TITLES if name in panel}
            for scheduling, panel in self.panels.items()
        }
        print(f"All figures: {self.folder / 'chain.json'}")
        if showing.chart(self.folder / "chain.png", panels, TITLES, f"A chain of jobs: {self.chain}"):
            print(f"Chart: {self.folder / 'chain.png'}")
        else:
            print("No chart: matplotlib is not installed here.")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and write down what the command line asks for."""
    arguments = _parser().parse_args(words)
    figures = Figures(chain=Chain(lanes=arguments.lanes, steps=arguments.steps), folder=arguments.results)
    _warn_of_neighbours()
    try:
        for scheduling in arguments.scheduling:
            _measure_all(figures, scheduling, list(dict.fromkeys(arguments.only)), arguments.repetitions)
            figures.show(scheduling)
    except (BenchmarkError, SandboxError) as error:
        print(f"chain: {error}", file=sys.stderr)
        return 1
    figures.draw()
    return 0


def _measure_all(figures: Figures, scheduling: str, names: Sequence[str], repetitions: int) -> None:
    """Let the contestants run in turn, all on one private Slurm."""
    options = SandboxOptions(fast_scheduling=scheduling == "fast")
    contestants = [_contestant(name, figures.chain, options.accounts[0]) for name in names]
    work = Path(tempfile.mkdtemp(prefix="chain-")).resolve()
    with Sandbox.start(accounting=True, options=options) as sandbox:
        figures.machine.update(environments.machine(sandbox.run("sinfo", "--version").split()[-1]))
        for python in {one.python for one in contestants}:
            environments.warm_up(python, sandbox.environment)
        for repetition in range(repetitions):
            turn = repetition % len(contestants)
            for one in contestants[turn:] + contestants[:turn]:
                folder = work / f"{one.name}-{repetition}"
                measurement = _measure_one(one, figures.chain, folder, sandbox)
                print(f"{scheduling}, run {repetition + 1}, {one.name}: {measurement.makespan:.1f} s", flush=True)
                figures.add(scheduling, one.name, measurement)
    shutil.rmtree(work)


def _measure_one(contestant: Contestant, chain: Chain, folder: Path, sandbox: Sandbox) -> Measurement:
    folder.mkdir()
    attempt = Attempt(
        argv=contestant.argv,
        environment=environments.environment(sandbox.environment, contestant.python),
        folder=folder,
        outputs=chain.last_outputs(folder),
        lines=chain.steps,
        patience=PATIENCE_PER_STEP * (chain.steps + 1),
    )
    try:
        return measure(attempt, sandbox)
    except BenchmarkError as error:
        raise BenchmarkError(f"{contestant.name} in {folder}: {error}") from error


def _contestant(name: str, chain: Chain, account: str) -> Contestant:
    if name == "handwritten":
        argv = ["bash", str(HERE / "chain.sh"), str(chain.lanes), str(chain.steps), PARTITION, account]
        return Contestant(name=name, argv=argv, python=sys.executable)
    executor = name.partition("-")[0]
    python = sys.executable if executor == "kempner" else str(environments.slurm_plugin_python())
    argv = [python, "-m", "snakemake", "--executor", executor, "--jobs", str(max(100, chain.tasks))]
    argv += ["--snakefile", str(HERE / "chain.smk"), "--config", f"lanes={chain.lanes}", f"steps={chain.steps}"]
    argv += [
        "--default-resources",
        "mem_mb=500",
        "runtime=5",
        f"slurm_partition={PARTITION}",
        f"slurm_account={account}",
    ]
    if name == "slurm-eager":
        argv += ["--slurm-init-seconds-before-status-checks", str(EAGER)]
    return Contestant(name=name, argv=argv, python=python)


def _warn_of_neighbours() -> None:
    others = [name for name in environments.plugins_here() if name != "snakemake-executor-plugin-kempner"]
    if others:
        print(f"Note: each Snakemake of --executor kempner will also import {', '.join(others)}.", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--steps", type=_at_least_one, default=5, help="jobs in a row (default: %(default)s)")
    add("--lanes", type=_at_least_one, default=2, help="independent rows (default: %(default)s)")
    add("--repetitions", type=_at_least_one, default=3, help="runs of each (default: %(default)s)")
    add("--only", nargs="+", choices=TITLES, default=list(TITLES), help="who takes part (default: all)")
    add("--scheduling", nargs="+", choices=SCHEDULING, default=list(SCHEDULING), help="Slurm's pace (default: both)")
    add("--results", type=Path, default=HERE / "results", help="folder for JSON and chart (default: %(default)s)")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
