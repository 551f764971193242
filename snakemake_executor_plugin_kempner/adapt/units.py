"""The jobs of Snakemake's DAG as they are submitted: alone, or with the group that they belong to."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ..plan.model import label


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a reading is to describe."""

    folder: str
    """Of the run."""
    ready: Collection[Any]
    """Jobs whose inputs exist, as Snakemake's scheduler found; they are never deferred."""
    known: Callable[[str], bool]
    """Whether a task of this key has been submitted; those are not described again."""
    in_flight: Collection[str]
    """Keys of the tasks that have been submitted and have not ended. They are waited for even where Snakemake finds their
    files in place; the DAG need not hold all of them, for another command may have asked for them."""
    limited: Collection[str] = ()
    """Resources that all tasks together may take only so much of."""
    detached: bool = False
    """No head will be there: local rules are tasks like any other."""
    ends_itself: bool = False
    """The run does not need a head to end: its jobs leave marks, and remove temporary files by themselves."""


def task_key(job: Any) -> str:
    """Digest of rule, wildcards and outputs, of each member for a group: the same after a DAG was rebuilt."""
    if not job.is_group():
        return digest(_identity(job))
    return digest([text for member in sorted(map(_identity, job.jobs)) for text in (str(len(member)), *member)])


def task_keys(dag: Any) -> set[str]:
    """Keys of all that a DAG holds, done or not."""
    return {task_key(dag.get_job_group(job) or job) for job in dag.jobs}


def _identity(job: Any) -> list[str]:
    wildcards = [text for item in sorted(job.wildcards_dict.items()) for text in item]
    return [job.rule.name, *map(str, wildcards), "", *map(in_this_folder, job.output)]


def in_this_folder(file: Any) -> str:
    """The path of a file, relative if it lies below the working directory, which may have another path tomorrow."""
    path = str(file)
    return path.removeprefix(f"{os.getcwd()}/") if path.startswith("/") else path


def digest(texts: Iterable[str]) -> str:
    """One for these texts in this order; no file's name has the character that is put between them."""
    joined = "\0".join(texts).encode(errors="surrogatepass")
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def job_label(job: Any) -> str:
    return label(name_of(job), wildcards_of(job))


def members_of(job: Any) -> Collection[Any]:
    return job.jobs if job.is_group() else (job,)


def name_of(job: Any) -> str:
    return str(job.name)


def wildcards_of(job: Any) -> dict[str, str]:
    return {} if job.is_group() else texts(job.wildcards_dict)


def texts(values: dict[str, Any]) -> dict[str, str]:
    """The wildcards as they are where all are texts, as Snakemake's own are; nobody writes to them."""
    if {str}.issuperset(map(type, values.values())):
        return values
    return {name: str(value) for name, value in values.items()}


def is_plain(files: Iterable[Any]) -> bool:
    """Nothing is said of any of the files (`ancient`, `temp`, a storage, …)."""
    return not any([file.flags for file in files])  # noqa: C419 - a generator takes as long again, and there are many


def does_nothing(job: Any) -> bool:
    """A rule without a command and without outputs (`rule all`): it only names files, and nothing can wait for it."""
    return bool(not job.is_group() and job.is_norun and not job.output)


class Units:
    """Jobs that belong to no group, and groups.

    Args:
        dag: Snakemake's.
        scope: what a reading of it is to describe.
    """

    def __init__(self, dag: Any, scope: Scope) -> None:
        self._dag, self._scope = dag, scope
        self._wanted = set(dag.needrun_jobs())
        self._keys: dict[Any, str] = {}

    def all(self) -> Iterable[Any]:
        """Those that have to run, in the order in which Snakemake has found them: from the targets on, input by input."""
        return dict.fromkeys(self.of(job) for job in self._dag.jobs if job in self._wanted)

    def of(self, job: Any) -> Any:
        """What the job is submitted as."""
        return self._dag.get_job_group(job) or job

    def before(self, unit: Any) -> tuple[Any, ...]:
        """What has to end before a unit may start: edges of the DAG, never file names."""
        found = {
            self.of(dependency): None
            for member in members_of(unit)
            for dependency in self._dag.dependencies[member]
            if self.is_open(dependency)
        }
        found.pop(unit, None)
        return tuple(found)

    def holds_all_readers(self) -> bool:
        """Whether the DAG holds each job that is still to read a file: no checkpoint or queue of inputs brings more, and
        no task of another command is in flight.
        """
        if any(job.is_checkpoint and self.is_open(job) for job in self._dag.jobs):
            return False
        if self._dag.has_unfinished_queue_input_jobs():
            return False
        others = set(self._scope.in_flight)
        return not others or others <= {self.key(self.of(job)) for job in self._dag.jobs}

    def is_wanted(self, job: Any) -> bool:
        """Whether Snakemake has to run it and has not."""
        return job in self._wanted

    def is_open(self, job: Any) -> bool:
        """Whether something has to wait for it: a job of an earlier run may be in flight for files that look finished."""
        return job in self._wanted or self.key(self.of(job)) in self._scope.in_flight

    def key(self, job: Any) -> str:
        """As `task_key`, asked for more than once."""
        key = self._keys.get(job)
        if key is None:
            key = self._keys[job] = task_key(job)
        return key
