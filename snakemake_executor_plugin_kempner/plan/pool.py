"""The units of a limit, and the sets of jobs that have held them one after the other (`slots.py` says what for)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from heapq import heappop, heappush
from operator import or_

STANDING = -1
"""In place of a job's number: all jobs of earlier plans together."""


def bit(number: int) -> int:
    """Sets of numbers are stored as integers: a bit for each member, the lowest for `STANDING`."""
    return 1 << (number + 1)


def set_of(numbers: Iterable[int]) -> int:
    return reduce(or_, map(bit, numbers), 0)


def members(numbers: int) -> list[int]:
    digits = bin(numbers)[:1:-1]
    found, at = [], digits.find("1")
    while at >= 0:
        found.append(at - 1)
        at = digits.find("1", at + 1)
    return found


@dataclass(slots=True, eq=False)
class Piece:
    """Units with a common history of holders."""

    units: int
    """0 when others have taken them."""
    holders: int
    """Set of all jobs that may still hold them."""
    until: int
    """When the last holder is expected to end."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The pieces of an array whose elements may all run at once, so that each element has its own part of them."""

    pieces: list[Piece]
    users: int
    """Set of arrays that have used them one after the other, element by element."""


class Pool:
    """The units of a limit."""

    def __init__(self, capacity: int, standing: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._by_last: dict[int, list[Piece]] = {}
        self._lasts = 0
        self._queue: list[tuple[int, int, Piece]] = []
        self._added = 0
        self.lanes: dict[int, Lanes] = {}
        if standing:
            self.free -= min(capacity, standing)
            self._add(STANDING, Piece(min(capacity, standing), bit(STANDING), 1))

    def _add(self, last: int, piece: Piece) -> None:
        self._by_last.setdefault(last, []).append(piece)
        self._lasts |= bit(last)
        self._added += 1
        heappush(self._queue, (piece.until, self._added, piece))

    def released(self, ended: int) -> list[Piece]:
        """Pieces that are free when all these jobs have ended; the most recently used first."""
        found = []
        for last in reversed(members(ended & self._lasts)):
            pieces = [piece for piece in self._by_last[last] if piece.units]
            if pieces:
                self._by_last[last] = pieces
                found += [piece for piece in pieces if not piece.holders & ~ended]
            else:
                del self._by_last[last]
                self._lasts ^= bit(last)
        return found

    def take(self, units: int, released: Iterable[Piece]) -> list[Piece]:
        """Take units in this order: released ones (few other jobs could use them at once), free ones, held ones."""
        taken: list[Piece] = []
        for piece in released:
            units -= self._cut(piece, units, taken)
        if units and self.free:
            taken.append(Piece(min(units, self.free), 0, 0))
            self.free -= taken[-1].units
            units -= taken[-1].units
        while units:
            piece = self._queue[0][2]
            units -= self._cut(piece, units, taken)
            if not piece.units:
                heappop(self._queue)
        return taken

    @staticmethod
    def _cut(piece: Piece, units: int, taken: list[Piece]) -> int:
        got = min(piece.units, units)
        piece.units -= got
        if got:
            taken.append(Piece(got, piece.holders, piece.until))
        return got

    def take_lanes(self, number: int, units: int) -> list[Piece]:
        """Units that array elements take over from the elements with the same index of array `number`.

        Empty when other jobs have taken too many of them.
        """
        lanes = self.lanes.get(number)
        if lanes is None or sum(piece.units for piece in lanes.pieces) < units:
            return []
        taken: list[Piece] = []
        for piece in lanes.pieces:
            units -= self._cut(piece, units, taken)
        return taken

    def give(self, number: int, pieces: Iterable[Piece], until: int) -> list[Piece]:
        """Record that this job holds these units from now on."""
        merged: dict[int, Piece] = {}
        for piece in pieces:
            holders = piece.holders | bit(number)
            mine = merged.setdefault(holders, Piece(0, holders, until))
            mine.units += piece.units
        for piece in merged.values():
            self._add(number, piece)
        return list(merged.values())
