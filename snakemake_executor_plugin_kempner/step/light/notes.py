"""Snakemake's notes in its folder `.snakemake`: which outputs are incomplete, and how each of them was made."""

from __future__ import annotations

import binascii
import errno
import os
import stat
import time

from .files import digest, read, time_of
from .plain import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_INCOMPLETE, _METADATA = "incomplete", "metadata"


class Notes:
    """The notes on the outputs of a job, as `FilePersistence` keeps them.

    Args:
        folder: Snakemake's, `.snakemake`.
        outputs: of the job.
    """

    def __init__(self, folder: str, outputs: Iterable[str]) -> None:
        self._folder, self._outputs = folder, outputs

    def begin(self) -> None:
        """`PersistenceBase.started`: an output that is there is not complete."""
        for path in self._outputs:
            self._write(_INCOMPLETE, path, {"external_jobid": None})

    def finish(self, record: Mapping[str, Any]) -> None:
        """`PersistenceBase.finished`: record how the outputs were made, unless the record is empty.

        Args:
            record: the same for all outputs, with places for `starttime` and `endtime`.
        """
        now = time.time()
        for path in self._outputs if record else ():
            ended = time_of(path) if os.path.exists(path) else now
            self._write(_METADATA, path, {**record, "starttime": self._start(path) or now, "endtime": ended})
        for path in self._outputs:
            self._delete(_INCOMPLETE, path)

    def forget(self) -> None:
        """`PersistenceBase.cleanup`."""
        for path in self._outputs:
            self._delete(_INCOMPLETE, path)
            self._delete(_METADATA, path)

    def _start(self, path: str) -> float | None:
        """`FilePersistence._get_recorded_starttime`."""
        try:
            return os.path.getmtime(self._place(_INCOMPLETE, path))
        except OSError:
            written = read(self._place(_METADATA, path))
        try:
            return loads(written).get("starttime") if written else None
        except (ValueError, AttributeError):
            return None

    def _place(self, kind: str, path: str) -> str:
        """`FilePersistence._record_path`."""
        folder = f"{self._folder}/{kind}"
        try:
            longest = (os.pathconf(folder, "PC_NAME_MAX") or 255) - 1
        except OSError:
            longest = 254
        name = binascii.b2a_base64(path.encode(), newline=False).decode().replace("+", "-").replace("/", "_")
        parts = [name[start : start + longest] for start in range(0, len(name), longest)]
        return "/".join([folder, *(f"@{part}" for part in parts[:-1]), parts[-1]])

    def _write(self, kind: str, path: str, value: Mapping[str, Any]) -> None:
        """`FilePersistence._io_write`."""
        place, mode = self._place(kind, path), 0o660
        try:
            mode |= stat.S_IMODE(os.stat(place).st_mode)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(dumps(value))
        os.chmod(place, mode)

    def _delete(self, kind: str, path: str) -> None:
        """`FilePersistence._io_delete`."""
        place = self._place(kind, path)
        try:
            os.remove(place)
            if os.path.dirname(place) != f"{self._folder}/{kind}":
                os.removedirs(os.path.dirname(place))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


def input_digest(path: str, largest: int) -> str | None:
    """`_IOFile.checksum`, of inputs of a job; None if Snakemake records none."""
    if not os.path.exists(path) or os.path.isdir(path):
        return None
    status = os.stat(path)
    if status.st_size > largest or stat.S_ISFIFO(status.st_mode):
        return None
    return digest(path, "sha256")
