"""What a sandbox keeps on disk: its record, its owners, its lock. Starts no process and sends no signal.

    FOLDER/sandbox.json      the record: which processes are the sandbox; written after each start, so that a crash
                             at any line leaves nothing unknown
    FOLDER/owners/PID-START  an empty file for each owner process; without owners, the sandbox lives until stopped
    FOLDER/lock              held while the sandbox comes up or goes down
    FOLDER/log/              a log for each daemon; all that is left afterwards

Slurm's parser stops at a space, and a unix socket's path ends after 107 bytes. A folder that offends either is used
through a link with a harmless name (`Folder.root`).
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import NotRunning, SandboxError
from .place import Ports
from .processes import Jobs, ProcessId

RECORD_VERSION = 1
HARMLESS = re.compile(r"/[A-Za-z0-9_./+-]{1,59}")
"""A path for Slurm's files: 60 bytes leave room for `/spool/NODE/NODE_JOBID.STEPID` within 107."""


def _boot() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id} {os.readlink('/proc/self/ns/pid')}"


@dataclass(frozen=True, kw_only=True)
class SandboxRecord:
    """The state of a sandbox, as another process can take it over."""

    root: Path
    """The folder in its harmless spelling; SLURM_CONF lies in it."""
    nodes: tuple[str, ...]
    accounting: bool
    ports: Ports
    temporary: bool
    """Whether the folder was made for this sandbox and goes with it."""
    host: str = field(default_factory=socket.gethostname)
    boot: str = field(default_factory=_boot)
    """Identifies this boot of this machine (or container): process ids of another boot are meaningless here."""
    processes: dict[str, ProcessId] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """The file `SLURM_CONF` names."""
        return self.root / "slurm.conf"

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine wrote it, whose processes cannot be seen from here."""
        return self.boot != _boot() and self.host != socket.gethostname()

    @property
    def living(self) -> dict[str, ProcessId]:
        """The processes of the record that still run."""
        if self.boot != _boot():
            return {}
        return {name: process for name, process in self.processes.items() if process.is_alive}

    @property
    def lives(self) -> bool:
        """Whether there still is a sandbox: without its controller the rest is of no use."""
        return "slurmctld" in self.living


@dataclass(frozen=True)
class Folder:
    """The folder of a sandbox."""

    path: Path

    @property
    def log(self) -> Path:
        """Folder of the daemons' logs."""
        return self.path / "log"

    @property
    def record(self) -> SandboxRecord:
        """The record of the sandbox that was started here."""
        record = self.read()
        if record is None:
            msg = f"no sandbox lives in {self.path}"
            raise NotRunning(msg)
        return record

    def read(self) -> SandboxRecord | None:
        """Return the record, None if no sandbox was started here (or it was taken down)."""
        try:
            text = (self.path / "sandbox.json").read_text()
        except FileNotFoundError:
            return None
        try:
            return _record(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self.path}/sandbox.json is not the record of a sandbox that this version knows: {error!r}"
            raise SandboxError(msg) from error

    def write(self, record: SandboxRecord) -> None:
        """Replace the record, whole or not at all."""
        data = {"version": RECORD_VERSION, **asdict(record), "root": str(record.root)}
        new = self.path / "sandbox.json.new"
        new.write_text(json.dumps(data, indent=1))
        new.replace(self.path / "sandbox.json")

    def prepare(self) -> Path:
        """Make the empty folders that the daemons expect and return the harmless spelling of the folder."""
        _remove(self.log)
        for name in ("log", "state", "spool", "devices", "owners", "scratch"):
            (self.path / name).mkdir(exist_ok=True)
        self.path.chmod(0o700)
        return self._harmless()

    def clear(self, record: SandboxRecord | None) -> None:
        """Remove everything but logs and lock, last of all the record; a temporary folder goes whole."""
        if record is not None:
            self.unlink(record)
        for entry in self.path.iterdir():
            if entry.name not in {"log", "lock", "sandbox.json"}:
                _remove(entry)
        (self.path / "sandbox.json").unlink(missing_ok=True)
        if record is not None and record.temporary:
            _remove(self.path)

    def unlink(self, record: SandboxRecord) -> None:
        """Remove the link through which Slurm reached a folder with an offending name, if any."""
        if record.root != self.path:
            with contextlib.suppress(FileNotFoundError):
                record.root.unlink()
                record.root.parent.rmdir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, waiting for it; the folder is made if need be."""
        while True:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.path / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Whoever held it may have removed the folder meanwhile: then this is the lock of nothing.
                if _same_file(lock.fileno(), self.path / "lock"):
                    yield
                    return

    def own(self, process: ProcessId) -> None:
        """Note that this process wants the sandbox to live."""
        (self.path / "owners" / f"{process.pid}-{process.started}").touch()

    def disown(self, process: ProcessId) -> None:
        """Take that back."""
        (self.path / "owners" / f"{process.pid}-{process.started}").unlink(missing_ok=True)

    def owners(self) -> list[ProcessId]:
        """Return the owners that still run."""
        try:
            names = os.listdir(self.path / "owners")
        except FileNotFoundError:
            return []
        found = (ProcessId(*map(int, name.split("-"))) for name in names)
        return [process for process in found if process.is_alive]

    def jobs(self, record: SandboxRecord) -> Jobs:
        """Return what the processes of all its jobs have in common."""
        return Jobs(conf=record.conf, log=self.log, nodes=frozenset(record.nodes))

    def tail(self, daemon: str, lines: int = 15) -> str:
        """Return the end of a daemon's log, and of its output before it opened the log."""
        texts = []
        for name in (f"{daemon}.out", f"{daemon}.log"):
            with contextlib.suppress(FileNotFoundError):
                texts += (self.log / name).read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"    {text}" for text in texts)

    def _harmless(self) -> Path:
        if HARMLESS.fullmatch(str(self.path)):
            return self.path
        link = temporary_folder() / "folder"
        link.symlink_to(self.path)
        return link


def temporary_folder() -> Path:
    """Make a private folder whose path Slurm can stand."""
    wanted = Path(tempfile.gettempdir())
    # Leave room for the name that mkdtemp makes up.
    parent = wanted if HARMLESS.fullmatch(f"{wanted}/kempner-sandbox-12345678/folder") else Path("/tmp")  # noqa: S108
    return Path(tempfile.mkdtemp(prefix="kempner-sandbox-", dir=parent))


def _record(data: dict[str, Any]) -> SandboxRecord:
    if data.pop("version") != RECORD_VERSION:
        msg = "another version wrote it"
        raise ValueError(msg)
    ports = data["ports"]
    return SandboxRecord(
        root=Path(data["root"]),
        nodes=tuple(data["nodes"]),
        accounting=data["accounting"],
        ports=Ports(
            controller=ports["controller"],
            accounting=ports["accounting"],
            nodes=tuple(ports["nodes"]),
            only_loopback=ports.get("only_loopback", False),
        ),
        temporary=data["temporary"],
        host=data["host"],
        boot=data["boot"],
        processes={name: ProcessId(**value) for name, value in data["processes"].items()},
    )


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
