"""Sizes, times and ranges as Slurm writes them, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.notation import (
    clock,
    if_readable,
    megabytes,
    memory,
    memory_for_people,
    minutes,
    numbers,
    ranges,
    seconds,
    time_for_people,
)

# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("240G", 245_760), ("1T", 1_048_576), ("500", 500), ("2048K", 2), ("8GB", 8192), (" 8g ", 8192), ("1P", 1024**3)],
)
def test_a_request_without_a_letter_is_in_megabytes(text: str, size: int) -> None:
    assert megabytes(text) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [("818K", 818 / 1024), ("93.20M", 93.2), ("1.5G", 1536), ("2T", 2 * 1024**2), ("1048576", 1), ("0", 0)],
)
def test_accounting_without_a_letter_is_in_bytes(text: str, size: float) -> None:
    assert megabytes(text, unit="") == size


@pytest.mark.parametrize("text", ["", "G", "16?", "-1", "1e3G", "nan", "infG", "8B", "1.G", "9" * 400, "1 G"])
def test_what_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        megabytes(text)


@given(st.integers(0, 10**12))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    assert megabytes(memory(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 MB"), (850, "850 MB"), (1024, "1 GB"), (3174, "3.1 GB"), (64_000, "62.5 GB"), (65_536, "64 GB"),
     (1_000_000, "977 GB")],
)  # fmt: skip
def test_a_gigabyte_is_1024_megabytes_for_people_too(size: int, text: str) -> None:
    assert memory_for_people(size) == text


@given(st.floats(0, 10**9))
def test_people_read_a_size_that_is_rounded_to_a_twentieth_at_most(size: float) -> None:
    assert megabytes(memory_for_people(size).replace(" ", "")) == pytest.approx(size, rel=0.05, abs=0.51)


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time"),
    [("00:00.004", 0.004), ("01:30.500", 90.5), ("00:00:00", 0), ("02:03:04", 7384), ("1-00:00:01", 86_401),
     ("12-01:02:03", 1_040_523), ("1-02", 93_600), ("1-02:03", 93_780)],
)  # fmt: skip
def test_times_as_slurm_writes_them(text: str, time: float) -> None:
    assert seconds(text) == pytest.approx(time)


@pytest.mark.parametrize("text", ["", "INVALID", "17", "UNLIMITED", "1:2:3:4", "-1:00", "1-", ":30", "1-02:03:04:05"])
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("90", 90), ("1:30", 2), ("0:90", 2), ("1:00:00", 60), ("1-0", 1440), ("1-02:03", 1563), ("2-00:00:30", 2881),
     ("UNLIMITED", None), ("infinite", None), ("0", None), ("-1", None), (" 5 ", 5)],
)  # fmt: skip
def test_a_time_limit_is_in_minutes(text: str, limit: int | None) -> None:
    """Source: sbatch(1), --time: `1:30` is a minute and a half."""
    assert minutes(text) == limit


@pytest.mark.parametrize("text", ["", "soon", "-5", "1:00.5", "1.5"])
def test_what_is_no_time_limit_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        minutes(text)


@given(st.integers(0, 10**9))
def test_a_time_is_read_as_it_was_written(time: int) -> None:
    assert seconds(clock(time)) == time


@given(st.integers(1, 10**7))
def test_a_time_limit_is_read_as_it_was_written(limit: int) -> None:
    assert minutes(clock(60 * limit)) == minutes(str(limit)) == limit


def test_a_time_is_written_as_slurm_writes_it() -> None:
    assert [clock(90), clock(7384), clock(86_401)] == ["00:01:30", "02:03:04", "1-00:00:01"]


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "0 s"), (42.4, "42 s"), (90, "1 min 30 s"), (1200, "20 min"), (3601, "1 h"), (8000, "2 h 13 min"),
     (172_800, "2 d"), (90_000, "1 d 1 h"), (46_000, "12 h"), (86_459, "1 d")],
)  # fmt: skip
def test_times_for_people_have_a_second_unit_where_there_are_few_of_the_first(time: float, text: str) -> None:
    assert time_for_people(time) == text


# --- ranges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("3", (3,)), ("0-2", (0, 1, 2)), ("0-1,5,8-9", (0, 1, 5, 8, 9)), ("1-2,10-14:2", (1, 2, 10, 12, 14))],
)
def test_ranges_are_read(text: str, found: tuple[int, ...]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize("text", ["", "x", "1-", "1-2,", "1-5:0", "1,2..."])
def test_what_is_no_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a range"):
        numbers(text)


def test_ranges_are_written_with_the_number_that_may_run_at_once() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert ranges([1, 2, 3, 5], at_once=2) == "1-3,5%2"
    assert ranges([]) == ""


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_are_read_as_they_were_written(found: set[int]) -> None:
    assert numbers(ranges(sorted(found))) == tuple(sorted(found))


def test_what_cannot_be_read_may_be_left_out() -> None:
    assert (if_readable(seconds, "1:00"), if_readable(seconds, "soon")) == (60, None)
