"""Small random workflows: which tasks run, how often and in which order, against a reference that knows no Slurm."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, moments, with_behaviour
from head import Head

from snakemake_executor_plugin_kempner.sandbox import Sandbox

SEEDS = range(20)
RUNS = 6
"""Each of them holds every sixth workflow side by side: a head and a guard for three or four of them."""


class Behaviour(Enum):
    """How each attempt of a task ends."""

    SUCCEEDS = ("succeeds",)
    FAILS = ("fails",)
    FAILS_ONCE = ("fails", "succeeds")
    FAILS_TWICE = ("fails", "fails")


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """A dependency on another task that no file stands for."""

    type: str
    on: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomTask:
    name: str
    behaviour: Behaviour
    inputs: tuple[str, ...]
    """Tasks whose output it reads."""
    declared: Declared | None = None


# --- a workflow -----------------------------------------------------------------------------------------------------


def random_tasks(seed: int) -> list[RandomTask]:
    """Three to six tasks, each after those that it waits for; none a handler of a handler or of what reads from one."""
    chance = random.Random(seed)
    behaviours, weights = list(Behaviour), (6, 3, 3, 1)
    may_be_unneeded: set[str] = set()
    tasks: list[RandomTask] = []
    for number in range(3 + seed % 4):
        before = [task.name for task in tasks]
        inputs = tuple(name for name in before if chance.random() < 0.3)
        declared = None
        if before and chance.random() < 0.6:
            on = chance.choice(before)
            types = (
                ("afterany", "after") if on in may_be_unneeded else ("afterany", "after", "afternotok", "afternotok")
            )
            declared = Declared(type=chance.choice(types), on=on)
        task = RandomTask(
            name=f"w{seed}_t{number}",
            behaviour=chance.choices(behaviours, weights)[0],
            inputs=inputs,
            declared=declared,
        )
        if (declared and declared.type == "afternotok") or may_be_unneeded.intersection(inputs):
            may_be_unneeded.add(task.name)
        tasks.append(task)
    return tasks


def snakefile(tasks: Sequence[RandomTask], seed: int) -> str:
    """The rules in an order that says nothing of what waits for what."""
    rules = [_rule(task) for task in tasks]
    random.Random(seed).shuffle(rules)
    wanted = ", ".join(f'"{task.name}.txt"' for task in tasks)
    return "\n".join((f"rule all:\n    input:\n        {wanted},\n", *rules))


def _rule(task: RandomTask) -> str:
    return "".join(f"{line}\n" for line in _lines(task))


def _lines(task: RandomTask) -> Iterator[str]:
    hows = task.behaviour.value
    yield f"rule {task.name}:"
    if task.inputs:
        yield f"    input: {', '.join(repr(f'{name}.txt') for name in task.inputs)}"
    yield f'    output: "{task.name}.txt"'
    yield f"    retries: {len(hows) - 1}"
    yield "    resources:"
    yield f"        how=lambda wildcards, attempt: {hows!r}[attempt - 1],"
    if task.declared:
        yield f'        slurm_dependency="{task.declared.type}:{task.declared.on}",'
    yield f'    shell: "./behave {task.name} {{resources.how}} && touch {{output}}"'


# --- what has to come of it -----------------------------------------------------------------------------------------


class Fate(Enum):
    """What becomes of a task."""

    GOOD = "good"
    BAD = "bad"
    """It failed, or cannot run because something that it reads failed."""
    UNNEEDED = "unneeded"
    """Nothing failed that it is there for."""


def fates(tasks: Sequence[RandomTask]) -> tuple[dict[str, Fate], dict[str, int]]:
    """The fate of each task, and how often its command runs."""
    found: dict[str, Fate] = {}
    times: dict[str, int] = {}
    for task in tasks:
        fate = _without_running(task, found)
        if fate is None:
            hows = task.behaviour.value
            fate = Fate.GOOD if hows[-1] == "succeeds" else Fate.BAD
            times[task.name] = len(hows)
        found[task.name] = fate
    return found, times


def _without_running(task: RandomTask, found: Mapping[str, Fate]) -> Fate | None:
    """The fate of a task whose command never runs; None when it does."""
    inputs = {found[name] for name in task.inputs}
    if Fate.BAD in inputs:
        return Fate.BAD
    for_nothing = task.declared and task.declared.type == "afternotok" and found[task.declared.on] is not Fate.BAD
    return Fate.UNNEEDED if for_nothing or Fate.UNNEEDED in inputs else None


def assert_order(folder: Path, tasks: Sequence[RandomTask]) -> None:
    """What is waited for has ended, all attempts of it, before the first attempt of what waits starts."""
    starts, ends = moments(folder, "started"), moments(folder, "ended")
    for task in tasks:
        declared = {task.declared.on} if task.declared and task.declared.type != "after" else set()
        for name in declared.union(task.inputs):
            if task.name in starts and name in ends:
                assert max(ends[name]) <= min(starts[task.name]), f"{task.name} did not wait for {name}"


# --- the same on Slurm ----------------------------------------------------------------------------------------------


def assert_as_expected(folder: Path, tasks: Sequence[RandomTask]) -> None:
    _, times = fates(tasks)
    ran = Counter({name: len(starts) for name, starts in moments(folder, "started").items()})
    assert ran == times, (folder / "Snakefile").read_text()
    assert_order(folder, tasks)


@pytest.mark.parametrize("number", range(RUNS))
def test_what_runs_and_how_often_is_what_the_rules_say(slurm: Sandbox, tmp_path: Path, number: int) -> None:
    """Two runs lose their head as soon as they are queued, two are on a site that does not sweep."""
    tasks = [task for seed in SEEDS[number::RUNS] for task in random_tasks(seed)]
    folder = with_behaviour(tmp_path / "run", snakefile(tasks, number))
    site = ("--kempner-no-kill-on-invalid-dep",) if number in (4, 5) else ()
    with Head(slurm, folder, "--keep-going", *site) as head:
        if number in (3, 5):
            head.until_queued()
            head.kill()
        else:
            all_well = Fate.BAD not in fates(tasks)[0].values()
            assert head.end() == (0 if all_well else 1), head.said
        assert_nothing_is_left(slurm, folder)
    assert_as_expected(folder, tasks)


def test_nothing_has_failed_when_what_reads_from_an_unneeded_handler_does_not_run(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Whether such a handler is refused or only left out: it does not run. The random workflows have none."""
    good = Behaviour.SUCCEEDS
    tasks = [
        RandomTask(name="train", behaviour=good, inputs=()),
        RandomTask(name="repair", behaviour=good, inputs=(), declared=Declared(type="afternotok", on="train")),
        RandomTask(name="repaired", behaviour=good, inputs=("repair",)),
        RandomTask(name="alarm", behaviour=good, inputs=(), declared=Declared(type="afternotok", on="repaired")),
    ]
    folder = with_behaviour(tmp_path / "run", snakefile(tasks, 0))
    with Head(slurm, folder) as head:
        head.end()
        assert_nothing_is_left(slurm, folder)
    assert "alarm" not in moments(folder, "started")


def test_the_random_workflows_contain_what_they_are_there_for() -> None:
    """A change of the generator that makes them all alike is noticed."""
    workflows = [random_tasks(seed) for seed in SEEDS]
    every = [task for tasks in workflows for task in tasks]
    types = Counter(task.declared.type for task in every if task.declared)
    ends = Counter(fate for tasks in workflows for fate in fates(tasks)[0].values())
    skipped = sum(len(tasks) - len(fates(tasks)[1]) for tasks in workflows)
    assert len(every) <= 90
    assert min(types[one] for one in ("after", "afterany", "afternotok")) >= 5, types
    assert min(ends[one] for one in Fate) >= 5, ends
    assert skipped >= 10
