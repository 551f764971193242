"""What a job's Snakemake leaves out changes nothing of what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.adapt import imports

RECORD = """
import json, sys
from snakemake_executor_plugin_kempner.adapt.imports import without_plugins, without_unused_packages

without_plugins()
if sys.argv[1] == "without":
    with without_unused_packages():
        import snakemake.cli
import snakemake.cli
from snakemake.persistence import MetadataRecord

left_out = "sqlmodel" not in sys.modules
record = MetadataRecord()
record.rule, record.params, record.endtime, record.input_checksums = "train", [1, "two"], 2.5, {"a": "b"}
read = MetadataRecord.model_validate({"rule": "train", "log": ["a.log"], "what later versions add": 1})
import sqlmodel, wcwidth
print(json.dumps([left_out, dict(record.items()), dict(read.items()), read["rule"], read.get("none"), sqlmodel.__file__]))
"""


def test_records_are_those_of_a_snakemake_that_imports_everything() -> None:
    without, whole = (
        json.loads(subprocess.run([sys.executable, "-c", RECORD, how], capture_output=True, check=True).stdout)
        for how in ("without", "whole")
    )
    assert without[0]
    assert not whole[0]
    assert without[1:] == whole[1:]
    assert list(without[1]) == list(whole[1]), "fields are written in another order"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "from sqlalchemy import Column, JSON\nfrom sqlmodel import SQLModel, Field, Relationship\n",
        "from sqlalchemy import Column, JSON\nfrom sqlmodel import SQLModel, Field\nx.model_dump() or x.model_validate({}) or x.model_copy()\n",
    ],
    ids=["no database at all", "another import", "another method"],
)
def test_a_snakemake_that_uses_the_database_otherwise_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "persistence").mkdir()
    for name in ("__init__.py", "file.py"):
        (tmp_path / "persistence" / name).write_text(text)
    assert not imports._is_known(tmp_path)


def test_an_older_snakemake_without_that_package_is_left_as_it_is(tmp_path: Path) -> None:
    assert not imports._is_known(tmp_path)
    assert not imports._is_known(None)
