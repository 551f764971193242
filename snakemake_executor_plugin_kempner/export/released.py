"""A plan without reserves (`plan/reserves.py`): nobody releases anything in a script that runs on its own. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from ..plan.dependency import AllOf, AnyOf, DependencyType, Ref, Term
from ..plan.jobscript import gate_script
from ..plan.model import Call, Kind, Submission
from ..plan.place import LIMITS
from ..plan.reserves import earlier_array, is_reserve, takes_turns, unreserved


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
            found += _alone(call, home, apart)
        else:
            found.append(_with(call, [own for term in _terms(call) for own in _each(term, home, apart)]))
    return tuple(found)


def _alone(call: Call, home: Mapping[Ref, Call], apart: Collection[str]) -> Iterator[Call]:
    for place, (index, submission) in enumerate(zip(call.indices, call.submissions, strict=True)):
        own = replace(submission, job_name=f"{call.job_name}_{index}", options=unreserved(submission.options))
        of_element = [term for each in _terms(call) for term in _of_element(each, submission.ref, index, home)]
        terms = [each for term in of_element for each in _each(term, home, apart)]
        if takes_turns(call.first.options):
            before = Term(type=DependencyType.AFTERANY, on=earlier_array(call), whole=True)
            terms += _each(before, home, apart)
        alone = Call(submissions=(own,), waits_for=call.waits_for)
        # All that have had its place have ended.
        earlier = call.submissions[place % call.throttle : place : call.throttle] if call.throttle else ()
        turns = [Term(type=DependencyType.AFTERANY, on=other.ref) for other in earlier]
        if turns and isinstance(call.waits_for, AnyOf):  # Slurm does not mix "and" with "or"
            yield (gate := _with(_gate(own), terms))
            yield replace(alone, waits_for=AllOf((Term(type=DependencyType.AFTEROK, on=gate.first.ref), *turns)))
        else:
            yield _with(alone, list(dict.fromkeys([*terms, *turns])))


def _gate(before: Submission) -> Call:
    """A gate that a task waits for, in place of any of several jobs."""
    options = before.options.only("partition", "account", "qos", "clusters", "kill-on-invalid-dep") | LIMITS[Kind.GATE]
    ref, name = Ref(f"{Kind.GATE.value} {before.ref.task}", before.ref.attempt), f"gate_{before.job_name}"
    gate = replace(before, ref=ref, kind=Kind.GATE, job_name=name, options=options, step=None, script=gate_script(name))
    return Call(submissions=(gate,), waits_for=AnyOf(()))


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


def _each(term: Term, home: Mapping[Ref, Call], apart: Collection[str]) -> Iterator[Term]:
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
