"""Units of submission in Snakemake's DAG: single jobs and group jobs."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..plan.task import label


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What to read from the DAG."""

    folder: str
    """Of the run."""
    ready: Collection[Any]
    """Jobs whose inputs exist, as Snakemake's scheduler found; they are never deferred."""
    known: Callable[[str], bool]
    """Whether a task with this key has been submitted; such tasks are not read again."""
    in_flight: Collection[str]
    """Keys of submitted tasks that have not ended. Other tasks wait for them even if their files exist; some may be
    missing from the DAG, if another command has submitted them."""
    limited: Collection[str] = ()
    """Resources with a limit for all tasks together."""
    detached: bool = False
    """The run has no head: local rules become tasks."""
    has_light_jobs: bool = False
    """Tasks whose command is known run it without Snakemake."""
    ends_itself: bool = False
    """The run can end without a head: its jobs leave marks, and remove temporary files themselves."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Groups that an earlier process has submitted, by the keys of their members."""


def task_key(job: Any) -> str:
    """Digest of rule, wildcards and outputs (of each member for a group); the same after the DAG was rebuilt."""
    if not job.is_group():
        return digest(_identity(job))
    return digest([text for member in sorted(map(_identity, job.jobs)) for text in (str(len(member)), *member)])


def key_in(groups: Mapping[str, str], job: Any) -> str:
    """The key of the task that does the work of a job: of a group in flight, for what is left of it, else its own."""
    if groups:
        found = {groups.get(task_key(member), "") for member in members_of(job)}
        if len(found) == 1 and (group := found.pop()):
            return group
    return task_key(job)


def is_half_in(groups: Mapping[str, str], job: Any) -> bool:
    """Whether a group has members of a group in flight, and others besides."""
    return job.is_group() and len({groups.get(task_key(member), "") for member in members_of(job)}) > 1


def task_keys(dag: Any) -> set[str]:
    """Keys of all units of a DAG, done or not."""
    return {task_key(dag.get_job_group(job) or job) for job in dag.jobs}


def _identity(job: Any) -> list[str]:
    wildcards = [text for item in sorted(job.wildcards_dict.items()) for text in item]
    return [job.rule.name, *map(str, wildcards), "", *map(in_this_folder, job.output)]


def in_this_folder(file: Any) -> str:
    """The path of a file, relative if it lies below the working directory, which may have another path tomorrow."""
    path = str(file)
    return path.removeprefix(f"{os.getcwd()}/") if path.startswith("/") else path


def digest(texts: Iterable[str]) -> str:
    """A digest of these texts in this order, joined by NUL, which no file name contains."""
    joined = "\0".join(texts).encode(errors="surrogatepass")
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def job_label(job: Any) -> str:
    return label(name_of(job), wildcards_of(job))


def members_of(job: Any) -> Collection[Any]:
    return job.jobs if job.is_group() else (job,)


def may_go_inside(dag: Any, unit: Any) -> set[Any]:
    """Outputs of a group that one of its own tasks may remove: nobody outside reads them, and they are no targets.

    A task that ran after the one that made them shows that this one has succeeded. Snakemake itself has looked at the
    outputs when that task ended, and does not look at them again in a local run.
    """
    if not unit.is_group():
        return set()
    found: set[Any] = set()
    read_outside: set[Any] = set(dag.targetfiles)
    for member in unit.jobs:
        readers = dag.depending[member]
        if not unit.jobs.isdisjoint(readers):
            found.update(member.output)
        read_outside.update(*(files for reader, files in readers.items() if reader not in unit.jobs))
    return found - read_outside


def name_of(job: Any) -> str:
    return str(job.name)


def wildcards_of(job: Any) -> dict[str, str]:
    return {} if job.is_group() else texts(job.wildcards_dict)


def texts(values: dict[str, Any]) -> dict[str, str]:
    """Wildcard values as texts; the dictionary itself, without a copy, if all are texts already."""
    if {str}.issuperset(map(type, values.values())):
        return values
    return {name: str(value) for name, value in values.items()}


def is_plain(files: Iterable[Any]) -> bool:
    """None of the files has a flag (`ancient`, `temp`, a storage, …)."""
    return not any([file.flags for file in files])  # noqa: C419 - a generator takes twice as long, for many files


def does_nothing(job: Any) -> bool:
    """Whether the job has neither command nor outputs (`rule all`): it only names files, and no job can wait for it."""
    return bool(not job.is_group() and job.is_norun and not job.output)


class Units:
    """The units of a DAG: groups, and jobs without a group.

    Args:
        dag: Snakemake's.
        scope: what to read from it.
    """

    def __init__(self, dag: Any, scope: Scope) -> None:
        self._dag, self._scope = dag, scope
        self._wanted = set(dag.needrun_jobs())
        self._keys: dict[Any, str] = {}

    def all(self) -> Iterable[Any]:
        """Units that need to run, in Snakemake's order of discovery: from the targets, input by input."""
        return dict.fromkeys(self.of(job) for job in self._dag.jobs if job in self._wanted)

    def of(self, job: Any) -> Any:
        """The unit of a job: its group, or itself."""
        return self._dag.get_job_group(job) or job

    def before(self, unit: Any) -> tuple[Any, ...]:
        """Units that must end before a unit may start: from edges of the DAG, never from file names."""
        found = {
            self.of(dependency): None
            for member in members_of(unit)
            for dependency in self._dag.dependencies[member]
            if self.is_open(dependency)
        }
        found.pop(unit, None)
        return tuple(found)

    def holds_all_readers(self) -> bool:
        """Whether all future readers of files are in the DAG: no checkpoint or input queue is open, and no task of
        another command is in flight.
        """
        if any(job.is_checkpoint and self.is_open(job) for job in self._dag.jobs):
            return False
        if self._dag.has_unfinished_queue_input_jobs():
            return False
        others = set(self._scope.in_flight)
        return not others or others <= {self.key(self.of(job)) for job in self._dag.jobs}

    def is_wanted(self, job: Any) -> bool:
        """Whether the job needs to run."""
        return job in self._wanted

    def is_open(self, job: Any) -> bool:
        """Whether other jobs must wait for it: it needs to run, or is in flight though its files may look finished."""
        return job in self._wanted or self.key(self.of(job)) in self._scope.in_flight

    def key(self, job: Any) -> str:
        """The key of the task of a unit, or of a job that need not run; cached."""
        key = self._keys.get(job)
        if key is None:
            is_to_run = job.is_group() or job in self._wanted
            key = self._keys[job] = key_in(self._scope.groups, job) if is_to_run else task_key(job)
        return key
