"""How long a chain, a diamond and fifty short chains take: queued by hand, by this plugin, by the slurm executor plugin.

The tasks do nothing but write down the time. What is measured is therefore nothing but the time between tasks.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import results
import showing
from contestants import TITLES, Workload, command, in_turn, private_slurm
from head import BenchmarkError
from measuring import measure
from results import Results, Run, by_contestant, groups

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxOptions

PATIENCE = 180
"""Seconds that the slurm plugin may take for a step: it looks every three minutes at last."""
SCHEDULING = {"default": "Slurm's default scheduling", "fast": "scheduling without delays"}
PARTICIPANTS = ("handwritten", "kempner", "kempner-full", "slurm", "slurm-eager")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A work and what waits for what in it."""

    title: str
    work: Workload
    depth: int
    """How many tasks stand behind one another."""
    inputs: Mapping[str, Sequence[str]]
    """Output of each task → the outputs that it waits for."""


def chains(lanes: int, steps: int) -> Shape:
    """Return independent lanes, in each a row of steps."""
    return Shape(
        title=f"{lanes} chains of {steps} tasks" if lanes > 1 else f"a chain of {steps} tasks",
        work=Workload(name="chain", parameters={"lanes": lanes, "steps": steps, "sleep": 0}, tasks=lanes * steps),
        depth=steps,
        inputs={
            f"lane{lane}/step{step}.txt": [f"lane{lane}/step{step - 1}.txt"] if step > 1 else []
            for lane in range(1, lanes + 1)
            for step in range(1, steps + 1)
        },
    )


def diamond(width: int) -> Shape:
    """Return one task, some beside one another behind it, and one behind all of those."""
    middle = {f"middle{i}.txt": ["first.txt"] for i in range(1, width + 1)}
    return Shape(
        title=f"a diamond of 1 + {width} + 1 tasks",
        work=Workload(name="diamond", parameters={"width": width}, tasks=width + 2),
        depth=3,
        inputs={"first.txt": [], **middle, "last.txt": list(middle)},
    )


def shape(text: str) -> Shape:
    """Return the shape that the command line names: `2x5` is two chains of five tasks, `8` a diamond."""
    lanes, _, steps = text.partition("x")
    return chains(int(lanes), int(steps)) if steps else diamond(int(text))


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = results.options(__doc__, repeats=3, only=PARTICIPANTS)
    parser.add_argument(
        "--sizes", nargs="+", type=shape, default=[shape(text) for text in ("2x5", "1x10", "8", "50x3")],
        help="LANESxSTEPS for chains, WIDTH for a diamond (default: 2x5 1x10 8 50x3)",
    )  # fmt: skip
    parser.add_argument("--scheduling", nargs="+", choices=SCHEDULING, default=list(SCHEDULING))
    arguments = parser.parse_args(words)
    figures = results.start("makespan", arguments)

    def benchmark() -> None:
        with results.working_folder() as folder:
            for pace in arguments.scheduling:
                options = SandboxOptions(fast_scheduling=pace == "fast")
                with private_slurm(arguments.only, options, figures.machine) as sandbox:
                    for number, one in enumerate(arguments.sizes):
                        for repeat, name in in_turn(arguments.only, arguments.repeats):
                            place = folder / pace / f"{number}-{name}-{repeat}"
                            run = {"shape": one.title, "scheduling": pace, "contestant": name, "tasks": one.work.tasks}
                            figures.add({**run, **_measure(name, one, place, sandbox)})
                            print(f"{pace}, {one.title}, {name}: {figures.runs[-1]['makespan']:.1f} s", flush=True)
        print(tables(figures))

    return results.run(benchmark)


def _measure(name: str, one: Shape, folder: Path, sandbox: Sandbox) -> Run:
    try:
        measured = measure(
            command(name, one.work, folder, sandbox), list(one.inputs), PATIENCE * (one.depth + 1), sandbox
        )
    except BenchmarkError as error:
        raise BenchmarkError(f"{name} in {folder}: {error}") from error
    ran = {output: float((folder / output).read_text()) for output in one.inputs}
    edges = [ran[output] - max(ran[before] for before in inputs) for output, inputs in one.inputs.items() if inputs]
    return {**measured.figures(), "first_step": min(ran.values()) - measured.began, "edges": edges}


def tables(figures: Results) -> str:
    """What a user waits for, and what the machine and the controller pay."""
    parts = []
    for (title, pace), runs in groups(figures.runs, "shape", "scheduling").items():
        parts += [f"**{title}, {SCHEDULING[pace]}**", _times(by_contestant(runs)), _costs(by_contestant(runs))]
    return "\n\n".join([*parts, showing.loads(figures.runs)])


def _times(runs: Mapping[str, Sequence[Run]]) -> str:
    head = [
        "seconds, median (min to max)", "until the last output exists", "until the command returns",
        "until the first task runs", "from task to task", "times kempner",
    ]  # fmt: skip
    base = median(run["makespan"] for run in runs["kempner"]) if "kempner" in runs else None
    rows = [
        [
            TITLES[name],
            *(showing.spread([run[key] for run in many]) for key in ("makespan", "returned", "first_step")),
            showing.spread([edge for run in many for edge in run["edges"]]),
            f"{median(run['makespan'] for run in many) / base:.1f}" if base else "",
        ]
        for name, many in runs.items()
    ]
    return showing.table([head, *rows])


def _costs(runs: Mapping[str, Sequence[Run]]) -> str:
    head = ["median", "CPU s of the head", "CPU s per task", *showing.NAMED, "other calls", "calls in jobs"]
    rows = [
        [
            TITLES[name],
            f"{median(run['head_cpu'] for run in many):.2f}",
            f"{median(run['job_cpu'] / run['tasks'] for run in many):.2f}",
            *showing.call_cells(many),
            f"{median(sum(run['calls_in_jobs'].values()) for run in many):g}",
        ]
        for name, many in runs.items()
    ]
    return showing.table([head, *rows])


def draw(figures: Results, file: Path) -> bool:
    """Draw the makespans."""
    panels = {
        f"{title}, {SCHEDULING[pace]}": {TITLES[name]: [run["makespan"] for run in many] for name, many in by_contestant(runs).items()}
        for (title, pace), runs in groups(figures.runs, "shape", "scheduling").items()
    }  # fmt: skip
    return showing.bars(
        file, panels, "seconds from the command's start until the last output exists; median, min to max"
    )


if __name__ == "__main__":
    sys.exit(main())
