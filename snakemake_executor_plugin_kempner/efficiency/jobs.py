"""What each ended job of a run has requested and used, from accounting and from the job's own record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import SlurmError
from ..plan.model import Kind
from ..run.ledger_record import Entry, LedgerRecord
from ..run.records import StepRecord, own_record
from ..site.request import request_of
from ..slurm.client import Slurm
from ..slurm.consumption import Consumption
from ..slurm.parse import records_of
from ..slurm.states import JobState

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobUse:
    """A job that has run and ended; None for unknown values."""

    label: str
    rule: str
    attempt: int
    segment: int = 0
    """Number of the segment; 0 for an attempt that is not divided."""
    job_id: str
    state: str
    """As Slurm prints it."""
    node: str = ""
    elapsed_s: float | None = None
    limit_s: int | None = None
    cores: int | None = None
    """Allocated."""
    asked_cores: int = 1
    """Requested. Slurm may allocate more, as on nodes that allocate whole cores with two threads."""
    cpu_s: float | None = None
    """User and system time of all processes."""
    peak_memory_mb: int | None = None
    """On all nodes together, like memory_mb."""
    memory_mb: int | None = None
    gpus: int = 0
    gpu_utilisation: float | None = None
    """Percent."""
    is_peak_whole: bool = False
    """The peak covers all processes: measured by Slurm, on a single node, with at most one call of srun."""
    given: frozenset[str] = frozenset()
    """Long names of the sbatch options that it was submitted with."""

    @property
    def has_succeeded(self) -> bool:
        return self.state == "COMPLETED"

    @property
    def core_seconds(self) -> float | None:
        """Elapsed time of all allocated cores together."""
        return self.elapsed_s * self.cores if self.elapsed_s and self.cores else None

    @property
    def cpu_efficiency(self) -> float | None:
        return self.cpu_s / self.core_seconds if self.cpu_s is not None and self.core_seconds else None

    @property
    def memory_efficiency(self) -> float | None:
        return self.peak_memory_mb / self.memory_mb if self.peak_memory_mb and self.memory_mb else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunUse:
    """The resource use of the jobs of a run."""

    run: str
    jobs: tuple[JobUse, ...] = ()
    """Jobs that have run and ended."""
    open: int = 0
    """Number of running and pending jobs."""
    lost: int = 0
    """Number of jobs that have started and whose end is unknown."""


def run_use(
    ledger: LedgerRecord, slurm: Slurm, warn: Callable[[str], None], *, earlier: Iterable[LedgerRecord] = ()
) -> RunUse:
    """Combine accounting with the jobs' own records; the queue is read for jobs whose end is in neither.

    Args:
        ledger: of the run.
        slurm: answers queries of accounting and queue.
        warn: gets a message when Slurm does not answer; the jobs' own records are used then.
        earlier: ledgers of runs that this run has taken over, oldest first; their jobs are counted too.
    """
    jobs = (entry for known in (*earlier, ledger) for entry in known.of_kind(Kind.TASK) if entry.job_id)
    entries = list({entry.job_id: entry for entry in jobs}.values())
    consumption = _answers(lambda: slurm.consumption([entry.job_id for entry in entries]), warn)
    accounts = {account.job_id: account for account in consumption}
    written = {entry.job_id: own_record(entry) for entry in entries}
    ends = {job_id: _end(accounts.get(job_id), own) for job_id, own in written.items()}
    unsure = [job_id for job_id, end in ends.items() if not end]
    queue = records_of(unsure, _answers(slurm.queue, warn)) if unsure else {}
    ends |= {job_id: _word(record.word) for job_id, record in queue.items() if record.state.is_final}
    started = {job_id for job_id, own in written.items() if own}
    has_run = started | {job_id for job_id, account in accounts.items() if account.node}
    known = queue.keys() | accounts.keys()
    return RunUse(
        run=ledger.run,
        jobs=tuple(
            _job_use(entry, ends[entry.job_id], accounts.get(entry.job_id), written[entry.job_id])
            for entry in entries
            if ends[entry.job_id] and entry.job_id in has_run
        ),
        open=sum(1 for job_id, end in ends.items() if not end and job_id in known),
        lost=sum(1 for job_id, end in ends.items() if not end and job_id in started - known),
    )


def _answers(ask: Callable[[], Iterable[T]], warn: Callable[[str], None]) -> tuple[T, ...]:
    try:
        return tuple(ask())
    except SlurmError as error:
        warn(f"Slurm could not be asked what the jobs used: {error}")
        return ()


def _end(account: Consumption | None, own: StepRecord | None) -> str:
    """The final state of a job; empty if it has not ended, or the state is unknown.

    Accounting lags behind, so the end in the job's own record counts, except for a failed job that Slurm has requeued.
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
    request = request_of(entry.options)
    known = account or Consumption(job_id=entry.job_id, state=JobState.UNKNOWN, word="")
    own = own or StepRecord(job_id=entry.job_id, start=0.0)
    elapsed = own.end - own.start if own.end is not None and own.start else None
    limit_s, memory_mb = (
        request.minutes and 60 * request.minutes,
        request.memory_of_node and request.memory_of_node * request.nodes,
    )
    return JobUse(
        label=entry.label,
        rule=entry.label.partition("[")[0],
        attempt=entry.turn.attempt,
        segment=entry.turn.segment if entry.segments > 1 else 0,
        job_id=entry.job_id,
        state=state,
        node=known.node or own.node,
        elapsed_s=known.elapsed_s if known.state.is_final else elapsed,
        limit_s=known.limit_s or limit_s,
        cores=known.cores or request.cores_of_node * request.nodes,
        asked_cores=request.cores_of_node * request.nodes,
        # Both may be too low and neither is too high: the larger is better.
        cpu_s=max(known.cpu_s or 0.0, own.cpu_seconds or 0.0) or None,
        peak_memory_mb=max(known.peak_memory_mb or 0, own.peak_memory_mb or 0) or None,
        memory_mb=known.memory_mb or memory_mb,
        gpus=known.gpus or request.gpus,
        gpu_utilisation=known.gpu_utilisation,
        is_peak_whole=known.peak_memory_mb is not None and known.nodes == 1 and known.sruns <= 1,
        given=request.given,
    )
