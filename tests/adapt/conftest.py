"""Fixtures for what is read from Snakemake."""

from pathlib import Path

import pytest
import reading


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> reading.Read:
    """Reads the DAG of a Snakefile in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return reading.read
