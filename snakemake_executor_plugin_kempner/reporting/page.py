"""A run as a page of its own: HTML with charts, for a browser without a network."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ..causes.alike import names
from ..efficiency.advice import advice
from ..efficiency.groups import grouped
from ..efficiency.jobs import RunUse
from ..efficiency.report import columns, missing
from ..export.graph import Node
from ..notation import time_for_people
from ..plan.slurm_extra import SET_BY_PLUGIN
from ..plan.task import Turn
from ..printable import printable
from ..state.explanation import explanation, same_causes
from ..state.model import RunState, State, TaskState
from . import charts, graph_chart
from .attempts import AttemptRow
from .colours import COLOURS
from .library import library
from .over_time import critical_path
from .rows import hours

_HERE = Path(__file__).parent
_CAUSES = 20
"""How many causes are shown with the lines of a log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a page is about."""

    state: RunState
    use: RunUse
    rows: tuple[AttemptRow, ...]
    now: float
    command: str
    """That began the run, as typed."""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Where logs lie, seen from the page."""

    of_job: Mapping[str, str]
    """By id of the job."""
    of_rule: Mapping[str, Sequence[str]]
    """Files of the rule's `log:`, by key of the task."""


def page(subject: Subject, links: Links) -> str:
    """The text of the page.

    Raises:
        NoChartsError: the library that draws is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    own = {
        "style": Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - files of this package
        "program": Markup((_HERE / "page.js").read_text(encoding="utf-8")),  # noqa: S704
        "library": Markup(_inside_script(library())),  # noqa: S704
        "data": Markup(_as_json(_data(subject, links))),  # noqa: S704 - without a character that means something in HTML
    }
    return environment.get_template("page.html.j2").render(**own, **_words(subject))


def _inside_script(program: str) -> str:
    return program.replace("</script", "<\\/script")


def _as_json(value: Any) -> str:
    """JSON in ASCII that cannot end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# --- for the program of the page ------------------------------------------------------------------------------------


def _data(subject: Subject, links: Links) -> dict[str, Any]:
    state, rows, now = subject.state, subject.rows, subject.now
    edges = {task.key: task.edges for task in state.tasks}
    nodes = [
        Node(key=task.key, label=task.label, rule=task.rule, edges=task.edges, state=task.state.value)
        for task in state.tasks
    ]
    drawn = {
        "timeline": charts.timeline(rows, now),
        "resources": charts.resources(rows, now),
        "path": charts.path_chart(critical_path(rows, edges, now), now),
        "graph": graph_chart.graph(nodes),
    }
    return {
        "charts": {name: chart for name, chart in drawn.items() if chart},
        "states": [state.value for state in State],
        "colours": [COLOURS[state] for state in State],
        "rows": [_cells(row, links, now) for row in rows],
        "never": [
            [printable(task.label), list(State).index(task.state), printable(task.why)]
            for task in state.tasks
            if not task.attempts
        ],
    }


def _cells(row: AttemptRow, links: Links, now: float) -> list[Any]:
    """As `page.js` reads them."""
    request, use = row.request, row.use
    memory = request.memory_of_node and request.memory_of_node * request.nodes
    used = use.peak_memory_mb if use else None
    logs = [links.of_job[row.job_id]] if row.job_id in links.of_job else []
    return [
        printable(row.label), list(State).index(row.state), row.attempt, row.job_id, printable(row.node),
        _rounded(row.start), _rounded(row.waited_s), _rounded(row.elapsed_s(now)), row.cores, row.gpus,
        memory, used, row.requeues, [*logs, *links.of_rule.get(row.key, ())], printable(row.word),
    ]  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --- for the template -----------------------------------------------------------------------------------------------


