"""Copies of a workflow's sources in the folder of a run, for jobs that start when the head is gone.

Snakefiles, wrappers and files of `workflow.source_path` are in Snakemake's source cache, a temporary folder of the
head. Configuration files are read in place: a job opens them by the same names and gets the copies.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.sourcecache import infer_source_file
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from ..errors import Fault, LedgerError, PlanError
from ..layout import SOURCES

_BY_NAME = "by-name"
"""Folder in it, with the configuration files by their names."""
_OF_A_PROCESS = ("/dev/", "/proc/")
"""`/dev/stdin`, `/dev/fd/63`: a different file in each process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Folders of the workflow's sources in the head and in its jobs."""

    of_head: tuple[str, ...]
    """Folders that are deleted when the head ends."""
    kept: str
    """The source cache of the jobs; empty if each job makes its own."""

    def as_jobs_see(self, files: Iterable[str]) -> Iterator[str]:
        """The files by their paths in a job, without files that a job fetches itself."""
        for file in files:
            place = next((place for place in self.of_head if file.startswith(f"{place}/")), None)
            if place is None:
                yield file
            elif self.kept:
                yield self.kept + file.removeprefix(place)

    def without_place(self, text: str) -> str:
        """The text with source folders replaced, so that it is the same in every head and job."""
        for place in (*self.of_head, *filter(None, (self.kept,))):
            text = text.replace(f"{place}/", "<sources>/")
        return text


def keep_sources(workflow: Any, folder: Path) -> Sources:
    """Copy what jobs will read into the folder of a run, and let this process fetch what is still to come into it.

    Args:
        workflow: Snakemake's workflow object.
        folder: of the run.

    Raises:
        LedgerError: the copy cannot be made.
        PlanError: a file cannot be read a second time.
    """
    cache, kept = workflow.sourcecache, folder / SOURCES
    of_head = str(cache.runtime_cache_path)
    if of_head == str(kept):  # a job of the run, which reads the workflow from there itself
        return Sources(of_head=(), kept=of_head)
    read_by_name = tuple(dict.fromkeys(_configuration_files(workflow)))
    if faults := [fault for path in read_by_name if (fault := _unreadable(path)) is not None]:
        raise PlanError(faults)
    if SharedFSUsage.SOURCE_CACHE not in workflow.storage_settings.shared_fs_usage:
        return Sources(of_head=(of_head, str(cache.cache_path)), kept="")
    snakefile = str(workflow.main_snakefile)
    try:
        # First of all: what is fetched while the copy is made belongs to it.
        cache._runtime_cache_path = kept  # noqa: SLF001 - has no other name
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(of_head, kept, dirs_exist_ok=True)
        kept.chmod(0o700)
        for path in read_by_name:
            _copy(path, copy_of(kept, path))
        if _is_of_a_process(snakefile):
            _copy(cache.get_path(infer_source_file(snakefile)), copy_of(kept, snakefile))
    except (OSError, shutil.Error) as error:
        raise LedgerError(f"The workflow's sources cannot be copied to {kept}: {error}") from error
    return Sources(of_head=(of_head,), kept=str(kept))


def _configuration_files(workflow: Any) -> Iterator[str]:
    """Full paths; each `configfile:` is relative to another folder before the Snakefile's `workdir:` than after it."""
    for path in map(str, workflow.configfiles):
        found = [os.path.join(folder, path) for folder in (workflow.workdir_init, os.getcwd())]
        yield from [whole for whole in found if os.path.exists(whole)] or found[:1]


def _unreadable(path: str) -> Fault | None:
    if os.path.isfile(path):
        return None
    why = "it can be read only once" if os.path.exists(path) else "it is not there any more"
    what = f"each job reads this configuration file again, and {why}"
    return Fault(where=path, what=what, remedy="write it to a file that stays until the command has queued the jobs")


def _is_of_a_process(path: str) -> bool:
    return path.startswith(_OF_A_PROCESS) or (os.path.exists(path) and not os.path.isfile(path))


def _copy(path: str, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)
    copy.chmod(copy.stat().st_mode & 0o700)  # a configuration may hold passwords


# --- in a job -------------------------------------------------------------------------------------------------------


def copy_of(kept: Path, path: str | Path) -> Path:
    """Path of the copy of a configuration file; it need not exist."""
    return kept / _BY_NAME / os.path.abspath(path).lstrip("/")


def read_copies(kept: Path) -> None:
    """Make this process's Snakemake read configuration files as they were when the run began.

    Args:
        kept: the folder with the sources of the run.
    """
    from snakemake.common import configfile  # noqa: PLC0415 - a head does without
    from snakemake.workflow import Workflow  # noqa: PLC0415

    load, declare = configfile._load_configfile, Workflow.configfile  # noqa: SLF001 - everything goes through it

    def load_copy(file: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, str | Path) and (copy := copy_of(kept, file)).exists():
            file = copy
        return load(file, *args, **kwargs)

    def declare_copy(self: Any, path: Any) -> None:
        copy = copy_of(kept, path)
        declare(self, str(copy) if copy.exists() and not os.path.exists(path) else path)

    configfile._load_configfile, Workflow.configfile = load_copy, declare_copy  # noqa: SLF001
