"""How makespan and the controller's work grow to a million tasks: a simulation, not a measurement.

Nobody can run a million jobs here. This runs a[i] → b[i] → end through a small model of Slurm and of each way to queue it. What a call,
a task and a job cost is taken from the other benchmarks' results; the rest is written in ASSUMED, and so is what the model leaves out. It needs the results of queueing.py and jobs.py.
"""

import heapq
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import results
import showing
from contestants import TITLES
from head import BenchmarkError
from results import Results, Run, by_contestant, groups

from snakemake_executor_plugin_kempner.run.watch import pause

TASK = 300.0
SPREAD = 0.5
SLOTS = 1000
PASS = 3.0
SQUEUE = 20e-6
SACCT = 80e-6
SBATCH = 0.005
FIRST_LOOK, LONGER, LONGEST = 40.0, 10.0, 180.0

ASSUMED = (
    ("a task's own work", f"{TASK:g} s, evenly spread by ±{100 * SPREAD:g} %", "assumption"),
    ("tasks that run at once", f"{SLOTS}", "assumption: the partition is free for them, and there is no limit on jobs in the queue"),
    ("a pass of Slurm's scheduler", f"every {PASS:g} s, starts all that fits", "measured for a chain; that it starts all is an assumption"),
    ("a call of sbatch, with or without an array", f"{1000 * SBATCH:g} ms of the controller", "measured: 200 calls a second, 4 ms for an array of 1000"),
    ("a call of squeue", f"{1e6 * SQUEUE:g} µs of the controller per job in the queue", "measured with 5,000 jobs; linear growth is an assumption"),
    ("a call of sacct", f"{1e6 * SACCT:g} µs of the database per job it asks for", "measured with 1,000 ids; linear growth is an assumption"),
    ("the slurm plugin's pauses", f"{FIRST_LOOK:g} s, {LONGER:g} s more after each look without news, at most {LONGEST:g} s", "its source"),
    ("this plugin's pauses while it watches", f"a third of the time since it began, up to {LONGEST:g} s, and at least 30 times what an answer takes", "its code is called"),
    ("not in the model", "the controller's own work on a long queue, other users, failures, the file system", ""),
)  # fmt: skip
"""Parameter, value, where it is from."""


NOBODY_LOOKS = ("handwritten", "handwritten-array", "kempner-detach")


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to queue the work, in seconds."""

    measured_with: int
    """Tasks of the run that the figures below are from."""
    start: float
    """Until the first call, whatever the number of tasks."""
    before: float
    """Until the first call, per task."""
    submit: float
    """From a task in the queue to the next one."""
    calls_per_task: float
    """Of sbatch."""
    job: float
    """What a job needs beside its task's own work."""
    looks: str = ""
    """`slurm`: an end is noticed by polling, and what waits for it is submitted then. `kempner`: polls, but nothing waits for it."""


@dataclass(kw_only=True)
class Outcome:
    """What a run of the model came to."""

    makespan: float = 0.0
    calls: float = 0.0
    queries: int = 0
    controller: float = 0.0
    """Seconds in which the controller, or its database, answers requests."""
    longest_queue: int = 0


class _Model:
    """a[i] → b[i] → end; task i is a[i], task pairs + i is b[i]. Time goes from one scheduler pass to the next."""

    def __init__(self, pairs: int, way: Way) -> None:
        self.pairs, self.way = pairs, way
        self.outcome = Outcome(calls=way.calls_per_task * (2 * pairs + 1))
        self.polls = way.looks == "slurm"
        self.waiting = deque(range(pairs if self.polls else 2 * pairs))
        """What the head can submit, in order."""
        self.queued = bytearray(2 * pairs)
        self.over = bytearray(2 * pairs)
        self.ready: deque[int] = deque()
        self.running: list[tuple[float, int]] = []
        self.unnoticed: list[int] = []
        self.in_queue = self.ended = 0
        self.now = self.submitted_until = self.last_news = way.start + way.before * (2 * pairs + 1)
        self.began = self.now
        self.pause = FIRST_LOOK if self.polls else 1.0
        self.next_look = self.now + self.pause
        self.random = random.Random(1)

    def run(self) -> Outcome:
        while self.ended < 2 * self.pairs:
            self.end()
            while self.way.looks and self.now >= self.next_look:
                self.look()
            self.submit()
            self.start()
            self.now += PASS
        # The task behind all the others: noticed and submitted late by the slurm plugin, started a pass later by Slurm.
        self.outcome.makespan = self.now + (self.pause if self.polls else PASS) + TASK + self.way.job
        self.outcome.controller += self.outcome.calls * SBATCH
        return self.outcome

    def end(self) -> None:
        while self.running and self.running[0][0] <= self.now:
            _, task = heapq.heappop(self.running)
            self.over[task] = 1
            self.ended, self.in_queue, self.last_news = self.ended + 1, self.in_queue - 1, self.now
            if task < self.pairs and self.polls:
                self.unnoticed.append(self.pairs + task)
            elif task < self.pairs and self.queued[self.pairs + task]:
                self.ready.append(self.pairs + task)

    def look(self) -> None:
        self.outcome.queries += 1
        answer = self.in_queue * (SACCT if self.polls else SQUEUE)
        self.outcome.controller += answer
        if self.polls:
            self.pause = FIRST_LOOK if self.unnoticed else min(self.pause + LONGER, LONGEST)
            self.waiting.extend(self.unnoticed)
            self.unnoticed.clear()
        else:
            self.pause = pause(self.now - self.last_news, LONGEST, age=self.now - self.began, took=answer, is_calm=True)
        self.next_look += self.pause + answer

    def submit(self) -> None:
        if not self.waiting:
            self.submitted_until = self.now
        while self.waiting and self.submitted_until + self.way.submit <= self.now:
            self.submitted_until += self.way.submit
            task = self.waiting.popleft()
            self.queued[task] = 1
            self.in_queue += 1
            if task < self.pairs or self.over[task - self.pairs]:
                self.ready.append(task)
        self.outcome.longest_queue = max(self.outcome.longest_queue, self.in_queue)

    def start(self) -> None:
        while self.ready and len(self.running) < SLOTS:
            work = TASK * self.random.uniform(1 - SPREAD, 1 + SPREAD)
            heapq.heappush(self.running, (self.now + work + self.way.job, self.ready.popleft()))


