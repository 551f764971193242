"""What can go wrong with a sandbox, by who can mend it.

SandboxError            anything below; its text is meant for the user
├── MissingPrograms     this machine lacks Slurm: install it
├── AlreadyRunning      the folder is taken by a living sandbox: use it, or take it down
├── NotRunning          no sandbox lives in the folder
└── NotReady            a daemon died or did not answer in time: its log is in the text
"""

from ..errors import KempnerError


class SandboxError(KempnerError):
    """A sandbox could not do what was asked."""


class MissingPrograms(SandboxError):  # noqa: N818
    """Programs of Slurm (or munge, MariaDB) are not installed."""


class AlreadyRunning(SandboxError):  # noqa: N818
    """A living sandbox already uses this folder."""


class NotRunning(SandboxError):  # noqa: N818
    """No sandbox lives in this folder."""


class NotReady(SandboxError):  # noqa: N818
    """A daemon ended or kept silent for too long."""
