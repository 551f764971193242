"""A head process that leaves: on a signal, but not in the middle of a submission."""

import os
import signal
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_kempner.departure import Departure, LeaveError

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_makes_it_leave_at_once_with_the_exit_code_of_that_signal(number: signal.Signals) -> None:
    departure = Departure()
    departure.on_signals()
    with pytest.raises(LeaveError):
        os.kill(os.getpid(), number)
    assert departure.code == 128 + number
    assert departure.is_by_signal


def test_what_is_being_submitted_is_submitted_first() -> None:
    departure, submitted = Departure(), []
    departure.on_signals()

    def submit() -> None:
        with departure.submitting():
            os.kill(os.getpid(), signal.SIGTERM)
            submitted.append("the rest")

    with pytest.raises(LeaveError):
        submit()
    assert submitted == ["the rest"]


def test_an_error_of_the_submission_is_not_hidden_by_the_signal() -> None:
    departure = Departure()
    departure.on_signals()

    def submit() -> None:
        with departure.submitting():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        submit()
    assert departure.is_by_signal


def test_without_a_signal_a_submission_ends_as_usual() -> None:
    departure = Departure()
    departure.on_signals()
    with departure.submitting():
        pass
    assert departure.code is None


def test_a_second_signal_does_not_interrupt_the_departure() -> None:
    departure = Departure()
    departure.on_signals()
    with pytest.raises(LeaveError):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    assert departure.code == 128 + signal.SIGHUP


def test_a_signal_that_the_process_ignores_stays_ignored() -> None:
    """As under `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    departure = Departure()
    departure.on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert departure.code is None
    departure.on_no_signal()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_leaves_with_success_when_all_is_queued() -> None:
    departure = Departure()
    with pytest.raises(LeaveError):
        departure.leave()
    assert departure.code == 0
    assert not departure.is_by_signal
