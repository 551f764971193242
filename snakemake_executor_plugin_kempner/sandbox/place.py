"""Where a sandbox lives on this machine: folder, host, user and ports. Values only."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Ports of a sandbox's daemons."""

    controller: int
    accounting: int
    nodes: tuple[int, ...]
    only_loopback: bool = True
    """Whether they may listen on the loopback interface alone (slurmdbd listens everywhere in any case).

    Slurm then binds to what the machine's own *name* stands for (slurm.conf(5), NoInAddrAny), so that must be
    127.0.0.1 as well; with Debian's 127.0.1.1 `srun` waits for ever (measured). Else they listen on all interfaces,
    protected, as any Slurm, by the munge key.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxPlace:
    """Where a sandbox lives: everything its configuration must know about this machine."""

    root: PurePosixPath
    """Folder in a spelling that Slurm's parser and a unix socket accept: short, without spaces."""
    host: str
    user: str
    ports: Ports
    slurm_version: tuple[int, ...]
    accounting: bool
    has_database: bool = True
    """With accounting: slurmdbd and its database are its own, not those of the sandbox that it stands beside."""
    database_password: str = field(default="", repr=False)

    @property
    def slurm_conf(self) -> PurePosixPath:
        """The file `SLURM_CONF` names."""
        return self.root / "slurm.conf"

    @property
    def munge_socket(self) -> PurePosixPath:
        """Where munged listens."""
        return self.root / "munge.socket"

    @property
    def devices(self) -> PurePosixPath:
        """Folder of the fake GPUs' device files."""
        return self.root / "devices"

    def log(self, daemon: str) -> PurePosixPath:
        """The log of a daemon."""
        return self.root / "log" / f"{daemon}.log"
