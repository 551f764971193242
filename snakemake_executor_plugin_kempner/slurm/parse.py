"""Text of Slurm's commands → records. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..errors import SlurmError
from ..notation import if_readable, megabytes, whole_number
from .ids import array_id, expand
from .states import NEVER, STUCK_REASONS, JobState, is_held, job_state


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A job's state in Slurm."""

    job_id: str
    state: JobState
    word: str
    """The state as Slurm prints it."""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    node: str = ""

    @property
    def never(self) -> bool:
        """It will not run, because its dependency can no longer be satisfied."""
        return self.reason == NEVER and self.state in (JobState.WAITING, JobState.CANCELLED)

    @property
    def stuck(self) -> str:
        """Slurm's reason why the job will not start as it is; empty if it may still start."""
        is_stuck = self.state is JobState.WAITING and self.reason in STUCK_REASONS
        return (self.reason or self.word) if is_stuck or self.is_held else ""

    @property
    def is_held(self) -> bool:
        """It waits until a user releases it."""
        return self.state is JobState.WAITING and is_held(self.word, self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Time and memory that a job has used, if accounting has them."""

    elapsed: str = ""
    """As Slurm prints it: [D-]HH:MM:SS."""
    peak_memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A job as scontrol shows it, with its name and comment."""

    record: Record
    name: str
    comment: str


SQUEUE_FORMAT = "JobArrayID:0|,State:0|,Reason:0|,exit_code:0|,NodeList:0"
"""A width of 0 is as wide as needed."""
SACCT_FORMAT = "JobID,State,Reason,ExitCode,NodeList"


def parse_usage(text: str) -> Usage:
    """Usage from `sacct --noheader --parsable2 --format=Elapsed,MaxRSS`: the job's line, then a line per step."""
    rows = [line.split("|") for line in text.splitlines() if "|" in line]
    sizes = (if_readable(lambda text: megabytes(text, unit=""), row[1]) for row in rows)
    peaks = [size for size in sizes if size is not None]
    return Usage(elapsed=rows[0][0] if rows else "", peak_memory_mb=round(max(peaks)) if peaks else None)


def parse_cluster(text: str) -> str:
    """`cluster odyssey (/var/spool/slurmctld)` from `scontrol show config`.

    The name alone is not enough: private clusters often have the same.

    Raises:
        SlurmError: it names no cluster.
    """
    told = dict(re.findall(r"^(ClusterName|StateSaveLocation)\s*= (.*)$", text, re.MULTILINE))
    if "ClusterName" not in told:
        raise SlurmError("scontrol show config did not tell the name of the cluster")
    return f"cluster {told['ClusterName'].strip()} ({told.get('StateSaveLocation', '').strip()})"


def parse_job_id(answer: str) -> str:
    """The id in the answer of `sbatch --parsable`: `123` or `123;cluster`."""
    match = re.search(r"^([0-9]{1,18})(?:;.*)?$", answer.strip(), re.MULTILINE)
    if match is None:
        raise SlurmError(f"sbatch answered {answer.strip()!r} where a job id was expected")
    return match[1]


def record_of(job_id: str, records: Mapping[str, Record]) -> Record | None:
    """The record of a job, by its id or, for an array element without its own record, that of the array.

    When `scancel` selects by state or user, elements without records of their own disappear; the record with the
    array's own id, which no element has, is then CANCELLED and stands for all of them.
    """
    found = records.get(job_id) or records.get(array_id(job_id))
    return found and replace(found, job_id=job_id)


def records_of(job_ids: Iterable[str], records: Iterable[Record]) -> dict[str, Record]:
    """Records by job id; jobs without a record are absent."""
    known = {record.job_id: record for record in records}
    found = ((job_id, record_of(job_id, known)) for job_id in job_ids if job_id)
    return {job_id: record for job_id, record in found if record is not None}


def parse_squeue(text: str) -> tuple[Record, ...]:
    """Records from `squeue --noheader --Format=SQUEUE_FORMAT`, a record for each array element.

    Raises:
        SlurmError: a list of array elements is cut off or malformed.
    """
    return tuple(_records(text, _squeue_exit))


def has_mixed_reasons(text: str) -> bool:
    """Whether squeue shows array elements with different reasons in the same line, which then has all reasons."""
    rows = [line.split("|") for line in text.splitlines()]
    return any("_[" in row[0] and "," in row[2] for row in rows if len(row) > 2)


def parse_sacct(text: str) -> tuple[Record, ...]:
    """Records from `sacct --noheader --parsable2 --allocations --format=SACCT_FORMAT`, a record for each array element.

    Of what was cancelled, sacct names by whom, and loses the reason that squeue gives (22.05 has `Dependency`, 24.11 none).
    What never started and was cancelled by nobody is what Slurm took out because its dependency could not be satisfied.

    Raises:
        SlurmError: a list of array elements is cut off or malformed.
    """
    return tuple(
        replace(record, reason=NEVER) if record.word == "CANCELLED" and not record.node else record
        for record in _records(text, _sacct_exit)
    )


def parse_shown(text: str, uid: int) -> tuple[Shown, ...]:
    """A user's jobs from `scontrol --oneliner show job`, a value for each array element.

    Raises:
        SlurmError: a list of array elements is cut off or malformed.
    """
    return tuple(_shown(text, uid))


def _shown(text: str, uid: int) -> Iterator[Shown]:
    for line in text.splitlines():
        if not line.startswith("JobId=") or _part(line, r" UserId=\S*\((\d+)\)") != str(uid):
            continue
        array, index = _part(line, r" ArrayJobId=(\d+)"), _part(line, r" ArrayTaskId=(\S+)")
        several = f"{array}_[{index}]" if index[:1].isdecimal() else array
        word, reason = _part(line, r" JobState=(\S+)"), _part(line, r" Reason=(.*?) Dependency=")
        ended, node = _part(line, r" ExitCode=(\S+)"), _part(line, r" NodeList=(\S*)")
        row = "|".join((several or _part(line, r"JobId=(\d+)"), word, reason, ended, node.replace("(null)", "")))
        name, comment = _part(line, r" JobName=(.*?) UserId="), _part(line, r" Comment=(\S*)")
        yield from (Shown(record=record, name=name, comment=comment) for record in _records(row, _sacct_exit))


def _part(line: str, pattern: str) -> str:
    found = re.search(pattern, line)
    return found[1] if found else ""


def _records(text: str, exit_of: Callable[[str], tuple[int | None, int | None]]) -> Iterator[Record]:
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) < 5 or not fields[0]:
            continue
        ids, word, reason, ended, node = fields[:5]
        code, signal = exit_of(ended)
        state = job_state(word)
        record = Record(
            job_id=ids,
            state=state,
            word=word,
            reason="" if reason in ("None", "(null)") else reason,
            exit_code=code if state.is_final else None,
            signal=signal if state.is_final else None,
            node="" if node.startswith("None") else node,
        )
        yield from (replace(record, job_id=job_id) for job_id in expand(ids))


def _squeue_exit(text: str) -> tuple[int | None, int | None]:
    # squeue of 22.05 prints the status as wait(2) has it: exit code in the high byte, signal in the low seven bits.
    status = whole_number(text)
    if status is None:
        return _sacct_exit(text)  # 24.11
    return status >> 8, status & 0x7F or None


def _sacct_exit(text: str) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    return (int(match[1]), int(match[2]) or None) if match else (None, None)
