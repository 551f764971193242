"""Reads the limits on jobs in the queue from Slurm.

All answers are optional: a limit that cannot be read is not applied here, and sbatch refuses jobs above it.
"""

import math
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import SlurmError
from ..notation import whole_number
from .submit_limits import Association, Bound, Limits, Qos

Tell = Callable[[str, Sequence[str]], str]
"""A program's answers to several queries, in a single text; `SlurmCommands.tell`."""


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
                f"show assoc cluster={_setting(told, 'ClusterName')} user={self._user} format=account,partition,defaultqos,qos",
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
    size = whole_number(_setting(controller, "MaxArraySize"))
    jobs = whole_number(_setting(controller, "MaxJobCount"))
    usual = Limits()
    age = re.match(r"([0-9]{1,9})", _setting(controller, "MinJobAge"))
    script = re.search(r"\bmax_script_size=([0-9]{1,18})", _setting(controller, "SchedulerParameters"))
    limits = Limits(
        array_size=usual.array_size if size is None else size,
        script_bytes=int(script[1]) if script else usual.script_bytes,
        min_job_age=(float(age[1]) or math.inf) if age else usual.min_job_age,
        # Less 1: with MaxJobCount=60, the 60th job is refused.
        jobs=None if jobs is None else Bound(limit=jobs - 1, used=0, source="MaxJobCount of the cluster"),
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
    found = re.fullmatch(r"([0-9]{1,18})\(([0-9]{1,18})\)", text)
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
    """`LIMIT(USED)` by owner, from `lab={… MaxSubmitJobsPA=2(1) …} other={…}`; a user is `0=` in 22.05, `root(0)=` in 24.11."""
    found = re.findall(r"(?:[^\s=(]*\((\d+)\)|(\S+?))=\{([^}]*)\}", text)
    return {uid or owner: _field(inside, name) for uid, owner, inside in found}


def _default_qos(row: Sequence[str]) -> str:
    """The default QOS of a row account|partition|default|all; without a default, the only QOS in the list."""
    return row[2] or (row[3] if "," not in row[3] else "")


def _partition_qos(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if (name := _field(line, "PartitionName")) and (qos := _field(line, "QoS")) != "N/A":
            yield from [(name, qos), *([("", qos)] if _field(line, "Default") == "YES" else [])]
