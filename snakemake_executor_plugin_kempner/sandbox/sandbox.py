"""The sandbox for its users: a real Slurm on a single machine, to start, use, break and stop.

A sandbox lives in a folder, on ports of its own, with its own munge key; the machine's own Slurm, if any, is neither
read nor written. It ends with `stop`, or when the last process that owns it is gone, for which a *keeper*
process looks once a second. One that was started with `keep=True` has no owner and lives until it is stopped.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from . import daemons, processes
from .client import PATIENCE, Client, until
from .ending import make_way, take_down
from .errors import NotReady, NotRunning, SandboxError
from .folder import Folder, temporary_folder
from .options import SandboxOptions
from .processes import ProcessId
from .starting import Wish, bring_up, wait_for_nodes


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox; as a context manager it is taken down at the end."""

    home: Folder
    client: Client

    @classmethod
    def start(
        cls,
        folder: Path | str | None = None,
        *,
        accounting: bool = False,
        options: SandboxOptions | None = None,
        keep: bool = False,
        beside: "Sandbox | None" = None,
    ) -> Self:
        """Bring a sandbox up and return when it has run a first job.

        Without a folder it gets a temporary folder, which is removed when it stops. With `keep` it outlives this
        process. `beside` makes it another cluster of the site of a sandbox with accounting: both have one slurmdbd, and
        `--clusters` finds either from the other. It needs a name of its own (`SandboxOptions.cluster`).
        """
        accounting = accounting or beside is not None
        programs = daemons.Programs.find(accounting=accounting)
        home = Folder(temporary_folder()) if folder is None else _folder(folder)
        wish = Wish(
            home=home,
            options=options or SandboxOptions(),
            accounting=accounting,
            temporary=folder is None,
            keep=keep,
            beside=beside.home.record if beside else None,
        )
        if beside is not None:
            _check_neighbour(beside, wish)
        with home.locked():
            make_way(home)
            return cls(home, Client(bring_up(wish, programs).conf, programs))

    @classmethod
    def attach(cls, folder: Path | str) -> Self:
        """Return the sandbox that lives in this folder."""
        home = _folder(folder)
        record = home.read()
        if record is None or not record.lives:
            msg = f"no sandbox lives in {home.path}"
            raise NotRunning(msg)
        return cls(home, Client(record.conf, daemons.Programs.find(accounting=record.accounting)))

    @classmethod
    def share(cls, folder: Path | str, *, accounting: bool = False, options: SandboxOptions | None = None) -> Self:
        """Become an owner of the sandbox in this folder, bringing it up if nobody did yet. Ends with `leave`."""
        programs = daemons.Programs.find(accounting=accounting)
        home = _folder(folder)
        with home.locked():
            record = home.read()
            if record is not None and record.lives:
                home.own(ProcessId.this())
            else:
                make_way(home)
                wish = Wish(home=home, options=options or SandboxOptions(), accounting=accounting)
                record = bring_up(wish, programs)
        return cls(home, Client(record.conf, programs))

    def leave(self) -> None:
        """Own a shared sandbox no longer; the last owner takes it down."""
        with self.home.locked():
            self.home.disown(ProcessId.this())
            if not self.home.owners():
                take_down(self.home)

    def stop(self) -> None:
        """Take the sandbox down at once, whoever else owns it; its jobs are killed. Twice is fine."""
        if self.home.read() is not None:
            with self.home.locked():
                take_down(self.home)

    def __enter__(self) -> Self:
        """Return the sandbox itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it down."""
        self.stop()

    @property
    def conf(self) -> Path:
        """The file to name in `SLURM_CONF`."""
        return self.client.conf

    @property
    def folder(self) -> Path:
        """The folder as the user gave it; the logs are in `log` below it."""
        return self.home.path

    @property
    def environment(self) -> dict[str, str]:
        """A fresh copy of this process's environment, in which Slurm's commands speak to this sandbox."""
        return self.client.environment

    def run(self, *argv: str, stdin: str | None = None, timeout: float = PATIENCE) -> str:
        """Run a command against this sandbox and return its output; a failure raises SandboxError."""
        return self.client.run(*argv, stdin=stdin, timeout=timeout)

    def drain(self, *, timeout: float = PATIENCE) -> None:
        """Cancel every job, also of others that share the sandbox, and return when the queue is empty."""
        self.client.drain(timeout=timeout)

    def stop_controller(self, *, hard: bool = False) -> None:
        """End slurmctld as an administrator does; `hard`: as a power cut does."""
        self._stop("slurmctld", hard=hard)

    def start_controller(self) -> None:
        """Start slurmctld again on the state it left; jobs may wait for its first scheduling a few seconds."""
        self._restart("slurmctld", lambda launcher: launcher.controller(self.home.record.ports))
        until(self.client.controller_answers, lambda: "slurmctld does not answer")

    def pause_controller(self) -> None:
        """Freeze slurmctld: it accepts connections and never answers."""
        self._process("slurmctld").send(signal.SIGSTOP)

    def resume_controller(self) -> None:
        """Let a frozen slurmctld go on."""
        self._process("slurmctld").send(signal.SIGCONT)

    def stop_accounting(self, *, hard: bool = False) -> None:
        """End slurmdbd, not its database."""
        self._stop("slurmdbd", hard=hard)

    def start_accounting(self) -> None:
        """Start slurmdbd again."""
        self._restart("slurmdbd", lambda launcher: launcher.accounting(self.home.record.ports))

    def pause_accounting(self) -> None:
        """Freeze slurmdbd."""
        self._process("slurmdbd").send(signal.SIGSTOP)

    def resume_accounting(self) -> None:
        """Let a frozen slurmdbd go on."""
        self._process("slurmdbd").send(signal.SIGCONT)

    def stop_node(self, name: str, *, with_jobs: bool = True) -> None:
        """Crash a node. With `with_jobs=False` only its slurmd dies, and its jobs run on unattended."""
        self._stop(name, hard=True)
        if with_jobs:
            processes.kill_jobs(replace(self.home.jobs(self.home.record), nodes=frozenset({name})))

    def start_node(self, name: str) -> None:
        """Boot a crashed node and return when the controller can use it."""
        self._restart(name, lambda launcher: launcher.node(name))
        wait_for_nodes((name,), self.home.record, self._launcher, self.client)

    @property
    def _launcher(self) -> daemons.Launcher:
        return daemons.Launcher(self.home, self.home.record.root, self.client.programs)

    def _process(self, name: str) -> ProcessId:
        known = self.home.record.processes
        if name not in known:
            msg = f"this sandbox has no {name}, only {', '.join(known)}"
            raise SandboxError(msg)
        return known[name]

    def _stop(self, name: str, *, hard: bool) -> None:
        process = self._process(name)
        if not hard:
            process.send(signal.SIGTERM)
            try:
                until(lambda: not process.is_alive, lambda: "", timeout=30)
            except NotReady:
                hard = True
        if hard:
            processes.kill([process])
        daemons.reap([process])

    def _restart(self, name: str, start: Callable[[daemons.Launcher], ProcessId]) -> None:
        with self.home.locked():
            if self._process(name).is_alive:
                msg = f"{name} runs already"
                raise SandboxError(msg)
            known = self.home.record
            self.home.write(replace(known, processes={**known.processes, name: start(self._launcher)}))


def _check_neighbour(beside: Sandbox, wish: Wish) -> None:
    if not beside.home.record.accounting:
        msg = f"the sandbox in {beside.folder} has no slurmdbd to share; start it with accounting"
        raise SandboxError(msg)
    if f"ClusterName={wish.options.cluster}\n" in beside.conf.read_text():
        msg = f"both sandboxes are called {wish.options.cluster}; clusters of a site need names of their own"
        raise SandboxError(msg)


def _folder(path: Path | str) -> Folder:
    return Folder(Path(path).expanduser().absolute())
