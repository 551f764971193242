"""A run of any size that never took place, with logs in a folder, for the page about it."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from snakemake_executor_plugin_kempner.efficiency.jobs import JobUse, RunUse
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.task import Edge
from snakemake_executor_plugin_kempner.reporting.attempts import attempt_rows
from snakemake_executor_plugin_kempner.reporting.page import Subject
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState
from snakemake_executor_plugin_kempner.state.model import Attempt, RunState, State, TaskState

BEGAN = 1_795_000_000.0
_OPTIONS = {
    "preprocess": ("--time=60", "--mem=4000M", "--cpus-per-task=2", "--partition=shared"),
    "train": ("--time=240", "--mem=32000M", "--cpus-per-task=8", "--gres=gpu:h100:1", "--partition=kempner_h100",
              "--account=kempner_doe_lab"),
    "evaluate": ("--time=60", "--mem=8000M", "--cpus-per-task=4", "--partition=shared"),
    "report": ("--time=10", "--mem=1000M", "--cpus-per-task=1", "--partition=shared"),
}  # fmt: skip
_TAKES = {"preprocess": 300, "train": 5400, "evaluate": 600, "report": 60}


class Maker:
    """Makes tasks whose jobs ran as if so many could run at the same time.

    Args:
        folder: of the run.
        at_once: how many jobs run at the same time.
        failures: share of the jobs that fail.
    """

    def __init__(self, folder: Path, *, at_once: int, failures: float) -> None:
        self._folder, self._failures = folder, failures
        self._free = [0.0] * at_once
        self._random = random.Random(7)
        self.tasks: dict[str, TaskState] = {}
        self.uses: list[JobUse] = []
        self._number = 0

    def add(self, rule: str, inside: str = "", needs: Sequence[str] = (), *, attempts: int = 1) -> str:
        label = f"{rule}[{inside}]" if inside else rule
        before = [self.tasks[key] for key in needs]
        edges = tuple(Edge(on=key) for key in needs)
        if any(task.state != State.DONE for task in before):
            self.tasks[label] = TaskState(
                key=label, label=label, state=State.NEVER, edges=edges, attempts=(self._attempt(rule, 1, None, None, "CANCELLED"),)
            )  # fmt: skip
            return label
        ready = max((task.attempts[-1].end or 0.0 for task in before), default=BEGAN)
        tried: list[Attempt] = []
        for number in range(1, attempts + 1):
            place = min(range(len(self._free)), key=self._free.__getitem__)
            start = max(ready, self._free[place]) + self._random.uniform(1, 20)
            end = start + _TAKES[rule] * self._random.uniform(0.5, 1.5)
            self._free[place] = ready = end
            fails = rule == "train" and self._random.random() < self._failures
            tried.append(self._attempt(rule, number, start, end, "FAILED" if fails else "COMPLETED"))
            self._use(label, rule, tried[-1])
            if not fails:
                break
        state = State.DONE if tried[-1].word == "COMPLETED" else State.FAILED
        self.tasks[label] = TaskState(key=label, label=label, state=state, edges=edges, attempts=tuple(tried))
        return label

    def _attempt(self, rule: str, number: int, start: float | None, end: float | None, word: str) -> Attempt:
        self._number += 1
        states = {"FAILED": JobState.FAILED, "COMPLETED": JobState.SUCCEEDED, "CANCELLED": JobState.CANCELLED}
        job_id = str(4_200_000 + self._number)
        log = self._folder / "logs" / rule / f"{job_id}.log"
        if start is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("epoch 1\nValueError: loss is NaN\n" if word == "FAILED" else "epoch 1\n")
        node = f"holygpu8a{self._number % 24:02}" if start else ""
        return Attempt(
            number=number,
            job_id=job_id,
            record=Record(job_id=job_id, state=states[word], word=word, node=node, exit_code=int(word == "FAILED")),
            options=Options.of(*_OPTIONS[rule]),
            folder=str(self._folder),
            log_pattern=str(log),
            submitted=BEGAN - 5,
            start=start,
            end=end,
            restarts=int(self._number % 97 == 5),
        )

    def _use(self, label: str, rule: str, attempt: Attempt) -> None:
        memory = int(dict(option[2:].split("=") for option in _OPTIONS[rule])["mem"].rstrip("M"))
        cores = int(dict(option[2:].split("=") for option in _OPTIONS[rule])["cpus-per-task"])
        elapsed = (attempt.end or 0.0) - (attempt.start or 0.0)
        self.uses.append(
            JobUse(
                label=label,
                rule=rule,
                attempt=attempt.number,
                job_id=attempt.job_id,
                state=attempt.word,
                node=attempt.record.node if attempt.record else "",
                elapsed_s=elapsed,
                limit_s=14_400,
                cores=cores,
                asked_cores=cores,
                cpu_s=elapsed * cores * 0.4,
                peak_memory_mb=memory // 3,
                memory_mb=memory,
                gpus=int(rule == "train"),
                gpu_utilisation=71.0 if rule == "train" else None,
                is_peak_whole=True,
            )
        )


def a_run(folder: Path, tasks: int, failures: float | None = None) -> Subject:
    """A sweep of about so many tasks: half trainings, half evaluations, some of which failed."""
    maker = Maker(folder, at_once=max(3, tasks // 25), failures=failures or (0.6 if tasks < 100 else 0.03))
    samples = [
        maker.add("preprocess", f"sample={number}" if tasks > 100 else "") for number in range(max(1, tasks // 100))
    ]
    trained = [
        maker.add("train", f"lr={10 ** -(1 + number % 4):g},seed={number // 4}", [samples[number % len(samples)]], attempts=2)
        for number in range((tasks - len(samples) - 1) // 2)
    ]  # fmt: skip
    scored = [maker.add("evaluate", key.partition("[")[2].rstrip("]"), [key]) for key in trained]
    maker.add("report", "", scored)
    state = RunState(
        run=folder.name,
        folder=folder,
        command=("snakemake", "--executor", "kempner", "--jobs", "500", "--kempner-detach"),
        since=BEGAN - 30,
        closed=True,
        result="succeeded" if all(task.state is State.DONE for task in maker.tasks.values()) else "failed",
        tasks=tuple(maker.tasks.values()),
    )
    use = RunUse(run=folder.name, jobs=tuple(maker.uses))
    return Subject(
        state=state, use=use, rows=attempt_rows(state, use.jobs, {}), now=BEGAN + 10**6,
        command="snakemake --executor kempner --jobs 500 --kempner-detach", versions={"plugin": "0.2.0", "Snakemake": "9.23"},
    )  # fmt: skip


def renamed(subject: Subject, names: Sequence[str]) -> Subject:
    """The same run, in which each text that users can choose is a name of these."""
    name = dict(zip((task.key for task in subject.state.tasks), cycle(names), strict=False))
    tasks = tuple(
        replace(task, label=f"{name[task.key]}[x={name[task.key]},n={number}]")
        for number, task in enumerate(subject.state.tasks)
    )
    jobs = tuple(
        replace(job, rule=name[job.label], label=name[job.label], node=name[job.label]) for job in subject.use.jobs
    )
    state = replace(subject.state, tasks=tasks, command=("snakemake", *names))
    return replace(
        subject, state=state, use=replace(subject.use, jobs=jobs), rows=attempt_rows(state, jobs, {}),
        command=" ".join(names), versions={name: name for name in names},
    )  # fmt: skip
