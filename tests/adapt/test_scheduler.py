"""The head measures input files while jobs, which are other processes, remove them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from snakemake_interface_storage_plugins.exceptions import FileOrDirectoryNotFoundError

from snakemake_executor_plugin_kempner.adapt.scheduler import measure_what_is_there


@pytest.mark.parametrize(
    "error", [FileNotFoundError("gone"), FileOrDirectoryNotFoundError(Path("gone"))], ids=["os", "snakemake"]
)
def test_a_file_that_vanishes_while_it_is_measured_is_no_error(error: Exception) -> None:
    scheduler, calls = scheduler_that(lambda number: error if number < 3 else None)
    measure_what_is_there(scheduler)
    asyncio.run(scheduler().update_input_sizes(iter(["job"])))
    assert calls == [["job"]] * 3


def test_a_file_that_cannot_be_measured_is_an_error() -> None:
    scheduler, calls = scheduler_that(lambda _: PermissionError("no"))
    measure_what_is_there(scheduler)
    with pytest.raises(PermissionError):
        asyncio.run(scheduler().update_input_sizes(["job"]))
    assert len(calls) == 1


def scheduler_that(fails: Callable[[int], Exception | None]) -> tuple[type, list[list[str]]]:
    """A kind of scheduler whose n-th look at the files ends in that way, and the jobs of each look."""
    calls: list[list[str]] = []

    class Scheduler:
        async def update_input_sizes(self, jobs: list[str]) -> None:
            calls.append(list(jobs))
            if error := fails(len(calls)):
                raise error

    return Scheduler, calls
