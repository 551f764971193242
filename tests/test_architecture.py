"""Imports point one way, one file starts processes, few know Snakemake, and importing the package is free."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import snakemake_executor_plugin_kempner

NAME = "snakemake_executor_plugin_kempner"
ROOT = Path(snakemake_executor_plugin_kempner.__file__).parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}

MAY_IMPORT = {
    "printable": set(),
    "errors": {"printable"},
    "layout": set(),
    "notation": set(),
    "options": set(),
    "site": {"errors", "notation", "options"},
    "plan": {"errors", "layout", "notation", "options", "site", "printable"},
    "slurm": {"errors", "notation", "options"},
    "run": {"errors", "layout", "notation", "options", "plan", "slurm", "site"},
    "phrases": {"printable"},
    "spreadsheet": {"printable"},
    "announcements": {"layout", "phrases", "plan", "printable", "run", "slurm"},
    "report": {"phrases", "plan", "slurm", "run", "printable", "causes", "site"},
    "causes": {"notation", "options", "plan", "printable", "site", "slurm"},
    "state": {"causes", "errors", "layout", "options", "plan", "printable", "phrases", "run", "site", "slurm"},
    "ending": {"efficiency", "errors", "layout", "options", "plan", "printable", "run", "slurm", "state"},
    "cli": {
        "causes", "draft_site", "efficiency", "ending", "errors", "export", "layout", "phrases", "plan", "printable", "reporting",
        "run", "sandbox", "site", "slurm", "spreadsheet", "state",
    },
    "export": {"errors", "layout", "notation", "options", "plan", "printable", "run"},
    "reporting": {
        "causes", "efficiency", "errors", "export", "layout", "notation", "options", "plan", "printable", "phrases", "run",
        "site", "slurm", "spreadsheet", "state",
    },
    "__main__": {"cli"},
    "step": {"errors", "plan", "slurm", "run", "adapt", "printable"},
    "adapt": {"errors", "layout", "plan", "settings", "site"},
    "settings": set(),
    "modes": {"settings", "cancelling", "previewing", "adapt"},
    "preview_text": {"errors", "plan", "announcements", "phrases"},
    "previewing": {"adapt", "export", "invocation", "options", "planning", "preview_text", "phrases", "slurm"},
    "draft_site": {"errors", "site", "slurm"},
    "efficiency": {"errors", "layout", "notation", "plan", "printable", "site", "slurm", "spreadsheet", "run", "phrases"},
    "live_view": {"errors", "run", "slurm", "state"},
    "cancelling": {"ending", "slurm", "run", "adapt", "invocation"},
    "handover": {"errors", "slurm", "run", "phrases", "report", "adapt"},
    "planning": {"errors", "plan", "slurm", "run", "announcements", "adapt", "beginning", "settings", "invocation"},
    "departure": set(),
    "coordinator": {"errors", "slurm", "run", "adapt", "invocation", "handover", "planning"},
    "executor": {
        "ending", "errors", "slurm", "run", "announcements", "adapt", "live_view", "invocation", "beginning", "coordinator", "departure",
        "planning",
    },
    "beginning": {"errors", "options", "plan", "printable", "site", "slurm", "run", "announcements", "invocation"},
    "closing": {"ending", "errors", "layout", "options", "plan", "slurm", "run", "phrases", "report", "reporting", "causes", "adapt", "beginning"},
    "continuing": {"errors", "options", "plan", "slurm", "run", "adapt", "executor", "invocation", "closing"},
    "invocation": set(),
    "sandbox": {"errors", "notation"},
    "__init__": {"executor", "modes", "settings"},
}  # fmt: skip
"""Parts of the package, and which others each of them may import."""

KNOW_SNAKEMAKE = {"continuing", "executor", "handover", "settings", "step.snakemake_job"}
"""Besides everything in `adapt`."""


def part(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@cache
def imported(module: str, *, at_top: bool = False) -> frozenset[str]:
    """Full names of what a module imports, inside functions too unless only what is at the top is asked for."""
    return frozenset(_imported(module, at_top=at_top))


def _imported(module: str, *, at_top: bool) -> Iterator[str]:
    tree = ast.parse(MODULES[module].read_text())
    package = [NAME, *module.split(".")[:-1]]
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import x` imports the module x.
            yield from [name] if node.module else [f"{name}.{alias.name}" for alias in node.names]


def of_package(module: str, *, at_top: bool = False) -> set[str]:
    """Parts of the package, other than its own, that a module imports."""
    names = (name.removeprefix(f"{NAME}.") for name in imported(module, at_top=at_top) if name.startswith(NAME))
    return {part(name) for name in names} - {part(module)}


def test_every_part_has_its_place_in_the_table() -> None:
    assert {part(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    assert of_package(module) <= MAY_IMPORT[part(module)]


def modules_of_package(module: str) -> set[str]:
    """Modules of the package that a module imports; a package imports what its `__init__` does."""
    names = {name.removeprefix(f"{NAME}.") for name in imported(module) if name.startswith(f"{NAME}.")}
    return {name if name in MODULES else f"{name}.__init__" for name in names} - {module}


@pytest.mark.parametrize("level", [str, part], ids=["modules", "parts"])
def test_imports_form_no_circle(level: Callable[[str], str]) -> None:
    """Those inside functions count: a circle that is only postponed is one."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        graph.setdefault(level(module), set()).update({*map(level, modules_of_package(module))} - {level(module)})
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert {"executor", "errors"} <= set(order)


