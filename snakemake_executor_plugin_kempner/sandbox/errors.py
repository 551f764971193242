"""Errors of a sandbox, by who can fix them.

SandboxError            anything below; its text is meant for the user
├── MissingPrograms     this machine lacks Slurm: install it
├── AlreadyRunning      a running sandbox uses the folder: use it, or take it down
├── NotRunning          no sandbox runs in the folder
└── NotReady            a daemon died or did not answer in time: its log is in the text
"""

from ..errors import KempnerError


class SandboxError(KempnerError):
    """An operation on a sandbox failed."""


class MissingPrograms(SandboxError):  # noqa: N818
    """Programs of Slurm (or munge, MariaDB) are not installed."""


class AlreadyRunning(SandboxError):  # noqa: N818
    """A living sandbox already uses this folder."""


class NotRunning(SandboxError):  # noqa: N818
    """No sandbox lives in this folder."""


class NotReady(SandboxError):  # noqa: N818
    """A daemon ended or did not answer in time."""
