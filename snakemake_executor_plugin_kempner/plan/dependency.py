"""Dependency expressions as values. An expression is flat: all of its terms, or any of them.

Slurm takes one separator per expression and silently turns a mix of `,` and `?` into "any of all",
so a mix has no spelling here. Source: `man sbatch`, option --dependency.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class DependencyType(StrEnum):
    """The types of `sbatch --dependency`, with what releases the waiting job."""

    AFTER = "after"
    """The other job has started, or was cancelled before it could."""
    AFTEROK = "afterok"
    """The other job ended with exit code 0."""
    AFTERCORR = "aftercorr"
    """The element of the other array with the same index ended with exit code 0."""
    AFTERNOTOK = "afternotok"
    """The other job ended in any other way: exit code, signal, time limit, node failure, cancelled."""
    AFTERANY = "afterany"
    """The other job has ended, successfully or not."""
    SINGLETON = "singleton"
    """No other job of the same user and name runs."""

    __hash__ = str.__hash__  # Enum's own is written in Python and slow; plans hash hundreds of thousands of terms


@dataclass(frozen=True, order=True, slots=True)
class Ref:
    """Name of a submission inside a plan; the job id is known only after sbatch."""

    task: str
    """Key of the task."""
    attempt: int
    """From 1; 0 is the task's gate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A condition on a submission."""

    type: DependencyType
    on: Ref | None
    """None for `singleton`, which names no job."""
    minutes: int | None = None
    """Delay after the start; only for `after`."""
    whole: bool = False
    """The term names the whole array of which `on` is an element."""

    def job_id(self, job_id: Callable[[Ref], str]) -> str:
        """Id of the job, element or array; empty for `singleton`."""
        found = job_id(self.on) if self.on is not None else ""
        return array_of(found) if self.whole else found

    def render(self, job_id: Callable[[Ref], str]) -> str:
        if self.on is None:
            return str(self.type)
        delay = f"+{self.minutes}" if self.minutes else ""
        return f"{self.type}:{self.job_id(job_id)}{delay}"


def array_of(job_id: str) -> str:
    """`123_4` → `123`, the id of the array; any other id stays as it is."""
    return job_id.partition("_")[0]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Released when every term holds."""

    terms: tuple[Term, ...]
    separator = ","


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Released when any term holds."""

    terms: tuple[Term, ...]
    separator = "?"


Expression = AllOf | AnyOf


def all_of(terms: Iterable[Term]) -> Expression | None:
    """Every distinct term, in order; None when there is nothing to wait for."""
    found = tuple(terms)
    unique = tuple(dict.fromkeys(found)) if len(found) > 1 else found
    return AllOf(unique) if unique else None


def render(expression: Expression, job_id: Callable[[Ref], str]) -> str:
    """The text after `--dependency=`: `afterok:12:13,after:14+5` or `afterok:12?afterok:13`.

    Neighbouring terms of the same type are written as a list, which keeps a wide fan-in short.
    """
    if isinstance(expression, AnyOf):
        return AnyOf.separator.join(term.render(job_id) for term in expression.terms)
    parts: list[str] = []
    last: DependencyType | None = None
    texts = dict.fromkeys((term.type, term.render(job_id)) for term in expression.terms)  # each array once
    for kind, text in texts:
        if parts and kind is last and kind is not DependencyType.SINGLETON:
            parts[-1] += text.removeprefix(kind)
        else:
            parts.append(text)
        last = kind
    return AllOf.separator.join(parts)


def without_met(expression: Expression, holds: Callable[[Term], bool | None]) -> Expression | None:
    """The expression without terms that are decided; None when it has come true.

    Args:
        expression: a condition.
        holds: True when a term has come true, False when it no longer can, None while undecided.

    Raises:
        ValueError: the condition can no longer come true.
    """
    verdicts = [(term, holds(term)) for term in expression.terms]
    left = tuple(term for term, verdict in verdicts if verdict is None)
    found = [verdict for _, verdict in verdicts]
    is_any = isinstance(expression, AnyOf)
    if any(found) if is_any else all(found):
        return None
    if not any(verdict is not False for verdict in found) if is_any else False in found:
        raise ValueError("the condition can no longer come true")
    return AnyOf(left) if is_any else AllOf(left)


def parse(text: str) -> tuple[bool, tuple[tuple[DependencyType, str], ...]]:
    """Parses the text of `render`: whether all terms have to hold (not any), and each type with its job id."""
    separator = AnyOf.separator if AnyOf.separator in text else AllOf.separator
    terms: list[tuple[DependencyType, str]] = []
    for part in text.split(separator):
        word, *ids = part.split(":")
        terms += ((DependencyType(word), job_id.partition("+")[0]) for job_id in ids or [""])
    return separator == AllOf.separator, tuple(terms)


def for_element(dependency: str, index: int | None) -> str:
    """The dependency of an element of an array that was submitted with this one; unchanged for a job alone."""
    if index is None:
        return dependency
    words = re.split(r"([,?])", dependency)
    return "".join(_corresponding(word, index) if word.startswith(DependencyType.AFTERCORR) else word for word in words)


def _corresponding(word: str, index: int) -> str:
    return ":".join([DependencyType.AFTEROK, *(f"{array}_{index}" for array in word.split(":")[1:])])
