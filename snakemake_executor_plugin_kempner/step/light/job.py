"""What a job is told: its spec, its own id, where its log is."""

from __future__ import annotations

import os
import sys

from .plain import loads, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WIDTH = 16
"""Bytes of an entry in the table of a manifest (`plan/manifest.py`)."""


def read_spec() -> dict[str, Any]:
    """The spec from standard input; an array element reads the part of its own from the manifest."""
    known: dict[str, Any] = loads(sys.stdin.read())
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as file:
            known |= read_line(file, int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))
    return known


def read_line(file: Any, index: int) -> dict[str, Any]:
    """The manifest's line for an element.

    Raises:
        ValueError: the manifest has no line for this index.
    """
    file.seek(index * _WIDTH)
    place = int(file.read(_WIDTH))
    if not place:
        raise ValueError(f"the manifest knows no element {index}")
    file.seek(place)
    line: dict[str, Any] = loads(file.readline().decode())
    return line


def own_job_id() -> str:
    """Id of this job, `123_4` inside an array; empty outside of a job."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID", "")


def log_path(pattern: str) -> str:
    folder, slash, name = pattern.rpartition("/")
    return folder + slash + name.replace("%A_%a", own_job_id()).replace("%j", own_job_id())


def open_log(spec: Any) -> None:
    """Redirect output to the log file, if Slurm could not be told its name; link to it under the name with its wildcards."""
    if spec.log:
        path = log_path(spec.log)
        try:
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            say(f"kempner: the log {path} cannot be opened: {error.strerror}")
        else:
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
    if spec.log_name:
        try:
            os.symlink(os.readlink("/proc/self/fd/1"), log_path(spec.log_name))
        except OSError:  # after a requeue it exists; otherwise the job can do without it
            return


class Spec:
    """The attributes of a `StepSpec`, from its JSON form."""

    def __init__(self, known: dict[str, Any]) -> None:
        vars(self).update(known)
