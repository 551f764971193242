"""How many jobs a user may have in the queue: limits as values, and recognised in sbatch's error messages.

Measured on 22.05: running and pending jobs count, ended jobs do not; each element of an array counts, and sbatch
accepts an array completely or not at all. A QOS limit replaces that of the association; the partition's QOS takes
precedence over the job's, unless the latter has the flag OverPartQOS.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from ..options import Options

_MEBI = 2**20
_SLOW = 60.0
"""Seconds that may pass between reading the queue and submitting jobs based on it."""


class Whose(Enum):
    """Whose jobs a limit counts. At most one limit of each kind applies to a job."""

    GROUP = "of all users"
    USER = "of one user"
    ACCOUNT = "of one account"


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitScope:
    """The options that decide which limits apply to a job; empty for the site's default."""

    account: str = ""
    partition: str = ""
    """A name, or several separated by commas: then the limits of each apply."""
    qos: str = ""

    @classmethod
    def of(cls, options: Options, environment: Mapping[str, str] = os.environ) -> "LimitScope":
        """From a job's options, or from the SBATCH_ variables that sbatch reads instead."""
        names = ("account", "partition", "qos")
        return cls(**{name: options.get(name) or environment.get(f"SBATCH_{name.upper()}", "") for name in names})


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A limit on jobs in the queue, and how many are there now."""

    limit: int
    used: int
    source: str
    """Slurm's name of the limit and where it is set: `MaxSubmitJobs of your association with account lab`."""

    @property
    def left(self) -> int:
        """How many further jobs it lets in."""
        return self.limit - self.used

    def __str__(self) -> str:
        return f"{self.limit} jobs in the queue ({self.source})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """A user in an account, or an account in the account above it."""

    account: str
    user: str = ""
    """Empty for an account."""
    partition: str = ""
    parent: str = ""
    is_default: bool = False
    group: Bound | None = None
    most: Bound | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Qos:
    """The limits of a QOS on jobs in the queue."""

    group: Bound | None = None
    user: Bound | None = None
    accounts: Mapping[str, Bound]
    """By account; that of the empty name applies to accounts that are not listed."""
    goes_first: bool = False
    """Takes precedence over the partition's QOS (flag OverPartQOS)."""

    def bound(self, whose: Whose, account: str) -> Bound | None:
        """The limit on jobs of this kind of owner."""
        match whose:
            case Whose.GROUP:
                return self.group
            case Whose.USER:
                return self.user
            case Whose.ACCOUNT:
                return self.accounts.get(account, self.accounts.get(""))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of a site; default values are Slurm's own."""

    array_size: int = 1001
    """The largest index of an array plus 1 (MaxArraySize)."""
    script_bytes: int = 4 * _MEBI
    """Largest size of a job script (max_script_size)."""
    jobs: Bound | None = None
    """For all users of the cluster together (MaxJobCount). Ended jobs count until slurmctld purges them (MinJobAge).
    When the limit is reached, sbatch itself waits for two minutes before it gives up."""
    min_job_age: float = 300.0
    """Seconds for which slurmctld keeps an ended job (MinJobAge); infinite if it never purges."""
    associations: tuple[Association, ...] = ()
    """Of the user, and of the accounts above, if visible."""
    qos: Mapping[str, Qos] | None = None
    default_qos: Mapping[str, str] | None = None
    """By account."""
    partition_qos: Mapping[str, str] | None = None
    """By partition; the default partition also under the empty name."""

    @property
    def memory(self) -> float:
        """Seconds for which an ended job is certainly known: MinJobAge less the time for planning and slow answers."""
        age = self.min_job_age
        return age - _SLOW if age > 2 * _SLOW else age / 2

    def tightest(self, scopes: Iterable[LimitScope]) -> Bound | None:
        """The limit that leaves the least room, of all that apply to jobs at these scopes; None if none is known."""
        bounds = [bound for scope in set(scopes) for bound in self._holding(scope)]
        return min(bounds, key=lambda bound: bound.left, default=None)

    def _holding(self, scope: LimitScope) -> Iterator[Bound]:
        """The limits that Slurm enforces for a job."""
        groups, most = self._of_association(scope)
        for qos in self._qos_by_partition(scope):
            found = {whose: next(_bounds(qos, whose, self._account(scope)), None) for whose in Whose}
            yield from (bound for bound in found.values() if bound)
            if not found[Whose.GROUP]:
                yield from groups
            if not found[Whose.USER] and not found[Whose.ACCOUNT]:
                yield from most
        yield from [self.jobs] if self.jobs else []

    def _account(self, scope: LimitScope) -> str:
        defaults = (association.account for association in self.associations if association.is_default)
        return scope.account or next(defaults, "")

    def _of_association(self, scope: LimitScope) -> tuple[list[Bound], list[Bound]]:
        account, partitions = self._account(scope), scope.partition.split(",")
        accounts = {association.account: association for association in self.associations if not association.user}
        own = [association for association in self.associations if association.user and association.account == account]
        of_partition = [
            association for association in own if association.partition and association.partition in partitions
        ]
        chain = of_partition or [association for association in own if not association.partition]
        above = accounts.get(account)
        groups = [association.group for association in chain if association.group]
        for _ in accounts:
            if above is not None:
                groups += [above.group] if above.group else []
                above = accounts.get(above.parent)
        return groups, [association.most for association in chain if association.most]

    def _qos_by_partition(self, scope: LimitScope) -> Iterator[list[Qos]]:
        """For each partition of a job, its QOS in order of precedence."""
        known = self.qos or {}
        own = known.get(scope.qos or (self.default_qos or {}).get(self._account(scope), "") or "normal")
        for partition in scope.partition.split(","):
            of_partition = known.get((self.partition_qos or {}).get(partition, ""))
            both = [qos for qos in (of_partition, own) if qos is not None]
            yield both[::-1] if own is not None and own.goes_first else both


def _bounds(qos: Iterable[Qos], whose: Whose, account: str) -> Iterator[Bound]:
    return (bound for each in qos if (bound := each.bound(whose, account)))


# --- refusals -------------------------------------------------------------------------------------------------------

_NO_ROOM = re.compile(r"\b(?:Assoc|QOS)?(?:Max|Grp)SubmitJob\w*")
_FULL = re.compile(r"temporarily unable to accept job|Resource temporarily unavailable")


def lacks_room(answer: str) -> str:
    """Slurm's name of the submit limit in an error message of sbatch; empty for any other error.

    The sentence "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" is printed for
    many limits; only the word before it says which. The limit may also be smaller than the request itself.
    """
    if found := _NO_ROOM.search(answer):
        return found[0]
    return "MaxJobCount" if _FULL.search(answer) else ""
