"""What holds for every workflow, whatever fails, on a scheduler that does what Slurm does.

A random workflow is planned, submitted and followed to its end, and compared with a reference that is ten lines long.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders import POLICY
from fakes import Trouble, parse_dependency
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playing import Play
from strategies import DECLARED, Story, stories

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.model import Kind
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Deferred
from snakemake_executor_plugin_kempner.run.outcome import AttemptFailed, Outcome, TaskEnded

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Thousands of small folders are made; a file system in memory is fast and nobody else waits for it."""

law = settings(
    max_examples=int(os.environ.get("KEMPNER_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """A busy controller is announced each time."""
    logger = logging.getLogger("playing")
    logger.disabled = True
    yield
    logger.disabled = False


# --- the reference --------------------------------------------------------------------------------------------------


def reference(story: Story) -> dict[str, list[str]]:
    """For each task the states of the attempts that are run, in order; none when it is not run."""
    wanted = {DependencyType.AFTEROK: True, DependencyType.AFTERNOTOK: False}
    runs: dict[str, list[str]] = {}
    for task in story.ordered:
        ok = {edge: "COMPLETED" in runs[edge.on] for edge in task.edges}
        held = all(ok[edge] is wanted[edge.type] for edge in task.edges if edge.type in wanted)
        words = [end.word for end in story.ends[task.key]] if held else []
        runs[task.key] = words[: words.index("COMPLETED") + 1] if "COMPLETED" in words else words
    return runs


def reference_outcomes(story: Story) -> dict[str, set[Outcome]]:
    """What may be said of each task; a task that is barred for two reasons may be reported with either."""
    runs, said = reference(story), {}
    for task in story.ordered:
        if runs[task.key]:
            said[task.key] = {Outcome.SUCCEEDED if runs[task.key][-1] == "COMPLETED" else Outcome.FAILED}
            continue
        said[task.key] = set()
        for edge in task.edges:
            ok = "COMPLETED" in runs[edge.on]
            if edge.type is DependencyType.AFTERNOTOK and ok:
                said[task.key].add(Outcome.NOT_NEEDED)
            if edge.type is DependencyType.AFTEROK and not ok:
                failed = said[edge.on] - {Outcome.FAILED} or {Outcome.BLOCKED}
                said[task.key] |= failed
    return said


# --- playing a story ------------------------------------------------------------------------------------------------


@contextmanager
def playing(story: Story, *, inside: str = "", **options: Any) -> Iterator[Play]:
    """A run of the story in a temporary folder, or in a folder of that name inside it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Play(Path(folder) / inside, dict(story.ends), **options)


def check_order(story: Story, play: Play) -> None:
    """No task starts before everything that it needs has succeeded."""
    for task in story.tasks:
        for start in play.places(task.name, "RUNNING"):
            for edge in task.edges:
                if edge.type is DependencyType.AFTEROK:
                    assert [place for place in play.places(edge.on, "COMPLETED") if place < start]


def check_attempts(story: Story, play: Play) -> None:
    """Every attempt runs at most once, and one after another, each behind the failure of the one before."""
    assert all(job.runs <= 1 for job in play.slurm.jobs.values())
    for task in story.tasks:
        jobs = [job for job in play.slurm.named(task.name) if job.runs]
        for earlier, later in pairwise(jobs):
            assert earlier.word != "COMPLETED"
            assert earlier.ended is not None
            assert later.started is not None
            assert earlier.ended <= later.started


def check_one_end_each(story: Story, play: Play) -> None:
    counts = Counter(event.task for event in play.events if isinstance(event, TaskEnded))
    assert counts == {task.key: 1 for task in story.tasks}


def check_reports(story: Story, play: Play) -> None:
    """One end for each task, and it is what Slurm has decided."""
    check_one_end_each(story, play)
    for key, words in play.runs(story.tasks).items():
        expected = Outcome.BLOCKED
        if words:
            expected = Outcome.SUCCEEDED if words[-1] == "COMPLETED" else Outcome.FAILED
        assert play.ended()[key] is expected


# --- laws -----------------------------------------------------------------------------------------------------------


@law
@given(story=stories(), kill=st.booleans(), max_running=st.none() | st.integers(1, 3))
def test_slurm_runs_what_the_reference_runs(story: Story, kill: bool, max_running: int | None) -> None:
    with playing(story, kill=kill, max_running=max_running) as play:
        play.submit(*story.ordered)
        play.watch()
        assert play.runs(story.tasks) == reference(story)
        assert not play.slurm.left
        check_order(story, play)
        check_attempts(story, play)
        check_reports(story, play)


@law
@given(story=stories(DECLARED), kill=st.booleans(), max_running=st.none() | st.integers(1, 3))
def test_declared_edges_release_as_the_reference_says(story: Story, kill: bool, max_running: int | None) -> None:
    with playing(story, kill=kill, max_running=max_running) as play:
        play.submit(*story.ordered)
        play.watch()
        assert play.runs(story.tasks) == reference(story)
        assert not play.slurm.left
        for key, outcomes in reference_outcomes(story).items():
            assert play.ended()[key] in outcomes, key


@law
@given(story=stories())
def test_with_nobody_watching_slurm_comes_to_the_same_end(story: Story) -> None:
    with playing(story) as play:
        play.submit(*story.ordered)
        play.slurm.run_dry()
        assert play.runs(story.tasks) == reference(story)
        assert not play.slurm.left
        check_order(story, play)
        check_attempts(story, play)


@law
@given(story=stories(), pause=st.sampled_from([0.3, 7.0, 60.0, 180.0]))
def test_the_end_reported_does_not_depend_on_how_often_slurm_is_asked(story: Story, pause: float) -> None:
    with playing(story) as play:
        play.submit(*story.ordered)
        play.watch(pause)
        check_reports(story, play)


@law
@given(story=stories(), keeps_accounts=st.booleans(), data=st.data())
def test_what_vanishes_is_never_a_success(story: Story, keeps_accounts: bool, data: st.DataObject) -> None:
    with playing(story, keeps_accounts=keeps_accounts) as play:
        play.submit(*story.ordered)
        play.slurm.forgotten |= data.draw(st.sets(st.sampled_from(sorted(play.slurm.jobs))), label="forgotten")
        play.watch()
        runs = play.runs(story.tasks)
        for key, outcome in play.ended().items():
            if outcome is Outcome.SUCCEEDED:
                assert runs[key][-1:] == ["COMPLETED"]
        assert play.ended().keys() == {task.key for task in story.tasks}
        check_order(story, play)
        check_attempts(story, play)


@law
@given(story=stories(), lag=st.sampled_from([0, 1, 60]), data=st.data())
def test_cancelling_at_any_time_keeps_the_order_and_empties_the_queue(
    story: Story, lag: int, data: st.DataObject
) -> None:
    with playing(story) as play:
        play.submit(*story.ordered)
        for _ in range(data.draw(st.integers(0, 6), label="seconds before")):
            play.look()
            play.clock.sleep(1)
        chosen = data.draw(st.sets(st.sampled_from(sorted(play.slurm.jobs)), min_size=1), label="cancelled")
        play.slurm.cancel(chosen)
        play.clock.sleep(lag)
        play.watch()
        assert not play.slurm.left
        check_order(story, play)
        check_attempts(story, play)
        check_one_end_each(story, play)
        for key, outcome in play.ended().items():
            assert outcome is not Outcome.SUCCEEDED or play.places(key, "COMPLETED")


@law
@given(story=stories(), data=st.data())
def test_a_busy_controller_changes_nothing(story: Story, data: st.DataObject) -> None:
    kinds = st.sampled_from([None, None, Trouble.UNREACHABLE, Trouble.LOST_ANSWER])
    with playing(story) as play:
        for command in ("submit", "find", "queue"):
            play.slurm.trouble(command, *data.draw(st.lists(kinds, max_size=4), label=command))
        try:
            play.submit(*story.ordered)
        except SlurmError as error:  # it took so long that Slurm may have forgotten a job that others wait for
            if "so slow" not in str(error):
                raise
            play.slurm.run_dry()
            assert not play.slurm.doubles
            return
        play.watch()
        assert not play.slurm.doubles
        assert play.runs(story.tasks) == reference(story)
        check_reports(story, play)


@law
@given(story=stories(), refused=st.integers(0, 12), trouble=st.sampled_from([Trouble.REFUSED, Trouble.INTERRUPTED]))
def test_a_plan_is_submitted_as_a_whole_or_not_at_all(story: Story, refused: int, trouble: Trouble) -> None:
    with playing(story) as play:
        play.slurm.trouble("submit", *[None] * refused, trouble)
        try:
            play.submit(*story.ordered)
        except BaseException:  # noqa: BLE001 - an interruption too
            assert not play.slurm.left
            assert not play.live.jobs
        else:
            assert len(play.slurm.jobs) <= refused


@law
@given(story=stories(), data=st.data())
def test_what_is_submitted_later_waits_for_what_was_submitted_before(story: Story, data: st.DataObject) -> None:
    """As behind a local rule or a checkpoint: some tasks are known only when others have run for a while."""
    by_key = {task.key: task for task in story.tasks}
    later = set(data.draw(st.sets(st.sampled_from(sorted(by_key))), label="later"))
    while behind := {key for key, one in by_key.items() if any(e.on in later for e in one.edges)} - later:
        later |= behind
    with playing(story) as play:
        play.submit(*(task for task in story.ordered if task.key not in later))
        for _ in range(data.draw(st.integers(0, 12), label="seconds between")):
            play.look()
            play.clock.sleep(1)
        play.look()
        play.submit(*story.ordered)
        play.watch()
        expected = reference(story)
        assert {key: words for key, words in play.runs(story.tasks).items() if words} == {
            k: w for k, w in expected.items() if w
        }
        check_order(story, play)
        check_attempts(story, play)
        counts = Counter(event.task for event in play.events if isinstance(event, TaskEnded))
        assert set(counts.values()) <= {1}
        assert {key for key, outcome in play.ended().items() if outcome is Outcome.SUCCEEDED} == {
            key for key, words in expected.items() if words[-1:] == ["COMPLETED"]
        }


@law
@given(story=stories())
def test_nothing_is_told_of_a_task_after_its_end(story: Story) -> None:
    with playing(story) as play:
        play.submit(*story.ordered)
        play.watch(0.5)
        over: set[str] = set()
        for event in play.events:
            assert event.task not in over
            if isinstance(event, TaskEnded):
                over.add(event.task)
            if isinstance(event, AttemptFailed):
                assert event.next.submission.ref.attempt == event.job.submission.ref.attempt + 1


# --- what is asked of sbatch ----------------------------------------------------------------------------------------


@law
@given(story=stories(DECLARED))
def test_every_dependency_is_flat_and_names_jobs_that_slurm_knows(story: Story) -> None:
    with playing(story) as play:
        play.submit(*story.ordered)
        for job in play.slurm.jobs.values():
            text = job.options.get("dependency")
            if not text:
                continue
            assert not ("," in text and "?" in text)
            conditions, _ = parse_dependency(text)
            assert all(int(condition.on) < int(job.job_id) for condition in conditions)


@law
@given(story=stories(DECLARED), max_running=st.none() | st.integers(1, 3))
def test_a_run_without_a_head_that_keeps_going_runs_what_the_reference_runs(
    story: Story, max_running: int | None
) -> None:
    with playing(story, max_running=max_running) as play:
        play.submit(*story.ordered)
        play.run_headless()
        assert play.runs(story.tasks) == reference(story)


@law
@given(story=stories(), max_running=st.none() | st.integers(1, 3))
def test_a_run_without_a_head_stops_after_the_first_failure(story: Story, max_running: int | None) -> None:
    with playing(story, keep_going=False, max_running=max_running) as play:
        play.submit(*story.ordered)
        play.run_headless()
        check_order(story, play)
        check_attempts(story, play)
        expected = reference(story)
        for key, words in play.runs(story.tasks).items():
            assert expected[key][: len(words)] == words
        if all("COMPLETED" in words for words in expected.values()):
            assert play.runs(story.tasks) == expected


@law
@given(story=stories(DECLARED), max_running=st.none() | st.integers(1, 3))
def test_a_run_without_a_head_leaves_nothing_in_the_queue(story: Story, max_running: int | None) -> None:
    with playing(story, keep_going=False, max_running=max_running) as play:
        play.submit(*story.ordered)
        play.run_headless()
        assert not play.slurm.left
        check_order(story, play)


@law
@given(
    story=stories(DECLARED),
    kill=st.booleans(),
    keep_going=st.booleans(),
    max_running=st.none() | st.integers(1, 3),
    data=st.data(),
)
def test_a_closing_job_starts_when_every_task_has_ended_whatever_fails(
    story: Story, kill: bool, keep_going: bool, max_running: int | None, data: st.DataObject
) -> None:
    keys = st.frozensets(st.sampled_from([task.key for task in story.tasks]), min_size=1, max_size=3)
    deferred = [Deferred("a checkpoint", one) for one in data.draw(st.lists(keys, max_size=3), label="awaited")]
    with playing(story, detached=True, kill=kill, keep_going=keep_going, max_running=max_running) as play:
        play.submit(*story.ordered, deferred=deferred)
        play.run_headless()
        (closing,) = play.slurm.named("closing")
        assert closing.word == "COMPLETED"
        assert closing.started is not None
        for job in play.slurm.jobs.values():
            assert job.ended is not None
            if job.rule not in ("closing", "guard", "gate"):
                assert job.ended <= closing.started, job.name
        succeeded = {key for key, words in play.runs(story.tasks).items() if "COMPLETED" in words}
        continued = [job for job in play.slurm.named("continuation") if job.word == "COMPLETED"]
        reached = any(one.awaits <= succeeded for one in deferred)
        assert not continued or reached
        if reached and keep_going:
            assert len(continued) == 1


@law
@given(story=stories())
def test_planning_twice_gives_the_same_plan(story: Story) -> None:
    assert make_plan(story.tasks, POLICY) == make_plan(story.tasks, POLICY)


@law
@given(story=stories())
def test_there_is_one_submission_for_each_attempt_and_at_most_one_gate_for_a_task(story: Story) -> None:
    plan = make_plan(story.tasks, POLICY)
    counts = Counter(submission.ref for submission in plan.submissions)
    assert set(counts.values()) == {1}
    attempts = {(task.key, attempt.number) for task in story.tasks for attempt in task.attempts}
    assert attempts == {(one.ref.task, one.ref.attempt) for one in plan.submissions if one.kind is Kind.TASK}
    names = [submission.job_name for submission in plan.submissions]
    assert len(set(names)) == len(names)
