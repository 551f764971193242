"""The guard job acts on failures without a head: `python -m snakemake_executor_plugin_kempner.run.guard FOLDER`.

Slurm starts it at the first failure of a run. It cancels jobs that can no longer start and, without --keep-going, jobs
that have not started yet; running jobs may finish. It does no harm beside a live head, which does the same.
"""

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..errors import KempnerError
from ..options import Options
from ..plan.dependency import DependencyType
from ..plan.jobscript import guard_script
from ..plan.model import Kind
from ..slurm.client import Slurm, SlurmCommands
from ..slurm.parse import Record, records_of
from ..slurm.states import NEVER, JobState
from .cutoff import cut_off
from .ledger_record import Entry
from .ledgers import latest_ledger
from .segments import passed_over
from .sources import with_written
from .stopping import mark_stopped

_LOOK_ON = frozenset({Kind.GUARD.value, Kind.CLOSING.value})
"""Kinds of jobs that wait for others, and that no other job waits for."""
_RUNNING = "RUNNING"
"""State of a job that Slurm does not end; one that it ends is e.g. COMPLETING."""
_ROUNDS = 60
_PAUSE = 1.0


def guard(folder: Path, slurm: Slurm, own_job_id: str = "", pause: float = _PAUSE) -> None:
    """Cancel jobs of the run as described above; queue another guard if Slurm does not do that by itself.

    Args:
        folder: of the run.
        slurm: the scheduler.
        own_job_id: the guard's own job.
        pause: seconds between two rounds, while cancelled jobs make further jobs impossible.
    """
    ledger = latest_ledger(folder)
    folder = ledger.folder
    entries = [entry for entry in ledger.entries if entry.job_id not in ("", own_job_id)]
    keep_going, kills = bool(ledger.header.get("keep_going")), bool(ledger.header.get("kill_on_invalid_dep"))
    seen: dict[str, Record] = {}
    has_failed = False
    ids = [entry.job_id for entry in entries]
    for _ in range(_ROUNDS):
        # An attempt in reserve may be cancelled long after the one before it has succeeded.
        seen = with_written(records_of(ids, slurm.queue()), (entry for entry in entries if entry.attempts > 1))
        doomed = cut_off(entries, seen)
        has_failed = _failed(entries, seen, ledger.cancelled)
        if not keep_going and has_failed:
            not_started = _not_started(entries, seen) - doomed  # the doomed ones fall with a task before them
            mark_stopped(folder, own_job_id or Kind.GUARD.value, not_started)
            doomed |= not_started
        if doomed:
            print(f"kempner guard: cancelling {len(doomed)} jobs: {' '.join(sorted(doomed))}", flush=True)
            slurm.cancel(doomed, pending_only=True)
        elif kills or not _undecided(entries, seen):
            break
        time.sleep(pause)  # Slurm updates the dependants of an ended job at its next round
    if not (kills and has_failed):  # a cancelled job has woken this guard, and a failure may still come
        # With the records from the loop: the next guard would never start for a job that has ended since.
        _stand_guard_again(folder, ledger.entries, seen, slurm)


def _undecided(entries: Sequence[Entry], seen: Mapping[str, Record]) -> bool:
    """Whether all remaining jobs wait for others: Slurm has not processed the last ends yet."""
    left = _left(entries, seen)
    return bool(left) and not any(_ends_by_itself(record) for record in left.values())


def _left(entries: Sequence[Entry], seen: Mapping[str, Record]) -> dict[str, Record]:
    return {
        entry.job_id: record
        for entry in entries
        if entry.kind not in _LOOK_ON and (record := seen.get(entry.job_id)) and not record.state.is_final
    }


def _ends_by_itself(record: Record) -> bool:
    return record.state is JobState.RUNNING or record.reason not in ("Dependency", NEVER)


def _not_started(entries: Sequence[Entry], seen: Mapping[str, Record]) -> set[str]:
    return {
        entry.job_id
        for entry in entries
        if not entry.spared and (record := seen.get(entry.job_id)) and record.state is JobState.WAITING
    }


