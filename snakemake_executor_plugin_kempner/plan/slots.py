"""Limits on what runs at the same time (`--jobs`, `--resources`) → dependencies and throttles that Slurm enforces.

Purpose: Snakemake's scheduler starts a job when enough units of each limit are free. A queued run has no scheduler of
its own, so the order in which jobs use the units is decided here, before the first job is submitted.

Idea: jobs pass the units of a limit on. A job takes over units from earlier jobs and waits with `afterany` for all jobs
that have held them, except those that have certainly ended when it starts. So two running jobs never hold the same
unit, however long jobs run and however they end. Example: `--jobs 2`, and C reads what A makes.

    job   its unit           waits for       because
    A     1, free            -
    B     2, free            -
    C     1, held by A       afterok:A       its input; A has ended then, so the limit adds nothing
    D     2, held by B       afterany:B      B has to end first
    E     1, held by A, C    afterany:A:C    C may be cancelled before it starts: it has ended then, and A still runs

A job prefers units whose holders have ended when it starts, then free units, then those that are expected to be free
first. That expectation takes all jobs to be equally long: it decides how fast a run is, never whether it keeps a limit.

An array takes the units of the elements that may run at once, and that number becomes its throttle (`%N`). With
`aftercorr`, each element takes over the units of its partner. Further attempts of an array's tasks hold the units of that
array, too: an element that follows a failure takes its place. Where the array has a throttle, that place is given to the
next element at once, so they wait until all of the array have ended. Units with the same holders are kept together
(`Piece` in `pool.py`), and a gate stands for jobs that are too many to name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_, or_

from .pool import STANDING, Lanes, Piece, Pool, bit, members, set_of

_FEW = 100
"""A job that would have to wait for more jobs than this waits for a gate instead."""
_MOST = 3000
"""Most jobs that a dependency names; Slurm accepts about 10,000."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitedJob:
    """A submission that runs something, as the limits see it."""

    width: int = 1
    """Elements of a job array; 1 for a single job."""
    needs: Mapping[str, int] = field(default_factory=dict)
    """Units that each element takes while it runs, by the name of the limit."""
    after: tuple[int, ...] = ()
    """Jobs that have completely ended, or will never start, when it starts (`STANDING`: those of earlier plans)."""
    succeeded: tuple[tuple[int, ...], ...] = ()
    """When it starts, a job of each set has succeeded with all its elements. All are also in `after`."""
    each: int | None = None
    """An array of the same width that it follows with `aftercorr`: element i waits for that array's element i."""
    instead_of: int | None = None
    """The array of the attempts before it, of the same width and needs: element i starts if that array's element i fails.
    It comes right after that array, and with a throttle only when all of that array have ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What keeps a job within the limits."""

    waits_for: tuple[int, ...] = ()
    """What has to end first (`afterany`): numbers of jobs, of gates, or `STANDING`."""
    throttle: int = 0
    """Most elements that run at the same time; 0 for no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """How jobs keep within the limits."""

    placements: tuple[Placement, ...] = ()
    """One for each job."""
    gates: tuple[tuple[int, ...], ...] = ()
    """What each gate waits for, with `afterany`. Gate k has the number (jobs + k), comes before the first job
    that names it, and must not be cancelled before what it waits for."""
    faults: tuple[tuple[int, str], ...] = ()
    """Jobs that need more than a limit allows, with the limit's name. If there are any, nothing is placed."""


def place(
    jobs: Sequence[LimitedJob], capacities: Mapping[str, int], standing: Sequence[Mapping[str, int]] = ()
) -> Slots:
    """Additional dependencies and throttles with which no limit is ever exceeded.

    Args:
        jobs: in the order of submission; they refer to earlier ones only.
        capacities: units of each limit; resources without an entry are not limited.
        standing: units of each unfinished job of earlier plans. What those jobs wait for is unknown, so a job that
            does not fit beside all of them waits for all of them.
    """
    faults = tuple(
        (number, name)
        for number, job in enumerate(jobs)
        for name, units in job.needs.items()
        if units > capacities.get(name, units)
    )
    return Slots(faults=faults) if faults else _Placer(jobs, capacities, standing).place()


