"""What the ends of jobs mean for their tasks, in whatever order they are seen."""

from itertools import permutations

import pytest
from builders import a_task

from snakemake_executor_plugin_kempner.options import NO_OPTIONS
from snakemake_executor_plugin_kempner.plan.dependency import Ref
from snakemake_executor_plugin_kempner.plan.model import Kind, Submission
from snakemake_executor_plugin_kempner.run.judge import Judge, View
from snakemake_executor_plugin_kempner.run.outcome import Job, Outcome, TaskEnded
from snakemake_executor_plugin_kempner.run.tasks import Tasks, TaskState
from snakemake_executor_plugin_kempner.run.watch import Change, Followed
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState

CHAIN = (a_task("train"), a_task("evaluate", "train"), a_task("report", "evaluate"))
ENDS = {"train": JobState.FAILED, "evaluate": JobState.CANCELLED, "report": JobState.CANCELLED}


def state_of(task: str) -> TaskState:
    (known,) = (one for one in CHAIN if one.key == task)
    submission = Submission(
        ref=Ref(task, 1), kind=Kind.TASK, label=task, job_name=f"{task}.run1.1", options=NO_OPTIONS, log=""
    )
    return TaskState(task=known, jobs={1: Job(submission=submission, job_id=task, folder="", log_pattern="")})


@pytest.mark.parametrize("order", list(permutations(ENDS)), ids=" ".join)
def test_what_fell_with_a_failure_is_blocked_in_whatever_order_the_ends_are_seen(order: tuple[str, ...]) -> None:
    tasks = Tasks({task: state_of(task) for task in order})
    judge = Judge(tasks=tasks, was_stopped=lambda _job_id: False, cancel=lambda _ids: None)
    changes = []
    for task in order:
        record = Record(job_id=task, state=ENDS[task], word=ENDS[task].name, reason="DependencyNeverSatisfied")
        tasks[task].records[1] = record
        changes.append(Change(job=Followed(ref=Ref(task, 1), job_id=task), record=record))
    events = judge.judge(changes, View(followed={}))
    ended = {event.task: event.outcome for event in events if isinstance(event, TaskEnded)}
    assert ended == {"train": Outcome.FAILED, "evaluate": Outcome.BLOCKED, "report": Outcome.BLOCKED}
