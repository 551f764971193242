"""How a sandbox comes up: files, munged, the database if wanted, the controller, the nodes, a first job."""

import os
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from . import config, daemons
from .client import Client, until
from .ending import KEEPER, take_down
from .errors import NotReady
from .folder import Folder, SandboxRecord
from .options import SandboxOptions
from .place import SandboxPlace
from .processes import ProcessId

PORT_TAKEN = re.compile(r"already in use", re.IGNORECASE)
ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The requested sandbox: its folder and options."""

    home: Folder
    options: SandboxOptions
    accounting: bool = False
    temporary: bool = False
    """The folder is removed with the sandbox."""
    keep: bool = False
    """The sandbox outlives this process; else this process is its owner."""
    beside: SandboxRecord | None = None
    """The sandbox whose slurmdbd and munge key it shares, as another cluster of the same site."""


def bring_up(wish: Wish, programs: daemons.Programs) -> SandboxRecord:
    """Return the record of a sandbox that has run a first job; the caller holds the lock. On failure nothing runs on."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _Start(wish, programs, _blank_record(wish)).run()
        except NotReady as error:
            take_down(wish.home, spare_folder=True)
            if attempt == ATTEMPTS or not PORT_TAKEN.search(str(error)):
                raise
        except BaseException:
            take_down(wish.home, spare_folder=True)
            raise
    raise AssertionError


def _blank_record(wish: Wish) -> SandboxRecord:
    ports = daemons.draw_ports(len(wish.options.nodes))
    return SandboxRecord(
        root=wish.home.prepare(),
        nodes=tuple(node.name for node in wish.options.nodes),
        accounting=wish.accounting,
        ports=replace(ports, accounting=wish.beside.ports.accounting) if wish.beside else ports,
        temporary=wish.temporary,
    )


@dataclass
class _Start:
    """A single attempt; the record is written to disk after the start of each daemon."""

    wish: Wish
    programs: daemons.Programs
    record: SandboxRecord

    def run(self) -> SandboxRecord:
        home = self.wish.home
        launcher = daemons.Launcher(home, self.record.root, self.programs)
        client = Client(self.record.conf, self.programs)
        home.write(self.record)
        if not self.wish.keep:
            home.own(ProcessId.this())
            self._note(KEEPER, launcher.keeper())
        self._write_files()
        self._note("munged", launcher.munged())
        if self.record.accounting:
            self._start_accounting(launcher, client)
        self._note("slurmctld", launcher.controller(self.record.ports))
        for name in self.record.nodes:
            self._note(name, launcher.node(name))
        launcher.wait("slurmctld", self.record.processes["slurmctld"], client.controller_answers)
        wait_for_nodes(self.record.nodes, self.record, launcher, client)
        client.run_first_job()
        if self.wish.beside:
            self._wait_until_registered(client)
        if not self.wish.keep and not self.record.processes[KEEPER].is_alive:
            raise launcher.not_ready(KEEPER, "ended at once")
        return self.record

    def _note(self, name: str, process: ProcessId) -> None:
        self.record = replace(self.record, processes={**self.record.processes, name: process})
        self.wish.home.write(self.record)

    def _start_accounting(self, launcher: daemons.Launcher, client: Client) -> None:
        if self.wish.beside is None:
            launcher.install_database()
            self._note("mariadb", launcher.database())
            self._note("slurmdbd", launcher.accounting(self.record.ports))
        elif self._registered(client, "cluster"):  # by an attempt before, or by a sandbox that is gone
            return
        for line in config.sacctmgr_commands(self.wish.options, daemons.user_name()):
            client.run("sacctmgr", "--immediate", "--quiet", *line.split())

    def _wait_until_registered(self, client: Client) -> None:
        """Return when slurmdbd tells `--clusters` where this controller is."""
        port = str(self.record.ports.controller)
        until(
            lambda: self._registered(client, "controlport") == port,
            lambda: (
                f"slurmdbd does not know the port of {self.wish.options.cluster}:\n{self.wish.home.tail('slurmctld')}"
            ),
        )

    def _registered(self, client: Client, field: str) -> str:
        """What slurmdbd knows about this cluster; empty before it is added."""
        words = (
            "sacctmgr",
            "--noheader",
            "--parsable2",
            "show",
            "cluster",
            self.wish.options.cluster,
            f"format={field}",
        )
        return client.run(*words).strip()

    def _write_files(self) -> None:
        root = self.record.root
        place = SandboxPlace(
            root=PurePosixPath(root),
            host=self.record.host,
            user=daemons.user_name(),
            ports=self.record.ports,
            slurm_version=self.programs.slurm_version(),
            accounting=self.record.accounting,
            has_database=self.wish.beside is None,
            database_password=secrets.token_hex(16),
        )
        beside = self.wish.beside
        _write_private(
            root / "munge.key", secrets.token_bytes(128) if beside is None else (beside.root / "munge.key").read_bytes()
        )
        for name, text in config.files(self.wish.options, place).items():
            _write_private(root / name, text.encode())
        for number in range(max((node.gpus for node in self.wish.options.nodes), default=0)):
            # slurmd wants a character device and follows links: no right to make devices is needed.
            (root / "devices" / f"gpu{number}").symlink_to("/dev/null")


def wait_for_nodes(names: tuple[str, ...], record: SandboxRecord, launcher: daemons.Launcher, client: Client) -> None:
    """Return when the controller can use these nodes."""

    def all_usable() -> bool:
        missing = client.unusable_nodes(names)
        for name in missing:
            if not record.processes[name].is_alive:
                raise launcher.not_ready(name, "ended at once")
        return not missing

    def complaint() -> str:
        return f"not all nodes came up:\n{client.run('sinfo', '-N', '-a', '-l')}\n{launcher.folder.tail('slurmctld')}"

    until(all_usable, complaint)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
