"""Random workflows and what happens to them."""

from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from builders import a_task, edge
from fakes import End
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.dependency import AllOf, AnyOf, DependencyType, Ref, Term
from snakemake_executor_plugin_kempner.plan.task import Edge, Task

DATA = (DependencyType.AFTEROK,)
DECLARED = (*DATA, DependencyType.AFTERNOTOK, DependencyType.AFTERANY, DependencyType.AFTER)
MAX_TASKS = 7
MAX_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Story:
    """A workflow, and what its attempts would do if they were run."""

    tasks: tuple[Task, ...]
    """In no particular order."""
    ends: dict[str, tuple[End, ...]] = field(default_factory=dict)
    """For each task, the ends of its attempts."""

    @property
    def ordered(self) -> tuple[Task, ...]:
        """Each task after those that it waits for."""
        by_key = {task.key: task for task in self.tasks}
        order = TopologicalSorter({task.key: [one.on for one in task.edges] for task in self.tasks}).static_order()
        return tuple(by_key[key] for key in order)

    def __str__(self) -> str:
        return "\n".join(
            f"{task.key} after {', '.join(f'{one.type}:{one.on}' for one in task.edges) or 'nothing'}; "
            f"ends: {', '.join(f'{end.word} after {end.seconds:.0f} s' for end in self.ends[task.key])}"
            for task in self.tasks
        )

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(f"Story:\n{self}\n")


_BAD_ENDS = st.sampled_from(["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "DEADLINE"])


@st.composite
def ends(draw: st.DrawFn) -> End:
    seconds = float(draw(st.integers(0, 5)))
    if draw(st.booleans()):
        return End(seconds=seconds)
    return End(word=draw(_BAD_ENDS), exit_code=draw(st.sampled_from([0, 1])), seconds=seconds)


@st.composite
def stories(draw: st.DrawFn, types: tuple[DependencyType, ...] = DATA) -> Story:
    """Workflows without circles: a task leads only to tasks that were drawn before it."""
    count = draw(st.integers(1, MAX_TASKS))
    tasks: list[Task] = []
    scripted: dict[str, tuple[End, ...]] = {}
    unsure: set[str] = set()
    for number in range(count):
        before = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        kinds = {one: draw(st.sampled_from(_types_towards(tasks[one].key in unsure, types))) for one in sorted(before)}
        edges = [Edge(on=f"t{one}", type=kind, declared=types != DATA) for one, kind in kinds.items()]
        task = a_task(f"t{number}", *edges, attempts=draw(st.integers(1, MAX_ATTEMPTS)))
        tasks.append(task)
        if task.is_handler or any(edge.on in unsure for edge in edges if edge.type is DependencyType.AFTEROK):
            unsure.add(task.key)
        scripted[task.key] = tuple(draw(ends()) for _ in task.attempts)
    return Story(tasks=tuple(draw(st.permutations(tasks))), ends=scripted)


def _types_towards(unsure: bool, types: tuple[DependencyType, ...]) -> list[DependencyType]:
    """A handler of what may not be needed, which is a handler or needs one, is a fault."""
    return [kind for kind in types if not (unsure and kind is DependencyType.AFTERNOTOK)]


REFS = st.builds(Ref, st.sampled_from("abcdef"), st.integers(0, 3))


@st.composite
def terms(draw: st.DrawFn) -> Term:
    kind = draw(st.sampled_from([one for one in DependencyType if one is not DependencyType.SINGLETON]))
    minutes = draw(st.none() | st.integers(1, 10_000)) if kind is DependencyType.AFTER else None
    return Term(type=kind, on=draw(REFS), minutes=minutes)


def expressions() -> st.SearchStrategy[AllOf | AnyOf]:
    several = st.lists(terms(), min_size=1, max_size=6, unique=True).map(tuple)
    return st.builds(AllOf, several) | st.builds(AnyOf, several)


@st.composite
def layers(draw: st.DrawFn) -> list[Task]:
    """Rules with several tasks each, that follow each other in the ways that workflows have, and in any other."""
    tasks: list[Task] = []
    for layer in range(draw(st.integers(1, 4))):
        width = draw(st.integers(1, 6))
        pattern = draw(st.sampled_from(["element", "all", "one", "element and one", "window", "any", "pairs"]))
        attempts = draw(st.sampled_from([1, 1, 1, 2]))
        for number in range(width):
            edges = _after(draw, pattern, number, tasks, layer)
            kind = draw(st.sampled_from(["afterok"] * 5 + ["afterany", "after"])) if pattern == "any" else "afterok"
            tasks.append(
                a_task(
                    f"r{layer}", *(edge(kind, key) for key in edges), wildcards={"i": str(number)}, attempts=attempts
                )
            )
    return draw(st.permutations(tasks))


def _after(draw: st.DrawFn, pattern: str, number: int, before: list[Task], layer: int) -> list[str]:
    last = [task.key for task in before if task.name == f"r{layer - 1}"]
    if not last:
        return []
    same = last[number % len(last)]
    patterns = {
        "element": [same],
        "all": last,
        "one": last[:1],
        "element and one": [same, before[0].key],
        "window": [same, last[(number + 1) % len(last)]],
        "pairs": [last[number // 2 % len(last)]],
    }
    any_of_them = st.sets(st.sampled_from([task.key for task in before]), max_size=4)
    return list(dict.fromkeys(patterns[pattern])) if pattern in patterns else sorted(draw(any_of_them))
