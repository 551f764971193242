"""Submissions → calls of sbatch: alike submissions become a job array. Pure.

All elements of an array wait for the same jobs; with `aftercorr`, each waits for the element of another array with the
same index. So an array holds submissions with equal options and equal dependencies, apart from such corresponding
elements. A submission that would wait for more than it needs in an array stays alone. Further attempts of the tasks of an
array become a reserve, with the same indices (`plan/reserves.py`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from .dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term, all_of
from .model import Call, Kind, Submission
from .reserves import reserved

_COMPRESSED = frozenset({DependencyType.AFTEROK, DependencyType.AFTERANY})
"""Types for which waiting for an array is waiting for each of its elements."""


@dataclass(frozen=True, slots=True)
class _Element:
    """Which element of which array a submission is."""

    array: int
    """Number of the call."""
    index: int
    size: int
    """Of the array."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a submission waits for: what the whole array can wait for, and its corresponding elements."""

    common: Expression | None
    arrays: tuple[int, ...] = ()
    """Arrays of which it waits for a single element, that with its own index."""
    index: int = 0
    is_any: bool = False
    """It waits for any of the corresponding elements: attempts of one task."""
    earlier: tuple[int, ...] = ()
    """Of an attempt in reserve: the arrays of the attempts before it, which have the same index."""

    @property
    def key(self) -> object:
        """Equal for submissions that may be elements of the same array."""
        terms = frozenset(self.common.terms if self.common else ())
        return type(self.common), terms, self.arrays, self.is_any, self.earlier


def in_calls(
    submissions: Sequence[Submission], largest: int, may_be_reserve: Callable[[Submission], bool] = lambda _: False
) -> tuple[Call, ...]:
    """Calls of sbatch that submit all of the submissions, each after what it waits for.

    Args:
        submissions: in an order in which every dependency inside the sequence comes first.
        largest: elements that an array may have.
        may_be_reserve: whether a further attempt may wait in reserve; by default it is submitted alone.
    """
    calls = _Calls(largest, may_be_reserve)
    for level in _levels(submissions):
        alike: dict[object, list[Submission]] = {}
        for submission in level:
            alike.setdefault(_likeness(submission), []).append(submission)
        for group in alike.values():
            calls.add(group)
    return tuple(calls.made)


def _levels(submissions: Iterable[Submission]) -> Iterable[list[Submission]]:
    """Submissions by the length of the longest chain before them, so no two of a level wait for each other."""
    depth: dict[Ref, int] = {}
    levels: list[list[Submission]] = []
    for submission in submissions:
        terms = submission.waits_for.terms if submission.waits_for else ()
        depth[submission.ref] = level = 1 + max((depth.get(term.on, -1) for term in terms if term.on), default=-1)
        while len(levels) <= level:
            levels.append([])
        levels[level].append(submission)
    return levels


def _likeness(submission: Submission) -> object:
    if submission.kind is Kind.GATE and submission.array_from:
        return submission.kind, submission.script
    if submission.kind is not Kind.TASK or not submission.array_from:
        return submission.ref
    return (
        submission.rule,
        submission.ref.attempt,
        submission.options,
        submission.attempts,
        submission.segments,
        submission.spared,
        submission.array_from,
        submission.step is not None and submission.step.light is not None,
        *sorted(submission.units.items()),
    )


