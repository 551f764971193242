"""The head is killed at every operation in turn, and the next one goes on as if nothing had been.

A head is played by the code that a real one runs, on the fake scheduler. `Mortal` counts what it does: each command to
Slurm, before and after it was carried out, and each line of a ledger, before, in the middle of and after the writing.
One life is played for every seventh of these places, or, with KEMPNER_EXAMPLES set, for each; the heads that follow are
killed at random places, and the last one lives.
"""

import logging
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from builders import POLICY, a_task, chain, diamond, edge, retry_with_gate
from fakes import OK, End, FakeClock, FakeJob, FakeSlurm, failed, takes
from hypothesis import given
from hypothesis import strategies as st
from playing import leave_record, left_over, task_of, told_by
from strategies import DECLARED, Story, stories
from test_laws import MEMORY, law, reference, reference_outcomes

from snakemake_executor_plugin_kempner.beginning import begin_run, settle_changes
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.claim import Claim, Owner
from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger, _line, read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers
from snakemake_executor_plugin_kempner.run.opening import look_back
from snakemake_executor_plugin_kempner.run.outcome import Outcome
from snakemake_executor_plugin_kempner.run.takeover import close_earlier

FURTHER_KILLS = 3
"""Of the heads that go on, in each life."""
EVERY = 1 if os.environ.get("KEMPNER_EXAMPLES") else 7
"""One of so many places is tried. A submission has eight places: with the next one, other kinds of them are tried."""


class Killed(BaseException):
    """kill -9: nothing is tidied up."""


