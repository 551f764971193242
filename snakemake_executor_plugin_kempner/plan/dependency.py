"""Dependency expressions as values. An expression is flat: all of its terms, or any of them.

Slurm takes one separator per expression and silently turns a mix of `,` and `?` into "any of all",
so a mix has no spelling here. Source: `man sbatch`, option --dependency.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class DependencyType(StrEnum):
    """The types of `sbatch --dependency`, with what releases the waiting job."""

    AFTER = "after"
    """The other job has started, or was cancelled before it could."""
    AFTEROK = "afterok"
    """The other job ended with exit code 0."""
    AFTERNOTOK = "afternotok"
    """The other job ended in any other way: exit code, signal, time limit, node failure, cancelled."""
    AFTERANY = "afterany"
    """The other job has ended, however."""
    SINGLETON = "singleton"
    """No other job of the same user and name runs."""


@dataclass(frozen=True, order=True, slots=True)
class Ref:
    """Name of a submission inside a plan; the job id is known only after sbatch."""

    task: str
    """Key of the task."""
    attempt: int
    """From 1; 0 is the task's gate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One condition on one submission."""

    type: DependencyType
    on: Ref | None
    """None for `singleton`, which names no job."""
    minutes: int | None = None
    """Delay after the start; only for `after`."""

    def render(self, job_id: Callable[[Ref], str]) -> str:
        if self.on is None:
            return str(self.type)
        delay = f"+{self.minutes}" if self.minutes else ""
        return f"{self.type}:{job_id(self.on)}{delay}"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Released when every term holds."""

    terms: tuple[Term, ...]
    separator = ","


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Released when one term holds."""

    terms: tuple[Term, ...]
    separator = "?"


Expression = AllOf | AnyOf


def all_of(terms: Iterable[Term]) -> Expression | None:
    """Every distinct term, in order; None when there is nothing to wait for."""
    unique = tuple(dict.fromkeys(terms))
    return AllOf(unique) if unique else None


def render(expression: Expression, job_id: Callable[[Ref], str]) -> str:
    """The text after `--dependency=`: `afterok:12:13,after:14+5` or `afterok:12?afterok:13`.

    Neighbouring terms of one type are written as one list, which keeps a wide fan-in short.
    """
    if isinstance(expression, AnyOf):
        return AnyOf.separator.join(term.render(job_id) for term in expression.terms)
    parts: list[str] = []
    last: DependencyType | None = None
    for term in expression.terms:
        text = term.render(job_id)
        if parts and term.type is last and term.on is not None:
            parts[-1] += text.removeprefix(str(term.type))
        else:
            parts.append(text)
        last = term.type
    return AllOf.separator.join(parts)


def parse(text: str) -> tuple[bool, tuple[tuple[DependencyType, str], ...]]:
    """What `render` has written: whether every term has to hold (not just one), and each type with its job id."""
    separator = AnyOf.separator if AnyOf.separator in text else AllOf.separator
    terms: list[tuple[DependencyType, str]] = []
    for part in text.split(separator):
        word, *ids = part.split(":")
        terms += ((DependencyType(word), job_id.partition("+")[0]) for job_id in ids or [""])
    return separator == AllOf.separator, tuple(terms)
