"""Makes the folders of a run, and leads from run to run: the link to the latest, the page of a run that was taken over."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import LedgerError
from ..layout import ARRAYS, ENDED, LATEST, PAGE


def make_folders(run_folder: Path, logs: Iterable[str]) -> None:
    """Make the folders that jobs write to; if the folder of a log is missing, slurmd fails the job.

    Raises:
        LedgerError: a folder cannot be made.
    """
    folders = {run_folder / ENDED, run_folder / ARRAYS, *(Path(log).parent for log in logs)}
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"The folder {folder} cannot be made: {error.strerror}") from error


def link_latest(folder: Path) -> None:
    """Let the link `latest` beside the folders of runs lead to this one; where there can be no link, there is none."""
    link, draft = folder.parent / LATEST, folder.parent / f"{LATEST}.{folder.name}"
    with suppress(OSError):
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder.name)
        draft.replace(link)


def point_to(folder: Path, successor: str) -> None:
    """Leave a page for those who wait for the end of a run that another has taken over."""
    there = folder.parent / successor / PAGE
    text = f"Run {folder.name} was taken over by run {successor}, whose page tells the end of both: {there}\n"
    with suppress(OSError):
        (folder / PAGE).write_text(text, encoding="utf-8", errors="surrogateescape")
