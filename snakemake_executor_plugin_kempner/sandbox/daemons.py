"""Starts processes: Slurm's daemons, munged, MariaDB, and single commands. Nothing else in this package does.

A daemon is started away from the caller: own session, nothing of the caller's standard streams (a pipe that a daemon
inherits never closes for its reader), a bare environment, its own log. Each start waits, within bounds, until the
daemon answers; a daemon that ends instead is an error that shows its log.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import MissingPrograms, NotReady, SandboxError
from .folder import Folder
from .place import Ports
from .processes import ProcessId

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/usr/local/bin", "/bin")
"""Searched after PATH: an ordinary user's often lacks the folders that daemons are installed in."""

PACKAGE_OF = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "scancel": "slurm-client",
    "scontrol": "slurm-client",
    "sinfo": "slurm-client",
    "squeue": "slurm-client",
    "munged": "munge",
    "slurmdbd": "slurmdbd",
    "sacctmgr": "slurm-client",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
"""Program → Debian package. The last four are needed for accounting only."""

ONLY_FOR_ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")

SLURM_VARIABLES = (
    "SLURM", "SLURMD", "SBATCH", "SALLOC", "SRUN", "SCANCEL", "SQUEUE", "SINFO", "SACCT", "SACCTMGR", "SCONTROL",
    "SPRIO", "SREPORT", "SSHARE", "SSTAT", "STRIGGER",
)  # fmt: skip
"""First words of the environment variables that Slurm's commands read or set."""

PORTS = range(20000, 32768)
"""Below Linux's range for outgoing connections, which may take a port between our look and our use."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Daemons started by this very process; kept so that their exit is collected."""


@dataclass(frozen=True)
class Programs:
    """Where the programs of this machine are."""

    paths: Mapping[str, str]

    @classmethod
    def find(cls, *, accounting: bool) -> "Programs":
        """Find all needed programs; a single error lists those that are missing."""
        wanted = [name for name in PACKAGE_OF if accounting or name not in ONLY_FOR_ACCOUNTING]
        search = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
        found = {name: path for name in wanted if (path := shutil.which(name, path=search))}
        if missing := [name for name in wanted if name not in found]:
            packages = " ".join(sorted({PACKAGE_OF[name] for name in missing}))
            msg = f"not installed: {', '.join(missing)}. On Debian or Ubuntu: sudo apt-get install {packages}"
            raise MissingPrograms(msg)
        return cls(found)

    def __getitem__(self, name: str) -> str:
        """Return the path of a program."""
        return self.paths[name]

    def slurm_version(self) -> tuple[int, ...]:
        """Return the version of the controller, such as (22, 5, 8)."""
        words = command([self["slurmctld"], "-V"], environment=dict(os.environ)).split()
        return tuple(int(part) for part in words[-1].split(".")[:3] if part.isdigit())


