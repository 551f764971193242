"""A plan without reserves (`plan/reserves.py`): nobody releases anything in a script that runs on its own. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..plan.dependency import DependencyType, Ref, Term
from ..plan.model import Call
from ..plan.reserves import is_reserve, unreserved


def released(calls: Sequence[Call]) -> tuple[Call, ...]:
    """The calls, with each attempt in reserve as a job alone that waits for the failure of those before it.

    What follows a reserve element by element becomes jobs alone, too.
    """
    home = {submission.ref: call for call in calls for submission in call.submissions}
    apart: set[str] = set()
    found: list[Call] = []
    for call in calls:
        follows = any(
            term.type is DependencyType.AFTERCORR and _home(term, home).job_name in apart for term in _terms(call)
        )
        if is_reserve(call.first.options) or follows:
            apart.add(call.job_name)
            found += _alone(call, home)
        else:
            found.append(_with(call, [own for term in _terms(call) for own in _each(term, home, apart)]))
    return tuple(found)


def _alone(call: Call, home: Mapping[Ref, Call]) -> Iterator[Call]:
    for index, submission in zip(call.indices, call.submissions, strict=True):
        own = replace(submission, job_name=f"{call.job_name}_{index}", options=unreserved(submission.options))
        terms = [term for each in _terms(call) for term in _of_element(each, submission.ref, index, home)]
        yield _with(Call(submissions=(own,), waits_for=call.waits_for), terms)


def _of_element(term: Term, ref: Ref, index: int, home: Mapping[Ref, Call]) -> Iterator[Term]:
    """What a term means for an element."""
    if term.on is None or not term.whole:
        yield term
        return
    array = _home(term, home)
    if term.type is DependencyType.AFTERCORR:
        partner = array.submissions[array.indices.index(index)]
        yield Term(type=DependencyType.AFTEROK, on=partner.ref)
        return
    earlier = [before.ref for before in array.submissions if before.ref.task == ref.task]
    if term.type is DependencyType.AFTERNOTOK and earlier:
        yield Term(type=term.type, on=earlier[0])
    else:
        yield term


def _each(term: Term, home: Mapping[Ref, Call], apart: set[str]) -> Iterator[Term]:
    """A term, on each job of an array that is none any more."""
    if term.on is None or not term.whole or _home(term, home).job_name not in apart:
        yield term
        return
    yield from (replace(term, on=submission.ref, whole=False) for submission in _home(term, home).submissions)


def _home(term: Term, home: Mapping[Ref, Call]) -> Call:
    assert term.on is not None
    return home[term.on]


def _terms(call: Call) -> tuple[Term, ...]:
    return call.waits_for.terms if call.waits_for else ()


def _with(call: Call, terms: Sequence[Term]) -> Call:
    return replace(call, waits_for=call.waits_for and replace(call.waits_for, terms=tuple(terms)))