@dataclass
class _Calls:
    largest: int
    may_be_reserve: Callable[[Submission], bool]
    made: list[Call] = field(default_factory=list)
    places: dict[Ref, _Element] = field(default_factory=dict)

    def add(self, alike: Sequence[Submission]) -> None:
        """Add submissions of one level with equal options: as arrays where they wait for the same, else each alone."""
        if len(alike) < max(2, alike[0].array_from):
            self._alone(alike)
            return
        by_needs: dict[object, list[tuple[Submission, _Needs]]] = {}
        for submission, needs in zip(alike, self._needs(alike), strict=True):
            by_needs.setdefault(needs.key, []).append((submission, needs))
        for members in by_needs.values():
            for elements in self._arrays(members):
                if len(elements) < max(2, alike[0].array_from):
                    self._alone(elements.values())
                else:
                    self._array(elements, members[0][1])

    def _arrays(self, members: Sequence[tuple[Submission, _Needs]]) -> Iterator[dict[int, Submission]]:
        """The elements of each array by index: an index that is needed twice begins another array."""
        if members[0][1].earlier:
            yield dict(sorted(((needs.index, submission) for submission, needs in members), key=itemgetter(0)))
            return
        if not members[0][1].arrays:
            ordered = sorted((submission for submission, _ in members), key=_natural)
            for start in range(0, len(ordered), self.largest):
                yield dict(enumerate(ordered[start : start + self.largest]))
            return
        arrays: list[dict[int, Submission]] = []
        seen: Counter[int] = Counter()
        for submission, needs in sorted(members, key=lambda member: _natural(member[0])):
            index = needs.index
            if seen[index] == len(arrays):
                arrays.append({})
            arrays[seen[index]][index] = submission
            seen[index] += 1
        for elements in arrays:
            yield dict(sorted(elements.items()))

    def _needs(self, alike: Sequence[Submission]) -> Iterator[_Needs]:
        corresponding, attempts = self._corresponding(alike), self._attempts(alike)
        for submission in alike:
            earlier = self._earlier(submission)
            if isinstance(submission.waits_for, AnyOf):
                place = self._of_attempts(submission.waits_for)
                follows = place is not None and place.arrays in attempts
                yield place if place is not None and follows else _Needs(submission.waits_for)
                continue
            found: dict[int, int] = {}
            common: list[Term] = []
            for term in submission.waits_for.terms if submission.waits_for else ():
                place_of_term = self._place(term)
                if place_of_term is not None and place_of_term.array in corresponding:
                    found[place_of_term.array] = place_of_term.index
                elif not (earlier and term.on in submission.earlier):
                    common.append(term)
            if earlier and set(found.values()) <= {earlier.index}:
                yield replace(earlier, common=all_of(common), arrays=tuple(sorted(found)))
            elif len(set(found.values())) == 1 and not earlier:
                yield _Needs(all_of(common), tuple(sorted(found)), next(iter(found.values())))
            else:  # nothing corresponds, or not with the same index
                yield _Needs(submission.waits_for)

    def _earlier(self, submission: Submission) -> _Needs | None:
        """The arrays of the attempts before this one, if it may wait in reserve and they have the same index in each."""
        if not self.may_be_reserve(submission):
            return None
        places = [self.places[ref] for ref in submission.earlier if ref in self.places]
        if len(places) < len(submission.earlier) or len({place.index for place in places}) != 1:
            return None
        return _Needs(None, index=places[0].index, earlier=tuple(place.array for place in places))

    def _of_attempts(self, expression: AnyOf) -> _Needs | None:
        """The arrays of all attempts of a task, if it has the same index in each."""
        places = [place for term in expression.terms if (place := self._place(term)) is not None]
        arrays = tuple(place.array for place in places)
        same = len({place.index for place in places}) == 1 and len(set(arrays)) == len(expression.terms)
        return _Needs(None, arrays, places[0].index, is_any=True) if same else None

    def _attempts(self, alike: Sequence[Submission]) -> set[tuple[int, ...]]:
        """Arrays of attempts that `aftercorr` can follow, as in `_corresponding`."""
        times: dict[tuple[int, ...], Counter[int]] = {}
        for submission in alike:
            if isinstance(submission.waits_for, AnyOf) and (place := self._of_attempts(submission.waits_for)):
                times.setdefault(place.arrays, Counter())[place.index] += 1
        return {arrays for arrays, of in times.items() if max(of.values()) < len(of)}

    def _corresponding(self, alike: Sequence[Submission]) -> set[int]:
        """Arrays that `aftercorr` can follow.

        No submission needs two of their elements, and following them splits `alike` into fewer arrays than naming.
        """
        times: dict[int, Counter[int]] = {}
        twice: set[int] = set()
        for submission in alike:
            own: set[int] = set()
            for term in submission.waits_for.terms if isinstance(submission.waits_for, AllOf) else ():
                if (place := self._place(term)) is not None:
                    times.setdefault(place.array, Counter())[place.index] += 1
                    if place.array in own:
                        twice.add(place.array)
                    own.add(place.array)
        return {array for array, of in times.items() if array not in twice and max(of.values()) < len(of)}

    def _place(self, term: Term) -> _Element | None:
        return self.places.get(term.on) if term.type is DependencyType.AFTEROK and term.on else None

    def _alone(self, submissions: Iterable[Submission]) -> None:
        self.made += (
            Call(submissions=(submission,), waits_for=self._short(submission.waits_for)) for submission in submissions
        )

    def _array(self, elements: Mapping[int, Submission], needs: _Needs) -> None:
        number = len(self.made)
        for index, submission in elements.items():
            self.places[submission.ref] = _Element(number, index, len(elements))
        corresponding = tuple(self._whole(DependencyType.AFTERCORR, array) for array in needs.arrays)
        failed = [self._whole(DependencyType.AFTERNOTOK, array) for array in needs.earlier]
        common = self._short(needs.common)
        if needs.is_any:
            waits_for: Expression | None = AnyOf(corresponding)
        elif isinstance(common, AnyOf):
            waits_for = common
        else:
            waits_for = all_of([*(common.terms if common else ()), *corresponding, *failed])
        submissions = tuple(map(reserved, elements.values()) if needs.earlier else elements.values())
        for array in needs.earlier:
            self.made[array] = replace(self.made[array], has_reserve=True)
        self.made.append(Call(submissions=submissions, waits_for=waits_for, indices=tuple(elements)))

    def _whole(self, kind: DependencyType, array: int) -> Term:
        return Term(type=kind, on=self.made[array].first.ref, whole=True)

    def _short(self, expression: Expression | None) -> Expression | None:
        """The expression, with an array's own id in place of the ids of all its elements."""
        if not isinstance(expression, AllOf) or len(expression.terms) == 1:
            return expression
        named: Counter[tuple[DependencyType, int]] = Counter()
        for term in expression.terms:
            if term.on in self.places and term.type in _COMPRESSED:
                named[term.type, self.places[term.on].array] += 1
        whole: dict[tuple[DependencyType, int], Term] = {}
        terms: list[Term] = []
        for term in expression.terms:
            place = self.places.get(term.on) if term.on else None
            if place is None or named.get((term.type, place.array)) != place.size:
                terms.append(term)
            elif (term.type, place.array) not in whole:
                terms.append(replace(term, on=self.made[place.array].first.ref, whole=True))
                whole[term.type, place.array] = terms[-1]
        return all_of(terms)


def _natural(submission: Submission) -> list[object]:
    """Natural sort key: `i=2` before `i=10`, so that elements of two rules with equal wildcards get equal indices."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", submission.label)]
