"""Two things that Snakemake's scheduler has no public method for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def locked(scheduler: Any) -> Iterator[None]:
    """While held, the scheduler's own thread does not change the DAG."""
    with scheduler._lock:  # noqa: SLF001
        yield


def withdraw(scheduler: Any, job: Any) -> None:
    """Take back a job that was handed over and has not started, without counting it as failed.

    Reported as an error, it would lose the outputs of an earlier run, which nobody has touched.
    """
    with scheduler._lock:  # noqa: SLF001
        scheduler.running.discard(job)
        scheduler._open_jobs.release()  # noqa: SLF001
