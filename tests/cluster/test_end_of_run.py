"""The end of a run on the real Slurm: a page, one mail, one command, whoever ends it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from detached import page, until
from head import Head, all_over, of_rule, queued, run, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

SENDMAIL = '#!/bin/sh\ncat >> "$MAILBOX"\n'
ASKED = (
    "--kempner-mail=me@example.org",
    "--kempner-on-end=env | grep ^KEMPNER_RES >> ended; cat $KEMPNER_PAGE > seen; exit 4",
)
FIVE = """
rule all:
    input: expand("out-{n}.txt", n=range(8)), "report.txt"

rule make:
    output: "out-{n}.txt"
    shell:
        '''
        until [ -e go ]; do sleep 0.2; done
        case {wildcards.n} in
            1) python3 -c "raise ValueError('loss is NaN')" ;;
            2) exit 137 ;;
            3) no-such-program ;;
            4) exit 3 ;;
            5) python3 -c "import nothing_like_it" ;;
        esac
        touch {output}
        '''

rule report:
    input: expand("out-{n}.txt", n=range(8))
    output: "report.txt"
    shell: "touch {output}"
"""
CHECKPOINT = """
def found(wildcards):
    return checkpoints.split.get().output[0]

rule all:
    input: "end.txt"

checkpoint split:
    output: "split.txt"
    shell: "touch {output}"

rule end:
    input: found
    output: "end.txt"
    shell: "touch {output}"
"""

pytestmark = pytest.mark.cluster


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    return tmp_path / "mailbox"


@pytest.fixture
def environment(tmp_path: Path, mailbox: Path) -> dict[str, str]:
    """A sendmail first in PATH, which jobs inherit."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/sendmail"
    program.write_text(SENDMAIL)
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "MAILBOX": str(mailbox)}


def latest_page(folder: Path) -> str:
    return (folder / ".snakemake/kempner/latest/closing.log").read_text()


def assert_told_once(folder: Path, mailbox: Path, result: str) -> None:
    """The page, the mail and what the command has seen are the same, and each was made once."""
    text = latest_page(folder)
    assert len(text.splitlines()) <= 40, text
    mail = mailbox.read_text()
    assert mail.count("To: me@example.org") == 1
    assert f"Subject: {folder.name} has {result}: " in mail
    assert text in mail
    assert (folder / "seen").read_text() == text
    assert (folder / "ended").read_text() == f"KEMPNER_RESULT={result}\n"


def assert_five_causes(text: str) -> None:
    assert " has failed: 3 of 9 tasks done, 5 failed, 1 never\n" in text.splitlines(keepends=True)[0]
    for cause in (
        "ValueError: loss is NaN: make[n=1]",
        "killed by SIGKILL",
        "no-such-program: command not found: make[n=3]",
        "exit code 3",
        "ModuleNotFoundError: No module named 'nothing_like_it': make[n=5]",
    ):
        assert f"  1 × {cause}" in text
    assert "computing " in text
    assert "kempner why failed" in text


Way = Callable[..., object]


def test_a_detached_run_with_five_failures_ends_in_a_page_and_a_mail(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path
) -> None:
    (written(folder, FIVE) / "go").touch()
    outcome = run_detached(slurm, folder, "--keep-going", *ASKED, **environment)
    assert outcome.exit_code == 1, outcome.output
    assert "--kempner-on-end has failed, which does not change how the run has ended: exit code 4" in outcome.output
    assert_told_once(folder, mailbox, "failed")
    assert_five_causes(latest_page(folder))
    assert "Building DAG of jobs" not in latest_page(folder)


def test_a_watched_run_ends_with_the_same_page(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path
) -> None:
    (written(folder, FIVE) / "go").touch()
    outcome = run(slurm, folder, "--keep-going", *ASKED, **environment)
    assert outcome.exit_code == 1, outcome.output
    assert_told_once(folder, mailbox, "failed")
    assert_five_causes(latest_page(folder))
    assert latest_page(folder) in outcome.output


def test_when_the_head_is_killed_the_closing_job_tells_the_end(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path
) -> None:
    written(folder, FIVE)
    with Head(slurm, folder, "--keep-going", *ASKED, **environment) as head:
        head.until_queued()
        head.kill()
        (folder / "go").touch()
        until((folder / "ended").exists, shown=lambda: head.said)
        until(lambda: all_over(slurm, folder))
    assert_told_once(folder, mailbox, "failed")
    assert_five_causes(latest_page(folder))