class Mortal:
    """A scheduler as a head sees it that is killed at its n-th place; a dead head does nothing more."""

    def __init__(self, slurm: FakeSlurm, dies_at: int | None) -> None:
        self._slurm, self._dies_at = slurm, dies_at
        self.places = 0
        self.is_dead = False

    def place(self) -> None:
        """Here a head may die."""
        if self.dies_now():
            raise Killed

    def dies_now(self) -> bool:
        if self._dies_at is not None and self.places >= self._dies_at:
            self.is_dead = True
        self.places += 1
        return self.is_dead

    def __getattr__(self, command: str) -> Callable[..., Any]:
        carry_out = getattr(self._slurm, command)

        def do(*arguments: Any, **options: Any) -> Any:
            self.place()
            answer = carry_out(*arguments, **options)
            self.place()
            return answer

        return do

    def write(self, ledger: Ledger, entry: dict[str, Any]) -> None:
        """A line of a ledger, perhaps half of it."""
        self.place()
        line = _line({**entry, "time": self._slurm.clock.now()}) + "\n"
        dies = self.dies_now()
        with ledger.path.open("a") as file:
            file.write(line[: len(line) // 2] if dies else line)
        if dies:
            raise Killed
        self.place()


@contextmanager
def life_of(head: Mortal, clock: FakeClock) -> Iterator[None]:
    def write(ledger: Ledger, entry: dict[str, Any]) -> None:
        head.write(ledger, entry)

    with told_by(clock), patch.object(Ledger, "_write", write):
        yield


@dataclass(kw_only=True)
class World:
    """A workflow in a folder, its jobs, and the heads that come and go."""

    folder: Path
    story: Story
    kill: bool = True
    keep_going: bool = True
    detached: bool = False
    """The first head leaves a closing job."""
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    kills: int = 0
    heads: int = 0

    def __post_init__(self) -> None:
        starts: dict[str, int] = {}

        def end(job: FakeJob) -> End:
            ends = self.story.ends.get(task_of(job), (OK,))
            number = starts[task_of(job)] = starts.get(task_of(job), 0) + 1
            return ends[min(number, len(ends)) - 1]

        self.clock = FakeClock()
        self.slurm = FakeSlurm(self.clock, ends=end)
        self.slurm.witness = leave_record
        self.last: dict[str, Outcome] | None = None
        """By the word of the head that came to the end."""

    def live(self, dies_at: int | None = None) -> int:
        """One head from its start to its death or to the end of the run; the number of places that it came to."""
        head = Mortal(self.slurm, dies_at)
        self.heads += 1
        with life_of(head, self.clock):
            try:
                self._run(head, f"run{self.heads}")
            except Killed:
                self.kills += 1
        return head.places

    def _run(self, head: Mortal, run: str) -> None:
        """As `executor.py` does it."""
        self.clock.sleep(0.01)  # no two heads begin at the same moment
        since = self.clock.now()
        self._dawdle()
        tasks = left_over(self.story.ordered, self.slurm)  # Snakemake looks at the files
        self._dawdle()
        policy = replace(
            POLICY, run=run, folder=str(self.folder / run), kill_on_invalid_dep=self.kill, keep_going=self.keep_going,
            detached=self.detached and self.heads == 1,
        )  # fmt: skip
        make_folders(Path(policy.folder), ())
        owner = Owner(what="head", run=run, host=os.uname().nodename, pid=os.getpid(), born=run)
        claim = Claim(self.folder, owner, head.runs, self.clock)
        claim.take()
        head.place()
        found = look_back(self.folder, os.getcwd(), head, since, LOGGER.warning)
        waiting = {one.task for one in found.left if not one.has_succeeded}
        found = settle_changes(found, [one for one in tasks if one.key in waiting], {}, None, LOGGER.warning)
        live = begin_run(policy, found, head, LOGGER)
        if live.jobs:
            live.observe()
        live.submit(tasks)
        close_earlier(found, run, head)
        for _ in range(500 if not policy.detached else 0):
            if not live.jobs:
                break
            self.clock.sleep(self.dice.choice([0.3, 1.0, 2.0]))
            live.observe()
        if policy.detached:
            claim.release()
            return
        assert not live.jobs
        live.end()
        head.place()
        claim.release()
        over = {task.key: live.tasks[task.key].ended for task in tasks}
        self.last = {key: ended.outcome for key, ended in over.items() if ended}
        assert self.last.keys() == over.keys()

    def _dawdle(self) -> None:
        """Reading a workflow takes a while, and things happen meanwhile."""
        self.slurm.advance(self.dice.choice([0, 0, 1, 3]))


LOGGER = logging.getLogger("kills")
LOGGER.disabled = True


# --- what holds at the end ------------------------------------------------------------------------------------------


def check(world: World) -> None:
    story, slurm = world.story, world.slurm
    assert [job.name for job in slurm.left if task_of(job) in world.last] == []
    slurm.run_dry()  # jobs of ours may come a little later
    assert [job.name for job in slurm.left] == []
    assert not slurm.doubles
    check_attempts(world)
    check_order(world)
    assert world.last is not None
    expected = reference_outcomes(story)
    done = {task.key for task in story.tasks if any(job.word == "COMPLETED" for job in jobs_of(slurm, task.key))}
    for task in story.tasks:
        outcome = world.last.get(task.key, Outcome.SUCCEEDED if task.key in done else None)
        assert outcome in expected[task.key], task.key
    for path in world.folder.glob("*/ledger.jsonl"):
        if b"\n" in path.read_bytes():
            read_ledger(path.parent)
    assert open_ledgers(world.folder) == ()
    assert not (world.folder / "claim.json").exists()


def jobs_of(slurm: FakeSlurm, task: str) -> list[FakeJob]:
    """Those that were started, in order of their start."""
    started = [job for job in slurm.jobs.values() if job.runs and task_of(job) == task]
    return sorted(started, key=lambda job: _place(slurm, job, "RUNNING"))


def _place(slurm: FakeSlurm, job: FakeJob, word: str) -> int:
    return next(place for place, change in enumerate(slurm.changes) if change.job is job and change.word == word)


def check_attempts(world: World) -> None:
    """Each attempt has run once. A task that has failed for good is run again by a later head, as the user asks for."""
    for task, words in reference(world.story).items():
        jobs = jobs_of(world.slurm, task)
        ran = [job.word for job in jobs]
        if "COMPLETED" in words or not words:
            assert ran == words, task
        else:
            assert len(ran) % len(words) == 0, (task, ran)
            assert len(words) <= len(ran) <= len(words) * world.heads
            assert "COMPLETED" not in ran
        for earlier, later in pairwise(jobs):
            assert earlier.ended is not None
            assert later.started is not None
            assert earlier.ended <= later.started


def check_order(world: World) -> None:
    """Nothing has started before what it waits for."""
    changes = [(task_of(change.job), change.word) for change in world.slurm.changes]
    for task in world.story.tasks:
        for job in jobs_of(world.slurm, task.key):
            before = changes[: _place(world.slurm, job, "RUNNING")]
            for one in task.edges:
                words = {word for on, word in before if on == one.on}
                match one.type:
                    case DependencyType.AFTEROK:
                        assert "COMPLETED" in words
                    case DependencyType.AFTERNOTOK:
                        assert (one.on, "COMPLETED") not in changes
                        assert words != {"PENDING", "RUNNING"}
                    case DependencyType.AFTERANY if jobs_of(world.slurm, one.on):
                        assert words > {"PENDING", "RUNNING"}
                    case DependencyType.AFTER if jobs_of(world.slurm, one.on):
                        assert "RUNNING" in words


# --- the lives ------------------------------------------------------------------------------------------------------


def story(tasks: Sequence[Task], **ends: Sequence[End]) -> Story:
    """`ends` by rule; other tasks take two seconds."""
    known = {task.key: [*ends.get(task.name, (takes(2),))] for task in tasks}
    attempts = {task.key: len(task.attempts) for task in tasks}
    return Story(
        tasks=tuple(tasks), ends={key: (*some, *some[-1:] * 3)[: attempts[key]] for key, some in known.items()}
    )


@dataclass(frozen=True)
class Case:
    story: Story
    options: dict[str, bool] = field(default_factory=dict)


CASES = {
    "chain": Case(story(chain())),
    "chain that stops at a failure": Case(story(chain()), {"keep_going": False}),
    "diamond": Case(story(diamond(3))),
    "fan-in": Case(story([*(a_task(f"part{number}") for number in range(4)), a_task("merge", *(f"part{number}" for number in range(4)))])),
    "retry": Case(story([a_task("train", attempts=2), a_task("report", "train")], train=[failed(1, seconds=3), takes(3)])),
    "retry with a gate": Case(story(retry_with_gate(), train=[failed(1), failed(1), takes(2)]), {"keep_going": False}),
    "handler": Case(
        story(
            [
                a_task("train", attempts=2),
                a_task("tell", edge("afternotok", "train")),
                a_task("clean", edge("afterany", "train")),
                a_task("monitor", edge("after", "train")),
                a_task("report", "train"),
            ],
            train=[failed(1, seconds=2)],
        )
    ),
    "handler that is not needed": Case(
        story([a_task("train"), a_task("tell", edge("afternotok", "train")), a_task("report", "train")])
    ),
    "failure where Slurm removes nothing": Case(story(chain(), align=[failed(1)]), {"kill": False}),
    "run that was to be left alone": Case(story(chain(), fetch=[takes(30)]), {"detached": True}),
}  # fmt: skip


@contextmanager
def world_of(case: Case, seed: int = 0) -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield World(folder=Path(folder), story=case.story, dice=random.Random(seed), **case.options)


def places(case: Case, seed: int = 0) -> int:
    """How many places an undisturbed head comes to."""
    with world_of(case, seed) as world:
        return world.live()


def die_and_go_on(world: World, at: Sequence[int]) -> None:
    for place in at:
        world.live(dies_at=place)
        if world.last is not None:
            return
        world.slurm.advance(world.dice.choice([0, 1, 5]))
    while world.last is None:
        world.live()


def play(world: World, at: Sequence[int]) -> None:
    try:
        die_and_go_on(world, at)
        check(world)
    except BaseException as error:
        changes = (
            f"{one.time:g} {one.job.name} {one.word} {one.job.options.get('dependency')}" for one in world.slurm.changes
        )
        error.add_note("\n".join([f"killed at the places {list(at)}", *changes]))
        raise


def first_place(name: str) -> int:
    """Another one with each case, so that all places of what the cases have in common are tried."""
    return list(CASES).index(name) % EVERY


@pytest.mark.parametrize("name", CASES)
def test_wherever_the_head_is_killed_the_next_ones_come_to_the_same_end(name: str) -> None:
    case, kills = CASES[name], 0
    every = places(case)
    tried = range(first_place(name), every, EVERY)
    for place in tried:
        with world_of(case, seed=place) as world:
            play(world, [place, *(world.dice.randrange(every) for _ in range(FURTHER_KILLS))])
            kills += world.kills
    assert kills >= len(tried)


@pytest.mark.parametrize("name", CASES)
def test_wherever_a_head_is_killed_that_takes_over_the_next_ones_come_to_the_same_end(name: str) -> None:
    """The one before has submitted some of the workflow."""
    place, dies = first_place(name), True
    while dies:
        with world_of(CASES[name], seed=place) as world:
            play(world, [25, place])
            dies = world.kills == 2
        place += EVERY
    assert place > 3


def test_the_cases_have_more_than_five_hundred_places() -> None:
    """Each of them may be the end of a head in the tests above."""
    assert sum(map(places, CASES.values())) > 500


@law
@given(story=stories(DECLARED), kill=st.booleans(), at=st.lists(st.integers(0, 90), min_size=1, max_size=5))
def test_wherever_heads_are_killed_a_random_workflow_comes_to_the_same_end(
    story: Story, kill: bool, at: list[int]
) -> None:
    with world_of(Case(story, {"kill": kill}), seed=sum(at)) as world:
        play(world, at)


def test_a_dead_head_writes_nothing_more(tmp_path: Path) -> None:
    head = Mortal(FakeSlurm(), 0)
    ledger = Ledger(tmp_path)
    before = ledger.path.read_bytes()
    with life_of(head, FakeClock()):
        for _ in range(2):
            with pytest.raises(Killed):
                ledger.close()
    assert ledger.path.read_bytes() == before
