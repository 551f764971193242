"""A script gets the same parameters, and they are recorded the same, whatever its job does not import."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_kempner.adapt import imports

SNAKEFILE = """
if config.get("loaded"):
    import numpy, pandas
    values = {"array": numpy.ndarray([1, 2]), "table": pandas.Series({"a": 1})}
else:
    values = {"array": [1, 2], "table": {"a": 1}}

rule train:
    output: "params.json"
    params: rate=0.5, name="it's a name", **values
    script: "train.py"
"""
SCRIPT = """
import json
with open(snakemake.output[0], "w") as file:
    json.dump({name: [type(value).__module__, str(value)] for name, value in snakemake.params.items()}, file)
"""
PACKAGES = {
    "numpy": """
class ndarray:
    def __init__(self, values): self.values = list(values)
    def tolist(self): return self.values
    def __str__(self): return f"array of {self.values}"
array = ndarray
""",
    "pandas": """
from types import SimpleNamespace
class Series:
    def __init__(self, values): self.values = dict(values)
    def to_dict(self): return self.values
    def __str__(self): return f"series of {self.values}"
class DataFrame(Series): ...
class Index(Series): ...
util = SimpleNamespace(hash_pandas_object=lambda value: SimpleNamespace(tolist=lambda: sorted(value.values)))
""",
    "polars": "class DataFrame: ...\nclass LazyFrame: ...\nclass Series: ...\n",
    "nbformat": "",
}
"""Packages with what Snakemake uses of them, so that it finds them installed."""

JOB = """
import json, sys
from snakemake_executor_plugin_kempner.step import snakemake_job

how, *arguments = sys.argv[1:]
if how == "left out":
    snakemake_job._import_snakemake()
from snakemake import cli

sys.argv = ["snakemake", *arguments]
try:
    cli.main(arguments)
except SystemExit as leave:
    code = leave.code
print(json.dumps([code, sorted({"numpy", "pandas", "polars", "nbformat", "pulp"} & set(sys.modules))]))
"""


@dataclass(frozen=True)
class Ran:
    """A job with a script has ended."""

    code: int
    imported: list[str]
    params: dict[str, Any]
    record: dict[str, Any]


def ran(folder: Path, process: "subprocess.Popen[str]") -> Ran:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    code, imported = json.loads(output.splitlines()[-1])
    assert code == 0, errors
    (record,) = (folder / ".snakemake/metadata").iterdir()
    recorded = json.loads(record.read_text())
    return Ran(code, imported, json.loads((folder / "params.json").read_text()), recorded)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Ran]]:
    """Of a Snakefile that uses the packages and one that does not, with and without what is left out; started at once."""
    started: dict[tuple[str, str], tuple[Path, subprocess.Popen[str]]] = {}
    for how in ("left out", "whole"):
        for values in ("plain", "loaded"):
            folder = tmp_path_factory.mktemp("job")
            (folder / "packages").mkdir()
            for name, text in PACKAGES.items():
                (folder / "packages" / f"{name}.py").write_text(text)
            (folder / "Snakefile").write_text(SNAKEFILE)
            (folder / "train.py").write_text(SCRIPT)
            arguments = ["--cores", "1", "--nolock", "--scheduler", "greedy", "--quiet", "all"]
            config = ["--config", "loaded=1"] if values == "loaded" else []
            process = subprocess.Popen(
                [sys.executable, "-c", JOB, how, *arguments, *config],
                cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": str(folder / "packages")},
            )  # fmt: skip
            started[how, values] = folder, process
    yield {key: ran(*each) for key, each in started.items()}
    for _, process in started.values():
        process.kill()


@pytest.mark.parametrize("values", ["plain", "loaded"])
def test_a_script_gets_the_same_parameters_and_its_record_is_the_same(
    jobs: dict[tuple[str, str], Ran], values: str
) -> None:
    without, whole = jobs["left out", values], jobs["whole", values]
    assert without.params == whole.params
    for name in ("params", "code", "rule", "shellcmd"):
        assert without.record[name] == whole.record[name]


def test_values_of_a_loaded_package_arrive_as_such(jobs: dict[tuple[str, str], Ran]) -> None:
    params = jobs["left out", "loaded"].params
    assert params["array"] == ["numpy", "array of [1, 2]"]
    assert params["table"] == ["pandas", "series of {'a': 1}"]


def test_a_job_with_a_script_imports_none_of_the_packages_to_compare_with(jobs: dict[tuple[str, str], Ran]) -> None:
    assert not jobs["left out", "plain"].imported
    assert jobs["left out", "loaded"].imported == ["numpy", "pandas"]


def test_snakemake_itself_imports_them_so_leaving_them_out_is_of_use(jobs: dict[tuple[str, str], Ran]) -> None:
    assert jobs["whole", "plain"].imported == ["nbformat", "numpy", "pandas", "polars", "pulp"]


def test_a_function_that_uses_another_name_is_left_as_it_is() -> None:
    class Persistence:
        def _serialize_param_pandas(self, value: Any) -> Any:
            import pandas as pd

            return pd.util.hash_array(value)

    before = vars(Persistence)["_serialize_param_pandas"]
    for persistence in (Persistence, object, None):
        imports._record_without_pandas(persistence)
    assert vars(Persistence)["_serialize_param_pandas"] is before
    assert not imports._uses_only(Persistence, "_serialize_param_pandas", imports._RECORDING)
