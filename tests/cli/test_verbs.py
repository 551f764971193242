"""`kempner`, verb by verb, on the fake scheduler: what a user types and reads."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import POLICY, a_task, chain, sweep
from click.testing import CliRunner, Result
from fakes import OK, FakeSlurm, Trouble, failed, takes
from playing import LOGGER, Play, told_by

from snakemake_executor_plugin_kempner.cli import places
from snakemake_executor_plugin_kempner.cli.main import kempner
from snakemake_executor_plugin_kempner.run.cancelling import Canceller
from snakemake_executor_plugin_kempner.run.claim import Claim, this_head
from snakemake_executor_plugin_kempner.run.ledger import Ledger, read_ledger
from snakemake_executor_plugin_kempner.run.live import LiveRun
from snakemake_executor_plugin_kempner.run.outcome import Outcome, TaskEnded
from snakemake_executor_plugin_kempner.run.resume import go_on

Begin = Callable[..., Play]
Type = Callable[..., Result]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plays() -> list[Play]:
    return []


@pytest.fixture
def begin(workdir: Path, plays: list[Play], monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Begins a run on a fake scheduler, which the commands then ask."""

    def begun(ends: object = None, **more: object) -> Play:
        play = Play(workdir / ".snakemake/kempner/run1", ends, **more)
        plays.append(play)
        monkeypatch.setattr(places, "SlurmCommands", lambda **_options: play.slurm)
        return play

    return begun


@pytest.fixture
def type_(plays: list[Play]) -> Type:
    """Types a command, and says what it has answered."""

    def typed(*words: str, answer: str | None = None, code: int = 0) -> Result:
        with told_by(plays[-1].clock):
            result = CliRunner().invoke(kempner, list(words), input=answer, prog_name="kempner")
        assert result.exit_code == code, result.output
        return result

    return typed