@dataclass(frozen=True)
class Launcher:
    """Starts the daemons of a sandbox."""

    folder: Folder
    root: Path
    programs: Programs
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Make the bare environment in which the daemons run."""
        bare = {
            "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]),
            "HOME": os.path.expanduser("~"),
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(self.root / "slurm.conf"),
            # Where libmariadb, inside slurmdbd, looks for "localhost".
            "MYSQL_UNIX_PORT": str(self.root / "mariadb.socket"),
        }
        object.__setattr__(self, "environment", bare)

    def munged(self) -> ProcessId:
        """Start the daemon that authenticates messages."""
        path = self.root / "munge.socket"
        argv = [self.programs["munged"], "--foreground", "--force", f"--socket={path}"]
        argv += [f"--key-file={self.root}/munge.key", f"--pid-file={self.root}/munged.pid"]
        argv += [f"--seed-file={self.root}/munged.seed", f"--log-file={self.root}/log/munged.log"]
        process = self._start("munged", argv)
        self.wait("munged", process, lambda: _listens(socket.AF_UNIX, str(path)))
        return process

    def controller(self, ports: Ports) -> ProcessId:
        """Start slurmctld."""
        process = self._start("slurmctld", [self.programs["slurmctld"], "-D", "-f", f"{self.root}/slurm.conf"])
        self.wait("slurmctld", process, lambda: _listens(socket.AF_INET, ("127.0.0.1", ports.controller)), timeout=60)
        return process

    def node(self, name: str) -> ProcessId:
        """Start the slurmd of a node, without waiting: slurmctld shows when it is ready."""
        argv = [self.programs["slurmd"], "-D", "-N", name, "-f", f"{self.root}/slurm.conf"]
        return self._start(name, argv)

    def accounting(self, ports: Ports) -> ProcessId:
        """Start slurmdbd; the first time it makes its tables."""
        process = self._start("slurmdbd", [self.programs["slurmdbd"], "-D"])
        self.wait("slurmdbd", process, lambda: _listens(socket.AF_INET, ("127.0.0.1", ports.accounting)), timeout=120)
        return process

    def database(self) -> ProcessId:
        """Start MariaDB, which listens on a unix socket only."""
        path = self.root / "mariadb.socket"
        argv = [self.programs["mariadbd"], *self._database_options(), "--skip-networking", f"--socket={path}"]
        argv += [f"--pid-file={self.root}/mariadb.pid", f"--init-file={self.root}/accounts.sql"]
        argv += ["--innodb-buffer-pool-size=64M"]
        process = self._start("mariadb", argv)
        self.wait("mariadb", process, lambda: _listens(socket.AF_UNIX, str(path)), timeout=120)
        return process

    def install_database(self) -> None:
        """Make the empty database."""
        argv = [self.programs["mariadb-install-db"], *self._database_options()]
        argv += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        command(argv, environment=self.environment, timeout=300, folder=self.root)

    def keeper(self) -> ProcessId:
        """Start the process that takes the sandbox down when its last owner is gone."""
        package = Path(__file__).parents[2]
        argv = [sys.executable, "-m", __package__ or "", "keep", str(self.folder.path)]
        # It finds the packages that this process finds, however that was told of them.
        return self._start("keeper", argv, {"PYTHONPATH": os.pathsep.join([str(package), *filter(None, sys.path)])})

    def wait(self, name: str, process: ProcessId, is_ready: Callable[[], bool], *, timeout: float = 30) -> None:
        """Return when the daemon is ready; say why not if it ends or takes too long."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not process.is_alive:
                reap([process])
                raise self.not_ready(name, "ended at once")
            if time.monotonic() > deadline:
                raise self.not_ready(name, f"does not answer after {timeout:.0f} s")
            time.sleep(0.02)

    def not_ready(self, name: str, what: str) -> NotReady:
        """Return the error that shows the end of a daemon's log."""
        return NotReady(f"{name} {what}; the end of its log ({self.folder.log}):\n{self.folder.tail(name)}")

    def _database_options(self) -> list[str]:
        user = user_name()
        # A throw-away database needs no durable writes.
        fast = ["--loose-innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M"]
        # A starting MariaDB empties its tmpdir of what looks like its own; in /tmp that hits other servers (measured).
        places = [f"--datadir={self.root}/database", f"--tmpdir={self.root}/scratch"]
        return ["--no-defaults", f"--user={user}", *places, *fast]

    def _start(self, name: str, argv: Sequence[str], extra: Mapping[str, str] | None = None) -> ProcessId:
        with (self.folder.log / f"{name}.out").open("ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env={**self.environment, **(extra or {})},
                start_new_session=True,
            )
        _children[child.pid] = child
        process = ProcessId.of(child.pid)
        if process is None:
            raise self.not_ready(name, "ended at once")
        return process


def command(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: str | None = None,
    timeout: float = 60,
    folder: Path | None = None,
) -> str:
    """Run a command to its end and return its output; on failure, raise SandboxError with the command's message."""
    try:
        done = subprocess.run(
            argv,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"`{' '.join(argv)}` does not answer after {timeout:.0f} s"
        raise SandboxError(msg) from error
    if done.returncode:
        msg = f"`{' '.join(argv)}` failed with {done.returncode}: {(done.stderr or done.stdout).strip()}"
        raise SandboxError(msg)
    return done.stdout


def foreground(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the user's own command on the user's own terminal."""
    return subprocess.Popen(argv, env=environment)


def reap(processes: Iterable[ProcessId]) -> None:
    """Collect the exit of daemons that this process started and that have ended."""
    for process in processes:
        child = _children.pop(process.pid, None)
        if child is not None:
            child.wait()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without Slurm's variables."""
    prefixes = tuple(f"{word}_" for word in SLURM_VARIABLES)
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def user_name() -> str:
    """Return the name of the user this process runs as, or the number of a user without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def draw_ports(nodes: int) -> Ports:
    """Return ports on which nobody listens now; a daemon may still find its port taken, then new ones are drawn."""
    controller, accounting, *others = _free_ports(2 + nodes)
    return Ports(
        controller=controller, accounting=accounting, nodes=tuple(others), only_loopback=_own_address() == "127.0.0.1"
    )


def _free_ports(number: int) -> list[int]:
    held: list[socket.socket] = []
    try:
        for port in random.sample(PORTS, len(PORTS)):
            if len(held) == number:
                break
            candidate = socket.socket()
            try:
                candidate.bind(("", port))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [candidate.getsockname()[1] for candidate in held]
    finally:
        for candidate in held:
            candidate.close()


def _own_address() -> str | None:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return None


def _listens(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as client:
        client.settimeout(1)
        return client.connect_ex(address) == 0
