"""The jobs of a run that have ended: what each asked for and what it used, by accounting and by its own account."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from ..errors import SlurmError
from ..plan.model import Kind
from ..run.ledger import Entry, Record
from ..run.records import StepRecord, step_record
from ..site.request import Request, request_of
from ..slurm.client import Slurm
from ..slurm.consumption import Consumption
from ..slurm.parse import records_of
from ..slurm.states import JobState

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobUse:
    """A job that has run and ended. None: not known."""

    label: str
    rule: str
    attempt: int
    job_id: str
    state: str
    """In Slurm's own word."""
    node: str = ""
    elapsed_s: float | None = None
    limit_s: int | None = None
    cores: int | None = None
    """Allocated."""
    asked_cores: int = 1
    """Slurm may allocate more, where it gives whole cores of two threads."""
    cpu_s: float | None = None
    """User and system time of all processes."""
    peak_memory_mb: int | None = None
    """Like memory_mb on all nodes together."""
    memory_mb: int | None = None
    gpus: int = 0
    gpu_utilisation: float | None = None
    """Percent."""
    is_peak_whole: bool = False
    """Slurm has seen all processes of the job, which had one node and no two calls of srun; else the peak may be higher."""
    given: frozenset[str] = frozenset()
    """Options of sbatch that it was submitted with, by their long names."""

    @property
    def has_succeeded(self) -> bool:
        return self.state == "COMPLETED"

    @property
    def core_seconds(self) -> float | None:
        """What its cores could have given."""
        return self.elapsed_s * self.cores if self.elapsed_s and self.cores else None

    @property
    def cpu_efficiency(self) -> float | None:
        return self.cpu_s / self.core_seconds if self.cpu_s is not None and self.core_seconds else None

    @property
    def memory_efficiency(self) -> float | None:
        return self.peak_memory_mb / self.memory_mb if self.peak_memory_mb and self.memory_mb else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunUse:
    """What is known of the jobs of a run."""

    run: str
    jobs: tuple[JobUse, ...] = ()
    """Those that have run and ended."""
    open: int = 0
    """Number of jobs that run, or wait in the queue."""
    lost: int = 0
    """Number of jobs that have started, and nobody knows how they ended."""


def run_use(ledger: Record, slurm: Slurm, warn: Callable[[str], None]) -> RunUse:
    """Ask accounting, read what the jobs have written down, and look into the queue for those whose end neither knows.

    Args:
        ledger: of the run.
        slurm: is asked.
        warn: is told when it does not answer; what the jobs wrote down is there all the same.
    """
    entries = [entry for entry in ledger.of_kind(Kind.TASK) if entry.job_id]
    accounts = {one.job_id: one for one in _asked(lambda: slurm.consumption([one.job_id for one in entries]), warn)}
    written = {one.job_id: step_record(Path(one.folder), one.job_id) for one in entries}
    ends = {job_id: _end(accounts.get(job_id), own) for job_id, own in written.items()}
    unsure = [job_id for job_id, end in ends.items() if not end]
    queue = records_of(unsure, _asked(slurm.queue, warn)) if unsure else {}
    ends |= {job_id: _word(record.word) for job_id, record in queue.items() if record.state.is_final}
    started = {job_id for job_id, own in written.items() if own}
    has_run = started | {job_id for job_id, account in accounts.items() if account.node}
    known = queue.keys() | accounts.keys()
    return RunUse(
        run=ledger.run,
        jobs=tuple(
            _job_use(one, ends[one.job_id], accounts.get(one.job_id), written[one.job_id])
            for one in entries
            if ends[one.job_id] and one.job_id in has_run
        ),
        open=sum(1 for job_id, end in ends.items() if not end and job_id in known),
        lost=sum(1 for job_id, end in ends.items() if not end and job_id in started - known),
    )


def _asked(ask: Callable[[], Iterable[T]], warn: Callable[[str], None]) -> tuple[T, ...]:
    try:
        return tuple(ask())
    except SlurmError as error:
        warn(f"Slurm could not be asked what the jobs used: {error}")
        return ()


def _end(account: Consumption | None, own: StepRecord | None) -> str:
    """The state in which a job has ended; empty when it has not, or nobody here knows.

    Accounting is a little behind. What the job has written of its end holds, but for a job that failed and that Slurm
    has put back into the queue.
    """
    if account is not None and account.state.is_final:
        return account.word
    record = own.as_record() if own else None
    if record is None or (record.exit_code and account is not None and account.state is JobState.WAITING):
        return ""
    return record.word


def _word(state: str) -> str:
    """`CANCELLED by 1000` is CANCELLED."""
    return state.partition(" ")[0]


def _job_use(entry: Entry, state: str, account: Consumption | None, own: StepRecord | None) -> JobUse:
    asked = _request(entry.options)
    known = account or Consumption(job_id=entry.job_id, state=JobState.UNKNOWN, word="")
    own = own or StepRecord(job_id=entry.job_id, start=0.0)
    elapsed = own.end - own.start if own.end is not None and own.start else None
    limit_s, memory_mb = (
        asked.minutes and 60 * asked.minutes,
        asked.memory_of_node and asked.memory_of_node * asked.nodes,
    )
    return JobUse(
        label=entry.label,
        rule=entry.label.partition("[")[0],
        attempt=entry.attempt,
        job_id=entry.job_id,
        state=state,
        node=known.node or own.node,
        elapsed_s=known.elapsed_s if known.state.is_final else elapsed,
        limit_s=known.limit_s or limit_s,
        cores=known.cores or asked.cores_of_node * asked.nodes,
        asked_cores=asked.cores_of_node * asked.nodes,
        # Both may have missed something, and neither counts what was not used: the larger one is nearer.
        cpu_s=max(known.cpu_s or 0.0, own.cpu_seconds or 0.0) or None,
        peak_memory_mb=max(known.peak_memory_mb or 0, own.peak_memory_mb or 0) or None,
        memory_mb=known.memory_mb or memory_mb,
        gpus=known.gpus or asked.gpus,
        gpu_utilisation=known.gpu_utilisation,
        is_peak_whole=known.peak_memory_mb is not None and known.nodes == 1 and known.sruns <= 1,
        given=asked.given,
    )


@cache
def _request(options: tuple[str, ...]) -> Request:
    return request_of(options, {})
