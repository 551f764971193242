"""Which plugins a job's Snakemake looks for: none of those that have options of the command line, others by their names."""

import inspect
import os
import pkgutil
from collections.abc import Iterator
from importlib.machinery import FileFinder
from types import ModuleType
from typing import Any

from snakemake_interface_common import plugin_registry
from snakemake_interface_common.plugin_registry import PluginRegistryBase
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_report_plugins.registry import ReportPluginRegistry

_PLUGINS = "snakemake_"
"""The names of all plugins begin with it."""


def without_plugins() -> None:
    """Leave out report and executor plugins, which Snakemake imports for their command line options.

    Its own executors stay: they run the rule. Other plugins are looked for by their names: Snakemake lists
    every installed package, and the files of each, once for each kind of plugin.
    """
    collect_installed = PluginRegistryBase.collect_plugins

    def none(self: Any) -> None:
        self.plugins = {}

    def no_executors(self: Any) -> None:
        if isinstance(self, ExecutorPluginRegistry):
            none(self)
            return
        listed = getattr(plugin_registry, "pkgutil", None)
        if listed is not pkgutil or not self.module_prefix.startswith(_PLUGINS):
            collect_installed(self)
            return
        plugin_registry.pkgutil = _listing()
        try:
            collect_installed(self)
        finally:
            plugin_registry.pkgutil = listed

    PluginRegistryBase.collect_plugins = no_executors
    ReportPluginRegistry.collect_plugins = none


def plugin_modules(*arguments: Any) -> Iterator[pkgutil.ModuleInfo]:
    """As `pkgutil.iter_modules`, of modules whose names are those of plugins; a folder is listed once, packages without such a name never."""
    if arguments:
        yield from pkgutil.iter_modules(*arguments)
        return
    seen = set()
    for finder in pkgutil.iter_importers():
        for name, is_package in _plugins_in(finder):
            if name not in seen:
                seen.add(name)
                yield pkgutil.ModuleInfo(finder, name, is_package)


def _plugins_in(finder: Any) -> Iterator[tuple[str, bool]]:
    if type(finder) is not FileFinder:
        yield from ((name, is_package) for name, is_package in pkgutil.iter_importer_modules(finder))  # type: ignore[attr-defined]
        return
    try:
        names = sorted(name for name in os.listdir(finder.path) if name.startswith(_PLUGINS))
    except OSError:
        return
    for name in names:
        if module := inspect.getmodulename(name):
            yield module, False
        elif "." not in name and _is_package(os.path.join(finder.path, name)):
            yield name, True


def _is_package(folder: str) -> bool:
    try:
        return any(inspect.getmodulename(name) == "__init__" for name in os.listdir(folder))
    except OSError:
        return False


def _listing() -> ModuleType:
    """A `pkgutil` that lists modules as `plugin_modules`."""
    module = ModuleType("pkgutil")
    vars(module).update({**vars(pkgutil), "iter_modules": plugin_modules})
    return module
