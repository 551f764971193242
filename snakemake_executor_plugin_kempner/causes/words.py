"""The text of a log → the line that says why, and the lines around it. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import takewhile

from ..printable import without_colours
from .patterns import AFTERWARDS, AT_LAST, EXCEPTION, LIKELY, NOISE, RANK, SURE, TRACEBACK, WRAPPERS

_READ = 500
"""Lines that are looked at, from the end."""
_LINE = 2000
"""Characters of a line that are looked at."""
_SHOWN = 15
_OF_RANK = frozenset("[0123456789")
"""Characters with which the prefix of a process begins."""
_AFTER = 3
_NEAR_THE_END = 40
"""Lines before the end in which an error is taken for the cause."""
_LONGEST = 240
_FILES = 3
"""How many missing files a cause names."""


class Certainty(IntEnum):
    """How sure it is that a line is the cause."""

    NONE = 0
    LAST_LINE = 1
    """It is the last that the program has said."""
    LIKELY = 2
    """It reports an error."""
    SURE = 3
    """It says why a program ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What a log says about a failure."""

    cause: str = ""
    """In a line; empty if the log says nothing."""
    certainty: Certainty = Certainty.NONE
    around: tuple[str, ...] = ()
    """The last lines up to the cause, and a few after it."""
    exit_code: int | None = None
    """Of the rule's own command, as Snakemake has seen it."""
    signal: int | None = None
    """That has killed the rule's own command."""


NOTHING = Words()


def words_of(text: str) -> Words:
    """What the end of a log says, whoever has written it."""
    lines = [_shown(line)[:_LINE] for line in text.split("\n")[-_READ:]]
    said, after = _parts(lines)
    exit_code, signal = _end_of_command(after)
    at, certainty = _cause(said)
    cause = _whole(said, at) if certainty else ""
    told = _of_snakemake(after)
    if told and certainty < Certainty.SURE:
        return Words(
            cause=told[:_LONGEST], certainty=Certainty.SURE, around=_last(said) or _last(after), exit_code=exit_code,
            signal=signal,
        )  # fmt: skip
    return Words(
        cause=cause[:_LONGEST],
        certainty=certainty,
        around=tuple(said[max(0, at + _AFTER + 1 - _SHOWN) : at + _AFTER + 1]) if certainty else (),
        exit_code=exit_code,
        signal=signal,
    )


def _shown(line: str) -> str:
    """As a terminal shows it: of a progress bar the last state, without colours."""
    return without_colours(line.rstrip("\r").rpartition("\r")[2]).rstrip()


def _parts(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The rule's own lines, and what Snakemake says after its end."""
    marks = [number for number, line in enumerate(lines) if AFTERWARDS.match(line)]
    start = marks[-1] if marks else next((n for n, line in enumerate(lines) if AT_LAST.match(line)), len(lines))
    said = [line for line in lines[:start] if line.strip() and not NOISE.match(line)]
    return said, [line for line in lines[start:] if line.strip()]


def _last(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if not NOISE.match(line))[-_SHOWN:]


_STATUS = re.compile(
    r"returned non-zero exit status (\d+)\.$|died with (?:<Signals\.\w+: (\d+)>|(?:unknown )?signal (\d+))\.$"
)


def _end_of_command(after: Sequence[str]) -> tuple[int | None, int | None]:
    found = next((match for line in reversed(after) if (match := _STATUS.search(line))), None)
    if found is None:
        return None, None
    if found[1]:
        code = int(found[1])
        return (code, code - 128) if 128 < code < 193 else (code, None)
    return None, int(found[2] or found[3])


# --- the rule's own lines -------------------------------------------------------------------------------------------


def _cause(lines: Sequence[str]) -> tuple[int, Certainty]:
    """Where the cause is, and how sure that is."""
    if not lines:
        return 0, Certainty.NONE
    bare = [RANK.sub("", line) if line[:1] in _OF_RANK else line for line in lines]
    raised = max(_raised(bare), default=-1)
    sure = next((number for number in range(len(bare) - 1, raised, -1) if SURE.fullmatch(bare[number])), raised)
    if sure >= 0:
        return sure, Certainty.SURE
    start = max(0, len(lines) - _NEAR_THE_END)
    likely = (n for n in range(start, len(lines)) if LIKELY.fullmatch(bare[n].strip()))
    first = next(likely, None)
    return (len(lines) - 1, Certainty.LAST_LINE) if first is None else (first, Certainty.LIKELY)


def _raised(lines: Sequence[str]) -> Iterator[int]:
    """Where Python's exceptions are; of a chain of them the last, which Python shows last."""
    is_inside = False
    for number, line in enumerate(lines):
        if TRACEBACK in line:
            is_inside = True
        elif is_inside and line and not line[0].isspace():
            is_inside = False
            if EXCEPTION.fullmatch(line) and not WRAPPERS.match(line):
                yield number


def _whole(lines: Sequence[str], at: int) -> str:
    """The cause with the line after it, where it ends in a colon: R and Rust write the message there."""
    line = RANK.sub("", lines[at]).strip()
    goes_on = line.endswith(":") or re.match(r"thread '.*' panicked at \S+$|terminate called", line)
    following = RANK.sub("", lines[at + 1]).strip() if goes_on and at + 1 < len(lines) else ""
    return _BEFORE_THE_CAUSE.sub("", f"{line} {following}".strip())


_BEFORE_THE_CAUSE = re.compile(
    r"^kempner: .*?: (?=Snakemake has ended|input is )|^(?:\S*/)?(?:ba|da|z|k)?sh: line \d+: +"
)
"""Which task the step speaks of, and the line of a command that Snakemake has given to a shell."""


# --- Snakemake's, and our own ---------------------------------------------------------------------------------------

_IN_RUN = re.compile(r'(\w[\w.]*) in file ".*", line \d+:$')
_MISSING = re.compile(r"(.*) \(missing locally.*\)$")


def _of_snakemake(after: Sequence[str]) -> str:
    """The cause that only Snakemake or the job's step knows: an exception of a `run:` block, a missing output."""
    for number, line in enumerate(after):
        following = [text.strip() for text in after[number + 1 :]]
        if (match := _IN_RUN.match(line)) and not WRAPPERS.match(match[1]):
            message = next((text for text in following if not text.startswith("File ")), "")
            return f"{match[1]}: {message}".rstrip(": ")
        if line.startswith("MissingOutputException"):
            listed = [found[1] for text in following if (found := _MISSING.match(text))]
            files = dict.fromkeys(listed or takewhile(lambda text: not NOISE.match(text), following))
            return _named("declared output is missing", tuple(files))
        if line in ("WorkflowError:", "WorkflowError") and following and not NOISE.match(following[0]):
            return f"WorkflowError: {following[0]}"
    return ""


def _named(what: str, files: Sequence[str]) -> str:
    more = f" and {len(files) - _FILES} more" if len(files) > _FILES else ""
    return f"{what}: {', '.join(files[:_FILES])}{more}" if files else what
