"""Fixtures for what is read from Snakemake."""

import sys
from pathlib import Path

import pytest
import reading


@pytest.fixture(autouse=True)
def _path_of_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake adds the folder of each workflow to it; all that is imported later would be looked for there."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> reading.Read:
    """Reads the DAG of a Snakefile in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return reading.read
