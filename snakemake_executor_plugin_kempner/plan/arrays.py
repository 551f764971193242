"""Submissions → calls of sbatch: alike submissions become a job array. Pure.

All elements of an array wait for the same jobs; with `aftercorr`, each waits for the element of another array with the
same index. So an array holds submissions with equal options and equal dependencies, apart from such corresponding
elements. A submission that would wait for more than it needs in an array stays alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .dependency import AllOf, AnyOf, DependencyType, Expression, Ref, Term, all_of
from .model import Call, Kind, Submission

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

    @property
    def key(self) -> object:
        """Equal for submissions that may be elements of the same array."""
        return type(self.common), frozenset(self.common.terms if self.common else ()), self.arrays


def in_calls(submissions: Sequence[Submission], largest: int) -> tuple[Call, ...]:
    """Calls of sbatch that submit all of the submissions, each after what it waits for.

    Args:
        submissions: in an order in which every dependency inside the sequence comes first.
        largest: elements that an array may have.
    """
    calls = _Calls(largest)
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
        corresponding = self._corresponding(alike)
        for submission in alike:
            found: dict[int, int] = {}
            common: list[Term] = []
            for term in submission.waits_for.terms if isinstance(submission.waits_for, AllOf) else ():
                place = self._place(term)
                if place is not None and place.array in corresponding:
                    found[place.array] = place.index
                else:
                    common.append(term)
            if len(set(found.values())) == 1:
                yield _Needs(all_of(common), tuple(sorted(found)), next(iter(found.values())))
            else:  # nothing corresponds, or not with the same index
                yield _Needs(submission.waits_for)

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
        corresponding = (
            Term(type=DependencyType.AFTERCORR, on=self.made[array].first.ref, whole=True) for array in needs.arrays
        )
        common = self._short(needs.common)
        waits_for = common if isinstance(common, AnyOf) else all_of([*(common.terms if common else ()), *corresponding])
        self.made.append(
            Call(
                submissions=tuple(elements.values()),
                waits_for=waits_for,
                indices=tuple(elements),
            )
        )

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
