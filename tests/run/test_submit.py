"""A plan is in the queue as a whole, each submission once, or it is not there at all."""

import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import fakes
import pytest
from builders import POLICY, a_plan, a_task, chain, retry_with_gate
from fakes import Call, FakeClock, FakeSlurm, Trouble, by_rule, failed, takes

from snakemake_executor_plugin_kempner.errors import (
    LedgerError,
    SlurmError,
    SlurmMissing,
    SlurmRefused,
    SlurmUnreachable,
)
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.dependency import Ref
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.run.ledger import Ledger
from snakemake_executor_plugin_kempner.run.submit import PATIENCE, Submitter

ALONE = replace(POLICY, keep_going=True)


class Desk:
    """A submitter with everything around it."""

    def __init__(self, folder: Path, slurm: FakeSlurm | None = None) -> None:
        self.slurm = slurm or FakeSlurm()
        self.clock = self.slurm.clock
        self.ledger = Ledger(folder)
        self.submitter = Submitter(self.slurm, self.ledger, self.clock, logging.getLogger("desk"))

    def submit(self, *tasks: Task) -> dict[Ref, str]:
        ids, refused = self.submitter.submit(a_plan(*(tasks or chain()), policy=ALONE), {})
        assert refused is None
        return ids

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.ledger.path.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def words(entries: Sequence[dict]) -> list[str]:
    return [next(iter(entry)) for entry in entries]


# --- when all is well -----------------------------------------------------------------------------------------------


def test_every_submission_gets_its_id_and_waits_for_ids(desk: Desk) -> None:
    assert desk.submit() == {Ref("fetch", 1): "1", Ref("align", 1): "2", Ref("plot", 1): "3"}
    assert [job.options.get("dependency") for job in desk.slurm.jobs.values()] == ["", "afterok:1", "afterok:2"]


def test_slurm_is_asked_once_for_each_submission_and_nothing_else(desk: Desk) -> None:
    desk.submit(*retry_with_gate())
    assert [call.command for call in desk.slurm.calls] == ["submit"] * len(desk.slurm.jobs)


def test_the_intent_is_written_before_and_the_id_after(desk: Desk) -> None:
    desk.submit()
    assert words(desk.lines()) == ["version", *["intent", "submitted"] * 3]
    assert [entry.get("job_id") for entry in desk.lines() if "submitted" in entry] == ["1", "2", "3"]


def test_a_later_plan_waits_for_jobs_of_an_earlier_one(desk: Desk) -> None:
    known = desk.submit(a_task("train", attempts=2))
    later = a_plan(a_task("report", "train"), policy=replace(ALONE, standing={"train": tuple(known)}))
    desk.submitter.submit(later, known)
    assert desk.slurm.named("report")[0].options.get("dependency") == "afterok:1?afterok:2"


class EndsBadly(FakeSlurm):
    """Some calls of sbatch end with an exit code, whatever became of the job."""

    def __init__(self, first: int, number: int, *, carried_out: bool, answer: str = "") -> None:
        super().__init__()
        self._bad, self._carried_out, self._answer = range(first, first + number), carried_out, answer

    def submit(self, options: Options, script: str) -> str:
        is_bad = len(self.asked("submit")) in self._bad
        if is_bad and not self._carried_out:
            self.calls.append(Call("submit", (), self.clock.now()))
        else:
            job_id = super().submit(options, script)
        if is_bad:
            raise SlurmRefused(["sbatch"], 1, self._answer)
        return job_id


# --- refusal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_refusal_in_the_middle_withdraws_all(desk: Desk, place: int) -> None:
    desk.slurm.trouble("submit", *[None] * place, Trouble.REFUSED)
    with pytest.raises(SlurmError, match="Nothing of this plan was left in the queue"):
        desk.submit()
    assert len(desk.slurm.jobs) == place
    assert not desk.slurm.left
    assert not any(job.runs for job in desk.slurm.jobs.values())


def test_a_refusal_is_not_tried_again(desk: Desk) -> None:
    desk.slurm.trouble("submit", Trouble.REFUSED)
    with pytest.raises(SlurmError):
        desk.submit()
    assert len(desk.slurm.asked("submit")) == 1
    assert desk.clock.pauses == []


