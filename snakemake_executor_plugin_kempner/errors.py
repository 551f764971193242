"""All errors of this package, by who can fix them.

KempnerError
├── PlanError            the workflow cannot be planned; lists every fault
├── SlurmError           a Slurm command failed
│   ├── SlurmMissing     Slurm is not available on this machine
│   ├── OtherCluster     the run was started on another cluster
│   ├── UnknownCluster   a cluster that cannot be asked from this machine
│   ├── SlurmRefused     a request that will be refused again (wrong account, unknown partition, …)
│   └── SlurmUnreachable the controller did not answer in time; it may answer later
├── LedgerError          the run's ledger cannot be written or read
├── FolderInUse          another process looks after the runs of this folder
└── ClaimLost            another process has taken over from this process
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .printable import printable


class KempnerError(Exception):
    """Base of all errors of this package; its text is a complete message for the user."""

    @property
    def by_task(self) -> Mapping[str, tuple[str, str]]:
        """Label and fault of each task concerned, by the task's key; empty if no task is."""
        return {}

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A reason why a workflow cannot be planned."""

    where: str
    """The task, as `rule[wildcard=value]`."""
    what: str
    """What is wrong with which value."""
    remedy: str = ""
    """What to write instead."""
    tasks: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    """Key and label of each task concerned; empty if the whole workflow is."""

    def __str__(self) -> str:
        text = printable(f"{self.where}: {self.what}", keep="\n")
        return f"{text} ({self.remedy})" if self.remedy else text


_NAMED = 5
"""How many tasks or rules a shared message lists by name."""


def merged(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Merges faults with equal text; the merged fault lists the tasks or rules."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for fault in faults:
        where.setdefault((fault.what, fault.remedy), {})[fault.where] = None
    for (what, remedy), names in where.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield Fault(where=", ".join([*names][:_NAMED]) + more, what=what, remedy=remedy)


class PlanError(KempnerError):
    """The workflow cannot be submitted as it is. Nothing was submitted."""

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
    """A Slurm command failed.

    Args:
        message: the command and its answer.
        by_task: as the property, if Slurm has refused jobs of these tasks.
    """

    def __init__(self, message: str, by_task: Mapping[str, tuple[str, str]] | None = None) -> None:
        self._by_task = by_task or {}
        super().__init__(message)

    @property
    def by_task(self) -> Mapping[str, tuple[str, str]]:
        return self._by_task


class SlurmMissing(SlurmError):  # noqa: N818 - the tree above reads as sentences
    """Slurm is not available on this machine."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Slurm is not available here: {what}. Run this on a login node of the cluster, or start a private Slurm "
            "with 'python -m snakemake_executor_plugin_kempner.sandbox up'."
        )


class SlurmRefused(SlurmError):  # noqa: N818
    """Slurm has refused a request and would refuse it again."""

    def __init__(self, argv: Sequence[str], code: int, answer: str) -> None:
        self.argv, self.code, self.answer = tuple(argv), code, answer.strip()
        super().__init__(f"{argv[0]} refused (exit code {code}): {self.answer or 'no message'}")


class SlurmUnreachable(SlurmError):  # noqa: N818
    """slurmctld did not answer.

    Args:
        message: the command and its answer.
        in_doubt: Slurm may have carried out the request nevertheless.
    """

    def __init__(self, message: str, *, in_doubt: bool = True) -> None:
        self.in_doubt = in_doubt
        super().__init__(message)


class OtherCluster(SlurmError):  # noqa: N818
    """The run was started on another cluster, whose jobs this Slurm does not know.

    Args:
        run: its name.
        there: the cluster that it was started on.
        here: the cluster that answers.
        folder: of the run.
    """

    def __init__(self, run: str, there: str, here: str, folder: Path) -> None:
        super().__init__(
            f"Run {run} was started on {there}, and this Slurm is {here or 'another one'}: it does not know the jobs of that run, "
            "which may be queued or running there. Nothing was submitted, cancelled or closed. Give the command where the run was "
            "started (its login node, its SLURM_CONF), or name its cluster (--default-resources clusters=NAME). If that Slurm no longer exists, remove the record of the run and give the "
            f"command again: rm -r {shlex.quote(str(folder))}"
        )


class UnknownCluster(SlurmError):  # noqa: N818
    """A cluster that was named and cannot be asked from this machine.

    Args:
        name: of the cluster.
        known: names of the clusters that can be asked.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"Cluster {name} cannot be asked from here. Known here: {', '.join(known) or 'none'}.")


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
    """Another process has taken over, because this process was stopped for so long that it counted as gone."""

    def __init__(self, owner: str, successor: str) -> None:
        by = f"{successor} looks after it now" if successor else "another process has looked after it meanwhile"
        super().__init__(
            f"{owner} was stopped for so long that it counted as gone, and {by}. This process ends without submitting, "
            "cancelling or removing anything. To go on watching, give the same command again."
        )
