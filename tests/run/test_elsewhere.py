"""Retries elsewhere: which end is the fault of a node, who keeps off it, and when nobody does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task
from fakes import NODE_FAIL, NODES, OK, End, Trouble, failed
from playing import Play

from snakemake_executor_plugin_kempner.layout import KEPT_OFF
from snakemake_executor_plugin_kempner.plan.model import Kind
from snakemake_executor_plugin_kempner.report import attempt_message
from snakemake_executor_plugin_kempner.run.elsewhere import after_others, blame, fails_at_once, keep_off, kept_off
from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.outcome import AttemptFailed
from snakemake_executor_plugin_kempner.slurm.parse import Record, Usage
from snakemake_executor_plugin_kempner.slurm.states import JobState, job_state


def ended(word: str, *, reason: str = "", node: str = "n1") -> Record:
    return Record(job_id="1", state=job_state(word), word=word, reason=reason, node=node)


def trained(folder: Path, ends: Sequence[End], *, attempts: int = 3, **fields: object) -> Play:
    play = Play(folder, {"train": ends})
    play.live.policy = replace(play.live.policy, **fields)  # type: ignore[arg-type]  # by their names
    play.submit(a_task("train", attempts=attempts))
    return play


@pytest.mark.parametrize(
    ("record", "has_begun", "is_to_blame"),
    [
        (ended("NODE_FAIL"), True, True),
        (ended("BOOT_FAIL"), False, True),
        (ended("FAILED", reason="JobLaunchFailure"), False, True),
        (ended("FAILED"), False, True),  # such as a job whose interpreter is missing there
        (ended("FAILED"), True, False),
        (ended("TIMEOUT"), True, False),
        (ended("OUT_OF_MEMORY"), True, False),
        (ended("COMPLETED"), False, False),
        (ended("CANCELLED"), False, False),
        (ended("NODE_FAIL", node=""), True, False),
        (ended("NODE_FAIL", node="n[1-2]"), True, False),  # which of them it was is not known
    ],
)
def test_a_node_is_to_blame_for_ends_that_no_program_has_made(
    record: Record, has_begun: bool, is_to_blame: bool
) -> None:
    assert bool(blame(record, has_begun=has_begun)) is is_to_blame


def test_attempts_behind_a_node_failure_that_still_wait_keep_off_the_node(tmp_path: Path) -> None:
    play = trained(tmp_path, [NODE_FAIL, OK])
    play.watch(0.5)
    first, _, third = play.slurm.named("train")  # the second has started before the head has seen the failure
    assert third.excluded == {first.node}


def test_the_message_about_an_attempt_says_what_the_next_keeps_off(tmp_path: Path) -> None:
    play = trained(tmp_path, [failed(3), OK])
    second = play.slurm.named("train")[1]
    assert keep_off(play.slurm, [(second.job_id, second.options, tmp_path)], "n3", "it is so") == (second.job_id,)
    play.watch(0.5)
    (event,) = [event for event in play.events if isinstance(event, AttemptFailed)]
    assert f"attempt 2 is Slurm job {second.job_id}, which keeps off n3 (it is so)." in attempt_message(event, Usage())


def test_a_program_that_fails_is_tried_anywhere(tmp_path: Path) -> None:
    play = trained(tmp_path, [failed(3), OK])
    play.watch(0.5)
    assert not play.slurm.asked("keep_off")


def test_without_the_option_nobody_keeps_off_anything(tmp_path: Path) -> None:
    play = trained(tmp_path, [NODE_FAIL, OK], retries_elsewhere=False)
    play.watch(0.5)
    assert not play.slurm.asked("keep_off")


def test_a_job_that_waits_is_not_left_without_a_node(tmp_path: Path) -> None:
    play = trained(tmp_path, [NODE_FAIL], attempts=8)
    for job in play.slurm.named("train")[1:]:
        job.excluded = frozenset(NODES[:3])
    play.watch(0.5)
    assert all(set(NODES) - job.excluded for job in play.slurm.named("train"))
    assert not (tmp_path / KEPT_OFF).exists() or not any(
        NODES[3] in kept_off(tmp_path, path.name) for path in (tmp_path / KEPT_OFF).iterdir()
    )


def test_a_slurm_that_does_not_answer_changes_nothing(tmp_path: Path) -> None:
    play = trained(tmp_path, [NODE_FAIL, OK])
    play.slurm.trouble("keep_off", *4 * [Trouble.REFUSED])
    play.watch(0.5)
    assert play.ended()["train"].value == "succeeded"
    assert not (tmp_path / KEPT_OFF).exists()


# --- jobs that fail at once -----------------------------------------------------------------------------------------


def two_of_three(folder: Path) -> Play:
    play = Play(folder)
    play.submit(*(a_task("train", wildcards={"n": str(n)}, attempts=3) for n in range(3)))
    return play


def jobs_of(play: Play, number: int) -> list[str]:
    """Ids of the attempts of a training."""
    entries = read_ledger(play.folder).of_kind(Kind.TASK)
    return [entry.job_id for entry in entries if entry.label == f"train[n={number}]"]


def test_the_first_job_that_fails_at_once_may_have_itself_to_blame(tmp_path: Path) -> None:
    play = two_of_three(tmp_path)
    assert fails_at_once(tmp_path, play.slurm, jobs_of(play, 0)[0], "n1") == ""
    assert fails_at_once(tmp_path, play.slurm, jobs_of(play, 1)[0], "n2") == ""  # on another node
    assert not play.slurm.asked("keep_off")


def test_the_second_on_a_node_keeps_the_attempts_of_both_off_it(tmp_path: Path) -> None:
    play = two_of_three(tmp_path)
    first, second, third = (jobs_of(play, number) for number in range(3))
    fails_at_once(tmp_path, play.slurm, first[0], "n1")
    said = fails_at_once(tmp_path, play.slurm, second[0], "n1")
    assert said.startswith("2 jobs of this run failed there within a minute of their start (n1)")
    kept = {job.job_id for job in play.slurm.jobs.values() if job.excluded == {"n1"}}
    assert kept == {*first[1:], *second[1:]}
    assert kept_off(tmp_path, second[1]) == {"n1": "2 jobs of this run failed there within a minute of their start"}
    assert kept_off(tmp_path, third[1]) == {}


def test_an_attempt_that_fails_at_once_where_the_one_before_it_did_is_the_second(tmp_path: Path) -> None:
    play = two_of_three(tmp_path)
    first = jobs_of(play, 0)
    fails_at_once(tmp_path, play.slurm, first[0], "n1")
    fails_at_once(tmp_path, play.slurm, first[1], "n1")
    assert play.slurm.jobs[first[2]].excluded == {"n1"}


def test_where_jobs_fail_at_once_on_all_nodes_alike_no_node_is_to_blame(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(*(a_task("train", wildcards={"n": str(n)}, attempts=2) for n in range(9)))
    for number in range(9):
        fails_at_once(tmp_path, play.slurm, jobs_of(play, number)[0], NODES[number % 4])
    assert not play.slurm.asked("keep_off")


def test_of_many_each_takes_care_of_its_own_task(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.submit(*(a_task("train", wildcards={"n": str(n)}, attempts=2) for n in range(9)))
    for number in range(9):
        fails_at_once(tmp_path, play.slurm, jobs_of(play, number)[0], "n1")
    assert all(play.slurm.jobs[jobs_of(play, number)[1]].excluded == {"n1"} for number in range(9))
    assert len(play.slurm.asked("keep_off")) <= 2 + 3 + 6


# --- an attempt that starts -----------------------------------------------------------------------------------------


def test_an_attempt_that_starts_keeps_those_behind_it_off_nodes_that_failed_the_task(tmp_path: Path) -> None:
    """In a detached run nobody else has seen how the one before it ended."""
    play = two_of_three(tmp_path)
    first, second, third = jobs_of(play, 0)
    end = Record(job_id=first, state=JobState.FAILED, word="NODE_FAIL", node="n3")
    after_others(tmp_path, play.slurm, second, {first: end})
    assert play.slurm.jobs[third].excluded == {"n3"}
    assert kept_off(tmp_path, third) == {"n3": "NODE_FAIL"}


def test_a_damaged_note_says_nothing(tmp_path: Path) -> None:
    (tmp_path / KEPT_OFF).mkdir()
    (tmp_path / KEPT_OFF / "7").write_text('{"node": "n1"')
    assert kept_off(tmp_path, "7") == {}
