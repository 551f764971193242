"""What holds for every workflow, whatever fails, on a scheduler that does what Slurm does.

A random workflow is planned, submitted and followed to its end, and compared with a reference that is ten lines long.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import POLICY
from fakes import FakeClock, FakeJob, FakeSlurm, Trouble, by_rule, parse_dependency
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.run.ledger import Ledger, make_folders
from snakemake_executor_plugin_kempner.run.live import AttemptFailed, LiveRun, Outcome, TaskEnded, TaskEvent, TaskStarted
from strategies import DECLARED, Story, stories

law = settings(
    max_examples=int(os.environ.get("KEMPNER_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LOGGER = logging.getLogger("laws")
LOGGER.setLevel(logging.CRITICAL)


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


class Play:
    """One run of a story to its end."""

    def __init__(self, story: Story, folder: Path, *, kill: bool = True, **slurm_options: object) -> None:
        self.story = story
        self.clock = FakeClock()
        self.slurm = FakeSlurm(self.clock, ends=by_rule(story.ends), **slurm_options)
        self.policy = replace(POLICY, folder=str(folder), kill_on_invalid_dep=kill)
        make_folders(folder, ())
        self.live = LiveRun(self.policy, self.slurm, Ledger(folder), self.clock, LOGGER)
        self.events: list[TaskEvent] = []

    def submit(self) -> None:
        self.live.submit(self.story.ordered)

    def watch(self, seconds: float = 1.0, *, rounds: int = 3000) -> None:
        """Observe until nothing is open."""
        for _ in range(rounds):
            self.events += self.live.observe()
            if not self.live.open_jobs:
                return
            self.clock.sleep(seconds)
        raise AssertionError(f"still open: {self.live.open_jobs}")

    def ended(self) -> dict[str, Outcome]:
        return {event.task: event.outcome for event in self.events if isinstance(event, TaskEnded)}

    def runs(self) -> dict[str, list[str]]:
        """For each task the states in which its jobs ended, in order of their start; jobs that never ran are left out."""
        started = sorted(
            (job for job in self.slurm.jobs.values() if job.runs),
            key=lambda job: self._first(job, "RUNNING"),
        )
        return {task.key: [job.word for job in started if job.rule == task.name] for task in self.story.tasks}

    def starts(self, rule: str) -> list[int]:
        """Positions in the order of all that happened."""
        changes = enumerate(self.slurm.changes)
        return [place for place, change in changes if change.word == "RUNNING" and change.job.rule == rule]

    def success(self, rule: str) -> int | None:
        changes = enumerate(self.slurm.changes)
        return next((p for p, change in changes if change.word == "COMPLETED" and change.job.rule == rule), None)

    def _first(self, job: FakeJob, word: str) -> int:
        return next(p for p, change in enumerate(self.slurm.changes) if change.job is job and change.word == word)


@contextmanager
def playing(story: Story, **options: object) -> Iterator[Play]:
    with tempfile.TemporaryDirectory() as folder:
        yield Play(story, Path(folder), **options)


def check_order(play: Play) -> None:
    """No task starts before everything that it needs has succeeded."""
    for task in play.story.tasks:
        for start in play.starts(task.name):
            for edge in task.edges:
                if edge.type is DependencyType.AFTEROK:
                    success = play.success(edge.on)
                    assert success is not None
                    assert success < start


def check_attempts(play: Play) -> None:
    """Every attempt runs at most once, and one after another, each behind the failure of the one before."""
    assert all(job.runs <= 1 for job in play.slurm.jobs.values())
    for words in play.runs().values():
        assert all(word != "COMPLETED" for word in words[:-1])
    for task in play.story.tasks:
        jobs = [job for job in play.slurm.named(task.name) if job.runs]
        for earlier, later in zip(jobs, jobs[1:], strict=False):
            assert earlier.ended is not None
            assert later.started is not None
            assert earlier.ended <= later.started


def check_reports(play: Play) -> None:
    """One end for each task, and it is what Slurm has decided."""
    counts = Counter(event.task for event in play.events if isinstance(event, TaskEnded))
    assert counts == {task.key: 1 for task in play.story.tasks}
    for key, words in play.runs().items():
        expected = Outcome.BLOCKED
        if words:
            expected = Outcome.SUCCEEDED if words[-1] == "COMPLETED" else Outcome.FAILED
        assert play.ended()[key] is expected


# --- laws -----------------------------------------------------------------------------------------------------------


@law
@given(story=stories(), kill=st.booleans(), max_running=st.none() | st.integers(1, 3))
def test_slurm_runs_what_the_reference_runs(story: Story, kill: bool, max_running: int | None) -> None:
    with playing(story, kill=kill, max_running=max_running) as play:
        play.submit()
        play.watch()
        assert play.runs() == reference(story)
        assert not play.slurm.left
        check_order(play)
        check_attempts(play)
        check_reports(play)


@law
@given(story=stories(DECLARED), kill=st.booleans(), max_running=st.none() | st.integers(1, 3))
def test_declared_edges_release_as_the_reference_says(story: Story, kill: bool, max_running: int | None) -> None:
    with playing(story, kill=kill, max_running=max_running) as play:
        play.submit()
        play.watch()
        assert play.runs() == reference(story)
        assert not play.slurm.left
        for key, outcomes in reference_outcomes(story).items():
            assert play.ended()[key] in outcomes, key


@law
@given(story=stories())
def test_with_nobody_watching_slurm_comes_to_the_same_end(story: Story) -> None:
    with playing(story) as play:
        play.submit()
        play.slurm.run_dry()
        assert play.runs() == reference(story)
        assert not play.slurm.left
        check_order(play)
        check_attempts(play)


@law
@given(story=stories(), pause=st.sampled_from([0.3, 7.0, 60.0, 180.0]))
def test_the_end_reported_does_not_depend_on_how_often_slurm_is_asked(story: Story, pause: float) -> None:
    with playing(story) as play:
        play.submit()
        play.watch(pause)
        check_reports(play)


@law
@given(story=stories(), keeps_accounts=st.booleans(), data=st.data())
def test_what_vanishes_is_never_a_success(story: Story, keeps_accounts: bool, data: st.DataObject) -> None:
    with playing(story, keeps_accounts=keeps_accounts) as play:
        play.submit()
        play.slurm.forgotten |= data.draw(st.sets(st.sampled_from(sorted(play.slurm.jobs))), label="forgotten")
        play.watch()
        runs = play.runs()
        for key, outcome in play.ended().items():
            if outcome is Outcome.SUCCEEDED:
                assert runs[key][-1:] == ["COMPLETED"]
        assert play.ended().keys() == {task.key for task in story.tasks}
        check_order(play)
        check_attempts(play)


@law
@given(story=stories(), lag=st.sampled_from([0, 1, 60]), data=st.data())
def test_cancelling_at_any_time_keeps_the_order_and_empties_the_queue(
    story: Story, lag: int, data: st.DataObject
) -> None:
    with playing(story) as play:
        play.submit()
        for _ in range(data.draw(st.integers(0, 6), label="seconds before")):
            play.events += play.live.observe()
            play.clock.sleep(1)
        chosen = data.draw(st.sets(st.sampled_from(sorted(play.slurm.jobs)), min_size=1), label="cancelled")
        play.slurm.cancel(chosen)
        play.clock.sleep(lag)
        play.watch()
        assert not play.slurm.left
        check_order(play)
        check_attempts(play)
        counts = Counter(event.task for event in play.events if isinstance(event, TaskEnded))
        assert counts == {task.key: 1 for task in story.tasks}
        for key, outcome in play.ended().items():
            assert outcome is not Outcome.SUCCEEDED or play.success(key) is not None


@law
@given(story=stories(), data=st.data())
def test_a_busy_controller_changes_nothing(story: Story, data: st.DataObject) -> None:
    kinds = st.sampled_from([None, None, Trouble.UNREACHABLE, Trouble.LOST_ANSWER])
    with playing(story) as play:
        for command in ("submit", "find", "queue"):
            play.slurm.trouble(command, *data.draw(st.lists(kinds, max_size=4), label=command))
        play.submit()
        play.watch()
        assert not play.slurm.doubles
        assert play.runs() == reference(story)
        check_reports(play)


@law
@given(story=stories(), refused=st.integers(0, 12), trouble=st.sampled_from([Trouble.REFUSED, Trouble.INTERRUPTED]))
def test_a_plan_is_submitted_as_a_whole_or_not_at_all(story: Story, refused: int, trouble: Trouble) -> None:
    with playing(story) as play:
        play.slurm.trouble("submit", *[None] * refused, trouble)
        try:
            play.submit()
        except BaseException:  # noqa: BLE001 - an interruption too
            assert not play.slurm.left
            assert not play.live.open_jobs
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
        play.live.submit([task for task in story.ordered if task.key not in later])
        for _ in range(data.draw(st.integers(0, 12), label="seconds between")):
            play.events += play.live.observe()
            play.clock.sleep(1)
        play.events += play.live.observe()
        play.live.submit(story.ordered)
        play.watch()
        expected = reference(story)
        assert {key: words for key, words in play.runs().items() if words} == {k: w for k, w in expected.items() if w}
        check_order(play)
        check_attempts(play)
        counts = Counter(event.task for event in play.events if isinstance(event, TaskEnded))
        assert set(counts.values()) <= {1}
        assert {key for key, outcome in play.ended().items() if outcome is Outcome.SUCCEEDED} == {
            key for key, words in expected.items() if words[-1:] == ["COMPLETED"]
        }


@law
@given(story=stories())
def test_a_task_is_seen_to_start_before_it_is_seen_to_end(story: Story) -> None:
    with playing(story) as play:
        play.submit()
        play.watch(0.5)
        over: set[str] = set()
        for event in play.events:
            assert event.task not in over
            if isinstance(event, TaskEnded):
                over.add(event.task)
            if isinstance(event, AttemptFailed):
                assert event.next.submission.ref.attempt == event.job.submission.ref.attempt + 1
        started = {event.task for event in play.events if isinstance(event, TaskStarted)}
        assert started == {key for key, words in reference(story).items() if words} or _too_short_to_be_seen(story)


def _too_short_to_be_seen(story: Story) -> bool:
    return any(end.seconds < 1 for ends in story.ends.values() for end in ends)


# --- what is asked of sbatch ----------------------------------------------------------------------------------------


@law
@given(story=stories(DECLARED))
def test_every_dependency_is_flat_and_names_jobs_that_slurm_knows(story: Story) -> None:
    with playing(story) as play:
        play.submit()
        for job in play.slurm.jobs.values():
            text = job.option("dependency")
            if text is None:
                continue
            assert not ("," in text and "?" in text)
            conditions, _ = parse_dependency(text)
            assert all(int(condition.on) < int(job.job_id) for condition in conditions)


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
    assert attempts == {(ref.task, ref.attempt) for ref in counts if ref.attempt}
    names = [submission.job_name for submission in plan.submissions]
    assert len(set(names)) == len(names)