def stop(folder: Path, slurm: Slurm, own_job_id: str) -> None:
    """Cancel all jobs that have not started; called by a task that has failed for good, before it ends.

    On a full cluster, the guard may have to wait for a node, and the jobs to be stopped would start first. A job that
    Slurm itself ends has not failed: somebody has cancelled it, or it goes back into the queue.
    """
    ledger = latest_ledger(folder)
    folder = ledger.folder
    entries = [entry for entry in ledger.entries if entry.job_id not in ("", own_job_id)]
    seen = records_of([own_job_id, *(entry.job_id for entry in entries)], slurm.queue())
    if (own := seen.get(own_job_id)) and own.word != _RUNNING:
        return
    doomed = _not_started(entries, seen)
    mark_stopped(folder, own_job_id, doomed)
    if doomed:
        print(f"kempner: no --keep-going: cancelling {len(doomed)} jobs that have not started", file=sys.stderr)
        slurm.cancel(doomed, pending_only=True)


def pass_over(folder: Path, slurm: Slurm, own_job_id: str) -> None:
    """Cancel the further segments of an attempt; called by a segment that has failed, before it ends.

    The next attempt starts when they have left the queue, and without another attempt the task has failed.
    """
    entries = latest_ledger(folder).entries
    own = next((entry for entry in entries if entry.job_id == own_job_id), None)
    later = [entry.job_id for entry in entries if own and entry.job_id and _goes_on(entry, own)]
    if later:
        print(f"kempner: cancelling {len(later)} further segments: {' '.join(later)}", file=sys.stderr)
        slurm.cancel(later, pending_only=True)


def _goes_on(entry: Entry, own: Entry) -> bool:
    return entry.task == own.task and entry.turn.attempt == own.turn.attempt and entry.attempt > own.attempt


def _failed(entries: list[Entry], seen: Mapping[str, Record], cancelled: Collection[str]) -> bool:
    """Whether a task has failed for good: its last attempt has failed or was cancelled, and no other attempt goes on.

    The last attempt decides: it starts only when all before it have failed, which Slurm may have purged by now. But a
    user may have cancelled it while an earlier attempt runs. Jobs that a head has cancelled do not count. A job that
    Slurm has removed fell with a task before it; if there is none, its gate was cancelled.
    """
    attempts: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == Kind.TASK.value:
            attempts.setdefault(entry.task, []).append(entry)
    for of_task in attempts.values():
        skipped = passed_over((entry.job_id, entry.turn.attempt, seen.get(entry.job_id)) for entry in of_task)
        of_task[:] = [entry for entry in of_task if entry.job_id not in skipped]
    ended = {
        task: of_task[-1]
        for task, of_task in attempts.items()
        if _ended_badly(seen.get(of_task[-1].job_id))
        and not any(_goes_well(seen.get(attempt.job_id)) for attempt in of_task)
    }
    return any(
        entry.job_id not in cancelled and (not seen[entry.job_id].never or _is_cut_off(entry, ended))
        for entry in ended.values()
    )


def _is_cut_off(entry: Entry, ended: Collection[str]) -> bool:
    """Whether the job waits only for successes, and none of those tasks has failed."""
    return all(edge.type is DependencyType.AFTEROK and edge.on not in ended for edge in entry.edges)


def _ended_badly(record: Record | None) -> bool:
    return record is not None and record.state in (JobState.FAILED, JobState.CANCELLED)


def _goes_well(record: Record | None) -> bool:
    return record is not None and record.state in (JobState.RUNNING, JobState.WAITING, JobState.SUCCEEDED)


def _stand_guard_again(folder: Path, entries: Sequence[Entry], seen: Mapping[str, Record], slurm: Slurm) -> None:
    """Queue another guard, which starts after the next end of a job that can end by itself."""
    left = _left(entries, seen)
    own = next((entry for entry in entries if entry.kind == Kind.GUARD.value), None)
    if not left or own is None:
        return
    ends = [job_id for job_id, record in left.items() if _ends_by_itself(record)] or list(left)
    dependency = "?".join(f"afterany:{job_id}" for job_id in ends)
    slurm.submit(own.options | Options({"dependency": dependency}), guard_script(sys.executable, str(folder)))


def main() -> int:
    try:
        guard(Path(sys.argv[1]), SlurmCommands(), os.environ.get("SLURM_JOB_ID", ""))
    except KempnerError as error:
        print(f"kempner guard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
