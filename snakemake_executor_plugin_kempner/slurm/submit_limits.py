"""How many jobs a user may have in the queue: limits read from Slurm, and recognised in sbatch's error messages.

Measured on 22.05: running and pending jobs count, ended jobs do not; each element of an array counts, and sbatch
accepts an array completely or not at all. A QOS limit replaces that of the association; the partition's QOS takes
precedence over the job's, unless the latter has the flag OverPartQOS. All answers are optional: a limit that cannot be
read is not applied here, and sbatch refuses jobs above it.
"""

import math
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..errors import SlurmError
from ..options import Options

Tell = Callable[[str, Sequence[str]], str]
"""A program's answers to several queries, in a single text; `SlurmCommands.tell`."""

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


# --- reading --------------------------------------------------------------------------------------------------------


class SiteLimits:
    """Reads the limits from Slurm on demand; never fails.

    Args:
        tell: runs queries of Slurm's programs.
        user: whose limits; this process's user when empty.
    """

    def __init__(self, tell: Tell, user: str = "") -> None:
        self.tell, self._user = tell, user or user_name()
        self._database: str | None = None

    def limits(self) -> Limits:
        """The limits, and how many jobs are in the queue now: a single call of scontrol, a few milliseconds.

        If the site enforces limits, the first call also reads the database (sacctmgr, 0.2 to 0.5 s): slurmctld shows
        neither a user's default QOS nor the limits of a QOS for users who have not used it yet.
        """
        # A single scontrol for all queries: a query that fails does not affect the others.
        told = self._ask(
            "scontrol", "show config", "show partition", f"show assoc_mgr users={self._user} flags=assoc,qos"
        )
        if self._database is None and _enforces(told):
            self._database = self._ask(
                "sacctmgr",
                f"show qos format={_QOS_FORMAT}",
                f"show assoc user={self._user} format=account,partition,defaultqos,qos",
            )
        return parse_limits(told, self._database or "", self._user)

    def _ask(self, program: str, *questions: str) -> str:
        try:
            return self.tell(program, questions)
        except SlurmError:
            return ""