def test_the_program_of_light_jobs_needs_nothing_of_the_package() -> None:
    light = [module for module in MODULES if module.startswith("step.light")]
    assert len(light) > 1
    for module in light:
        assert modules_of_package(module) <= set(light), module


def test_nothing_but_the_command_line_imports_the_sandbox() -> None:
    assert [module for module in MODULES if "sandbox" in of_package(module)] == ["cli.others"]


def test_processes_are_started_in_two_places() -> None:
    """Slurm's commands, and what a user wishes for the end of a run."""
    inside = {module for module in MODULES if "subprocess" in imported(module)}
    assert {module for module in inside if part(module) != "sandbox"} == {"slurm.programs", "ending.programs"}


def test_the_processes_of_the_machine_are_looked_at_in_one_place() -> None:
    """A package that only the sandbox needs: nothing else waits for its import."""
    assert {module for module in MODULES if "psutil" in imported(module)} == {"sandbox.processes"}


def test_few_modules_know_snakemake() -> None:
    knowing = {
        module
        for module in MODULES
        if any(name.startswith("snakemake") and not name.startswith(NAME) for name in imported(module))
    }
    assert {module for module in knowing if part(module) != "adapt"} <= KNOW_SNAKEMAKE


def test_planning_reads_no_clock_and_no_file() -> None:
    effects = {"os", "pathlib", "time", "datetime", "random", "uuid", "logging", "socket", "shutil", "tempfile", "sys"}
    for module in MODULES:
        if part(module) == "plan":
            assert not effects & {name.split(".")[0] for name in imported(module)}, module


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_enough_to_be_read(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= 300


# --- importing ------------------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after the statement, and that it has not without it."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = loaded_by(f"import {NAME}")
    assert {name for name in loaded if name.startswith(NAME)} == {NAME}
    assert not {name for name in loaded if name.startswith("snakemake") and not name.startswith(NAME)}
    assert "subprocess" not in loaded


HEAVY = {"pandas", "numpy", "matplotlib", "sklearn", "yaml", "requests", "jinja2"}


def test_a_job_starts_without_loading_snakemake_in_the_process_that_watches_it() -> None:
    loaded = loaded_by(f"import {NAME}.step.__main__")
    assert not {name for name in loaded if name.startswith("snakemake") and not name.startswith(NAME)}
    assert not HEAVY & loaded


def test_a_guard_loads_no_snakemake() -> None:
    loaded = loaded_by(f"import {NAME}.run.guard")
    assert not {name for name in loaded if name.startswith("snakemake") and not name.startswith(NAME)}


def test_the_command_line_loads_no_snakemake_whatever_it_shows() -> None:
    verbs = [module for module in MODULES if part(module) == "cli"]
    assert verbs
    loaded = loaded_by("; ".join(f"import {NAME}.{module}" for module in verbs))
    assert not {name for name in loaded if name.startswith("snakemake") and not name.startswith(NAME)}
    assert not HEAVY & loaded


def test_help_loads_little() -> None:
    loaded = loaded_by(f"import {NAME}.cli.main")
    assert "rich" not in loaded
    assert f"{NAME}.plan.model" not in loaded


def test_importing_everything_starts_no_process(tmp_path: Path) -> None:
    names = ", ".join(f"'{NAME}.{module}'" for module in MODULES if not module.endswith("__"))
    script = (
        "import sys\n"
        "def audit(event, args):\n"
        "    if event in ('subprocess.Popen', 'os.system', 'os.fork', 'os.posix_spawn', 'socket.connect'):\n"
        "        raise SystemExit(f'{event} {args}')\n"
        "import snakemake.cli, importlib\n"
        "sys.addaudithook(audit)\n"
        f"for name in ({names}):\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_what_snakemake_looks_for_is_found_when_it_is_asked_for() -> None:
    assert snakemake_executor_plugin_kempner.Executor.__name__ == "Executor"
    assert snakemake_executor_plugin_kempner.ExecutorSettings.__name__ == "ExecutorSettings"
    assert snakemake_executor_plugin_kempner.common_settings.non_local_exec
    with pytest.raises(AttributeError, match="has no attribute 'Executer'"):
        _ = snakemake_executor_plugin_kempner.Executer
