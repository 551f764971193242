"""What a head that has died has locked is free again; what another process has locked is not."""

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.ending.locks import remove_locks


@pytest.fixture
def locks(tmp_path: Path) -> dict[str, float]:
    """Two locks of a head, and one of another process, in this folder."""
    for name in ("0.input.lock", "0.output.lock", "1.output.lock"):
        (tmp_path / name).write_text("file\n")
    return {name: (tmp_path / name).stat().st_mtime for name in ("0.input.lock", "0.output.lock")}


def test_the_locks_of_the_head_are_removed_and_no_others(tmp_path: Path, locks: dict[str, float]) -> None:
    (tmp_path / "0.input.lock").unlink()  # by `snakemake --unlock`
    remove_locks(tmp_path, locks)
    assert [path.name for path in tmp_path.iterdir()] == ["1.output.lock"]


def test_a_lock_that_another_process_has_taken_since_stays(tmp_path: Path, locks: dict[str, float]) -> None:
    os.utime(tmp_path / "0.output.lock", (0, locks["0.output.lock"] + 60))
    remove_locks(tmp_path, locks)
    assert {path.name for path in tmp_path.iterdir()} == {"0.output.lock", "1.output.lock"}


def test_a_head_without_a_lock_has_left_none(tmp_path: Path, locks: dict[str, float]) -> None:
    remove_locks(tmp_path, {})
    remove_locks(tmp_path / "nowhere", locks)
    assert len([*tmp_path.iterdir()]) == 3
