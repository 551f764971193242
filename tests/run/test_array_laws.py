"""Whatever is an array, has room, or takes turns: each task runs as often, and after the same, as it does alone."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from builders import a_task, edge
from fakes import End, FakeJob
from hypothesis import given
from hypothesis import strategies as st
from playing import Play, task_of
from strategies import layers
from test_laws import MEMORY

from snakemake_executor_plugin_kempner.plan.concurrency import JOBS
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.task import Task

Fates = Mapping[str, tuple[bool, ...]]
"""For each task, whether its attempts succeed."""


@st.composite
def workflows(draw: st.DrawFn) -> tuple[list[Task], Fates]:
    tasks = draw(layers())
    well = st.sampled_from([True, True, True, False])
    return tasks, {task.key: tuple(draw(well) for _ in task.attempts) for task in tasks}


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[Task], Fates]:
    """Rules of equal width, often with retries: what goes on beside or after what fails."""
    width, tasks = draw(st.integers(3, 7)), list[Task]()
    for rule in range(draw(st.integers(1, 3))):
        pattern, attempts = draw(st.sampled_from(["element", "element", "all", "none"])), draw(st.integers(1, 3))
        before = [task.key for task in tasks if task.name == f"r{rule - 1}"]
        for number in range(width):
            after = {"element": before[number : number + 1], "all": before, "none": []}[pattern]
            edges = [edge("afterok", key) for key in after]
            tasks.append(a_task(f"r{rule}", *edges, wildcards={"i": str(number)}, attempts=attempts))
    well = st.sampled_from([True, True, False])
    return tasks, {task.key: tuple(draw(well) for _ in task.attempts) for task in tasks}


def reference(tasks: list[Task], fates: Fates) -> dict[str, int]:
    """How many attempts of each task run."""
    runs: dict[str, int] = {}
    by_key = {task.key: task for task in tasks}

    def attempts(key: str) -> int:
        if key not in runs:
            needs = [one.on for one in by_key[key].edges if one.type is DependencyType.AFTEROK]
            held = all(attempts(on) and any(fates[on]) for on in needs)
            fate = fates[key]
            runs[key] = (fate.index(True) + 1 if any(fate) else len(fate)) if held else 0
        return runs[key]

    return {key: attempts(key) for key in by_key}


def play_of(folder: str, fates: Fates) -> Play:
    def end(job: FakeJob) -> End:
        key = task_of(job)
        number = int(job.script.partition(" · attempt ")[2].partition("\n")[0] or 1)
        seconds = float(sum(map(ord, key)) % 5)
        well = fates.get(key, (True,) * number)[number - 1]
        return End(seconds=seconds) if well else End(word="FAILED", exit_code=1, seconds=seconds)

    return Play(Path(folder) / "run1", end)


def is_task(job: FakeJob) -> bool:
    return job.rule.startswith("r") and job.rule[1:].isdecimal()


def limited(tasks: list[Task], jobs: int | None) -> tuple[list[Task], dict[str, int]]:
    """The tasks of a run with `--jobs`, and its limits."""
    return (tasks, {}) if jobs is None else ([_taking_a_place(task) for task in tasks], {JOBS: jobs})


def check(tasks: list[Task], fates: Fates, play: Play, jobs: int | None) -> None:
    done: set[str] = set()
    runs: Counter[str] = Counter()
    running = most = 0
    needs = {task.key: {one.on for one in task.edges if one.type is DependencyType.AFTEROK} for task in tasks}
    for change in play.slurm.changes:
        if not is_task(change.job):
            continue
        key = task_of(change.job)
        if change.word == "RUNNING":
            assert needs[key] <= done, f"{key} has started too early"
            runs[key] += 1
            running += 1
            most = max(most, running)
        elif change.job.runs:
            running -= 1
            if change.word == "COMPLETED":
                done.add(key)
    assert {task.key: runs[task.key] for task in tasks} == reference(tasks, fates)
    assert jobs is None or most <= jobs


@given(workflows(), st.sampled_from([None, 1, 2, 4]), st.sampled_from([0, 2, 5]), st.sampled_from([2, 1001]))
def test_arrays_and_turns_change_nothing_but_the_time(
    workflow: tuple[list[Task], Fates], jobs: int | None, array_from: int, largest: int
) -> None:
    tasks, fates = workflow
    tasks, limits = limited(tasks, jobs)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        play = play_of(folder, fates)
        play.live.policy = replace(play.policy, array_from=array_from, largest_array=largest, limits=limits)
        play.submit(*_ordered(tasks))
        play.run_headless()
        check(tasks, fates, play, jobs)


@given(sweeps(), st.integers(1, 7), st.booleans())
def test_retries_of_a_sweep_keep_to_the_limit_whatever_fails(
    sweep: tuple[list[Task], Fates], jobs: int, keep_going: bool
) -> None:
    tasks, fates = sweep
    tasks, limits = limited(tasks, jobs)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        play = play_of(folder, fates)
        play.live.policy = replace(play.policy, array_from=2, limits=limits, keep_going=keep_going)
        play.submit(*_ordered(tasks))
        play.run_headless()
        check(tasks, fates, play, jobs)


@given(workflows(), st.sampled_from([None, 2]), st.integers(6, 12), st.sampled_from([0, 2]))
def test_waves_change_nothing_but_the_time(
    workflow: tuple[list[Task], Fates], jobs: int | None, room: int, array_from: int
) -> None:
    tasks, fates = workflow
    tasks, limits = limited(tasks, jobs)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        play = play_of(folder, fates)
        play.live.policy = replace(play.policy, array_from=array_from, limits=limits, largest_queue=room)
        play.submit(*_ordered(tasks))
        for _ in range(3000):
            play.look()
            play.run_helpers()
            play.live.submit_later()
            assert len(play.slurm.left) <= room
            if not play.live.jobs and not play.live.later:
                break
            play.clock.sleep(1)
        else:
            raise AssertionError(f"still open: {play.live.jobs}; later: {list(play.live.later)}")
        check(tasks, fates, play, jobs)


def _taking_a_place(task: Task) -> Task:
    return replace(task, attempts=tuple(replace(one, units={JOBS: 1}) for one in task.attempts))


def _ordered(tasks: list[Task]) -> list[Task]:
    by_key, found = {task.key: task for task in tasks}, dict[str, Task]()

    def add(task: Task) -> None:
        for one in task.edges:
            if one.on not in found:
                add(by_key[one.on])
        found.setdefault(task.key, task)

    for task in tasks:
        add(task)
    return list(found.values())
