"""The logs of a task, its rule's own and its job's: which of them says why it failed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .words import NOTHING, Words, words_of

_TAIL_BYTES = 65_536
_RECENT = 5.0
"""Seconds that the clocks of a node and of a file server may differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What the logs of a task say about its failure."""

    words: Words = NOTHING
    log: Path
    """The log in which that is; the job's, if none says anything."""


def said_in(job: Path, of_rule: Iterable[Path] = (), since: float = 0.0) -> Said:
    """The most certain account of a failure. Of equal ones, the rule's own log counts before the job's.

    Args:
        job: the job's log.
        of_rule: the files of the rule's `log:`.
        since: when the job started, in seconds since 1970; what has not been written to since is of an earlier job.
    """
    from_job = words_of(tail_of(job))
    texts = ((path, words_of(tail_of(path, since))) for path in of_rule)
    log, words = max(texts, key=lambda text: text[1].certainty, default=(job, NOTHING))
    # Without an error in it, the rule's log still says more than the job's, in which Snakemake alone has spoken.
    if words.certainty and words.certainty >= from_job.certainty:
        return Said(words=replace(words, exit_code=from_job.exit_code, signal=from_job.signal), log=log)
    return Said(words=from_job, log=job)


def tail_of(path: Path, since: float = 0.0) -> str:
    """The end of a text file; empty if there is none, or if it was last written before that time."""
    try:
        with path.open("rb") as file:
            status = path.stat()
            if status.st_mtime < since - _RECENT:
                return ""
            if status.st_size > _TAIL_BYTES:
                file.seek(status.st_size - _TAIL_BYTES)
                file.readline()  # the rest of a line
            return file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
