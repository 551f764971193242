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


class StoppedJobs:
    """The jobs of a run that were cancelled because it stops, as far as they are recorded.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.withdrawn: frozenset[str] = frozenset()
        """Jobs that an earlier process of the run has cancelled."""
        self._known: frozenset[str] | None = None

    def read_again(self) -> None:
        """Read the records when they are asked for next."""
        self._known = None

    def __contains__(self, job_id: str) -> bool:
        if self._known is None:
            self._known = self.withdrawn | stopped_jobs(self._folder)
        return job_id in self._known


def stopped_jobs(folder: Path) -> frozenset[str]:
    """Ids of the jobs that were cancelled because the run stops."""
    found: set[str] = set()
    with suppress(OSError):
        for path in (folder / "stopped").iterdir():
            found.update(path.read_text(encoding="utf-8").split())
    return frozenset(found)
