"""What a person reads."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import POLICY, a_plan, a_task, chain, diamond, retry_with_gate

from snakemake_executor_plugin_kempner.announcements import deferred_summary, detached_message, plan_summary
from snakemake_executor_plugin_kempner.errors import Fault, PlanError, SlurmRefused
from snakemake_executor_plugin_kempner.phrases import command_line, count_of
from snakemake_executor_plugin_kempner.plan.model import Plan, Submission
from snakemake_executor_plugin_kempner.report import attempt_message, failure_message, stuck_message
from snakemake_executor_plugin_kempner.run.outcome import AttemptFailed, Job, Outcome, RuleJobs, TaskEnded, TaskStuck
from snakemake_executor_plugin_kempner.slurm.parse import Record, Usage
from snakemake_executor_plugin_kempner.slurm.states import JobState

ALONE = replace(POLICY, keep_going=True)
NOTHING_KNOWN = Usage()

LOG = """host: n1
Building DAG of jobs...
Loading the data.
Epoch 1
Epoch 2: loss is nan
RuleException:
CalledProcessError in file "/flow/Snakefile", line 12:
Command 'train' returned non-zero exit status 3.
[Mon Jan  1 12:00:00 2024]
Error in rule train:
    jobid: 0
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.7.log"
    path.write_text(LOG)
    return path


def a_job(log: Path | str, attempt: int = 1, resources: dict[str, int | str] | None = None) -> Job:
    task = a_task("train", wildcards={"seed": "1"}, attempts=2, resources=resources or {})
    submission: Submission = a_plan(task, policy=ALONE).submissions[attempt - 1]
    return Job(submission=submission, log_pattern=str(log), job_id=str(6 + attempt))


def a_record(word: str = "FAILED", state: JobState = JobState.FAILED, **fields: object) -> Record:
    return Record(job_id="7", state=state, word=word, **fields)


def ended(job: Job, record: Record, outcome: Outcome = Outcome.FAILED) -> TaskEnded:
    return TaskEnded(task="train", label="train[seed=1]", outcome=outcome, job=job, record=record)


# --- what was queued ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (a_plan(a_task("fetch"), policy=ALONE), "Queued 1 task as 1 Slurm job"),
        (a_plan(*chain(), policy=ALONE), "Queued 3 tasks as 3 Slurm jobs"),
        (a_plan(*chain()), "Queued 3 tasks as 4 Slurm jobs, 1 guard among them"),
        (
            a_plan(a_task("train", attempts=2), policy=ALONE),
            "Queued 1 task as 2 Slurm jobs, 1 retry among them",
        ),
        (
            a_plan(*retry_with_gate(), policy=ALONE),
            "Queued 3 tasks as 6 Slurm jobs, 2 retries and 1 gate among them",
        ),
        (
            a_plan(*retry_with_gate()),
            "Queued 3 tasks as 7 Slurm jobs, 2 retries, 1 gate and 1 guard among them",
        ),
    ],
)
def test_a_plan_is_told_in_one_line(plan: Plan, text: str) -> None:
    assert plan_summary(plan) == text


@pytest.mark.parametrize(
    ("noun", "several"),
    [
        ("task", "tasks"),
        ("Slurm job", "Slurm jobs"),
        ("retry", "retries"),
        ("job array", "job arrays"),
        ("closing job", "closing jobs"),
        ("continuation", "continuations"),
    ],
)
def test_several_are_written_as_in_english(noun: str, several: str) -> None:
    assert (count_of(1, noun), count_of(2, noun)) == (f"1 {noun}", f"2 {several}")


def test_reasons_to_queue_later_are_counted() -> None:
    assert list(deferred_summary(["checkpoint a decides", "local rule b runs first", "checkpoint a decides"])) == [
        "  2 tasks will be queued later: checkpoint a decides",
        "  1 task will be queued later: local rule b runs first",
    ]