REFUSALS = {
    "Invalid account or account/partition combination specified": "set the account",
    "Invalid partition name specified": "set an existing partition",
    "Requested node configuration is not available": "no node of the partition has what the rule asks for",
    "Invalid generic resource (gres) specification": "this cluster does not know the device",
    "Invalid qos specification": "check the rule's qos",
    "Requested time limit is invalid (missing or exceeds some limit)": "shorten the rule's runtime",
}


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_names_the_task_its_options_and_what_to_do(desk: Desk, answer: str) -> None:
    text = f"sbatch: error: Batch job submission failed: {answer}"
    desk.slurm.trouble("submit", SlurmRefused(["sbatch"], 1, text))
    with pytest.raises(SlurmError) as caught:
        desk.submit(a_task("align", wildcards={"sample": "a"}, resources={"slurm_partition": "gpu"}))
    message = str(caught.value)
    assert f"Slurm refused the job of align[sample=a]: {text}" in message
    assert "--partition=gpu" in message
    assert f"what to do: {REFUSALS[answer]}" in message


def test_what_a_submit_limit_has_no_room_for_is_told_and_the_rest_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FakeSlurm(max_submitted=2))
    ids, refused = desk.submitter.submit(a_plan(*chain(), policy=ALONE), {})
    assert [ref.task for ref in ids] == ["fetch", "align"]
    assert refused is not None
    assert refused.first.ref == Ref("plot", 1)
    assert [job.job_id for job in desk.slurm.left] == ["1", "2"]


def test_a_job_that_was_taken_although_its_sbatch_failed_is_withdrawn_too(desk: Desk) -> None:
    """A site's wrapper printed the job's id and then failed at something of its own."""
    desk.slurm = desk.submitter._slurm = EndsBadly(1, 1, carried_out=True, answer="2")
    with pytest.raises(SlurmError, match="Slurm refused the job of align: 2"):
        desk.submit()
    assert len(desk.slurm.jobs) == 2
    assert not desk.slurm.left


def test_without_slurm_nothing_is_looked_up(desk: Desk) -> None:
    desk.slurm.trouble("submit", SlurmMissing("the program 'sbatch' was not found"))
    with pytest.raises(SlurmMissing, match="Run this on a login node"):
        desk.submit()
    assert [call.command for call in desk.slurm.calls] == ["submit"]


def test_jobs_that_cannot_be_withdrawn_are_named(desk: Desk) -> None:
    desk.slurm.trouble("submit", None, None, Trouble.REFUSED)
    desk.slurm.trouble("cancel", Trouble.UNREACHABLE)
    with pytest.raises(SlurmError, match=r"may be left in the queue .*scancel 1 2"):
        desk.submit()


# --- a busy controller ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [Trouble.NOT_TAKEN, Trouble.UNREACHABLE, Trouble.LOST_ANSWER])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_request_without_an_answer_is_never_carried_out_twice(desk: Desk, trouble: Trouble, place: int) -> None:
    desk.slurm.trouble("submit", *[None] * place, trouble, trouble)
    ids = desk.submit()
    assert not desk.slurm.doubles
    assert set(ids.values()) == set(desk.slurm.jobs)
    assert [job.options.get("dependency") for job in desk.slurm.jobs.values()] == ["", "afterok:1", "afterok:2"]


def test_a_lost_answer_is_looked_up_before_anything_is_sent_again(desk: Desk) -> None:
    desk.slurm.trouble("submit", Trouble.LOST_ANSWER)
    desk.submit(a_task("fetch"))
    assert [call.command for call in desk.slurm.calls[:2]] == ["submit", "find"]
    assert len(desk.slurm.asked("submit")) == 1


def test_a_look_up_without_an_answer_is_repeated(desk: Desk) -> None:
    desk.slurm.trouble("submit", Trouble.LOST_ANSWER)
    desk.slurm.trouble("find", Trouble.UNREACHABLE, Trouble.UNREACHABLE)
    desk.submit(a_task("fetch"))
    assert not desk.slurm.doubles
    assert len(desk.slurm.jobs) == 1


def test_a_busy_controller_is_asked_again_after_growing_pauses(desk: Desk) -> None:
    desk.slurm.trouble("submit", *[Trouble.NOT_TAKEN] * 8)
    desk.submit(a_task("fetch"))
    assert desk.clock.pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_each_wait_is_announced(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.slurm.trouble("submit", *[Trouble.NOT_TAKEN] * 2)
    desk.submit(a_task("fetch"))
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "Slurm is busy, asking again in 1 s",
        "Slurm is busy, asking again in 2 s",
    ]


