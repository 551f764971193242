"""A task of several segments in the queue, with a head that watches and with nobody."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import a_task
from fakes import NODE_FAIL, OK, OUT_OF_MEMORY, TIMEOUT, End, FakeJob, failed, takes
from playing import Play

from snakemake_executor_plugin_kempner.plan.step import TO_BE_CONTINUED, StepSpec
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.guard import pass_over
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.outcome import AttemptFailed, Outcome, TaskEnded
from snakemake_executor_plugin_kempner.run.segments import has_failed, is_to_be_continued, passed_over
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import job_state
from snakemake_executor_plugin_kempner.state.judged import run_state
from snakemake_executor_plugin_kempner.state.sources import read_sources
from snakemake_executor_plugin_kempner.step.earlier import decided_before

SUCCEEDED, FAILED, CANCELLED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED
PREEMPTED = End(word="PREEMPTED", signal=15)
TEMPFAIL = failed(TO_BE_CONTINUED)
TERMINATED = End(word="FAILED", signal=15)
KILLED = End(word="FAILED", signal=9)


class Training:
    """Jobs of the rule `train` that do what the step does: ask about the jobs before them, and pass over the rest.

    Args:
        ends: of those that run, in order.
        is_killed: a segment that fails cannot act any more.
    """

    def __init__(self, ends: Sequence[End], *, is_killed: bool = False) -> None:
        self.left, self.is_killed = list(ends), is_killed
        self.ran: list[str] = []
        """Attempt and segment of each job that was not decided when it started."""

    def __call__(self, job: FakeJob) -> End:
        if job.rule != "train":
            return takes(100) if job.rule == "slow" else OK
        spec = StepSpec.from_dict(json.loads("{" + job.script.partition("\n{")[2].rpartition("END")[0]))
        decided = decided_before(spec, lambda: self.play.slurm)
        if decided is not None:
            end = failed(decided) if decided else OK
        else:
            self.ran.append(f"{spec.attempt}.{spec.segment}")
            end = self.left.pop(0)
        record = Record(
            job_id=job.job_id, state=job_state(end.word), word=end.word, exit_code=end.exit_code, signal=end.signal
        )
        can_act = decided is not None or not self.is_killed
        if has_failed(record) and can_act and spec.segment < spec.segments:
            pass_over(self.play.folder, self.play.slurm, job.job_id)
        return end

    def plays(self, folder: Path, *, attempts: int = 1, segments: int = 3, **how: bool) -> Play:
        self.play = Play(folder, self, **how)
        self.tasks = train(attempts=attempts, segments=segments)
        self.play.submit(*self.tasks)
        return self.play


def train(*, attempts: int, segments: int) -> tuple[Task, ...]:
    return a_task("train", attempts=attempts, resources={"slurm_segments": segments}), a_task("report", "train")


def looked_at(play: Play) -> dict[str, str]:
    """What has become of the tasks, for somebody who has not watched and sees all ends at once."""
    tasks = run_state(read_sources(read_ledger(play.folder), play.slurm)).tasks
    return {task.key: task.state.value for task in tasks}


def the_end(play: Play) -> TaskEnded:
    (ended,) = [event for event in play.events if isinstance(event, TaskEnded) and event.task == "train"]
    return ended


def states(play: Play) -> list[str]:
    return [job.word for job in play.slurm.jobs.values() if job.rule == "train"]


def passes(play: Play, seconds: int) -> None:
    """Time in which nobody watches."""
    for _ in range(seconds):
        play.slurm.tick()


WATCHED = pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "nobody"])


def follow(play: Play, *, is_watched: bool) -> None:
    if is_watched:
        play.watch()
    else:
        play.run_headless()
    assert not play.slurm.left


@WATCHED
@pytest.mark.parametrize("kill", [True, False], ids=["kill", "no kill"])
@pytest.mark.parametrize("end", [TIMEOUT, PREEMPTED, TEMPFAIL, TERMINATED, failed(143)])
def test_a_segment_that_is_cut_short_is_followed_by_the_next_until_one_succeeds(
    tmp_path: Path, end: End, *, kill: bool, is_watched: bool
) -> None:
    training = Training([end, end, OK])
    play = training.plays(tmp_path / "run1", segments=5, kill=kill)
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2", "1.3"]
    assert play.slurm.named("report")[0].word == "COMPLETED"
    assert looked_at(play) == {"train": "done", "report": "done"}
    if is_watched:
        assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}


@WATCHED
@pytest.mark.parametrize("is_killed", [False, True], ids=["it acts itself", "it was killed"])
@pytest.mark.parametrize("end", [failed(1), KILLED, OUT_OF_MEMORY, NODE_FAIL])
def test_a_segment_that_fails_is_no_segment_to_go_on_from(
    tmp_path: Path, end: End, *, is_killed: bool, is_watched: bool
) -> None:
    training = Training([TIMEOUT, end, OK], is_killed=is_killed)
    play = training.plays(tmp_path / "run1", segments=6)
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2"]
    assert play.slurm.named("report")[0].runs == 0
    assert looked_at(play) == {"train": "failed", "report": "never"}
    if is_watched:
        assert play.ended()["train"] is FAILED
        assert the_end(play).job.job_id == "2"


@WATCHED
@pytest.mark.parametrize("is_killed", [False, True], ids=["it acts itself", "it was killed"])
def test_a_failure_is_retried_by_the_next_attempt_with_segments_of_its_own(
    tmp_path: Path, *, is_killed: bool, is_watched: bool
) -> None:
    training = Training([TIMEOUT, failed(3), TIMEOUT, OK], is_killed=is_killed)
    play = training.plays(tmp_path / "run1", attempts=2, segments=4)
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2", "2.1", "2.2"]
    assert play.slurm.named("report")[0].word == "COMPLETED"
    assert looked_at(play) == {"train": "done", "report": "done"}
    if is_watched:
        assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}


def test_what_follows_an_end_is_told_as_what_it_is(tmp_path: Path) -> None:
    training = Training([TIMEOUT, failed(3), OK])
    play = training.plays(tmp_path / "run1", attempts=2, segments=3)
    play.watch()
    events = [event for event in play.events if isinstance(event, AttemptFailed)]
    assert [(event.goes_on, event.job.job_id, event.next.job_id) for event in events] == [
        (True, "1", "2"),
        (False, "2", "4"),
    ]


@WATCHED
def test_segments_that_do_not_suffice_are_a_failure(tmp_path: Path, *, is_watched: bool) -> None:
    training = Training([TIMEOUT, TEMPFAIL, TIMEOUT])
    play = training.plays(tmp_path / "run1", segments=3)
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2", "1.3"]
    assert looked_at(play)["train"] == "failed"
    if is_watched:
        assert the_end(play).outcome is FAILED
        assert is_to_be_continued(the_end(play).record)


@WATCHED
def test_a_segment_that_a_person_cancels_is_not_followed_by_another(tmp_path: Path, *, is_watched: bool) -> None:
    training = Training([TIMEOUT, End(seconds=1000)])
    play = training.plays(tmp_path / "run1", attempts=2, segments=6)
    passes(play, 20)
    assert training.ran == ["1.1", "1.2"]
    play.slurm.cancel(["2"])
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2"]
    assert looked_at(play)["train"] == "cancelled"
    if is_watched:
        assert the_end(play).outcome is CANCELLED


@pytest.mark.parametrize("keep_going", [False, True])
def test_without_a_head_a_failure_stops_the_run_and_a_segment_that_is_cut_short_does_not(
    tmp_path: Path, *, keep_going: bool
) -> None:
    training = Training([TIMEOUT, failed(1)])
    play = training.plays(tmp_path / "run1", segments=4, keep_going=keep_going)
    play.submit(a_task("slow"), a_task("late", "slow"))
    play.run_headless()
    assert training.ran == ["1.1", "1.2"]
    assert play.slurm.named("late")[0].word == ("COMPLETED" if keep_going else "CANCELLED")


@WATCHED
def test_segments_that_are_passed_over_do_not_have_to_start_first(tmp_path: Path, *, is_watched: bool) -> None:
    """The failed segment takes them out of the queue; where it was killed, the head that watches does."""
    training = Training([TIMEOUT, NODE_FAIL], is_killed=is_watched)
    play = training.plays(tmp_path / "run1", segments=4)
    play.slurm.jobs["3"].held = True  # it would wait for long
    follow(play, is_watched=is_watched)
    assert training.ran == ["1.1", "1.2"]
    assert [job.runs for job in play.slurm.named("train")] == [1, 1, 0, 0]


def test_a_guard_sees_the_failure_although_a_head_has_cancelled_the_segments_behind_it(tmp_path: Path) -> None:
    training = Training([TIMEOUT, NODE_FAIL], is_killed=True)
    play = training.plays(tmp_path / "run1", segments=4, keep_going=False)
    play.submit(a_task("slow"), a_task("late", "slow"))
    play.slurm.jobs["3"].held = True
    passes(play, 10)
    play.look()  # and then the head dies
    play.run_headless()
    assert play.slurm.named("late")[0].word == "CANCELLED"


def test_the_next_head_takes_over_a_chain_of_segments(tmp_path: Path) -> None:
    training = Training([TIMEOUT, End(seconds=30), OK])
    play = training.plays(tmp_path / "run1", segments=3)
    passes(play, 10)
    play.resume()
    play.submit(*training.tasks)
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}
    assert training.ran == ["1.1", "1.2"]
    assert len(play.slurm.named("train")) == 3


def test_a_failure_that_the_head_before_has_not_seen_ends_the_task(tmp_path: Path) -> None:
    training = Training([TIMEOUT, NODE_FAIL], is_killed=True)
    play = training.plays(tmp_path / "run1", segments=4)
    while play.slurm.jobs["2"].word != "NODE_FAIL":
        play.slurm.tick()
    play.resume()
    play.submit(*training.tasks)
    play.watch()
    assert play.ended() == {"train": FAILED, "report": Outcome.BLOCKED}
    assert the_end(play).job.job_id == "2"
    assert training.ran == ["1.1", "1.2"]
    assert not play.slurm.left


def test_a_segment_whose_end_is_lost_does_not_lose_the_training(tmp_path: Path) -> None:
    training = Training([TIMEOUT, End(seconds=1000)])
    play = training.plays(tmp_path / "run1", segments=3, min_job_age=1)
    passes(play, 60)  # the controller has forgotten the first, whose record has no end, and nobody has looked
    play.watch()
    assert play.ended() == {"train": SUCCEEDED, "report": SUCCEEDED}


# --- how an end counts ----------------------------------------------------------------------------------------------


def a_record(word: str, exit_code: int | None = None, signal: int | None = None) -> Record:
    return Record(job_id="1", state=job_state(word), word=word, exit_code=exit_code, signal=signal)


@pytest.mark.parametrize(
    ("record", "goes_on", "fails"),
    [
        (a_record("TIMEOUT", 0, 15), True, False),
        (a_record("PREEMPTED", 0, 15), True, False),
        (a_record("FAILED", 75), True, False),
        (a_record("FAILED", 143), True, False),
        (a_record("FAILED", 0, 15), True, False),
        (a_record("FAILED", 1), False, True),
        (a_record("FAILED", 0, 9), False, True),
        (a_record("OUT_OF_MEMORY", 0, 9), False, True),
        (a_record("NODE_FAIL"), False, True),
        (a_record("DEADLINE"), False, True),
        (a_record("CANCELLED by 1000", 0, 15), False, False),
        (a_record("CANCELLED", 75), False, False),
        (a_record("COMPLETED", 0), False, False),
        (a_record("RUNNING"), False, False),
        (a_record("SOMETHING_NEW", 75), False, False),
    ],
)
def test_what_the_end_of_a_segment_means(record: Record, *, goes_on: bool, fails: bool) -> None:
    assert (is_to_be_continued(record), has_failed(record)) == (goes_on, fails)


def test_what_is_behind_a_failure_of_its_attempt_does_not_count() -> None:
    fails, goes_on = a_record("FAILED", 1), a_record("TIMEOUT")
    jobs = [("a", 1, goes_on), ("b", 1, fails), ("c", 1, fails), ("d", 1, None), ("e", 2, goes_on), ("f", 2, None)]
    assert passed_over(jobs) == {"c", "d"}
