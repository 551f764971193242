"""What happens once at the end of a run: page, mail, command; whoever ends it, and whatever goes wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import a_task, chain
from fakes import Trouble, failed, takes
from playing import Play, told_by

from snakemake_executor_plugin_kempner.ending import programs
from snakemake_executor_plugin_kempner.ending.finish import Finish
from snakemake_executor_plugin_kempner.run.ledger import Ledger
from snakemake_executor_plugin_kempner.run.result import Result

Ended = Callable[..., tuple[Play, list[str]]]
SENDMAIL = '#!/bin/sh\ncat >> "$MAILBOX"\n'


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all programs that can be found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "sh", "env", "false"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MAILBOX", str(tmp_path / "mailbox"))
    monkeypatch.setattr(programs, "_SENDMAIL", ("sendmail",))
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def run(tmp_path: Path, bin_: Path) -> Ended:
    """A run whose jobs have ended, and what is said at its end."""

    def ran(**asked: str) -> tuple[Play, list[str]]:
        play = Play(tmp_path / "sweep/.snakemake/kempner/run1", {"align": failed(3)})
        play.submit(*chain())
        play.run_headless()
        lines = (play.folder / "ledger.jsonl").read_text()
        header = {"mail": "", "on_end": "", **asked}
        for name, value in header.items():
            lines = lines.replace(f'"{name}": ""', f'"{name}": "{value}"', 1)
        (play.folder / "ledger.jsonl").write_text(
            lines.replace(f'"started_in": "{os.getcwd()}"', f'"started_in": "{tmp_path}"')
        )
        return play, []

    return ran


def finish(play: Play, said: list[str], result: Result = Result.FAILED) -> None:
    with told_by(play.clock):
        Finish(slurm=play.slurm, say=said.append, warn=said.append).run(play.folder, result)


def test_the_page_is_written_before_the_run_is_closed(run: Ended) -> None:
    play, said = run()
    finish(play, said)
    assert said == []
    text = (play.folder / "closing.log").read_text()
    assert text.startswith("Run run1 of sweep has failed: 1 of 3 tasks done, 1 failed, 1 never\n")


def test_the_mail_is_the_page_and_is_sent_once_though_the_end_comes_twice(
    run: Ended, bin_: Path, tmp_path: Path
) -> None:
    program(bin_ / "sendmail", SENDMAIL)
    play, said = run(mail="me@example.org")
    finish(play, said)
    finish(play, said)
    mail = (tmp_path / "mailbox").read_text()
    assert mail.count("To: me@example.org") == 1
    assert "Subject: sweep has failed: 1 of 3 tasks done, 1 failed, 1 never (run run1)\n" in mail
    assert (play.folder / "closing.log").read_text() in mail
    assert said == [f"Mail to me@example.org: sent with {bin_}/sendmail."]


def test_where_no_program_sends_mail_slurm_does_by_a_job_with_the_subject_as_its_name(run: Ended) -> None:
    play, said = run(mail="me@example.org")
    finish(play, said)
    (job,) = [job for job in play.slurm.jobs.values() if job.options.get("mail-user")]
    assert (job.options.get("mail-user"), job.options.get("mail-type")) == ("me@example.org", "END")
    assert job.options.get("job-name") == "sweep has failed: 1 of 3 tasks done, 1 failed, 1 never (run run1)"
    assert "sent by Slurm" in said[0]


def test_a_program_that_refuses_the_mail_is_no_end_of_it(run: Ended, bin_: Path) -> None:
    program(bin_ / "sendmail", "#!/bin/sh\necho 'no relay' >&2\nexit 75\n")
    play, said = run(mail="self")
    finish(play, said)
    assert "sent by Slurm" in said[0]
    assert "exit code 75 (no relay)" in said[0]


def test_a_mail_that_nobody_sends_is_told(run: Ended) -> None:
    play, said = run(mail="self")
    play.slurm.trouble("submit", Trouble.REFUSED)
    finish(play, said)
    assert said[0].startswith("No mail to self was sent.")


def test_the_command_runs_once_with_the_result_in_its_environment(run: Ended, tmp_path: Path) -> None:
    play, said = run(on_end="env >> variables")
    finish(play, said)
    finish(play, said, Result.SUCCEEDED)
    lines = (tmp_path / "variables").read_text().splitlines()
    told = [
        line for line in lines if line.startswith(("KEMPNER_RESULT", "KEMPNER_RUN", "KEMPNER_PAGE", "KEMPNER_FOLDER"))
    ]
    assert sorted(told) == [
        f"KEMPNER_FOLDER={os.getcwd()}",
        f"KEMPNER_PAGE={play.folder}/closing.log",
        "KEMPNER_RESULT=failed",
        "KEMPNER_RUN=run1",
    ]
    assert said == []


def test_a_command_that_fails_is_told_and_changes_nothing(run: Ended) -> None:
    play, said = run(on_end="exit 3")
    finish(play, said)
    assert said == ["--kempner-on-end has failed, which does not change how the run has ended: exit code 3: exit 3"]


def test_what_a_process_had_begun_when_it_died_is_not_done_again(run: Ended, tmp_path: Path) -> None:
    play, said = run(on_end="env >> variables", mail="me@example.org")
    Ledger(play.folder).hook("--kempner-mail")
    finish(play, said)
    assert not [job for job in play.slurm.jobs.values() if job.options.get("mail-user")]
    assert (tmp_path / "variables").exists()


def test_a_run_that_has_submitted_nothing_leaves_no_page(tmp_path: Path, bin_: Path) -> None:
    play = Play(tmp_path / "sweep/.snakemake/kempner/run1")
    said: list[str] = []
    finish(play, said)
    assert not (play.folder / "closing.log").exists()


def test_what_is_about_to_leave_the_queue_is_not_told_as_running_or_waiting(tmp_path: Path, bin_: Path) -> None:
    """Slurm takes a moment to carry out what it was asked."""
    play = Play(tmp_path / "sweep/.snakemake/kempner/run1", {"align": takes(600)})
    play.submit(*chain())
    play.clock.sleep(20)
    finish(play, [], Result.CANCELLED)
    assert " was cancelled: 1 of 3 tasks done, 1 never, 1 cancelled\n" in (play.folder / "closing.log").read_text()


def test_the_page_of_a_run_that_was_taken_over_leads_to_the_other(tmp_path: Path) -> None:
    play = Play(tmp_path / "sweep/.snakemake/kempner/run1")
    play.submit(*chain())
    first = play.folder
    play.resume()
    play.submit(a_task("more"))
    text = (first / "closing.log").read_text()
    assert text.startswith("Run run1 was taken over by run run2")
    assert f"{play.folder}/closing.log" in text