@pytest.mark.parametrize(
    ("seen_from", "place", "end"),
    [
        ("/flow", "", ".snakemake/kempner/run1/closing.log"),
        ("/", " -C flow", "flow/.snakemake/kempner/run1/closing.log"),
    ],
)
def test_a_head_that_leaves_says_how_to_look_and_how_to_cancel(seen_from: str, place: str, end: str) -> None:
    said = detached_message((), POLICY, seen_from)
    assert said.endswith(f"  its end:  {end}\n  watch:    kempner{place}\n  cancel:   kempner{place} cancel run1")


def test_a_head_that_leaves_counts_helper_jobs_and_names_the_workflow_by_its_folder() -> None:
    rows = (
        RuleJobs(rule="train", tasks=3, job_ids=("4", "2", "3"), waits_for=("prep",)),
        RuleJobs(rule="gate", job_ids=("9", "10", "12")),
        RuleJobs(rule="guard", job_ids=("16",)),
        RuleJobs(rule="closing", job_ids=("17",)),
    )
    said = detached_message(rows, replace(POLICY, workdir="/lab/sweep"), "/lab/sweep")
    table = [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()[2:6]]
    assert table == [
        ["train", "3", "2-4", "prep"],
        ["3 gates", "9-10, 12", "an attempt that succeeds"],
        ["guard", "16", "the first failure"],
        ["closing", "17", "all jobs"],
    ]
    assert "nothing of sweep needs this terminal or this machine." in said


# --- failures -------------------------------------------------------------------------------------------------------


def test_golden_failure(log: Path, golden: Callable[[str, str], None]) -> None:
    resources = {"mem_mb": 4000, "runtime": 60}
    record = a_record(exit_code=3, node="n1", reason="NonZeroExitCode")
    job = a_job(log, resources=resources)
    usage = Usage(elapsed="00:42:10", peak_memory_mb=3100)
    text = failure_message(ended(job, record), usage, ["evaluate[seed=1]", "report"])
    text += "\n" + attempt_message(
        AttemptFailed(task="train", job=job, record=record, next=a_job(log, attempt=2)), NOTHING_KNOWN
    )
    golden("report_of_a_failure", text.replace(str(log.parent), "/flow/logs"))


def test_the_last_attempt_is_named_where_there_were_several() -> None:
    assert failure_message(ended(a_job("x", attempt=2), a_record()), NOTHING_KNOWN).startswith(
        "train[seed=1] failed (attempt 2).\n"
    )


def test_a_segment_that_was_cut_short_is_not_said_to_have_failed(log: Path) -> None:
    first, second = (a_job(log, number, {"slurm_segments": 2}) for number in (1, 2))
    event = AttemptFailed(task="train", job=first, record=a_record("TIMEOUT"), next=second)
    said = "Segment 1 of 2 of train[seed=1] is to be continued (TIMEOUT); segment 2 of 2 is Slurm job 8."
    assert attempt_message(event, NOTHING_KNOWN) == said


def test_a_task_that_its_segments_do_not_suffice_for_says_where_its_work_is_and_how_to_go_on(log: Path) -> None:
    job = replace(a_job(log, 4, {"slurm_segments": 2}), folder="/flow/.snakemake/kempner/run1")
    text = failure_message(ended(job, a_record("TIMEOUT")), NOTHING_KNOWN)
    kept = f"/flow/.snakemake/kempner/checkpoints/{job.submission.ref.task}"
    assert text.startswith("train[seed=1] failed (attempt 2, segment 2 of 2).\n  It is not finished after 2 segments.")
    assert f"Its work is kept in {kept}: give the same command again to go on from there" in text
    assert "It is not finished" not in failure_message(ended(job, a_record(exit_code=1)), NOTHING_KNOWN)


def test_a_task_that_was_cancelled_is_not_said_to_have_failed() -> None:
    record = a_record("CANCELLED", JobState.CANCELLED, reason="Dependency", signal=15)
    text = failure_message(ended(a_job("x"), record, Outcome.CANCELLED), NOTHING_KNOWN)
    assert text.startswith("train[seed=1] was cancelled.\n  Slurm job 7: CANCELLED, signal 15\n")


