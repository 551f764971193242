"""How often Slurm is queried, and the warning when it does not answer."""

import logging

from ..errors import SlurmError
from .clock import Clock
from .watch import pause


class Pace:
    """Decides when the next query is due.

    Args:
        clock: time.
        logger: gets warnings about unanswered queries.
    """

    def __init__(self, clock: Clock, logger: logging.Logger) -> None:
        self._clock, self._logger = clock, logger
        self._last_change = self._began = clock.now()
        self._asked = float("-inf")
        self._took = 0.0
        self._unanswered = 0

    @property
    def was_answered(self) -> bool:
        return self._unanswered == 0

    def changed(self) -> None:
        """Note that something has changed just now."""
        self._last_change = self._clock.now()

    def answered(self, since: float) -> None:
        """Note that the query that was started at that time has been answered."""
        self._asked, self._took = since, self._clock.now() - since
        self._unanswered = 0

    def failed(self, error: SlurmError, *, is_away: bool) -> None:
        """Note that the query, or a part of it, was not answered; `is_away`: slurmctld is down, not just slow."""
        self._asked = self._clock.now()
        if is_away:
            self._took = 0.0
        self._unanswered += 1
        if self._unanswered & (self._unanswered - 1) == 0:  # the 1st, 2nd, 4th, 8th, …
            self._logger.warning(f"Slurm could not be asked ({self._unanswered} times in a row): {error}")

    def is_due(self, longest: float, *, is_calm: bool) -> bool:
        """Whether it is time for a query.

        Args:
            longest: the longest pause.
            is_calm: as in `watch.pause`.
        """
        now = self._clock.now()
        wait = pause(now - self._last_change, longest, age=now - self._began, took=self._took, is_calm=is_calm)
        return now - self._asked >= wait
