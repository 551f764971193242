"""What a job's Snakemake leaves out changes nothing of what it writes."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.adapt import imports, plugins

RECORD = """
import json, sys
from snakemake_executor_plugin_kempner.adapt.imports import without_unused_packages
from snakemake_executor_plugin_kempner.adapt.plugins import without_plugins

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
print(*{"smart_open", "requests"} & set(sys.modules))
"""


def told(program: str, *arguments: str) -> list[str]:
    process = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True, text=True)
    return process.stdout.split()


def test_a_job_with_local_sources_imports_no_http_client(tmp_path: Path) -> None:
    assert told(WITHOUT_HTTP, str(tmp_path / "Snakefile")) == []


SCRIPTS = """
import sys
from pathlib import Path
from snakemake_executor_plugin_kempner.step import snakemake_job

sys.path.insert(0, sys.argv[1])
snakemake_job._import_snakemake()
from snakemake import script
from snakemake.iocontainers import Params
from snakemake.sourcecache import infer_source_file

def stored(*values):
    none = Params()
    return script.Snakemake(none, none, Params(toclone=list(values)), none, 1, none, none, {}, "rule", None)._params_types

def language(name, text=""):
    return script.get_language(infer_source_file(str(Path(sys.argv[1], name))), text)

print(language("a.py"), language("a.R"), len(stored(1, "x", [2])), *{"nbformat", "pandas", "numpy", "polars"} & set(sys.modules))
import numpy
notebook = '{"nbformat": 4, "nbformat_minor": 4, "cells": [], "metadata": {"language_info": {"name": "Python"}}}'
print(language("a.ipynb", notebook), stored(1, numpy.ndarray())[1])
"""


def test_a_script_starts_without_readers_of_notebooks_and_tables_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("class ndarray:\n    def tolist(self):\n        return [1]\n")
    assert told(SCRIPTS, str(tmp_path)) == ["python", "r", "0", "jupyter_python", "np.ndarray"]


FALLBACK = """
import gc, sys
from snakemake_executor_plugin_kempner.adapt import imports, plugins

imports._stand_ins = lambda: {"sqlmodel": None}
plugins.without_plugins()
imports.import_snakemake(greedy=True)
from snakemake import cli, dag, persistence
from snakemake.scheduling import milp
import pulp, sqlmodel, tabulate
print(issubclass(persistence.MetadataRecord, sqlmodel.SQLModel), milp.lp_solvers.default == pulp.apis.LpSolverDefault.name)
print(dag.tabulate is tabulate.tabulate, gc.isenabled())
"""


def test_a_snakemake_that_cannot_do_without_a_package_is_imported_whole() -> None:
    assert told(FALLBACK) == ["True", "True", "True", "True"]


def test_a_function_that_is_no_longer_there_is_left_out() -> None:
    class Changed:
        class_attribute = classmethod(lambda _cls: 1)

    for name in ("absent", "class_attribute"):
        before = getattr(Changed, name, None)
        imports._replace(Changed, name, imports._lazily({"nbformat"}))
        assert getattr(Changed, name, None) == before


def test_plugins_are_found_where_pkgutil_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first/snakemake_storage_plugin_a/__init__.py", "second/snakemake_storage_plugin_b/__init__.so",
                 "first/snakemake_storage_plugin_m.py", "second/snakemake_storage_plugin_m/__init__.py",
                 "second/snakemake_storage_plugin_a/__init__.py", "first/snakemake_storage_plugin_empty/x.py",
                 "first/snakemake_storage_plugin-1.0.dist-info/__init__.py"):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for folder in ("nowhere", "second", "first"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    whole = [found for found in pkgutil.iter_modules() if found.name.startswith("snakemake_")]
    assert [found for found in plugins.plugin_modules() if found.name.startswith("snakemake_")] == whole
    assert {found.name for found in whole} > {f"snakemake_storage_plugin_{name}" for name in "abm"}


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
