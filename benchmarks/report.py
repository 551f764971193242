"""Writes the tables of README.md and draws the charts, all from the JSON files in `results`. Nothing is measured."""

import re
import sys
from pathlib import Path
from types import ModuleType

import glance
import jobs
import makespan
import model
import queueing
import results
import watching
from results import Results

README = Path(__file__).resolve().parent / "README.md"
BENCHMARKS: dict[str, ModuleType] = {one.__name__: one for one in (makespan, queueing, jobs, watching, model)}


def main() -> int:
    """Replace what stands between a benchmark's two marks."""
    text = README.read_text()
    for name, benchmark in BENCHMARKS.items():
        figures = Results.read(name)
        if not figures.runs:
            print(f"{name}: no results yet")
            continue
        chart = results.FOLDER / f"{name}.png"
        drawn = benchmark.draw(figures, chart)
        parts = [_machine(figures.machine), benchmark.tables(figures)]
        parts += [f"![{name}](results/{chart.name})"] if drawn or chart.exists() else []
        text = _between(text, name, "\n\n".join(parts))
        print(f"{name}: {len(figures.runs)} runs{'' if drawn else ', no chart: matplotlib is not installed here'}")
    README.write_text(_between(text, "glance", glance.table()))
    return 0


def _machine(machine: dict[str, str]) -> str:
    others = ", ".join(
        f"{key} {value}" for key, value in machine.items() if key not in ("processor", "memory", "system")
    )
    return f"{machine['processor']}, {machine['memory']}, {machine['system']}; {others}."


def _between(text: str, name: str, new: str) -> str:
    begin, end = f"<!-- {name}: written by report.py -->", f"<!-- end of {name} -->"
    if begin not in text:
        raise SystemExit(f"{README} has no mark {begin}")
    return re.sub(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{new}\n\n{end}", text, flags=re.DOTALL
    )


if __name__ == "__main__":
    sys.exit(main())
