"""Snakemake executor plugin: queue the whole workflow on Slurm at once.

Importing this package costs nothing: Snakemake imports every installed plugin in every process, and each
cluster job is a Snakemake process. The names that Snakemake needs are loaded on first access.
"""

from importlib import import_module
from typing import Any

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

_HOME = {"Executor": ".executor", "ExecutorSettings": ".modes", "common_settings": ".settings"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