def test_what_was_not_taken_is_sent_again_without_looking_it_up(desk: Desk) -> None:
    desk.slurm.trouble("submit", Trouble.NOT_TAKEN)
    desk.submit(a_task("fetch"))
    assert [call.command for call in desk.slurm.calls] == ["submit", "submit"]


def test_a_controller_that_stays_away_is_given_up_and_what_may_be_left_is_said(desk: Desk) -> None:
    desk.slurm.down = True
    with pytest.raises(SlurmError, match=r"may be left in the queue|squeue --me --name=fetch\.run1\.1"):
        desk.submit(a_task("fetch"))
    assert PATIENCE <= desk.clock.now() <= PATIENCE + 120


def test_giving_up_names_the_job_and_withdraws_the_rest(desk: Desk) -> None:
    desk.slurm.ends = by_rule({"fetch": takes(5000)})
    desk.slurm.trouble("submit", None, *[Trouble.NOT_TAKEN] * 40)
    with pytest.raises(
        SlurmUnreachable, match=r"15 minutes while align was submitted.*squeue --me --name=align.run1.2"
    ):
        desk.submit()
    assert not desk.slurm.left
    assert PATIENCE <= desk.clock.now() <= PATIENCE + 120


def test_a_lost_answer_is_not_sent_again_when_the_job_may_have_been_forgotten(desk: Desk) -> None:
    """The job was accepted, has run and was purged before the controller answered again."""
    desk.slurm.trouble("submit", Trouble.LOST_ANSWER)
    desk.slurm.trouble("find", *[Trouble.UNREACHABLE] * 9)
    with pytest.raises(SlurmError, match=r"Whether it is in the queue: squeue --me --name=fetch\.run1\.1"):
        desk.submit(a_task("fetch"))
    desk.slurm.run_dry()
    assert not desk.slurm.doubles