def user_name() -> str:
    """The user name of this process; empty if it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


_QOS_FORMAT = "name,grpsubmit,maxsubmitpu,maxsubmitpa,flags%200"
_QOS_FIELDS, _ASSOCIATION_FIELDS = 5, 4


def parse_limits(controller: str, database: str, user: str) -> Limits:
    """Limits from the output of scontrol (config, partitions, assoc_mgr) and sacctmgr (QOS, associations)."""
    size = _setting(controller, "MaxArraySize")
    jobs = _setting(controller, "MaxJobCount")
    usual = Limits()
    age = re.match(r"(\d+)", _setting(controller, "MinJobAge"))
    script = re.search(r"\bmax_script_size=(\d+)", _setting(controller, "SchedulerParameters"))
    limits = Limits(
        array_size=int(size) if size.isdigit() else usual.array_size,
        script_bytes=int(script[1]) if script else usual.script_bytes,
        min_job_age=(float(age[1]) or math.inf) if age else usual.min_job_age,
        # Less 1: with MaxJobCount=60, the 60th job is refused.
        jobs=Bound(limit=int(jobs) - 1, used=0, source="MaxJobCount of the cluster") if jobs.isdigit() else None,
    )
    if not _enforces(controller):
        return limits
    lines = [re.sub(r"^(scontrol: )+", "", line) for line in controller.splitlines()]
    associations = tuple(_association(line, user) for line in lines if line.startswith("ClusterName="))
    rows = [line.split("|") for line in database.splitlines()]
    of_database = {row[0]: row for row in rows if len(row) == _QOS_FIELDS}
    uid = next((found[1] for line in lines if (found := re.search(rf"UserName={re.escape(user)}\((\d+)\)", line))), "")
    told = {_field(line, "QOS").partition("(")[0]: line for line in lines if line.startswith("QOS=")}
    return replace(
        limits,
        associations=associations,
        qos={name: _qos(name, told.get(name, ""), of_database.get(name), uid) for name in {**of_database, **told}},
        default_qos={row[0]: _default_qos(row) for row in rows if len(row) == _ASSOCIATION_FIELDS},
        partition_qos=dict(_partition_qos(lines)),
    )


def _setting(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*= (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _enforces(controller: str) -> bool:
    return not {"limits", "safe", "all"}.isdisjoint(_setting(controller, "AccountingStorageEnforce").split(","))


def _field(line: str, name: str) -> str:
    found = re.search(rf"(?:^|\s){name}=(\S*)", line)
    return found[1] if found else ""


def _bound(text: str, source: str) -> Bound | None:
    """A bound from `LIMIT(USED)`; LIMIT is `N`, or the text empty, for no limit."""
    found = re.fullmatch(r"(\d+)\((\d+)\)", text)
    return Bound(limit=int(found[1]), used=int(found[2]), source=source) if found else None


def _association(line: str, user: str) -> Association:
    account, name = _field(line, "Account"), _field(line, "UserName").partition("(")[0]
    partition = _field(line, "Partition")
    where = f"{account} in partition {partition}" if partition else account
    whose = f"your association with account {where}" if name else f"account {account}"
    is_own = name == user
    return Association(
        account=account,
        user=name,
        partition=partition,
        parent=_field(line, "ParentAccount").partition("(")[0],
        is_default=is_own and _field(line, "DefAssoc") == "Yes",
        group=_bound(_field(line, "GrpSubmitJobs"), f"GrpSubmitJobs of {whose}"),
        # An account's MaxSubmitJobs is inherited by its users, whose own lines show it too.
        most=_bound(_field(line, "MaxSubmitJobs"), f"MaxSubmitJobs of {whose}") if is_own else None,
    )


def _qos(name: str, told: str, row: Sequence[str] | None, uid: str) -> Qos:
    """A QOS from slurmctld, which counts jobs, and from the database, for users that slurmctld has not counted yet."""
    _, group, per_user, per_account, flags = row or ("", "", "", "", "")
    of_accounts, _, of_users = told.partition("Account Limits=")[2].partition("User Limits=")
    users = _counts(of_users, "MaxSubmitJobsPU")
    accounts = _counts(of_accounts, "MaxSubmitJobsPA")

    def bound(text: str, word: str) -> Bound | None:
        return _bound(text, f"{word} of QOS {name}")

    def unlisted(counts: Mapping[str, str], limit: str) -> str:
        """For an owner that slurmctld has not counted: no jobs yet, and the limit that holds for all owners."""
        return f"{next((text.partition('(')[0] for text in counts.values()), limit)}(0)"

    by_account = {**accounts, "": unlisted(accounts, per_account)}
    return Qos(
        group=bound(_field(told, "GrpSubmitJobs") or f"{group}(0)", "GrpSubmitJobs"),
        user=bound(users.get(uid) or unlisted(users, per_user), "MaxSubmitJobsPerUser"),
        accounts={
            account: found for account, text in by_account.items() if (found := bound(text, "MaxSubmitJobsPerAccount"))
        },
        goes_first="OverPartQOS" in flags.split(","),
    )


def _counts(text: str, name: str) -> dict[str, str]:
    """`LIMIT(USED)` by owner, from `lab={… MaxSubmitJobsPA=2(1) …} other={…}`."""
    return {owner: _field(inside, name) for owner, inside in re.findall(r"(\S+?)=\{([^}]*)\}", text)}


def _default_qos(row: Sequence[str]) -> str:
    """The default QOS of a row account|partition|default|all; without a default, the only QOS in the list."""
    return row[2] or (row[3] if "," not in row[3] else "")


def _partition_qos(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if (name := _field(line, "PartitionName")) and (qos := _field(line, "QoS")) != "N/A":
            yield from [(name, qos), *([("", qos)] if _field(line, "Default") == "YES" else [])]


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
