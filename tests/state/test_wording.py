"""Times in words."""

import time

import pytest

from snakemake_executor_plugin_kempner.state.wording import moment, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min"), (3600, "1 h"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_span_of_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_moment_is_as_short_as_it_is_clear() -> None:
    now = time.mktime((2026, 11, 28, 12, 0, 0, 0, 0, -1))
    assert moment(now - 3600, now) == "11:00"
    assert moment(now - 2 * 86_400, now) == "Thu 12:00"
    assert moment(now - 20 * 86_400, now) == "08 Nov 12:00"