def test_a_lost_task_says_what_is_not_known_and_how_it_counts() -> None:
    record = a_record("unknown to Slurm", JobState.UNKNOWN)
    text = failure_message(ended(a_job("x"), record, Outcome.LOST), NOTHING_KNOWN)
    assert "is lost: Slurm does not know job 7 any more and it left no record. It counts as failed." in text


def test_a_task_for_which_nothing_was_submitted_says_why() -> None:
    event = TaskEnded(task="plot", label="plot", outcome=Outcome.BLOCKED)
    assert failure_message(event, NOTHING_KNOWN) == "plot never started: a task before it failed.\n"
    assert "never started: it was not asked for" in failure_message(
        replace(event, why="it was not asked for"), NOTHING_KNOWN
    )


@pytest.mark.parametrize(
    ("word", "resources", "said"),
    [
        ("TIMEOUT", {"runtime": 60}, "stopped at its time limit of 60 min: ask for more with the rule's runtime"),
        ("TIMEOUT", {"runtime": "1-00"}, "stopped at its time limit of 1440 min:"),
        ("TIMEOUT", {}, "stopped at its time limit of the partition:"),
        ("OUT_OF_MEMORY", {"mem_mb": 4000}, "used more memory than 4000M: ask for more with the rule's mem_mb"),
        ("OUT_OF_MEMORY", {"mem_mb_per_cpu": 4000}, "used more memory than 4000M:"),
        ("OUT_OF_MEMORY", {}, "used more memory than it may by default:"),
    ],
)
def test_a_limit_that_was_met_is_said_in_words(word: str, resources: dict[str, int | str], said: str) -> None:
    assert said in failure_message(ended(a_job("x", resources=resources), a_record(word)), NOTHING_KNOWN)


@pytest.mark.parametrize(
    ("record", "usage", "said"),
    [
        (
            {"signal": 9},
            {"peak_memory_mb": 3900},
            "killed at 3900 MB of the 4000M that it asked for: out of memory: ask for more",
        ),
        (
            {"signal": 9},
            {"peak_memory_mb": 300},
            "killed by SIGKILL (peak memory 300 MB of 4000M): most often for memory",
        ),
        ({"exit_code": 137}, {}, "killed by SIGKILL: most often for memory"),
        ({"exit_code": 75}, {}, "exit code 75: the program says that it is to be continued: "),
        ({"exit_code": 127, "node": "n7"}, {}, "exit code 127: a program is missing on n7: "),
        (
            {"exit_code": 1},
            {"peak_memory_mb": 4000},
            "its peak memory was 4000 MB, and it asked for 4000M: ask for more",
        ),
    ],
)
def test_what_an_end_means_is_said_with_what_to_do(record: dict, usage: dict, said: str) -> None:
    end = ended(a_job("x", resources={"mem_mb": 4000}), a_record(**record))
    assert said in failure_message(end, Usage(**usage))


def test_a_failure_says_its_cause_before_everything_else_and_the_exit_code_of_the_rules_own_command(log: Path) -> None:
    log.write_text(LOG.replace("Epoch 2: loss is nan", "ValueError: no\nerror: loss is nan"))
    lines = failure_message(ended(a_job(log), a_record(exit_code=1, node="n1")), NOTHING_KNOWN).splitlines()
    assert lines[:3] == [
        "train[seed=1] failed.",
        "  cause: error: loss is nan",
        "  Slurm job 7: FAILED, exit code 3, on n1",
    ]


def test_the_cause_is_looked_for_in_the_rules_own_log_first(tmp_path: Path) -> None:
    runs = tmp_path / ".snakemake/kempner/run1"
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/train.log").write_text(
        "Epoch 1\nTraceback (most recent call last):\n  File x\nValueError: loss is NaN\n"
    )
    (tmp_path / "job.log").write_text(
        "RuleException:\nCalledProcessError in file x, line 1:\nCommand 'cat secret' returned non-zero exit status 1.\n"
    )
    job = a_job(tmp_path / "job.log")
    job = replace(job, folder=str(runs), submission=replace(job.submission, logs=("logs/train.log",)))
    text = failure_message(ended(job, a_record(exit_code=1)), NOTHING_KNOWN)
    assert "  cause: ValueError: loss is NaN\n" in text
    assert f"  log: {tmp_path}/logs/train.log (of the job: {tmp_path}/job.log)\n  | Epoch 1\n" in text
    assert "cat secret" not in text


