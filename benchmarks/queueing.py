"""How long it takes, and how many calls, until a whole workflow is in Slurm's queue; and what the head needs for it.

The work is a[i] → b[i] → end. The partition is down: Slurm takes jobs and starts none, so what is measured is queueing alone.
The slurm plugin submits only what is ready, so it can queue no more than all a[i]; its time is the time until those are
queued. Who is not done in time is measured as it stands then. Each run has a fresh Slurm of its own.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import results
import showing
from contestants import PARTITION, TITLES, Workload, command, in_turn, private_slurm
from head import BenchmarkError, Head
from results import Results, Run, by_contestant, groups

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxOptions

PARTICIPANTS = ("handwritten", "handwritten-array", "kempner", "kempner-detach", "slurm", "slurm-array")
RETRYING = ("kempner", "kempner-detach")
"""Who queues retries beforehand: by hand there are none, and the slurm plugin submits one when its head has seen a failure."""
GREEDY = ("--scheduler", "greedy")
"""For everybody: Snakemake's default scheduler solves a knapsack over thousands of ready jobs, which is not our subject."""
LOOK_EVERY = 0.05
QUIET = 1.0
"""Seconds without a call of sbatch after which the queue is looked at: a look costs the controller time, too."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = results.options(__doc__, repeats=1, only=PARTICIPANTS)
    add = parser.add_argument
    add("--sizes", nargs="+", type=_odd, default=[2001, 20001], help="tasks, an odd number (default: 2001 20001)")
    add("--retries", nargs="+", type=int, default=[0, 2],
        help="retries of each a[i]; with more than 0, only this plugin takes part (default: 0 2)")  # fmt: skip
    add("--patience", type=results.at_least_one, default=600, help="seconds for one run (default: %(default)s)")
    arguments = parser.parse_args(words)
    figures = results.start("queueing", arguments)

    def benchmark() -> None:
        with results.working_folder() as folder:
            for tasks, retries in product(arguments.sizes, arguments.retries):
                parameters = {"pairs": tasks // 2, "retries": retries}
                work = Workload(name="pairs", parameters=parameters, tasks=tasks, flags=GREEDY)
                options = SandboxOptions(max_job_count=(2 + retries) * tasks + 1000)
                names = [name for name in arguments.only if not retries or name in RETRYING]
                for repeat, name in in_turn(names, arguments.repeats):
                    place = folder / f"{tasks}-{retries}-{name}-{repeat}"
                    with private_slurm([name], options, figures.machine) as sandbox:
                        measured = _measure(name, work, place, arguments.patience, sandbox)
                    figures.add({"contestant": name, "tasks": tasks, "retries": retries, **measured})
                    print(
                        f"{_title(tasks, retries)}, {name}: {measured['queued']} in {measured['seconds']:.1f} s",
                        flush=True,
                    )
        print(tables(figures))

    return results.run(benchmark)


def _odd(text: str) -> int:
    number = results.at_least_one(text)
    return number if number % 2 else number + 1


def _title(tasks: int, retries: int) -> str:
    return f"{tasks} tasks{f', half of them with `retries: {retries}`' if retries else ''}"


def _measure(name: str, work: Workload, folder: Path, patience: float, sandbox: Sandbox) -> Run:
    """Start the command and kill it when all that it can queue is in the queue, or its time is up."""
    load = os.getloadavg()[0]
    wanted = work.tasks // 2 if name.startswith("slurm") else work.tasks
    sandbox.run("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")
    with Head(command(name, work, folder, sandbox)) as head:
        try:
            queued, seconds, first = _follow(head, wanted, patience, sandbox)
        except BenchmarkError as error:
            raise BenchmarkError(f"{name} in {folder}: {error}") from error
    return {
        "wanted": wanted,
        "queued": queued,
        "seconds": seconds,
        "first_call": first,
        "head_cpu": head.cpu,
        "head_peak_mb": head.peak_mb,
        "calls": head.calls(),
        "load": load,
    }


def _follow(head: Head, wanted: int, patience: float, sandbox: Sandbox) -> tuple[int, float, float | None]:
    """Return how many jobs are in the queue, when the last of them was, and when the first call of sbatch ended."""
    first = None
    next_look = 0.0
    while True:
        running, elapsed, last = head.runs(), head.elapsed, head.last_call("sbatch")
        first = last if first is None else first
        is_over = elapsed > patience
        if is_over or (last is not None and elapsed > max(next_look, last + QUIET)) or not running:
            queued = len(sandbox.run("squeue", "--noheader", "--array", "--format=%i").split())
            if queued >= wanted:
                return queued, last or elapsed, first
            if is_over:
                return queued, elapsed, first
            if not running:
                raise BenchmarkError(f"the command ended with {queued} of {wanted} in the queue:\n{head.tail()}")
            next_look = head.elapsed + 20 * (head.elapsed - elapsed)
        time.sleep(LOOK_EVERY)


def tables(figures: Results) -> str:
    """Time and calls until all is queued, and the head's CPU time and memory."""
    parts = [
        _table(_title(*work), by_contestant(runs)) for work, runs in groups(figures.runs, "tasks", "retries").items()
    ]
    return "\n\n".join([*parts, showing.loads(figures.runs)])


def _table(title: str, runs: Mapping[str, Sequence[Run]]) -> str:
    head = [
        f"{title}, median (min to max)", "jobs in the queue", "seconds until then", "until the first `sbatch`",
        *showing.NAMED, "other calls", "CPU s of the head", "peak MB of the head",
    ]  # fmt: skip
    rows = []
    for name, many in runs.items():
        all_done = all(run["queued"] >= run["wanted"] for run in many)
        rows.append(
            [
                TITLES[name],
                f"{min(run['queued'] for run in many)}{'' if all_done else ', not yet all it could'}",
                showing.spread([run["seconds"] for run in many], digits=2),
                showing.spread([run["first_call"] for run in many if run["first_call"] is not None], digits=2),
                *showing.call_cells(many),
                showing.spread([run["head_cpu"] for run in many]),
                showing.spread([run["head_peak_mb"] for run in many if run["head_peak_mb"]], digits=0),
            ]
        )
    return showing.table([head, *rows])


def draw(figures: Results, file: Path) -> bool:
    """Draw what each has in the queue, against the time that it took."""
    panels = {
        _title(*work): {
            f"{TITLES[name]}: {min(run['queued'] for run in many)} jobs": [run["seconds"] for run in many]
            for name, many in by_contestant(runs).items()
        }
        for work, runs in groups(figures.runs, "tasks", "retries").items()
    }
    return showing.bars(file, panels, "seconds until so many jobs are in the queue; median, min to max")


if __name__ == "__main__":
    sys.exit(main())
