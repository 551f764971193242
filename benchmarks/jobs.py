"""How much CPU time a job takes that has nothing to do: the price of each contestant for a rule `true`.

User and system time of the whole job as Slurm accounts for it, nothing subtracted. The private Slurm has as many cores as
the machine, so that jobs do not share any.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import results
import showing
from contestants import TITLES, Workload, command, in_turn, private_slurm
from measuring import measure
from results import Results, by_contestant, groups

from snakemake_executor_plugin_kempner.sandbox import Node, SandboxOptions

PATIENCE = 900
PARTICIPANTS = ("handwritten", "kempner", "kempner-full", "slurm")


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = results.options(__doc__, repeats=3, only=PARTICIPANTS)
    parser.add_argument("--sizes", nargs="+", type=results.at_least_one, default=[20], help="jobs (default: 20)")
    arguments = parser.parse_args(words)
    figures = results.start("jobs", arguments)
    node = Node(name="n1", cpus=len(os.sched_getaffinity(0)), memory_mb=100_000)

    def benchmark() -> None:
        with (
            results.working_folder() as folder,
            private_slurm(arguments.only, SandboxOptions(nodes=(node,)), figures.machine) as sandbox,
        ):
            for tasks in arguments.sizes:
                work = Workload(name="nothing", parameters={"tasks": tasks}, tasks=tasks)
                outputs = [f"nothing{i}.txt" for i in range(1, tasks + 1)]
                for repeat, name in in_turn(arguments.only, arguments.repeats):
                    place = folder / f"{tasks}-{name}-{repeat}"
                    measured = measure(command(name, work, place, sandbox), outputs, PATIENCE, sandbox)
                    figures.add({"contestant": name, "tasks": tasks, **measured.figures()})
                    print(f"{tasks} jobs, {name}: {measured.job_cpu / tasks:.2f} CPU seconds per job", flush=True)
        print(tables(figures))

    return results.run(benchmark)


def tables(figures: Results) -> str:
    """CPU seconds per job, and their ratio to those of the slurm plugin."""
    parts = []
    for (tasks,), runs in groups(figures.runs, "tasks").items():
        cpu = {name: [run["job_cpu"] / tasks for run in many] for name, many in by_contestant(runs).items()}
        base = median(cpu["slurm"]) if "slurm" in cpu else None
        head = [
            f"{tasks} jobs with the command `true`",
            "CPU s per job, median (min to max)",
            "of slurm's",
            "calls in jobs",
        ]
        rows = [
            [
                TITLES[name],
                showing.spread(values, digits=3),
                f"{100 * median(values) / base:.0f} %" if base else "",
                f"{median(sum(run['calls_in_jobs'].values()) for run in by_contestant(runs)[name]):g}",
            ]
            for name, values in cpu.items()
        ]  # fmt: skip
        parts.append(showing.table([head, *rows]))
    return "\n\n".join([*parts, showing.loads(figures.runs)])


def draw(figures: Results, file: Path) -> bool:
    """Draw the CPU time per job."""
    panels = {
        f"{tasks} jobs": {
            TITLES[name]: [run["job_cpu"] / tasks for run in many] for name, many in by_contestant(runs).items()
        }
        for (tasks,), runs in groups(figures.runs, "tasks").items()
    }
    return showing.bars(file, panels, "CPU seconds per job with the command `true`; median, min to max")


if __name__ == "__main__":
    sys.exit(main())
