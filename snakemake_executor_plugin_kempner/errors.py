"""Everything that can go wrong, by who can mend it.

KempnerError
├── PlanError            the workflow: what it asks for cannot be planned; lists every fault
├── SlurmError           the cluster said no
│   ├── SlurmMissing     no Slurm to talk to from this machine
│   ├── SlurmRefused     a request that will be refused again (wrong account, unknown partition, …)
│   └── SlurmUnreachable the controller did not answer in time; it may answer later
├── LedgerError          our own record on the file system cannot be written or read
├── FolderInUse          another process looks after the runs of this folder
└── ClaimLost            another process has taken over from this one
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .printable import printable


class KempnerError(Exception):
    """Base of all errors of this package: one clean message for the user."""

    @property
    def by_task(self) -> Mapping[str, tuple[str, str]]:
        """Label of each task at fault and what is wrong with it, by the task's key; none where it is no task's fault."""
        return {}

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing in a workflow that cannot be planned."""

    where: str
    """The task, as `rule[wildcard=value]`."""
    what: str
    """What is wrong with which value."""
    remedy: str = ""
    """What to write instead."""
    tasks: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    """Key and label of each task that it is about; none where it is about the workflow."""

    def __str__(self) -> str:
        text = printable(f"{self.where}: {self.what}", keep="\n")
        return f"{text} ({self.remedy})" if self.remedy else text


_NAMED = 5
"""Tasks or rules that are named of which the same is said."""


def merged(faults: Iterable[Fault]) -> Iterator[Fault]:
    """What is said in the same words of several tasks or rules, once."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for fault in faults:
        where.setdefault((fault.what, fault.remedy), {})[fault.where] = None
    for (what, remedy), names in where.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield Fault(where=", ".join([*names][:_NAMED]) + more, what=what, remedy=remedy)


class PlanError(KempnerError):
    """The workflow asks for something that cannot be submitted. Nothing was submitted."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        lines = [f"  - {fault}" for fault in merged(self.faults)]
        head = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        super().__init__("\n".join([f"{head} found before anything was submitted:", *lines]))

    @property
    def by_task(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for fault in self.faults:
            what = f"{fault.what} ({fault.remedy})" if fault.remedy else fault.what
            for key, label in fault.tasks:
                found[key] = label, "; ".join(filter(None, (found.get(key, ("", ""))[1], what)))
        return found


class SlurmError(KempnerError):
    """A Slurm command did not do what it was asked to.

    Args:
        message: what was asked and what came back.
        by_task: as the property, where a job of these tasks was refused.
    """

    def __init__(self, message: str, by_task: Mapping[str, tuple[str, str]] | None = None) -> None:
        self._by_task = by_task or {}
        super().__init__(message)

    @property
    def by_task(self) -> Mapping[str, tuple[str, str]]:
        return self._by_task


class SlurmMissing(SlurmError):  # noqa: N818 - the tree above reads as sentences
    """There is no Slurm to talk to from this machine."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Slurm is not available here: {what}. Run this on a login node of the cluster, or start a private Slurm "
            "with 'python -m snakemake_executor_plugin_kempner.sandbox up'."
        )


class SlurmRefused(SlurmError):  # noqa: N818
    """Slurm refused a request for a reason that waiting does not change."""

    def __init__(self, argv: Sequence[str], code: int, answer: str) -> None:
        self.argv, self.code, self.answer = tuple(argv), code, answer.strip()
        super().__init__(f"{argv[0]} refused (exit code {code}): {self.answer or 'no message'}")


class SlurmUnreachable(SlurmError):  # noqa: N818
    """The controller did not answer.

    Args:
        message: what was asked and what came back.
        in_doubt: the request may have been carried out all the same.
    """

    def __init__(self, message: str, *, in_doubt: bool = True) -> None:
        self.in_doubt = in_doubt
        super().__init__(message)


class LedgerError(KempnerError):
    """The record of a run cannot be written or read, so nothing may be submitted."""


class FolderInUse(KempnerError):  # noqa: N818
    """Another process looks after the runs of this folder."""

    def __init__(self, owner: str, what_to_do: str = "wait for it, or end it first.") -> None:
        super().__init__(
            f"{owner} looks after the runs in this folder already. Two at a time would submit the same tasks twice; "
            f"{what_to_do}"
        )


class ClaimLost(KempnerError):  # noqa: N818
    """Another process has taken over from this one, which was stopped for so long that it counted as gone."""

    def __init__(self, owner: str, successor: str) -> None:
        by = f"{successor} looks after it now" if successor else "another process has looked after it meanwhile"
        super().__init__(
            f"{owner} was stopped for so long that it counted as gone, and {by}. This process ends without submitting, "
            "cancelling or removing anything. To go on watching, give the same command again."
        )