def test_failures_of_the_same_cause_are_told_together(log: Path) -> None:
    text = failure_message(ended(a_job(log), a_record()), NOTHING_KNOWN, (), ["train[seed=2]", "train[seed=3]"])
    assert text.endswith("  2 more tasks for the same reason: train[seed=2-3]\n")


def test_what_fell_with_a_task_is_listed_up_to_ten() -> None:
    fallen = [f"plot[{number}]" for number in range(12)]
    text = failure_message(ended(a_job("x"), a_record()), NOTHING_KNOWN, fallen)
    assert "12 tasks cannot run now: plot[0], " in text
    assert text.endswith("plot[9] and 2 more\n")


def test_a_task_that_will_not_start_says_why_and_what_it_asks_for() -> None:
    job = a_job("x", resources={"slurm_partition": "gpu", "mem_mb": 900_000})
    text = stuck_message(TaskStuck(task="train", job=job, reason="BadConstraints"))
    assert text.startswith("train[seed=1] (Slurm job 7) will not start as it is: BadConstraints. It asks for ")
    assert "It asks for --partition=gpu --cpus-per-task=1 --mem=900000M;" in text


def test_a_job_that_is_held_says_how_it_is_released() -> None:
    text = stuck_message(TaskStuck(task="train", job=a_job("x"), reason="JobHeldAdmin", is_held=True))
    assert "train[seed=1] (Slurm job 7) is held: JobHeldAdmin." in text
    assert "scontrol release 7" in text


def test_a_diamond_is_counted_by_tasks() -> None:
    assert plan_summary(a_plan(*diamond(3), policy=ALONE)) == "Queued 5 tasks as 5 Slurm jobs"


# --- what others have written ---------------------------------------------------------------------------------------

HOSTILE = "a\x1b]0;title\x07\x1b[2J\nb\r\x9bc\u202ed\udcff"
"""Sets a title, clears the screen, begins a line, goes back, turns the direction of writing around; and no text at all."""


def is_harmless(text: str) -> bool:
    return all(line.replace("\t", "").isprintable() for line in text.split("\n"))


def test_no_name_reaches_a_terminal_as_it_is(tmp_path: Path) -> None:
    task = a_task("train", wildcards={"x": HOSTILE})
    job = Job(submission=a_plan(task, policy=ALONE).submissions[0], job_id="7", log_pattern=f"/{HOSTILE}/log")
    end = TaskEnded(task=task.key, label=task.label, outcome=Outcome.FAILED, job=job, record=a_record())
    texts = [
        failure_message(end, NOTHING_KNOWN, [task.label]),
        command_line(["snakemake", "--config", HOSTILE]),
        stuck_message(TaskStuck(task=task.key, job=job, reason="BadConstraints")),
        str(PlanError([Fault(where=task.label, what=HOSTILE, remedy=HOSTILE)])),
        str(SlurmRefused(["sbatch"], 1, HOSTILE)),
        *deferred_summary([HOSTILE]),
    ]
    assert [text for text in texts if not is_harmless(text)] == []
    assert r"train[x=a\x1b]0;title\x07\x1b[2J\nb\r\x9bc\u202ed\udcff]" in texts[0]


@pytest.mark.parametrize("word", ["plain", "it's", "a\x1b[31m'b\\c\nd", "\u202eé\u2028"])
def test_a_command_is_shown_so_that_a_shell_reads_it_back(word: str) -> None:
    told = command_line(["snakemake", word])
    done = subprocess.run(["bash", "-c", f"printf %s {told.partition(' ')[2]}"], capture_output=True, check=True)
    assert done.stdout.decode() == word
    assert is_harmless(told)
