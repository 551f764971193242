"""Dependencies that are longer than Slurm takes are broken into pieces, each with a gate that stands for it. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from .dependency import AllOf, AnyOf, DependencyType, Expression, Term
from .model import Call, Submission

LONGEST = 4000
"""Terms of a dependency. Slurm takes 128 KiB of text, and a term with the id of an array's element about 28 bytes."""


def in_pieces(calls: Iterable[Call], gate: Callable[[Expression, str], Submission]) -> Iterator[Call]:
    """The calls, with gates before those that wait for too much.

    Args:
        calls: of sbatch, in order.
        gate: makes one that waits for an expression, for a reason.
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
    """What only the job itself can wait for, and what a gate can wait for in its place."""
    of_its_own = (DependencyType.AFTERCORR, DependencyType.SINGLETON)
    own = [term for term in expression.terms if term.type in of_its_own]
    return own, [term for term in expression.terms if term.type not in of_its_own]
