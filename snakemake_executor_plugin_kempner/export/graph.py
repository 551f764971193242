"""Tasks and what waits for what, for Graphviz and Mermaid. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..plan.dependency import DependencyType
from ..plan.task import Edge
from ..printable import printable

MOST_TASKS = 100
"""A graph of more tasks shows the rules."""
_UNCOLOURED = "#f1f3f5"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A task, or a rule."""

    key: str
    label: str
    rule: str
    edges: tuple[Edge, ...] = ()
    """To what it waits for."""
    state: str = ""
    colour: str = ""
    """`#rrggbb`."""


def shown(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The tasks if there are few, else their rules."""
    return tuple(nodes) if len(nodes) <= MOST_TASKS else by_rule(nodes)


def by_rule(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """A node for each rule, with the numbers of its tasks, in the colour of the state that most of them have."""
    of_rule: dict[str, list[Node]] = {}
    rule_of: dict[str, str] = {}
    for node in nodes:
        of_rule.setdefault(node.rule, []).append(node)
        rule_of[node.key] = node.rule
    return tuple(_rule(rule, members, rule_of) for rule, members in of_rule.items())


def _rule(rule: str, members: Sequence[Node], rule_of: Mapping[str, str]) -> Node:
    states = Counter((node.state, node.colour) for node in members)
    edges = dict.fromkeys(
        Edge(on=rule_of[edge.on], type=edge.type)
        for node in members
        for edge in node.edges
        if edge.on in rule_of and rule_of[edge.on] != rule
    )
    counted = ", ".join(f"{number} {state}".strip() for (state, _), number in states.most_common())
    state, colour = states.most_common(1)[0][0]
    return Node(key=rule, label=f"{rule} ({counted})", rule=rule, edges=tuple(edges), state=state, colour=colour)


def as_dot(nodes: Sequence[Node]) -> str:
    """For Graphviz: `dot -Tsvg`."""
    numbers = {node.key: number for number, node in enumerate(nodes)}
    lines = [
        "digraph workflow {",
        '  graph [rankdir="LR"];',
        '  node [shape="box", style="rounded,filled", fontname="Helvetica"];',
    ]
    for number, node in enumerate(nodes):
        lines.append(f"  n{number} [label={_dot_text(node.label)}, fillcolor={_dot_text(node.colour or _UNCOLOURED)}];")
    lines += [f"  n{on} -> n{number}{_dot_type(edge)};" for number, on, edge in _edges(nodes, numbers)]
    return "\n".join([*lines, "}", ""])


def _dot_text(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dot_type(edge: Edge) -> str:
    return "" if edge.type is DependencyType.AFTEROK else f' [label="{edge.type}", style="dashed"]'


def as_mermaid(nodes: Sequence[Node]) -> str:
    """For Mermaid, which GitHub and Markdown viewers draw."""
    numbers = {node.key: number for number, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    lines += [f'  n{number}["{_mermaid_text(node.label)}"]' for number, node in enumerate(nodes)]
    for number, on, edge in _edges(nodes, numbers):
        arrow = "-->" if edge.type is DependencyType.AFTEROK else f"-. {edge.type} .->"
        lines.append(f"  n{on} {arrow} n{number}")
    colours: dict[str, list[str]] = {}
    for number, node in enumerate(nodes):
        if node.colour:
            colours.setdefault(node.colour, []).append(f"n{number}")
    lines += [f"  style {name} fill:{colour}" for colour, names in colours.items() for name in names]
    return "\n".join([*lines, ""])


def _mermaid_text(text: str) -> str:
    """With a character code for each character that means something to Mermaid or to HTML."""
    return re.sub(r"[^\w .,=/:()-]", lambda found: f"#{ord(found[0])};", printable(text))


def _edges(nodes: Sequence[Node], numbers: Mapping[str, int]) -> Iterator[tuple[int, int, Edge]]:
    """The number of a node, that of what it waits for, and how."""
    for number, node in enumerate(nodes):
        for edge in dict.fromkeys(node.edges):
            if edge.on in numbers:
                yield number, numbers[edge.on], edge
