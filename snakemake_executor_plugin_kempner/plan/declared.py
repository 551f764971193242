"""Dependencies that a rule declares: `resources: slurm_dependency="afternotok:train,after:prepare+5"`.

The syntax of `sbatch --dependency`, with rule names in place of job ids:

    expression = item ("," item)*
    item       = "singleton" | type (":" rule ["+" minutes])+
    type       = "after" | "afterok" | "afternotok" | "afterany"

A rule's name means the tasks of the rule whose wildcards agree with this task's on the names that they share.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Fault
from .dependency import DependencyType
from .task import Edge


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """One term of a declared expression."""

    type: DependencyType
    rule: str | None
    """None for `singleton`."""
    minutes: int | None
    start: int
    end: int
    """Where the term stands in the text, for errors."""


class DeclarationError(ValueError):
    """A declared expression that cannot be read; the message points at the place."""

    def __init__(self, text: str, start: int, end: int, what: str) -> None:
        super().__init__(point_at(text, start, end, what))


def point_at(text: str, start: int, end: int, what: str) -> str:
    return f"{what}\n      {text}\n      {' ' * start}{'^' * max(1, end - start)}"


_TYPES = [kind for kind in DependencyType if kind is not DependencyType.AFTERCORR]
"""Types that a rule may declare. Not `aftercorr`: tasks correspond by wildcards, not by array index."""
_SHOWN = ", ".join(_TYPES)
_RULE = re.compile(r"\s*([A-Za-z_]\w*)(?:\+(\w*))?\s*")


def parse_declared(text: str) -> tuple[Declared, ...]:
    """The terms of an expression, in order.

    Raises:
        DeclarationError: at the first place that cannot be read.
    """
    if (mark := text.find("?")) >= 0:
        what = "'?' (any of) cannot be combined with the task's own inputs; ',' (all of) can"
        raise DeclarationError(text, mark, mark + 1, what)
    terms: list[Declared] = []
    start = 0
    for item in text.split(","):
        terms += _item(text, start, item)
        start += len(item) + 1
    return tuple(terms)


def _item(text: str, start: int, item: str) -> Iterator[Declared]:
    word, *rules = item.split(":")
    indent = len(word) - len(word.lstrip())
    begin, end = start + indent, start + len(word.rstrip())
    try:
        kind = next(kind for kind in _TYPES if kind == word.strip())
    except StopIteration:
        what = f"unknown type {word.strip()!r}; there are {_SHOWN}" if word.strip() else f"a type is missing: {_SHOWN}"
        raise DeclarationError(text, begin, end, what) from None
    if kind is DependencyType.SINGLETON:
        if rules:
            raise DeclarationError(text, begin, start + len(item), "'singleton' takes no rule")
        yield Declared(type=kind, rule=None, minutes=None, start=begin, end=end)
        return
    if not rules:
        raise DeclarationError(text, begin, end, f"{kind} needs the name of a rule: {kind}:RULE")
    place = start + len(word) + 1
    for rule in rules:
        match = _RULE.fullmatch(rule)
        if match is None:
            raise DeclarationError(text, place, place + len(rule), f"{rule.strip()!r} is not the name of a rule")
        minutes = _minutes(text, place, rule, kind, match[2])
        yield Declared(type=kind, rule=match[1], minutes=minutes, start=place, end=place + len(rule))
        place += len(rule) + 1


def _minutes(text: str, place: int, rule: str, kind: DependencyType, given: str | None) -> int | None:
    if given is None:
        return None
    if kind is not DependencyType.AFTER:
        raise DeclarationError(text, place, place + len(rule), f"only 'after' takes a delay, not {kind}")
    if not re.fullmatch("[0-9]{1,6}", given):
        raise DeclarationError(text, place, place + len(rule), f"the delay {given!r} is not a number of minutes")
    return int(given)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A job of a named rule."""

    wildcards: Mapping[str, str]
    task: str | None
    """Key of its task; None when it is done already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What a task's declared expression means in this run."""

    edges: tuple[Edge, ...] = ()
    singleton: bool = False
    not_needed: str = ""
    """Why the task is not needed in this run; empty when it may be needed."""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """The rules and jobs that a rule's name can refer to."""

    rules: Collection[str]
    """Names of all rules of the workflow."""
    candidates: Mapping[str, Sequence[Candidate]]
    """Jobs in the DAG, by rule; a rule without a job is not part of this run."""
    _indices: dict[tuple[str, frozenset[str]], "_Index"] = field(default_factory=dict, compare=False, repr=False)

    def agreeing(self, rule: str, wildcards: Mapping[str, str]) -> tuple[str, ...]:
        """Keys of the tasks of a rule that have yet to run and whose wildcards agree on the names that they share.

        The candidates are looked through once for all tasks with the same names of wildcards.
        """
        names = frozenset(wildcards)
        if (rule, names) not in self._indices:
            self._indices[rule, names] = _index(self.candidates.get(rule, ()), names)
        tasks: dict[str, int] = {}
        for shared, found in self._indices[rule, names].items():
            tasks |= found.get(tuple(wildcards[name] for name in shared), {})
        return tuple(sorted(tasks, key=tasks.__getitem__))


_Index = dict[tuple[str, ...], dict[tuple[str, ...], dict[str, int]]]
"""Shared names → values of them → keys of the tasks with these values, each with its place in the order."""


def _index(candidates: Sequence[Candidate], names: frozenset[str]) -> _Index:
    index: _Index = {}
    for place, candidate in enumerate(candidates):
        if candidate.task is not None:
            shared = tuple(sorted(names & candidate.wildcards.keys()))
            values = tuple(candidate.wildcards[name] for name in shared)
            index.setdefault(shared, {}).setdefault(values, {}).setdefault(candidate.task, place)
    return index


def resolve(text: str, *, where: str, task: str, wildcards: Mapping[str, str], catalogue: Catalogue) -> Resolution:
    """Rule names → tasks.

    Args:
        text: the declared expression.
        where: label of the task that declares it, for faults.
        task: its key.
        wildcards: of the task.
        catalogue: what there is.
    """
    try:
        terms = parse_declared(text)
    except DeclarationError as error:
        return Resolution(faults=(Fault(where=where, what=f"slurm_dependency: {error}"),))
    edges: list[Edge] = []
    faults: list[Fault] = []
    not_needed = ""
    for term in terms:
        if term.rule is None:
            continue
        if term.rule not in catalogue.rules:
            faults.append(_fault(where, text, term, f"there is no rule {term.rule!r} in the workflow"))
            continue
        open_tasks = catalogue.agreeing(term.rule, wildcards)
        if task in open_tasks:
            faults.append(_fault(where, text, term, f"{term.rule} is part of the task itself"))
        elif term.type is DependencyType.AFTERNOTOK and len(open_tasks) > 1:
            what = f"{term.rule} means {len(open_tasks)} tasks here, and it is not said which of them has to fail"
            faults.append(_fault(where, text, term, f"{what}; give this rule the wildcards of {term.rule}"))
        elif term.type is DependencyType.AFTERNOTOK and not open_tasks:
            not_needed = f"{term.rule} does not run, so it cannot fail"
        edges += (Edge(on=on, type=term.type, minutes=term.minutes, declared=True) for on in open_tasks)
    return Resolution(
        edges=tuple(edges),
        singleton=any(term.rule is None for term in terms),
        not_needed=not_needed,
        faults=tuple(faults),
    )


def _fault(where: str, text: str, term: Declared, what: str) -> Fault:
    return Fault(where=where, what=f"slurm_dependency: {point_at(text, term.start, term.end, what)}")
