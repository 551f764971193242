"""The table of what is used of Snakemake beyond its interfaces is whole, and the installed Snakemake has all of it."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import snakemake_executor_plugin_kempner
from snakemake_executor_plugin_kempner.adapt.internals import INTERNALS

ROOT = Path(snakemake_executor_plugin_kempner.__file__).parent
OWN = {"self", "cls", "os"}
"""What stands before a private name of ours; `os._exit` is Python's."""


def exists(name: str) -> bool:
    """Whether the installed Snakemake has it: as an attribute, or as one that instances of the class are given."""
    module, _, path = name.partition(":")
    *classes, attribute = path.split(".")
    try:
        owner: Any = importlib.import_module(module)
        for each in classes:
            owner = getattr(owner, each)
    except (ImportError, AttributeError):
        return False
    return hasattr(owner, attribute) or any(
        re.search(rf"self\.{attribute}\b", inspect.getsource(base)) is not None
        for base in getattr(owner, "__mro__", ())
        if base.__module__.startswith("snakemake")
    )


@pytest.mark.parametrize("row", INTERNALS)
def test_the_installed_snakemake_has_what_is_used_of_it(row: str) -> None:
    assert any(map(exists, row.split("|"))), (
        f"adapt/internals.py: this Snakemake has no {row}, used for: {INTERNALS[row]}"
    )


def test_a_name_that_snakemake_does_not_have_is_noticed() -> None:
    assert not exists("snakemake.dag:DAG.update_needrums")
    assert not exists("snakemake.dag:Dag.update_needrun")
    assert not exists("snakemake.dags:DAG.update_needrun")


def test_every_private_name_that_is_not_ours_stands_in_the_table() -> None:
    known = {name.rpartition(".")[2].rpartition(":")[2] for row in INTERNALS for name in row.split("|")}
    for path in (*ROOT.glob("*.py"), *(ROOT / "adapt").glob("*.py"), *(ROOT / "step").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                assert owner in OWN or node.attr in known, f"{path.name}:{node.lineno}: {ast.unparse(node)}"
