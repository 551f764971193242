"""Time, for those who wait."""

import time
import uuid
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can have their own."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def file_time(folder: Path) -> float | None:
    """The time of the file system of a folder, in seconds since 1970; None where nothing can be written.

    It is what a file that is written now gets, and may differ from the clock of this machine.
    """
    probe = folder / f"claim.{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return None
    finally:
        probe.unlink(missing_ok=True)