class _Placer:
    def __init__(
        self, jobs: Sequence[LimitedJob], capacities: Mapping[str, int], standing: Sequence[Mapping[str, int]]
    ) -> None:
        self._jobs = jobs
        self._pools: dict[str, Pool] = {}
        for name, capacity in capacities.items():
            held = sum(job.get(name, 0) for job in standing)
            at_once = (job.width * job.needs.get(name, 0) for job in jobs if job.instead_of is None)
            if held + sum(at_once) > capacity:
                self._pools[name] = Pool(capacity, held)
        self._ended: list[int] = []
        """For each job, the set of jobs that have ended when it starts."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        """When each job is expected to start and end if all elements take equally long; used only for ordering."""
        self._gates: list[tuple[int, ...]] = []
        self._given: dict[int, dict[Pool, list[Piece]]] = {}
        """What each array holds."""
        self._throttles: dict[int, int] = {}
        self._firsts: dict[int, int] = {}
        """The array of the first attempts, for each array of further attempts."""

    def place(self) -> Slots:
        if not self._pools:
            return Slots(placements=(Placement(),) * len(self._jobs))
        placements = tuple(self._place(number, job) for number, job in enumerate(self._jobs))
        return Slots(placements=placements, gates=tuple(self._gates))

    def _place(self, number: int, job: LimitedJob) -> Placement:
        if job.instead_of is not None:
            return self._again(number, job.instead_of)
        ended = self._ended_before(job)
        needs = {pool: units for name, pool in self._pools.items() if (units := job.needs.get(name, 0)) > 0}
        held: dict[Pool, list[Piece]] = {}
        users: dict[Pool, int] = {}
        if job.each is not None:
            for pool, units in needs.items():
                if pieces := pool.take_lanes(job.each, units * job.width):
                    held[pool], users[pool] = pieces, pool.lanes[job.each].users
        others = {pool: units for pool, units in needs.items() if pool not in held}
        released = {pool: pool.released(ended) for pool in others}
        at_once = _at_once(job, others, released)
        for pool, units in others.items():
            held[pool] = pool.take(units * at_once, released[pool])
        missing = {pool: [piece.holders & ~(ended | users.get(pool, 0)) for piece in held[pool]] for pool in held}
        wanted = reduce(or_, (late for each in missing.values() for late in each), 0)
        waits_for = self._terms(wanted, held.values())
        ended |= wanted | set_of(waits_for)
        starts = [piece.until for pool in held for piece, late in zip(held[pool], missing[pool], strict=True) if late]
        self._expect(job, at_once, starts)
        self._ended.append(ended)
        for pool in self._pools.values():
            if job.each in pool.lanes and pool not in needs:  # a gate between two arrays
                pool.lanes[number] = pool.lanes[job.each]
        for pool, pieces in held.items():
            mine = pool.give(number, pieces, self._ends[number])
            self._given.setdefault(number, {})[pool] = mine
            if job.width > 1 and sum(piece.units for piece in mine) == job.width * needs[pool]:
                pool.lanes[number] = Lanes(mine, users.get(pool, 0) | bit(number))
        self._throttles[number] = throttle = at_once if at_once < job.width else 0
        return Placement(waits_for=waits_for, throttle=throttle)

    def _again(self, number: int, before: int) -> Placement:
        """Place further attempts: what is held by the first ones is free when these have ended, too."""
        first = self._firsts[number] = self._firsts.get(before, before)
        for pool, pieces in self._given.get(first, {}).items():
            for piece in pieces:
                piece.holders |= bit(number)
            if lanes := pool.lanes.get(first):
                pool.lanes[first] = replace(lanes, users=lanes.users | bit(number))
        self._ended.append(self._ended[first])
        self._starts.append(self._starts[first])
        self._ends.append(self._ends[first])
        return Placement(throttle=self._throttles[first])

    def _ended_before(self, job: LimitedJob) -> int:
        """The jobs that have certainly ended when this job starts, given its own dependencies.

        A job that has succeeded has started, so everything it waited for had ended. A job that has merely ended
        may never have started, so nothing follows for what it waited for.
        """
        ended = set_of(job.after)
        for some in job.succeeded:
            ended |= reduce(and_, (self._ended[number] for number in some))
        return ended if job.each is None else ended | self._ended[job.each]

    def _terms(self, wanted: int, held: Iterable[list[Piece]]) -> tuple[int, ...]:
        """Numbers to wait for instead of `wanted`: the same, or those of gates if there are too many."""
        numbers = members(wanted)
        pieces = [piece for each in held for piece in each]
        if len(numbers) <= min(max(_FEW, len(pieces)), _MOST):
            return tuple(numbers)
        first = len(self._jobs) + len(self._gates)
        self._gates += (tuple(numbers[start : start + _MOST]) for start in range(0, len(numbers), _MOST))
        gates = tuple(range(first, len(self._jobs) + len(self._gates)))
        for piece in pieces:
            if piece.holders & wanted:
                piece.holders = piece.holders & ~wanted | set_of(gates)
        return gates

    def _expect(self, job: LimitedJob, at_once: int, starts: Iterable[int]) -> None:
        ends = [self._ends[number] for number in job.after if number != STANDING]
        before = [] if job.each is None else [self._starts[job.each] + 1]
        start = max([0, *starts, *ends, *before])
        self._starts.append(start)
        self._ends.append(start + -(-job.width // at_once))


def _at_once(job: LimitedJob, needs: Mapping[Pool, int], released: Mapping[Pool, Sequence[Piece]]) -> int:
    """How many elements may run at the same time.

    Normally as many as the limits allow, so arrays run one after the other: side by side, the longer array would be
    held to its narrow throttle after the other has ended. But an array that can have at least half of that without
    waiting takes what is available and starts. Both choices take at most twice the best possible time.
    """
    most = min([job.width, *(pool.capacity // units for pool, units in needs.items())])
    now = [(pool.free + sum(piece.units for piece in released[pool])) // units for pool, units in needs.items()]
    at_hand = min([most, *now])
    return at_hand if 2 * at_hand >= most else most
