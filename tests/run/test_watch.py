"""What an observation of the queue means, and when the next one is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.dependency import Ref
from snakemake_executor_plugin_kempner.run.watch import GRACE, Change, Followed, pause, step
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import STUCK_REASONS, JobState

REF = Ref("align", 1)


def followed(state: JobState = JobState.WAITING, missing_since: float | None = None) -> dict[str, Followed]:
    return {"7": Followed(ref=REF, job_id="7", state=state, missing_since=missing_since)}


def seen(state: JobState, **fields: object) -> dict[str, Record]:
    return {"7": Record(job_id="7", state=state, word=state.name, **fields)}


def kinds(changes: tuple[Change, ...]) -> list[str]:
    named = ("has_ended", "was_requeued", "is_stuck")
    return [next((kind for kind in named if getattr(change, kind)), "another") for change in changes]


TABLE = [
    # known          seen                changes         followed on
    (JobState.WAITING, JobState.WAITING, [], True),
    (JobState.WAITING, JobState.RUNNING, ["another"], True),
    (JobState.RUNNING, JobState.RUNNING, [], True),
    (JobState.RUNNING, JobState.WAITING, ["was_requeued"], True),
    (JobState.WAITING, JobState.SUCCEEDED, ["has_ended"], False),
    (JobState.RUNNING, JobState.SUCCEEDED, ["has_ended"], False),
    (JobState.RUNNING, JobState.FAILED, ["has_ended"], False),
    (JobState.WAITING, JobState.CANCELLED, ["has_ended"], False),
]


@pytest.mark.parametrize(("known", "now", "changes", "goes_on"), TABLE)
def test_what_a_change_of_state_means(known: JobState, now: JobState, changes: list[str], goes_on: bool) -> None:
    left, found = step(followed(known), seen(now), 0)
    assert kinds(found) == changes
    assert ("7" in left) == goes_on


def test_a_change_carries_the_job_and_what_slurm_said() -> None:
    (change,) = step(followed(), seen(JobState.FAILED, exit_code=3, node="n1"), 0)[1]
    assert (change.job.ref, change.record.exit_code, change.record.node) == (REF, 3, "n1")


@pytest.mark.parametrize("answer", [{}, seen(JobState.UNKNOWN)], ids=["missing", "a word that nobody knows"])
def test_a_job_that_no_source_knows_is_waited_for_and_then_lost_and_never_a_success(answer: dict[str, Record]) -> None:
    left, changes = step(followed(JobState.RUNNING), answer, 100)
    assert changes == ()
    left, changes = step(left, answer, 100 + GRACE)
    assert changes == ()
    left, (change,) = step(left, answer, 100 + GRACE + 1)
    assert left == {}
    assert change.has_ended
    assert change.record.state is JobState.UNKNOWN


def test_a_job_that_is_seen_again_is_not_missing_any_more() -> None:
    left, _ = step(followed(JobState.RUNNING), {}, 0)
    left, changes = step(left, seen(JobState.RUNNING), 50)
    assert changes == ()
    left, changes = step(left, {}, 100)
    assert changes == ()
    assert left["7"].missing_since == 100


@pytest.mark.parametrize("reason", sorted(STUCK_REASONS))
def test_a_job_that_waits_for_what_it_will_not_get_is_pointed_out_once(reason: str) -> None:
    left, (change,) = step(followed(), seen(JobState.WAITING, reason=reason), 0)
    assert (change.is_stuck, change.record.stuck, change.record.is_held) == (True, reason, False)
    left, changes = step(left, seen(JobState.WAITING, reason=reason), 1)
    assert changes == ()
    left, changes = step(left, seen(JobState.WAITING, reason="Priority"), 2)
    assert changes == ()
    assert kinds(step(left, seen(JobState.WAITING, reason=reason), 3)[1]) == ["is_stuck"]


HELD = ["JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "launch failed requeued held", "job_requeued_in_held_state"]


@pytest.mark.parametrize("reason", HELD)
def test_a_job_that_somebody_has_to_release_is_pointed_out_once(reason: str) -> None:
    left, (change,) = step(followed(), seen(JobState.WAITING, reason=reason), 0)
    assert (change.is_stuck, change.record.stuck, change.record.is_held) == (True, reason, True)
    _, changes = step(left, seen(JobState.WAITING, reason=reason), 1)
    assert changes == ()


@pytest.mark.parametrize("reason", ["", "Priority", "Resources", "Dependency", "BeginTime"])
def test_a_job_that_only_waits_is_not_pointed_out(reason: str) -> None:
    assert step(followed(), seen(JobState.WAITING, reason=reason), 0)[1] == ()


def test_jobs_that_are_not_followed_are_none_of_our_business() -> None:
    assert step({}, seen(JobState.FAILED), 0) == ({}, ())


@given(st.lists(st.sampled_from([*JobState, None]), max_size=8))
def test_a_job_ends_once_whatever_is_seen(states: list[JobState | None]) -> None:
    known, ends = followed(), 0
    for second, state in enumerate(states):
        known, changes = step(known, seen(state) if state else {}, second * GRACE)
        ends += kinds(changes).count("has_ended")
    assert ends == (not known)


@given(st.floats(0, 1e7), st.floats(1, 1e4))
def test_a_pause_is_short_after_a_change_and_never_longer_than_allowed(quiet: float, longest: float) -> None:
    assert 1 <= pause(quiet, longest, age=0, took=0) <= longest
    assert pause(0, longest, age=0, took=0) == 1
    assert pause(quiet, longest, age=0, took=0) <= max(1, quiet / 10)


def test_a_long_training_costs_few_queries() -> None:
    queries, now = 0, 0.0
    while now < 24 * 3600:
        now += pause(now, 180, age=now, took=0)
        queries += 1
    assert queries < 600


def test_a_sweep_in_which_something_ends_every_second_costs_few_queries_too() -> None:
    queries, now = 0, 0.0
    while now < 24 * 3600:
        now += pause(0, 180, age=now, took=0)
        queries += 1
    assert queries < 6000


def test_a_slow_controller_is_asked_less_often() -> None:
    assert pause(0, 180, age=0, took=2) == 60