def test_continuations_are_not_the_end(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path
) -> None:
    written(folder, CHECKPOINT)
    asked = [ASKED[0], ASKED[1].replace("exit 4", "exit 0")]
    outcome = run_detached(slurm, folder, *asked, **environment)
    assert outcome.exit_code == 0, outcome.output
    assert_told_once(folder, mailbox, "succeeded")
    assert " has succeeded: 2 of 2 tasks done\n" in latest_page(folder)


def test_a_take_over_keeps_what_was_asked_for_the_end_and_says_so(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path
) -> None:
    written(folder, FIVE)
    left = run(
        slurm, folder, "--kempner-detach", "--keep-going", *ASKED, "--kempner-closing-options=--nice=7", **environment
    )
    assert left.exit_code == 0, left.output
    first = (folder / ".snakemake/kempner/latest").resolve()
    with Head(slurm, folder, "--keep-going", "--rerun-incomplete", **environment) as head:
        head.until(lambda: "Goes on with run" in head.said)
        assert f"As run {first.name} was started with it, this run keeps --kempner-mail me@example.org." in head.said
        assert "this run keeps --kempner-closing-options --nice=7." in head.said
        (closing,) = (job for job in of_rule(queued(slurm, folder, helpers=True), "closing") if not job.is_over)
        assert "Nice=7" in slurm.run("scontrol", "show", "job", closing.job_id)
        (folder / "go").touch()
        assert head.end() == 1, head.said
    assert_told_once(folder, mailbox, "failed")
    assert_five_causes(latest_page(folder))
    assert latest_page(folder) in head.said
    assert (first / "closing.log").read_text().startswith(f"Run {first.name} was taken over by run ")


@pytest.mark.parametrize("way", ["--kempner-cancel", "Ctrl-C"])
def test_a_cancelled_run_leaves_a_page_too(
    slurm: Sandbox, folder: Path, environment: dict[str, str], mailbox: Path, way: str
) -> None:
    import signal

    written(folder, FIVE)
    with Head(slurm, folder, *ASKED, **environment) as head:
        head.until_queued()
        if way == "Ctrl-C":
            head.signal(signal.SIGINT)
            assert head.end() == 1, head.said
        else:
            head.kill()
            outcome = run(slurm, folder, way, **environment)
            assert outcome.exit_code == 0, outcome.output
    assert " was cancelled: 0 of 9 tasks done, " in latest_page(folder)
    assert "waiting" not in latest_page(folder).splitlines()[0]
    assert "Subject: run was cancelled: " in mailbox.read_text()
    assert (folder / "ended").read_text() == "KEMPNER_RESULT=cancelled\n"
    assert page(folder) == latest_page(folder)


@pytest.mark.parametrize(
    "address", ["me", "me@", "a b@example.org", "-x@example.org", "me@example.org,you@example.org"]
)
def test_what_is_no_mail_address_is_refused_before_anything_is_submitted(
    slurm: Sandbox, folder: Path, address: str
) -> None:
    written(folder, FIVE)
    outcome = run(slurm, folder, f"--kempner-mail={address}")
    assert outcome.exit_code == 1
    assert f"--kempner-mail {address!r} is no mail address" in outcome.output
    assert "take an address such as name@example.org, or self" in outcome.output
    assert not queued(slurm, folder, helpers=True)


def test_without_sendmail_slurm_mails_the_end_of_a_job_that_is_named_after_the_result(
    slurm: Sandbox, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    refusing = tmp_path / "bin/sendmail"
    refusing.write_text("#!/bin/sh\nexit 75\n")
    refusing.chmod(0o755)
    (written(folder, FIVE) / "go").touch()
    outcome = run_detached(slurm, folder, ASKED[0], "out-0.txt", PATH=f"{refusing.parent}:{os.environ['PATH']}")
    assert outcome.exit_code == 0, outcome.output
    names = slurm.run("squeue", "--me", "-h", "-t", "all", "-o", "%i %j %Z").splitlines()
    (line,) = (line for line in names if line.endswith(str(folder)) and "has succeeded: 1 of 1 task done" in line)
    shown = slurm.run("scontrol", "show", "job", line.split()[0])
    assert "MailUser=me@example.org" in shown
    assert "MailType=END" in shown
