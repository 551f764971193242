"""Splits dependencies that are too long for Slurm: a gate waits for each part, the job waits for the gates. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from .dependency import AllOf, AnyOf, DependencyType, Expression, Term
from .model import Call, Submission

LONGEST = 4000
"""Most terms of a dependency. Slurm accepts 128 KiB of text; a term with an array element's id takes about 28 bytes."""


def in_pieces(calls: Iterable[Call], gate: Callable[[Expression, str], Submission]) -> Iterator[Call]:
    """The calls, with gates in front of each call whose dependency is too long.

    Args:
        calls: of sbatch, in order.
        gate: makes a gate, given the expression it waits for and the reason.
    """
    for call in calls:
        if call.waits_for is None or len(call.waits_for.terms) <= LONGEST:
            yield call
            continue
        own, others = _split(call.waits_for)
        expression = type(call.waits_for)
        terms = list(own)
        for start in range(0, len(others), LONGEST):
            part = expression(tuple(others[start : start + LONGEST]))
            words = f"{'one' if expression is AnyOf else 'each'} of {len(part.terms)} conditions holds"
            piece = gate(part, words)
            yield Call(submissions=(piece,), waits_for=piece.waits_for)
            terms.append(Term(type=DependencyType.AFTEROK, on=piece.ref))
        yield replace(call, waits_for=expression(tuple(terms)))


def _split(expression: AllOf | AnyOf) -> tuple[list[Term], list[Term]]:
    """Terms that must stay with the job itself, and terms that a gate can wait for instead."""
    of_its_own = (DependencyType.AFTERCORR, DependencyType.SINGLETON)
    own = [term for term in expression.terms if term.type in of_its_own]
    return own, [term for term in expression.terms if term.type not in of_its_own]
