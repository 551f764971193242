"""The end of a job explained: its cause in a line, what it means, and where the log says so."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..options import Options
from ..site.request import request_of
from ..slurm.parse import Record
from ..slurm.states import JobState
from .logs import Said, said_in
from .meaning import End, Meaning, meanings
from .words import Certainty


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a job ended as it did."""

    cause: str
    """In a line; never empty."""
    meanings: tuple[Meaning, ...]
    log: Path
    around: tuple[str, ...]
    """Lines of the log."""
    exit_code: int | None = None
    """Of the rule's own command."""
    signal: int | None = None


def explained(
    record: Record,
    options: Options,
    job_log: Path,
    rule_logs: Iterable[Path] = (),
    *,
    since: float = 0.0,
    peak_memory_mb: int | None = None,
) -> Explanation:
    """Explain the end of a job, from Slurm's word and its logs.

    Args:
        record: its end.
        options: of sbatch, with which it was submitted.
        job_log: what the job has printed.
        rule_logs: files of the rule's `log:`.
        since: when it started; older logs are of an earlier job.
        peak_memory_mb: if it is known.
    """
    said = said_in(job_log, rule_logs, since)
    end = End(
        record=record,
        exit_code=said.words.exit_code,
        signal=said.words.signal,
        peak_memory_mb=peak_memory_mb,
        request=request_of(options),
    )
    known = tuple(meanings(end))
    return Explanation(
        cause=_cause(end, known, said),
        meanings=known,
        log=said.log,
        around=said.words.around,
        exit_code=said.words.exit_code,
        signal=said.words.signal,
    )


def with_peak(end: Record, options: Options, explanation: Explanation, peak_memory_mb: int | None) -> Explanation:
    """The same with a peak that became known later."""
    known = End(
        record=end,
        exit_code=explanation.exit_code,
        signal=explanation.signal,
        peak_memory_mb=peak_memory_mb,
        request=request_of(options),
    )
    return replace(explanation, meanings=tuple(meanings(known)))


def _cause(end: End, known: tuple[Meaning, ...], said: Said) -> str:
    if end.record.state is JobState.CANCELLED:
        return "cancelled"
    if end.record.state is JobState.UNKNOWN:
        return "lost: Slurm does not know the job any more, and it left no record"
    if known and (known[0].is_cause or said.words.certainty < Certainty.LIKELY):
        return known[0].what
    if said.words.certainty >= Certainty.LIKELY:
        return said.words.cause
    how = f"exit code {end.code}" if end.code else end.record.word
    return f"{how}; its last line: {said.words.cause}" if said.words.cause else f"{how}, without a word in its log"
