"""Submitting takes longer than Slurm remembers a job: what has happened is not waited for, and nothing runs for nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_task, edge
from fakes import OK, failed, takes
from playing import Play

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.plan.dependency import AllOf, AnyOf, DependencyType, Ref, Term, without_met
from snakemake_executor_plugin_kempner.run.outcome import Outcome

SUCCEEDED, FAILED = Outcome.SUCCEEDED, Outcome.FAILED


def play(folder: Path, ends: dict, *, pause: float = 5.0, **options: object) -> Play:
    """Each sbatch takes so long that what it has submitted has ended and is forgotten when the next one comes."""
    found = Play(folder, ends, min_job_age=2, **options)
    found.policy = replace(found.policy, memory=1.0)
    found.live.policy = found.policy
    submit = found.slurm.submit

    def slowly(words: Sequence[str], script: str) -> str:
        answer = submit(words, script)
        found.slurm.advance(pause)
        return answer

    found.slurm.submit = slowly  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("refuses", [False, True], ids=["22.05", "24.11"])
def test_no_further_attempt_of_a_task_that_has_succeeded_is_submitted(tmp_path: Path, *, refuses: bool) -> None:
    one = play(tmp_path, {"train": OK}, refuses_unknown_ids=refuses)
    tasks = a_task("train", attempts=3), a_task("plot", "train")
    one.submit(*tasks)
    one.watch()
    assert one.runs(tasks) == {"train": ["COMPLETED"], "plot": ["COMPLETED"]}
    assert one.ended() == {"train": SUCCEEDED, "plot": SUCCEEDED}
    assert len(one.slurm.named("train")) == 1
    assert not one.live.later


@pytest.mark.parametrize("refuses", [False, True], ids=["22.05", "24.11"])
def test_a_further_attempt_of_a_task_that_has_failed_runs(tmp_path: Path, *, refuses: bool) -> None:
    one = play(tmp_path, {"train": [failed(3), OK]}, refuses_unknown_ids=refuses)
    tasks = a_task("train", attempts=2), a_task("plot", "train"), a_task("report", "train", "plot")
    one.submit(*tasks)
    one.watch()
    assert one.runs(tasks) == {"train": ["FAILED", "COMPLETED"], "plot": ["COMPLETED"], "report": ["COMPLETED"]}


@pytest.mark.parametrize("refuses", [False, True], ids=["22.05", "24.11"])
def test_a_whole_workflow_may_take_longer_than_slurm_remembers(tmp_path: Path, *, refuses: bool) -> None:
    one = play(tmp_path, {}, refuses_unknown_ids=refuses, keep_going=False)
    sweep = [a_task("train", "fetch", wildcards={"seed": str(seed)}, attempts=2) for seed in range(3)]
    tasks = (a_task("fetch"), *sweep, a_task("report", *(task.key for task in sweep)))
    one.submit(*tasks)
    one.watch()
    assert set(one.ended().values()) == {SUCCEEDED}
    assert all(len(runs) == (3 if name.startswith("train") else 1) for name, runs in one.runs(tasks).items())


def test_a_failed_parent_that_slurm_has_forgotten_lets_nothing_run(tmp_path: Path) -> None:
    one = play(tmp_path, {"fetch": failed(3)})
    with pytest.raises(SlurmError, match="ended before align, which waits for it, could be submitted"):
        one.submit(a_task("fetch"), a_task("align", "fetch"))
    assert not one.slurm.named("align")


def test_a_parent_without_a_word_of_its_end_lets_nothing_run(tmp_path: Path) -> None:
    one = play(tmp_path, {}, keeps_records=False)
    with pytest.raises(SlurmError, match="ended before align"):
        one.submit(a_task("fetch"), a_task("align", "fetch"))
    assert not one.slurm.named("align")


def test_a_third_attempt_is_not_needed_where_slurm_has_removed_and_forgotten_the_second(tmp_path: Path) -> None:
    one = play(tmp_path, {"train": takes(4)}, pause=3.0)
    one.submit(a_task("train", attempts=4))
    one.watch()
    assert one.ended() == {"train": SUCCEEDED}
    assert len(one.slurm.named("train")) in (2, 3)


def test_the_end_of_a_run_waits_for_nothing_that_slurm_has_removed_and_forgotten(tmp_path: Path) -> None:
    one = play(tmp_path, {"train": takes(4)}, pause=3.0, detached=True)
    one.submit(a_task("train", attempts=4))
    one.slurm.run_dry()
    assert [job.word for job in one.slurm.named("closing")] == ["COMPLETED"] or not one.slurm.left


def test_a_parent_that_still_runs_is_named(tmp_path: Path) -> None:
    one = play(tmp_path, {"fetch": OK}, pause=0.2)
    one.submit(a_task("fetch"), a_task("align", "fetch"))
    assert one.slurm.named("align")[0].options.get("dependency") == "afterok:1"


def test_a_clean_up_after_an_end_that_is_forgotten_runs(tmp_path: Path) -> None:
    one = play(tmp_path, {"fetch": OK})
    tasks = a_task("fetch"), a_task("tidy", edge("afterany", "fetch"))
    one.submit(*tasks)
    one.watch()
    assert one.runs(tasks) == {"fetch": ["COMPLETED"], "tidy": ["COMPLETED"]}


# --- expressions ----------------------------------------------------------------------------------------------------

A, B, C = (Term(type=DependencyType.AFTEROK, on=Ref(name, 1)) for name in "abc")


@pytest.mark.parametrize(
    ("expression", "holds", "left"),
    [
        (AllOf((A, B)), {A: True, B: True}, None),
        (AllOf((A, B)), {A: True, B: None}, AllOf((B,))),
        (AllOf((A, B)), {A: None, B: None}, AllOf((A, B))),
        (AnyOf((A, B)), {A: True, B: None}, None),
        (AnyOf((A, B)), {A: True, B: False}, None),
        (AnyOf((A, B, C)), {A: False, B: None, C: None}, AnyOf((B, C))),
    ],
)
def test_what_is_left_to_wait_for(expression: AllOf | AnyOf, holds: dict, left: AllOf | AnyOf | None) -> None:
    assert without_met(expression, holds.__getitem__) == left


@pytest.mark.parametrize(
    ("expression", "holds"),
    [(AllOf((A, B)), {A: None, B: False}), (AnyOf((A, B)), {A: False, B: False}), (AllOf((A, B)), {A: True, B: False})],
)
def test_what_can_no_longer_come_true(expression: AllOf | AnyOf, holds: dict) -> None:
    with pytest.raises(ValueError, match="no longer"):
        without_met(expression, holds.__getitem__)
