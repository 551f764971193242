"""What planning costs: Snakemake's own DAG, and on top of it our reading and planning, in time and memory.

`python benchmarks/planning.py` needs no Slurm. It leaves a table, JSON and a chart in `benchmarks/results`. See README.md
beside this file.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import environments
import showing
from head import BenchmarkError

HERE = Path(__file__).resolve().parent
SHAPES = {
    "inputs": "",
    "declared": ", half of them with `slurm_dependency`",
    "windows": ", half of them with 20 inputs that overlap",
}
"""What half of the tasks wait for, as the tables say it."""
PATIENCE = 3600
"""Seconds that one process may take."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a part of the work took."""

    wall: float
    """Seconds."""
    cpu: float
    """CPU seconds of the process."""
    memory: float
    """Highest memory of the process until then, in MB."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One pair of fresh processes: Snakemake alone, and Snakemake with our part after it."""

    shape: str
    """What half of the tasks wait for: see `SHAPES`."""
    tasks: int
    edges: int
    calls: int
    """Of sbatch, that the plan takes."""
    alone: Cost
    """Snakemake's DAG in a process that does nothing else."""
    dag: Cost
    """Snakemake's DAG in the process in which we go on."""
    read: Cost
    """The DAG as tasks."""
    plan: Cost
    """The tasks as submissions."""

    @property
    def share_of_time(self) -> float:
        """Our CPU time, of Snakemake's in the same process: both have suffered from the same neighbours."""
        return (self.read.cpu + self.plan.cpu) / self.dag.cpu

    @property
    def bytes_per_task(self) -> float:
        """How much higher the peak of the memory is for each task."""
        return (self.plan.memory - self.alone.memory) * 2**20 / self.tasks


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and write down what the command line asks for."""
    arguments = _parser().parse_args(words)
    runs: list[Measurement] = []
    try:
        for tasks in arguments.tasks:
            for repetition, shape in product(range(arguments.repetitions), arguments.shapes):
                runs.append(_measure(tasks, shape))
                part = f"{runs[-1].share_of_time:.0%} of Snakemake's time, {runs[-1].bytes_per_task:.0f} bytes per task"
                print(f"{_title(runs[-1])}, run {repetition + 1}: {part}", flush=True)
                _write(arguments.results, runs)
    except BenchmarkError as error:
        print(f"planning: {error}", file=sys.stderr)
        return 1
    print(f"\n{_table(runs)}\n\nAll figures: {arguments.results / 'planning.json'}")
    if _chart(arguments.results / "planning.png", runs):
        print(f"Chart: {arguments.results / 'planning.png'}")
    else:
        print("No chart: matplotlib is not installed here.")
    return 0


def _measure(tasks: int, shape: str) -> Measurement:
    alone, ours = (_probe(who, tasks, shape) for who in ("snakemake", "ours"))
    costs = {name: Cost(**ours[name]) for name in ("dag", "read", "plan")}
    return Measurement(
        shape=shape, tasks=ours["tasks"], edges=ours["edges"], calls=ours["calls"], alone=Cost(**alone["dag"]), **costs
    )


def _title(run: Measurement) -> str:
    return f"{run.tasks} tasks{SHAPES[run.shape]}"


def _probe(who: str, tasks: int, shape: str) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="planning-")).resolve()
    (folder / "common.txt").touch()
    argv = [sys.executable, str(HERE / "planning_probe.py"), str(folder / "result.json"), who]
    argv += [
        "--snakefile",
        str(HERE / "planning.smk"),
        "--config",
        f"tasks={tasks}",
        f"shape={shape}",
        "--quiet",
        "--scheduler",
        "greedy",
    ]
    argv += ["--executor", "kempner", "--jobs", "100"] if who == "ours" else ["--dry-run"]
    environment = environments.environment(os.environ, sys.executable)
    log = folder / "log"
    with log.open("w") as stream:
        done = subprocess.run(
            argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    if done.returncode:
        raise BenchmarkError(f"{who} with {tasks} tasks failed in {folder}:\n{log.read_text()[-3000:]}")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    shutil.rmtree(folder)
    return result


def _write(folder: Path, runs: Sequence[Measurement]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": environments.machine(), "runs": [asdict(one) for one in runs]}
    short = json.loads(json.dumps(content), parse_float=lambda text: round(float(text), 3))
    (folder / "planning.json").write_text(f"{json.dumps(short, indent=1)}\n")


def _by_size(runs: Sequence[Measurement]) -> list[list[Measurement]]:
    found: dict[tuple[str, int], list[Measurement]] = {}
    for run in sorted(runs, key=lambda run: (list(SHAPES).index(run.shape), run.tasks)):
        found.setdefault((run.shape, run.tasks), []).append(run)
    return list(found.values())


def _table(runs: Sequence[Measurement]) -> str:
    head = ["CPU seconds, median", "Snakemake's DAG", "reading", "planning", "ours, of Snakemake's", "bytes per task"]
    head.append("`sbatch` calls")
    rows = [
        [
            _title(many[0]),
            f"{median(one.dag.cpu for one in many):.2f}",
            f"{median(one.read.cpu for one in many):.2f}",
            f"{median(one.plan.cpu for one in many):.2f}",
            f"{median(one.share_of_time for one in many):.1%}",
            f"{median(one.bytes_per_task for one in many):.0f}",
            f"{many[0].calls}",
        ]
        for many in _by_size(runs)
    ]
    return showing.table([head, *rows])


def _chart(path: Path, runs: Sequence[Measurement]) -> bool:
    sizes = _by_size([run for run in runs if run.shape == "inputs"])

    def points(what: Callable[[Measurement], float]) -> list[tuple[float, float]]:
        return [(many[0].tasks, median(map(what, many))) for many in sizes]

    seconds = {
        "Snakemake: DAG": points(lambda one: one.dag.cpu),
        "kempner: reading and planning": points(lambda one: one.read.cpu + one.plan.cpu),
    }
    memory = {
        "Snakemake: DAG": points(lambda one: one.alone.memory),
        "Snakemake and kempner": points(lambda one: one.plan.memory),
    }
    panels = {"CPU seconds": seconds, "highest memory, MB": memory}
    return showing.lines(path, panels, ("tasks", ""), ("log", "log"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    sizes = [1_000, 10_000, 100_000]
    add("--tasks", type=int, nargs="+", default=sizes, metavar="N", help=f"numbers of tasks (default: {sizes})")
    add(
        "--shapes",
        nargs="+",
        choices=SHAPES,
        default=list(SHAPES),
        help="what half of the tasks wait for (default: all)",
    )
    add("--repetitions", type=int, default=3, metavar="N", help="runs of each (default: %(default)s)")
    add("--results", type=Path, default=HERE / "results", help="folder for JSON and chart (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
