"""How often the head asks Slurm while jobs run: by calls of squeue, sacct, scontrol and the like, for so many minutes.

In the quiet run one task sleeps all the time; in the busy one, tasks that sleep for a while run one after another, so that something
changes again and again. A chain that is queued by hand asks nothing and is not run. What is beyond the minutes that were
measured is extrapolated with the rate of their second half.

Calls are counted, not timed, and a head that watches does next to nothing: all runs go on at the same time, each with a Slurm of its own.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median

import results
import showing
from contestants import TITLES, Workload, command, in_turn, private_slurm
from head import Head
from results import Results, Run, by_contestant, groups

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxOptions

PARTICIPANTS = ("kempner", "slurm")
HOUR = 3600
NOT_QUERIES = {"sbatch", "scancel", "srun"}
SLICE = 0.25
STAGGER = 10
"""Seconds between the starts of two heads: to read a workflow keeps a processor busy."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = results.options(__doc__, repeats=3, only=PARTICIPANTS)
    add = parser.add_argument
    add("--sizes", nargs="+", type=float, default=[60], help="minutes to watch (default: 60)")
    add("--every", nargs="+", type=int, default=[0, 60],
        help="seconds that a task sleeps; 0: as long as is watched (default: 0 60)")  # fmt: skip
    arguments = parser.parse_args(words)
    figures = results.start("watching", arguments)

    def benchmark() -> None:
        wanted = [
            {"contestant": name, "minutes": minutes, "every": every, "repeat": repeat}
            for minutes, every in product(arguments.sizes, arguments.every)
            for repeat, name in in_turn(arguments.only, arguments.repeats)
        ]
        with results.working_folder() as folder, ExitStack() as stack:
            # All are there before the first head starts: to start one keeps a processor busy.
            slurms = [
                stack.enter_context(private_slurm([run["contestant"]], SandboxOptions(), figures.machine))
                for run in wanted
            ]
            pool = stack.enter_context(ThreadPoolExecutor(len(wanted)))
            under_way: dict[Future[Run], Run] = {}
            for number, (run, sandbox) in enumerate(zip(wanted, slurms, strict=True)):
                under_way[pool.submit(_measure, run, folder / str(number), sandbox)] = run
                time.sleep(STAGGER)
            for done in as_completed(under_way):
                figures.add({**under_way[done], **done.result()})
                last = figures.runs[-1]
                title = _title(last["minutes"], last["every"])
                print(f"{title}, {last['contestant']}: {sum(last['calls'].values())} calls", flush=True)
        print(tables(figures))

    return results.run(benchmark)


def _measure(run: Run, folder: Path, sandbox: Sandbox) -> Run:
    """Watch the command watching; it is killed in the end, and its jobs with it."""
    load = os.getloadavg()[0]
    seconds, every = run["minutes"] * 60, run["every"]
    steps = int(seconds // every) + 1 if every else 1
    work = Workload(name="chain", parameters={"lanes": 1, "steps": steps, "sleep": every or seconds + 60}, tasks=steps)
    queries: list[float] = []
    seen = 0
    with Head(command(run["contestant"], work, folder, sandbox)) as head:
        while (elapsed := head.elapsed) < seconds and head.runs():
            known = _queries(head.calls())
            queries += [elapsed] * (known - seen)
            seen = known
            time.sleep(SLICE)
    sandbox.drain()
    outputs = sum((folder / f"lane1/step{step}.txt").exists() for step in range(1, steps + 1))
    return {
        "watched": elapsed,
        "changes": outputs,
        "queries": queries,
        "calls": head.calls(),
        "head_cpu": head.cpu,
        "head_peak_mb": head.peak_mb,
        "load": load,
    }


def _queries(calls: Mapping[str, int]) -> int:
    return sum(number for program, number in calls.items() if program not in NOT_QUERIES)


def _title(minutes: float, every: int) -> str:
    what = f"tasks of {every} s one after another" if every else "one long task"
    return f"{what}, {minutes:g} min watched"


def per_hour(run: Run) -> float:
    """Queries in the first hour: those that were measured, and the rate of the second half for the rest."""
    half: float = run["watched"] / 2
    rate = sum(1 for when in run["queries"] if when > half) / half
    left: float = max(0.0, HOUR - run["watched"])
    return len(run["queries"]) + left * rate


def tables(figures: Results) -> str:
    """Queries that were counted, and those of an hour."""
    parts = []
    for (minutes, every), runs in groups(figures.runs, "minutes", "every").items():
        head = [
            _title(minutes, every),
            "tasks that ended",
            *showing.NAMED,
            "other calls",
            "queries in the first hour",
            "CPU s of the head",
        ]
        rows = [
            [
                TITLES[name],
                f"{median(run['changes'] for run in many):g}",
                *showing.call_cells(many),
                f"{'≈ ' if minutes < 60 else ''}{median(map(per_hour, many)):.0f}",
                showing.spread([run["head_cpu"] for run in many]),
            ]
            for name, many in by_contestant(runs).items()
        ]  # fmt: skip
        parts.append(showing.table([head, *rows]))
    return "\n\n".join([*parts, showing.loads(figures.runs)])


def draw(figures: Results, file: Path) -> bool:
    """Draw how the queries add up, of the run of each that is in the middle."""
    panels = {
        _title(minutes, every): {
            TITLES[name]: [
                (0, 0), *((when / 60, n) for n, when in enumerate(queries, 1)), (minutes, len(queries)),
            ]
            for name, many in by_contestant(runs).items()
            for queries in [sorted((run["queries"] for run in many), key=len)[len(many) // 2]]
        }
        for (minutes, every), runs in groups(figures.runs, "minutes", "every").items()
    }  # fmt: skip
    return showing.lines(file, panels, ("minutes since the start", "queries to Slurm so far"))


if __name__ == "__main__":
    sys.exit(main())
