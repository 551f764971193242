"""What acts on a failure when no head lives: `python -m snakemake_executor_plugin_kempner.run.guard FOLDER`, as a job.

Slurm starts it at the first failure of a run. It takes out of the queue what can no longer start, and, without
--keep-going, what has not started yet; what runs may finish. It does no harm beside a living head, which does the same.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import KempnerError
from ..slurm.client import Slurm, SlurmCommands
from ..slurm.parse import Record
from ..slurm.states import JobState
from .ledger import Entry, read_ledger

_ROUNDS = 60
_PAUSE = 1.0


def guard(folder: Path, slurm: Slurm, own_job_id: str = "", pause: float = _PAUSE) -> None:
    """Sweep the queue of the run in the folder, and stand guard again where Slurm does not sweep by itself.

    Args:
        folder: of the run.
        slurm: where its jobs are.
        own_job_id: the guard's own job.
        pause: seconds between two looks while cancelled jobs pull others after them.
    """
    ledger = read_ledger(folder)
    entries = [entry for entry in ledger.entries if entry.job_id not in ("", own_job_id)]
    keep_going, kills = bool(ledger.header.get("keep_going")), bool(ledger.header.get("kill_on_invalid_dep"))
    for _ in range(_ROUNDS):
        seen = {record.job_id: record for record in slurm.queue()}
        doomed = _never(entries, seen)
        if not keep_going and _failed(entries, seen):
            doomed |= {entry.job_id for entry in entries if not entry.spared and _waits(seen.get(entry.job_id))}
        if not doomed:
            break
        print(f"kempner guard: cancelling {len(doomed)} jobs: {' '.join(sorted(doomed))}", flush=True)
        slurm.cancel(doomed, pending_only=True)
        time.sleep(pause)  # what waited for a cancelled job can be told only after Slurm has looked again
    if not kills:
        _stand_guard_again(folder, ledger.entries, slurm)


def _never(entries: list[Entry], seen: Mapping[str, Record]) -> set[str]:
    return {
        entry.job_id
        for entry in entries
        if (record := seen.get(entry.job_id)) and record.never and record.state is JobState.WAITING
    }


def _waits(record: Record | None) -> bool:
    return record is not None and record.state is JobState.WAITING


def _failed(entries: list[Entry], seen: Mapping[str, Record]) -> bool:
    """Whether a task has failed for good: every attempt has ended, none well, and it was not merely cut off."""
    ends: dict[str, list[Record | None]] = {}
    for entry in entries:
        if entry.kind == "task":
            ends.setdefault(entry.task, []).append(seen.get(entry.job_id))
    return any(
        all(record is not None and record.state in (JobState.FAILED, JobState.CANCELLED) for record in records)
        and any(record is not None and not record.never for record in records)
        for records in ends.values()
    )


def _stand_guard_again(folder: Path, entries: Sequence[Entry], slurm: Slurm) -> None:
    seen = {record.job_id: record for record in slurm.queue()}
    left = [
        entry.job_id
        for entry in entries
        if entry.kind != "guard" and (record := seen.get(entry.job_id)) and not record.state.is_final
    ]
    own = next((entry for entry in entries if entry.kind == "guard"), None)
    if not left or own is None:
        return
    options = [option for option in own.options if not option.startswith("--dependency")]
    script = f"#!/bin/bash\nexec {sys.executable} -m snakemake_executor_plugin_kempner.run.guard '{folder}'\n"
    slurm.submit([*options, "--dependency=" + "?".join(f"afterany:{job_id}" for job_id in left)], script)


def main() -> int:
    try:
        guard(Path(sys.argv[1]), SlurmCommands(), os.environ.get("SLURM_JOB_ID", ""))
    except KempnerError as error:
        print(f"kempner guard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