def test_what_a_frozen_controller_carries_out_after_it_answers_again_is_not_sent_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was silent for a minute; when it answers, it has not come yet to what it was sent before."""
    monkeypatch.setattr(fakes, "LATE", 65.0)
    desk.slurm.trouble("submit", Trouble.LATE)
    desk.slurm.trouble("find", *[Trouble.UNREACHABLE] * 5)
    desk.submit(a_task("fetch"))
    desk.slurm.run_dry()
    assert len(desk.slurm.jobs) == 1


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_sbatch_that_ends_without_a_word_is_taken_for_a_lost_answer(
    desk: Desk, place: int, *, carried_out: bool
) -> None:
    desk.slurm = desk.submitter._slurm = EndsBadly(place, 1, carried_out=carried_out)
    ids = desk.submit()
    assert set(ids.values()) == set(desk.slurm.jobs)
    assert len(ids) == 3


def test_a_refusal_is_the_fault_of_the_tasks_whose_job_it_was(desk: Desk) -> None:
    desk.slurm.trouble("submit", None, Trouble.REFUSED)
    with pytest.raises(SlurmError) as caught:
        desk.submit()
    ((key, (label, why)),) = caught.value.by_task.items()
    assert (key, label) == ("align", "align")
    assert why.startswith("Slurm refused its job: ")


def test_an_sbatch_that_never_says_a_word_refuses(desk: Desk) -> None:
    desk.slurm = desk.submitter._slurm = EndsBadly(1, 9, carried_out=False)
    with pytest.raises(SlurmError, match="Slurm refused the job of align: no message"):
        desk.submit()
    assert len(desk.slurm.asked("submit")) == 3
    assert not desk.slurm.left


def test_a_refusal_after_a_lost_answer_leaves_nothing(desk: Desk) -> None:
    desk.slurm.trouble("submit", Trouble.LOST_ANSWER)
    desk.slurm.trouble("find", SlurmRefused(["squeue"], 1, "Access denied"))
    with pytest.raises(SlurmError):
        desk.submit(a_task("fetch"))
    assert not desk.slurm.left


def test_a_parent_that_slurm_has_forgotten_is_not_named(desk: Desk) -> None:
    """Slurm 22.05 takes an id that it no longer knows as satisfied: `align` would run although `fetch` has failed."""
    desk.slurm.ends = by_rule({"fetch": failed(1)})
    desk.slurm.trouble("submit", None, None, *[Trouble.NOT_TAKEN] * 10)
    with pytest.raises(SlurmError, match="ended before align, which waits for it, could be submitted"):
        desk.submit(a_task("fetch"), a_task("other"), a_task("another"), a_task("align", "fetch"))
    desk.slurm.run_dry()
    assert not desk.slurm.named("align")
    assert not desk.slurm.left


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interruption_withdraws_also_the_job_whose_answer_was_not_read(desk: Desk, place: int) -> None:
    desk.slurm.trouble("submit", *[None] * place, Trouble.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        desk.submit()
    assert len(desk.slurm.jobs) == place + 1
    assert not desk.slurm.left


def test_an_interruption_while_a_busy_controller_is_waited_for_withdraws_all(desk: Desk) -> None:
    desk.slurm.trouble("submit", None, Trouble.LOST_ANSWER)
    desk.clock.interrupt_at = 1
    with pytest.raises(KeyboardInterrupt):
        desk.submit()
    assert len(desk.slurm.jobs) == 2
    assert not desk.slurm.left


def test_an_answer_that_cannot_be_read_is_looked_up_and_withdrawn(desk: Desk) -> None:
    desk.slurm.trouble("submit", None, SlurmError("sbatch answered 'Welcome!' where a job id was expected"))
    with pytest.raises(SlurmError, match="where a job id was expected"):
        desk.submit()
    assert not desk.slurm.left


# --- a full disk ----------------------------------------------------------------------------------------------------


class FillsTheDisk(FakeSlurm):
    """The disk is full from the end of the n-th submission on."""

    def __init__(self, ledger: Path, number: int) -> None:
        super().__init__(FakeClock())
        self._ledger, self._number = ledger, number

    def submit(self, options: Options, script: str) -> str:
        job_id = super().submit(options, script)
        if len(self.jobs) == self._number:
            self._ledger.unlink()
            self._ledger.symlink_to("/dev/full")
        return job_id


@pytest.mark.parametrize("number", [1, 2, 3])
def test_when_the_record_cannot_be_written_nothing_stays_submitted(tmp_path: Path, number: int) -> None:
    desk = Desk(tmp_path, FillsTheDisk(tmp_path / "ledger.jsonl", number))
    with pytest.raises(LedgerError, match=r"cannot be written to .*No space left on device"):
        desk.submit()
    assert len(desk.slurm.jobs) == number
    assert not desk.slurm.left


def test_a_run_whose_record_cannot_be_begun_submits_nothing(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").symlink_to("/dev/full")
    with pytest.raises(LedgerError):
        Ledger(tmp_path, run="run1")


# --- known gaps -----------------------------------------------------------------------------------------------------

gap = pytest.mark.xfail(reason="not yet", strict=True)


def test_a_parent_that_slurm_forgets_while_its_child_is_submitted_is_not_named(desk: Desk) -> None:
    desk.slurm.ends = by_rule({"fetch": failed(1)})
    desk.slurm.trouble("submit", None, *[Trouble.NOT_TAKEN] * 10)
    with contextlib.suppress(SlurmError):
        desk.submit(a_task("fetch"), a_task("align", "fetch"))
    desk.slurm.run_dry()
    assert not any(job.runs for job in desk.slurm.named("align"))


def test_a_parent_of_an_earlier_plan_that_slurm_has_forgotten_is_not_named(desk: Desk) -> None:
    desk.slurm.ends = by_rule({"fetch": failed(1, seconds=5)})
    known = desk.submit(a_task("fetch"))
    policy = replace(ALONE, standing={"fetch": tuple(known)}, first_number=2)
    later = a_plan(a_task("other"), a_task("align", "fetch"), policy=policy)
    desk.slurm.trouble("submit", *[Trouble.NOT_TAKEN] * 11)
    with contextlib.suppress(SlurmError):
        desk.submitter.submit(later, known)
    desk.slurm.run_dry()
    assert not any(job.runs for job in desk.slurm.named("align"))


def test_a_request_that_arrives_after_it_was_sent_again_is_found_before_the_run_goes_on(desk: Desk) -> None:
    """Nothing is found half a minute long, so it is sent once more; then the first one arrives."""
    desk.slurm.trouble("submit", Trouble.LATE)
    desk.submit(a_task("fetch"))
    desk.slurm.run_dry()
    assert sum(job.runs for job in desk.slurm.jobs.values()) == 1
