"""What a job's Snakemake leaves out changes nothing of what it writes."""

import importlib
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


WITHOUT_HTTP = """
import sys
from snakemake_executor_plugin_kempner.step import snakemake_job

snakemake_job._import_snakemake()
from pathlib import Path
from snakemake.sourcecache import SourceCache, infer_source_file

source = Path(sys.argv[1])
source.write_text("ü")
with SourceCache(source.parent / "cache", source.parent / "now").open(infer_source_file(str(source))) as file:
    assert file.read() == "ü"
print("smart_open" in sys.modules, "requests" in sys.modules)
"""


def test_a_job_with_local_sources_imports_no_http_client(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_HTTP, str(tmp_path / "Snakefile")], capture_output=True, check=True, text=True
    )
    assert told.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("path", ["/a b/Snakefile", "/a/%20/../b", "/a/~b", "/x#y?z=1", "/ü", "rel/x", "file:///a/b"])
def test_the_path_of_a_file_is_read_as_ever(path: str) -> None:
    common, cache = map(importlib.import_module, ("snakemake.common", "snakemake.sourcecache"))
    before, opened = common.parse_uri, cache.SourceCache._open
    try:
        imports.with_plain_files()
        assert tuple(common.parse_uri(path)) == tuple(before(path))
        assert common.parse_uri(path).uri_path == before(path).uri_path
    finally:
        common.parse_uri, cache.SourceCache._open = before, opened  # type: ignore[attr-defined]
