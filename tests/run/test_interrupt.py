"""Ctrl-C is heard once, and what it interrupts is undone whatever comes after it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import chain
from fakes import Trouble, takes
from playing import Play

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.run import interrupt
from snakemake_executor_plugin_kempner.run.interrupt import hear_ctrl_c_once, undisturbed
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers


@pytest.fixture(autouse=True)
def own_ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(interrupt, "_EARS", interrupt._Ears())
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_one_interrupts_and_the_others_do_not(capfd: pytest.CaptureFixture[str]) -> None:
    hear_ctrl_c_once()
    with pytest.raises(KeyboardInterrupt):
        press()
    press()
    press()
    assert capfd.readouterr().err.count("The jobs of this run are being cancelled.") == 2


def test_it_waits_for_the_end_of_what_must_not_be_disturbed() -> None:
    hear_ctrl_c_once()
    done = []

    def submit() -> None:
        with undisturbed():
            press()
            done.append("first")
            with undisturbed():
                press()
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        submit()
    assert done == ["first", "second"]
    with undisturbed():
        press()


def test_it_wins_over_an_error_of_what_it_has_waited_for() -> None:
    hear_ctrl_c_once()

    def submit() -> None:
        with undisturbed():
            press()
            raise SlurmError("no")

    with pytest.raises(KeyboardInterrupt):
        submit()


def test_who_ignores_it_goes_on_ignoring_it() -> None:
    """As a head that was started in the background by a shell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hear_ctrl_c_once()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


# --- while a plan is submitted --------------------------------------------------------------------------------------


def interrupted(tmp_path: Path, **troubles: tuple[Trouble | BaseException | None, ...]) -> Play:
    play = Play(tmp_path / "run1", {"fetch": takes(100)})
    for command, kinds in troubles.items():
        play.slurm.trouble(command, *kinds)
    with pytest.raises(BaseException) as caught:
        play.live.submit(chain())
    assert isinstance(caught.value, (KeyboardInterrupt, SlurmError))
    return play


AGAIN = KeyboardInterrupt()


@pytest.mark.parametrize(
    "troubles",
    [
        {"submit": (None, Trouble.INTERRUPTED)},
        {"submit": (None, Trouble.INTERRUPTED), "find": (AGAIN,)},
        {"submit": (None, Trouble.INTERRUPTED), "cancel": (AGAIN,)},
        {"submit": (None, None, AGAIN), "cancel": (AGAIN,)},
        {"submit": (None, Trouble.INTERRUPTED), "cancel": (Trouble.UNREACHABLE,)},
    ],
    ids=["once", "again while it looks", "again while it cancels", "before the last", "cancel that is not answered"],
)
def test_snakemake_cancels_what_the_plan_could_not_take_back(
    tmp_path: Path, troubles: dict[str, tuple[Trouble | BaseException | None, ...]]
) -> None:
    play = interrupted(tmp_path, **troubles)
    play.live.cancel()
    assert play.slurm.left == []


def test_a_ledger_stays_open_while_jobs_of_a_plan_that_was_given_up_are_in_the_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play = interrupted(tmp_path, submit=(None, Trouble.INTERRUPTED), cancel=(AGAIN,))
    play.live.end()
    assert len(open_ledgers(tmp_path)) == 1
    assert "To cancel them: scancel 1 2" in caplog.text
    play.live.cancel()
    play.live.end()
    assert open_ledgers(tmp_path) == ()


def test_a_ledger_stays_open_when_slurm_cannot_be_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    play = interrupted(tmp_path, submit=(None, Trouble.INTERRUPTED), cancel=(AGAIN,), names=(Trouble.UNREACHABLE,))
    play.live.end()
    assert len(open_ledgers(tmp_path)) == 1
    assert "the same command with --kempner-cancel" in caplog.text


def test_a_request_that_slurm_may_carry_out_later_keeps_the_ledger_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play = interrupted(tmp_path, submit=(AGAIN,))
    play.live.end()
    assert len(open_ledgers(tmp_path)) == 1
    assert "squeue --me --name=fetch.run1.1" in caplog.text


def test_a_plan_that_was_refused_leaves_a_closed_ledger(tmp_path: Path) -> None:
    play = interrupted(tmp_path, submit=(None, Trouble.REFUSED))
    play.live.end()
    assert open_ledgers(tmp_path) == ()
