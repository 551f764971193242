"""Records which jobs were cancelled because the run stops after a failure.

These jobs have neither failed nor been cancelled by a user. The head, or a closing job, reads here what another job has
cancelled.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def mark_stopped(folder: Path, by: str, job_ids: Iterable[str]) -> None:
    """Record that the run stops, and the jobs that are about to be cancelled; each process has a file of its own.

    Args:
        folder: of the run.
        by: job id of the process that stops the run.
        job_ids: the jobs that it cancels.
    """
    with suppress(OSError):
        (folder / "stopped").mkdir(exist_ok=True)
        with (folder / "stopped" / (by or "head")).open("a", encoding="utf-8") as file:
            file.writelines(f"{job_id}\n" for job_id in sorted(job_ids))


def is_stopped(folder: Path) -> bool:
    return (folder / "stopped").exists()


def stopped_jobs(folder: Path) -> frozenset[str]:
    """Ids of the jobs that were cancelled because the run stops."""
    found: set[str] = set()
    with suppress(OSError):
        for path in (folder / "stopped").iterdir():
            found.update(path.read_text(encoding="utf-8").split())
    return frozenset(found)