def _ways(folder: Path) -> Iterator[tuple[str, Way]]:
    """Each way with what was measured for it: of the most tasks that it was measured with."""
    queueing = [run for run in Results.read("queueing", folder).runs if not run["retries"]]
    jobs = by_contestant(Results.read("jobs", folder).runs)
    if not queueing or not jobs:
        raise BenchmarkError(f"there are no results of queueing.py and jobs.py in {folder}")
    cpu = {name: median(run["job_cpu"] / run["tasks"] for run in many) for name, many in jobs.items()}
    for name, many in by_contestant(queueing).items():
        least, *_, most = sorted(many, key=lambda run: (run["tasks"], -run["seconds"])) * 2
        executor = name.partition("-")[0]
        first, wider = _first_call(least), most["tasks"] - least["tasks"]
        before = max(0.0, (_first_call(most) - first) / wider) if wider else 0.0
        way = Way(
            measured_with=most["tasks"],
            start=first - before * least["tasks"],
            before=before,
            submit=max(1e-6, most["seconds"] - _first_call(most)) / most["queued"],
            calls_per_task=most["calls"]["sbatch"] / most["queued"],
            job=cpu.get(executor, 0.0),
            looks="" if name in NOBODY_LOOKS else executor,
        )
        yield name, way


def _first_call(run: Run) -> float:
    return run["first_call"] or 0.0


def main(words: Sequence[str] | None = None) -> int:
    """Run the model for what the command line asks for."""
    parser = results.options(__doc__, repeats=1, only=list(TITLES))
    sizes = [101, 1001, 10_001, 100_001, 1_000_001]
    parser.add_argument("--sizes", nargs="+", type=results.at_least_one, default=sizes, help="tasks")
    arguments = parser.parse_args(words)
    measured = Results.read("queueing", arguments.results)
    figures = Results(name="model", folder=arguments.results, machine=measured.machine)

    def benchmark() -> None:
        chosen = [(name, way) for name, way in _ways(arguments.results) if name in arguments.only]
        for tasks in arguments.sizes:
            ideal = (
                _Model(tasks // 2, Way(measured_with=0, start=0, before=0, submit=1e-9, calls_per_task=0, job=0))
                .run()
                .makespan
            )
            for name, way in chosen:
                outcome = _Model(tasks // 2, way).run()
                figures.add({"contestant": name, "tasks": tasks, "ideal": ideal, **asdict(way), **asdict(outcome)})
        print(tables(figures))

    return results.run(benchmark)


def tables(figures: Results) -> str:
    """What grows, and what was put into the model."""
    parts = []
    for (tasks,), runs in groups(figures.runs, "tasks").items():
        head = [
            f"{tasks:,} tasks",
            "hours",
            "times the ideal",
            "sbatch calls",
            "queries",
            "controller busy, s",
            "longest queue",
        ]
        rows = [
            [
                TITLES[name],
                f"{run['makespan'] / 3600:.2f}",
                f"{run['makespan'] / run['ideal']:.2f}",
                f"{run['calls']:,.0f}",
                f"{run['queries']:,}",
                f"{run['controller']:,.1f}",
                f"{run['longest_queue']:,}",
            ]
            for name, (run, *_) in by_contestant(runs).items()
        ]
        parts.append(showing.table([head, *rows]))
    last = by_contestant(figures.runs)
    head = [
        "measured, from queueing.json and jobs.json",
        "with tasks",
        "head before the first call, s",
        "and ms per task",
        "submission, ms per task",
        "calls per task",
        "beside the work, s per job",
    ]
    rows = [
        [TITLES[name], f"{run['measured_with']:,}", f"{run['start']:.2f}", f"{1000 * run['before']:.2f}", f"{1000 * run['submit']:.2f}", f"{run['calls_per_task']:.4f}", f"{run['job']:.2f}"]
        for name, (run, *_) in last.items()
    ]  # fmt: skip
    parts += [showing.table([head, *rows]), showing.table([["parameter", "value", "where it is from"], *ASSUMED])]
    return "\n\n".join(parts)


def draw(figures: Results, file: Path) -> bool:
    """Draw how makespan and requests grow."""
    runs = {TITLES[name]: many for name, many in by_contestant(figures.runs).items()}
    panels = {
        "time beyond that of the same tasks without any delay, %": {
            title: [(run["tasks"], 100 * max(1e-4, run["makespan"] / run["ideal"] - 1)) for run in many]
            for title, many in runs.items()
        },
        "seconds in which the controller answers requests": {
            title: [(run["tasks"], max(1e-3, run["controller"])) for run in many] for title, many in runs.items()
        },
    }
    return showing.lines(file, panels, ("tasks", ""), ("log", "log"))


if __name__ == "__main__":
    sys.exit(main())
