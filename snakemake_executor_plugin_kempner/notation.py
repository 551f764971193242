"""Sizes, times and ranges as Slurm writes them: text → numbers → text. The only place that reads and writes them. Pure.

Sizes are MB, and 1 GB is 1024 MB, as Slurm counts. A text that cannot be read is a ValueError.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

_MEGABYTES = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]+)?)(?:([KMGTP])B?)?", re.IGNORECASE)
_TIME = re.compile(r"(?:([0-9]{1,9})-([0-9]{1,9}(?::[0-9]{1,9}){0,2})|([0-9]{1,9}(?::[0-9]{1,9}){1,2}))(\.[0-9]{1,9})?")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
_LARGEST_INDEX = 4_000_000
"""Of an array; MaxArraySize is at most 4000001 (slurm.conf(5))."""
_NO_LIMIT = frozenset({"UNLIMITED", "INFINITE", "0", "-1"})
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def if_readable(read: Callable[[str], T], text: str) -> T | None:
    """What the function reads in the text; None if it cannot read it."""
    try:
        return read(text)
    except ValueError:
        return None


def whole_number(text: str) -> int | None:
    """None for anything that is not a number as Slurm prints it, such as `UNLIMITED`."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


# --- sizes ----------------------------------------------------------------------------------------------------------


def megabytes(text: str, *, unit: str = "M") -> float:
    """`1.5G` → 1536: a number with K, M, G, T or P.

    Args:
        text: the size.
        unit: of a number without a letter: `M` in requests (sbatch(1), --mem), empty for bytes in accounting (sacct(1)).
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    return float(match[1]) * _MEGABYTES[(match[2] or unit).upper()]


def memory(size_mb: int) -> str:
    """`4000M`, as in `--mem=4000M`."""
    return f"{size_mb}M"


def memory_for_people(size_mb: float) -> str:
    """`850 MB`, `3.1 GB`, `360 GB`."""
    gigabytes = size_mb / 1024
    if gigabytes < 1:
        return f"{size_mb:.0f} MB"
    return f"{f'{gigabytes:.1f}'.removesuffix('.0') if gigabytes < 100 else f'{gigabytes:.0f}'} GB"


# --- times ----------------------------------------------------------------------------------------------------------


def seconds(text: str) -> float:
    """`1-02:03:04`, `02:03:04`, `03:04.500` (minutes and seconds) or, in requests, `1-02` and `1-02:03`."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    parts = [int(part) for part in (match[2] or match[3]).split(":")]
    hours, minutes_, seconds_ = [*parts, 0, 0][:3] if match[2] else [0, *parts][-3:]
    whole = 86_400 * int(match[1] or 0) + 3_600 * hours + 60 * minutes_ + seconds_
    return whole + float(match[4]) if match[4] else whole


def minutes(text: str) -> int | None:
    """A time limit in minutes, of which sbatch also takes a bare number; None for no limit.

    Source: sbatch(1), --time. Seconds are rounded up, and fractions of them are not allowed.
    """
    text = text.strip()
    if text.upper() in _NO_LIMIT:
        return None
    if "." in text:
        raise ValueError(f"{text!r} is not a time limit")
    whole = whole_number(text)
    return int(-(-seconds(text) // 60)) if whole is None else whole


def clock(seconds_: int) -> str:
    """`02:03:04`, `1-02:03:04`."""
    days, rest = divmod(seconds_, 86_400)
    hours, rest = divmod(rest, 3_600)
    return f"{f'{days}-' if days else ''}{hours:02}:{rest // 60:02}:{rest % 60:02}"


def time_for_people(seconds_: float) -> str:
    """`42 s`, `1 min 30 s`, `20 min`, `2 d`; with a second unit if the first number is below 10."""
    left = round(seconds_)
    for (unit, size), (smaller, its_size) in pairwise(_UNITS):
        if left >= size:
            number, rest = left // size, left % size // its_size
            return f"{number} {unit} {rest} {smaller}" if rest and number < 10 else f"{number} {unit}"
    return f"{left} s"


# --- ranges ---------------------------------------------------------------------------------------------------------


def numbers(text: str) -> tuple[int, ...]:
    """`0-2,7,10-20:5` → 0, 1, 2, 7, 10, 15, 20."""
    return tuple(number for part in text.split(",") for number in _range(part))


def _range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a range of numbers")
    first, last = int(match[1]), int(match[2] or match[1])
    if last > _LARGEST_INDEX:
        raise ValueError(f"{text!r} goes beyond the largest index of an array")
    return range(first, last + 1, int(match[3] or 1))


def ranges(ascending: Iterable[int], *, at_once: int = 0) -> str:
    """`0-5,9`; with the largest number of array elements that may run at once, `0-5,9%2`."""
    return ",".join(_ranges(ascending)) + (f"%{at_once}" if at_once else "")


def _ranges(ascending: Iterable[int]) -> Iterator[str]:
    groups: list[list[int]] = []
    for number in ascending:
        if groups and number == groups[-1][-1] + 1:
            groups[-1][1:] = [number]
        else:
            groups.append([number])
    return ("-".join(map(str, group)) for group in groups)