def _words(subject: Subject) -> dict[str, Any]:
    state, rows, now = subject.state, subject.rows, subject.now
    groups = grouped(subject.use.jobs)
    ends = [row.end for row in rows if row.end is not None]
    until = max(ends, default=None) if not state.is_open else None
    began = min((row.submit for row in rows if row.submit is not None), default=state.since)
    waited = [row.waited_s for row in rows if row.waited_s is not None]
    edges = {task.key: task.edges for task in state.tasks}
    path = critical_path(rows, edges, now)
    return {
        "run": state.run,
        "result": _result(state),
        "is_bad": state.closed and (any(task.state.is_cause for task in state.tasks) or state.result == "failed"),
        "command": printable(subject.command),
        "folder": printable(str(state.folder.parent.parent.parent)),
        "began": began,
        "until": until,
        "lasted": time_for_people((until or now) - began) if began else "",
        "numbers": [(value.value, state.numbers[value], COLOURS[value]) for value in State if state.numbers.get(value)],
        "tasks": len(state.tasks),
        "core_hours": _hours(hours(rows, now, lambda row: row.cores)),
        "gpu_hours": _hours(hours(rows, now, lambda row: row.gpus)),
        "waited": time_for_people(median(waited)) if waited else "",
        "longest_wait": time_for_people(max(waited)) if waited else "",
        "is_by_rule": len(rows) > charts.MOST_BARS,
        "is_graph_by_rule": len(state.tasks) > graph_chart.MOST_NODES,
        "causes": list(_causes(state)),
        "use": list(use := columns(groups)),
        "use_rows": [list(map(printable, cells)) for cells in zip(*use.values(), strict=True)],
        "advice": [printable(line) for line in advice(groups)],
        "missing": [printable(line) for line in missing(subject.use)],
        "path": _path(path, now),
        "requests": list(_requests(state)),
        "versions": {printable(name): printable(number) for name, number in subject.versions.items()},
        "earlier": state.earlier,
        "state_colours": {value.value: colour for value, colour in COLOURS.items()},
        "unanswered": printable(state.unanswered),
    }


def _hours(number: float) -> str:
    """Empty for none."""
    if not number:
        return ""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 0.1 else "< 0.1"


def _result(state: RunState) -> str:
    if state.is_open:
        return "under way"
    if not state.closed:
        return "not known to have ended"
    bad = any(task.state not in (State.DONE, State.NOT_NEEDED) for task in state.tasks)
    return "cancelled" if state.result == "cancelled" else "failed" if bad or state.result == "failed" else "succeeded"


def _causes(state: RunState) -> Iterator[dict[str, Any]]:
    """Each cause once, with the tasks that failed for it and the lines of a log."""
    for number, same in enumerate(same_causes(task for task in state.tasks if task.state.is_cause)):
        known = explanation(same.tasks[0]) if number < _CAUSES and same.tasks[0].state is State.FAILED else None
        never = [needing for needing in state.needing(*same.tasks) if needing.state is State.NEVER]
        yield {
            "cause": printable(same.cause),
            "tasks": printable(names(task.label for task in same.tasks)),
            "number": len(same.tasks),
            "never": len(never),
            "remedies": [printable(str(meaning)) for meaning in known.meanings] if known else [],
            "lines": [printable(line) for line in known.around] if known else [],
        }


def _path(path: Sequence[AttemptRow], now: float) -> dict[str, Any]:
    """What the longest chain spent its time on."""
    ran = sum(row.elapsed_s(now) or 0.0 for row in path)
    waited = sum(row.waited_s or 0.0 for row in path)
    by_rule: Counter[str] = Counter()
    for row in path:
        by_rule[row.rule] += round(row.elapsed_s(now) or 0.0)
    return {
        "number": len(path),
        "left_out": max(0, len(path) - charts.MOST_STEPS),
        "ran": time_for_people(ran),
        "waited": time_for_people(waited),
        "rules": [(printable(rule), time_for_people(seconds)) for rule, seconds in by_rule.most_common(5)],
    }


def _requests(state: RunState) -> Iterator[tuple[str, int, str]]:
    """What the jobs of each rule asked sbatch for, with the choices that were made for the site; each text once."""
    found: Counter[tuple[str, str]] = Counter()
    for task in state.tasks:
        for attempt in task.attempts:
            found[_whose(task, attempt.turn), str(attempt.options.without(*SET_BY_PLUGIN))] += 1
    for (whose, options), number in found.items():
        yield printable(whose), number, printable(options)


def _whose(task: TaskState, turn: Turn) -> str:
    return f"{task.rule} (attempt {turn.attempt})" if turn.attempt > 1 else task.rule
