"""Time, for those who wait."""

import time
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