def log_of(play: Play, key: str, text: str) -> None:
    """Write the log of a task's first job."""
    (state,) = (state for state in play.live.tasks.values() if state.task.key == key)
    path = state.jobs[1].log
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["status"], ["why"], ["logs"], ["runs"], ["report"], ["report", "--csv"], ["cancel", "--yes"]],
    ids=" ".join,
)
def test_a_run_is_asked_for_at_the_cluster_that_its_ledger_names(
    begin: Begin, type_: Type, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    play = begin()
    play.submit(*chain())
    asked: list[str] = []

    def commands(*, cluster: str, **_options: object) -> FakeSlurm:
        asked.append(cluster)
        return play.slurm

    monkeypatch.setattr(places, "SlurmCommands", commands)
    type_(*words)
    assert asked == ["fake"]


# --- status ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [[], ["status"], ["status", "run1"], ["status", "un1"], ["run1"], ["-C", "."], ["status", "-C", "."]]
)
def test_the_state_of_the_latest_run_is_what_it_says_by_default(begin: Begin, type_: Type, words: list[str]) -> None:
    play = begin({"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    said = type_(*words).output
    assert f"Run run1 of {Path.cwd().name} under way: 1 of 3 tasks done, 1 running, 1 waiting" in said
    assert "  plot: waiting for align\n" in said
    assert "longest: align has run for " in said
    assert "\x1b" not in said  # colours are for terminals


def test_failures_of_the_same_cause_stand_in_a_line_with_what_cannot_run(begin: Begin, type_: Type) -> None:
    play = begin(lambda job: failed(1) if job.rule == "train" and job.index in (1, 2, 3) else OK)
    play.submit(*sweep(6))
    play.run_headless()
    for number in (2, 3, 4):
        log_of(
            play,
            f"train[lr={number}]",
            f"Traceback (most recent call last):\n  File x\nValueError: loss is NaN in {number}\n",
        )
    said = type_("status").output
    assert "3 × ValueError: loss is NaN in …  train[lr=2-4]; 4 tasks cannot run" in said
    assert "has failed" in said or "stands still" in said
    row = next(line.split() for line in said.splitlines() if line.startswith("train"))
    assert row[1:] == ["6", "3", "·", "·", "3", "·"]


def test_programs_read_json(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": failed(3)})
    play.submit(*chain())
    play.run_headless()
    found = json.loads(type_("--json").stdout)
    assert found["run"] == "run1"
    assert {row["rule"]: row["numbers"] for row in found["rows"]} == {
        "fetch": {"failed": 1}, "align": {"never": 1}, "plot": {"never": 1},
    }  # fmt: skip
    assert json.loads(type_("why", "--json").stdout)[0]["cannot_run"] == ["align", "plot"]
    assert json.loads(type_("runs", "--json").stdout)[0]["failed"] == 1
    assert json.loads(type_("logs", "--json").stdout)[0]["task"] == "fetch"


def test_a_name_that_looks_like_markup_is_shown_as_it_is(begin: Begin, type_: Type) -> None:
    play = begin({"train": failed(1)})
    play.submit(a_task("train", wildcards={"x": "[red]a[/red]\x1b[31m\n"}))
    play.run_headless()
    label = "train[x=[red]a[/red]\\x1b[31m\\n]"
    assert label in type_("status").output
    assert label in type_("why", "failed").output


def test_without_an_answer_of_slurm_it_says_so_and_shows_what_is_on_disk(begin: Begin, type_: Type) -> None:
    play = begin()
    play.submit(*chain())
    play.clock.sleep(2.5)
    play.slurm.trouble("listing", Trouble.REFUSED)
    said = type_("status").output
    assert "What Slurm has is not known, so this is what is on disk alone" in said
    assert "unknown" in said


# --- naming things --------------------------------------------------------------------------------------------------


def test_the_folder_is_found_from_below(
    begin: Begin, type_: Type, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin().submit(a_task("fetch"))
    (workdir / "a/b").mkdir(parents=True)
    monkeypatch.chdir(workdir / "a/b")
    assert "Run run1" in type_().output


def test_where_nothing_was_run_it_says_what_to_do(
    begin: Begin, type_: Type, tmp_path_factory: pytest.TempPathFactory
) -> None:
    begin()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    said = type_("-C", str(elsewhere), code=1).output
    assert (
        f"No run is recorded in {elsewhere} or above it. Go to the folder where you gave the snakemake command" in said
    )


@pytest.mark.parametrize(
    ("word", "tasks"),
    [
        ("train", ["train[lr=1]", "train[lr=2]", "train[lr=3]"]),
        ("train[lr=2]", ["train[lr=2]"]),
        ("train[lr=*]", ["train[lr=1]", "train[lr=2]", "train[lr=3]"]),
        ("*[lr=?]", ["train[lr=1]", "train[lr=2]", "train[lr=3]", "evaluate[lr=1]", "evaluate[lr=2]", "evaluate[lr=3]"]),
        ("1", ["fetch"]),
        ("failed", []),
    ],
)  # fmt: skip
def test_a_task_is_named_by_rule_pattern_or_job_id(begin: Begin, type_: Type, word: str, tasks: list[str]) -> None:
    begin({"fetch": takes(600)}).submit(*sweep(3))
    found = json.loads(type_("why", word, "--json").stdout)
    assert [one["task"] for one in found] == tasks


def test_a_word_that_names_nothing_is_told_with_what_is_near(begin: Begin, type_: Type) -> None:
    begin().submit(*sweep(3))
    assert (
        "No task of run run1 is called 'trian'. Did you mean train? Its rules: fetch, train, evaluate, report"
        in type_("why", "trian", code=1).output
    )
    assert "No task of run run1 was Slurm job 99." in type_("why", "99", code=1).output
    assert "'staus' is no verb (status, why, logs, " in type_("staus", code=2).output
    assert "No run is called 'run7'. There are: run1" in type_("why", "--run", "run7", code=1).output


def test_a_helper_job_is_told_as_that(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": takes(600)}, detached=True)
    play.submit(*chain())
    (closing,) = (job.job_id for job in play.slurm.jobs.values() if job.rule == "closing")
    assert (
        f"Slurm job {closing} runs no task: it is the closing job of run run1." in type_("why", closing, code=1).output
    )


# --- why ------------------------------------------------------------------------------------------------------------


def test_a_task_that_never_ran_leads_back_to_the_root(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": failed(3)})
    play.submit(*chain())
    play.run_headless()
    log_of(play, "fetch", "no such host\n")
    said = type_("why", "plot").output
    assert said.startswith("plot never: it needs fetch: exit code 3; its last line: no such host\n")
    assert "→ kempner why fetch\n" in said
    assert "When the cause is mended: " in said


def test_every_attempt_is_told_with_where_and_how_it_ended(begin: Begin, type_: Type) -> None:
    play = begin({"train": [failed(3), failed(4)]})
    play.submit(a_task("train", attempts=2))
    play.run_headless()
    said = type_("why").output
    assert "  attempt 1: Slurm job 1: FAILED, exit code 3, on n" in said
    assert "  attempt 2: Slurm job 2: FAILED, exit code 4, on n" in said


def test_a_job_that_is_held_says_how_it_is_released(begin: Begin, type_: Type) -> None:
    play = begin()
    play.submit(a_task("train", resources={"slurm_extra": "--hold"}))
    play.clock.sleep(5)
    said = type_("why", "train").output
    assert "train waiting: it is held until you release it (JobHeldUser)" in said
    assert "→ scontrol release 1" in said


def test_a_long_list_of_failures_is_cut(begin: Begin, type_: Type) -> None:
    play = begin(lambda _job: failed(3))
    play.submit(*(a_task(f"rule_{letter}") for letter in "abcdefghijklmn"))
    play.run_headless()
    for letter in "abcdefghijklmn":
        log_of(play, f"rule_{letter}", f"Error: {letter * 20}\n")
    assert "and 4 more: " in type_("why").output
    assert "No task of this run has failed." not in type_("why").output


# --- logs -----------------------------------------------------------------------------------------------------------


def test_the_logs_of_the_failed_tasks_are_shown_or_named(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": failed(3)})
    play.submit(*chain())
    play.run_headless()
    log_of(play, "fetch", "\x1b[31mno such host\x1b[0m\n")
    assert type_("logs").output.splitlines()[1] == "no such host"
    path = Path(type_("logs", "--path").output.strip())
    assert path.read_text().endswith("no such host\x1b[0m\n")
    assert "no log yet" in type_("logs", "plot").output


def test_following_a_task_that_has_ended_shows_its_log_and_ends(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": failed(3)})
    play.submit(*chain())
    play.run_headless()
    log_of(play, "fetch", "no such host\n")
    assert type_("logs", "-f", "fetch").output == "no such host\n"
    assert "-f follows a single task, and 2 are named" in type_("logs", "-f", "fetch", "plot").output


# --- cancel ---------------------------------------------------------------------------------------------------------


def test_nothing_is_cancelled_before_it_was_asked(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": takes(600)})
    play.submit(*sweep(3))
    play.clock.sleep(5)
    said = type_("cancel", "train[lr=2]", answer="n\n", code=1).output
    assert (
        "1 task of run run1 (1 waiting): train[lr=2]. 2 tasks that need them go with them: evaluate[lr=2], report."
        in said
    )
    assert "Run run1 has 8 tasks left (1 running, 7 waiting). Cancel?" in type_("cancel", answer="n\n", code=1).output
    assert not any(job.is_final for job in play.slurm.jobs.values())


@pytest.mark.parametrize("keep_going", [True, False], ids=["keeps going", "stops"])
def test_exactly_those_and_what_needs_them_are_cancelled_and_the_rest_runs(
    begin: Begin, type_: Type, keep_going: bool
) -> None:
    play = begin({"fetch": takes(30)}, keep_going=keep_going)
    tasks = sweep(3)
    play.submit(*tasks)
    assert "Cancelled 3 tasks, 3 Slurm jobs." in type_("cancel", "train[lr=2]", "--yes").output
    play.run_headless()
    found = {row["rule"]: row["numbers"] for row in json.loads(type_("--json").stdout)["rows"]}
    assert found == {
        "fetch": {"done": 1}, "train": {"done": 2, "cancelled": 1}, "evaluate": {"done": 2, "never": 1}, "report": {"never": 1},
    }  # fmt: skip


def test_the_closing_job_says_that_the_user_has_cancelled_it(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": takes(30)}, keep_going=False)
    play.submit(*sweep(3))
    type_("cancel", "train[lr=2]", "--yes")
    play.run_headless()
    policy = replace(POLICY, folder=str(play.folder))
    live = LiveRun(policy, play.slurm, Ledger(play.folder), play.clock, LOGGER)
    with told_by(play.clock):
        events = go_on(live, play.slurm, play.clock, LOGGER.warning)
    ends = {event.task: event.outcome for event in events if isinstance(event, TaskEnded)}
    assert ends["train[lr=2]"] is Outcome.CANCELLED
    assert ends["evaluate[lr=2]"] is ends["report"] is Outcome.BLOCKED


@pytest.fixture
def head(plays: list[Play], workdir: Path) -> Callable[[], Claim]:
    """A living head of the run, which holds the claim."""

    def watching() -> Claim:
        claim = Claim(workdir / ".snakemake/kempner", this_head("run1"), plays[-1].slurm.runs, plays[-1].clock)
        claim.take()
        return claim

    return watching


def test_beside_a_head_that_keeps_going_a_part_is_cancelled_and_nothing_is_written(
    begin: Begin, type_: Type, head: Callable[[], Claim]
) -> None:
    """The ledger has one writer, and the head sees what became of its jobs."""
    play = begin({"fetch": takes(30)}, keep_going=True)
    play.submit(*sweep(3))
    head()
    before = (play.folder / "ledger.jsonl").read_bytes()
    said = type_("cancel", "train[lr=2]", "--yes").output
    assert "Cancelled 3 Slurm jobs. The head of run run1 " in said
    assert " goes on with the others." in said
    assert (play.folder / "ledger.jsonl").read_bytes() == before
    play.watch()
    ends = play.ended()
    assert ends["train[lr=2]"] is Outcome.CANCELLED
    assert ends["evaluate[lr=1]"] is ends["evaluate[lr=3]"] is Outcome.SUCCEEDED


def test_beside_a_head_that_would_stop_everything_a_part_is_refused(
    begin: Begin, type_: Type, head: Callable[[], Claim]
) -> None:
    play = begin({"fetch": takes(30)}, keep_going=False)
    play.submit(*sweep(3))
    claim = head()
    said = type_("cancel", "train[lr=2]", "--yes", code=1).output
    assert "it would stop the whole run when a task is cancelled. To cancel all of it: kempner cancel run1" in said
    assert not any(job.is_final for job in play.slurm.jobs.values())
    claim.release()
    assert "Cancelled 3 tasks" in type_("cancel", "train[lr=2]", "--yes").output


def test_who_watches_is_said_and_looking_writes_nothing(begin: Begin, type_: Type, head: Callable[[], Claim]) -> None:
    play = begin({"fetch": takes(30)}, keep_going=True)
    play.submit(*sweep(3))
    claim = head()
    there = {path: path.stat().st_mtime_ns for path in play.folder.parent.rglob("*")}
    assert "the head of run run1 (process " in type_().output
    assert {path: path.stat().st_mtime_ns for path in play.folder.parent.rglob("*")} == there
    claim.release()
    assert "nobody looks after it: give the same command again to go on" in type_().output


def test_a_whole_run_is_cancelled_with_its_helpers_and_closed(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": takes(600)}, detached=True)
    play.submit(*chain())
    assert "Cancelled the " in type_("cancel", "run1", "--yes").output
    assert not play.slurm.left
    assert read_ledger(play.folder).closed
    assert "Nothing of that is in the queue" in type_("cancel", "--yes").output


# --- runs, doctor, others -------------------------------------------------------------------------------------------


def test_the_runs_are_listed_the_latest_first(begin: Begin, type_: Type, workdir: Path) -> None:
    play = begin({"plot": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    play.resume()
    play.submit(a_task("more"))
    (workdir / ".snakemake/kempner/run0").mkdir()
    ledger = Ledger(workdir / ".snakemake/kempner/run0", run="run0", command=["snakemake", *["--config", "a=b"] * 100])
    ledger.close()
    lines = type_("runs").output.splitlines()[3:]
    assert [line.split()[0] for line in lines] == ["run0", "run2", "run1"]
    assert "under way" in lines[1]
    assert "taken over by run2" in lines[2]


@pytest.mark.parametrize("verb", ["status", "why", "logs", "cancel", "runs", "doctor", "site"])
def test_each_verb_explains_itself(begin: Begin, type_: Type, verb: str) -> None:
    begin()
    assert f"Usage: kempner {verb}" in type_(verb, "--help").output


def test_other_programs_explain_themselves(begin: Begin, type_: Type) -> None:
    begin()
    assert "up | down | status | run" in type_("sandbox", "--help").output
    assert "drafts a site file" in type_("site", "draft", "--help").output
    assert "--csv" in type_("efficiency", "--help").output


def test_a_shell_completes_rules_tasks_and_runs(begin: Begin, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    begin().submit(*sweep(3))

    def completed(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_KEMPNER_COMPLETE", "bash_complete")
        result = CliRunner().invoke(kempner, [], prog_name="kempner")
        return [row.partition(",")[2] for row in result.output.splitlines()]

    assert completed("kempner why t") == ["train"]
    assert completed("kempner why f") == ["failed", "fetch"]
    assert completed("kempner why train[lr=2") == ["train[lr=2]"]
    assert completed("kempner status r") == ["run1"]


# --- nothing is said or done that is not so --------------------------------------------------------------------------


def test_in_a_copy_of_a_folder_the_jobs_of_the_original_are_left_alone(
    begin: Begin, type_: Type, workdir: Path, monkeypatch: pytest.MonkeyPatch, head: Callable[[], Claim]
) -> None:
    """Also beside its living head, whose claim has been copied with the rest."""
    play = begin({"fetch": takes(600)}, keep_going=True)
    play.submit(*chain())
    head()
    copy = workdir / "copy"
    shutil.copytree(workdir / ".snakemake", copy / ".snakemake")
    monkeypatch.chdir(copy)
    for words in (("cancel", "--yes"), ("cancel", "align", "--yes")):
        assert "this is a copy of that folder" in type_(*words, code=1).output
    assert not any(job.is_final for job in play.slurm.jobs.values())


def test_nothing_is_cancelled_while_slurm_does_not_answer(begin: Begin, type_: Type) -> None:
    play = begin({"fetch": takes(600)})
    play.submit(*chain())
    play.slurm.trouble("listing", Trouble.REFUSED)
    assert "Nothing was cancelled, because Slurm could not be asked" in type_("cancel", "--yes", code=1).output


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("succeeded", "has succeeded: 3 of 3"),
        ("failed", "has failed: 3 of 3"),
        ("cancelled", "was cancelled: 3 of 3"),
        ("", "has ended: 3 of 3"),
    ],
)
def test_how_a_run_has_ended_is_what_its_ledger_says(begin: Begin, type_: Type, result: str, words: str) -> None:
    """Its tasks may have succeeded, and a hook or what was to follow not."""
    play = begin()
    play.submit(*chain())
    play.run_headless()
    assert " stands still: 3 of 3" in type_().output
    Ledger(play.folder).close(result=result)
    assert words in type_().output


def test_while_a_process_looks_after_a_run_it_has_not_ended(
    begin: Begin, type_: Type, head: Callable[[], Claim]
) -> None:
    """Local rules, or what a checkpoint decides, may be still to come."""
    play = begin()
    play.submit(*chain())
    play.run_headless()
    head()
    assert " under way: 3 of 3" in type_().output


def test_what_runs_is_not_cancelled_with_a_task_that_has_succeeded_meanwhile(begin: Begin, type_: Type) -> None:
    play = begin({"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    canceller = Canceller(play.folder.parent, os.getcwd(), play.slurm, print, print, finish=lambda _folder: None)
    with told_by(play.clock):
        said = canceller.tasks(read_ledger(play.folder), {"fetch"})
    assert said == "None of these tasks is in the queue."
    assert not any(job.is_final for job in play.slurm.jobs.values() if job.rule == "align")
