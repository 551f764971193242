"""Slurm's programs, called one at a time. The only file of the executor that starts a process."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence

from ..errors import SlurmError, SlurmMissing, SlurmRefused, SlurmUnreachable
from .environment import query_environment, submission_environment

OWN_JOBS = ("--me", "--all", "--noheader")
"""Arguments of squeue. `--all`: partitions that are hidden, too."""

# Answers after which the same request may succeed. Those of the first kind say that it was not carried out.
_NOT_TAKEN = re.compile(
    r"Unable to contact slurm controller \(connect failure\)|temporarily unable|Connection refused|try again"
    r"|Resource temporarily unavailable|Slurm backup controller in standby",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"timed out|Unable to contact slurm controller|Zero Bytes were transmitted|Connection reset"
    r"|Transport endpoint|Communication|Header lengths are longer|slurm_receive_msg|Unable to connect"
    r"|Message (receive|send) failure|" + _NOT_TAKEN.pattern,
    re.IGNORECASE,
)

_NO_CONFIGURATION = re.compile(r"Could not establish a configuration source|Unable to process configuration file")


class Programs:
    """Calls Slurm's programs, and says what it means if they fail.

    Args:
        environment: of the programs, less what does not concern them.
        timeout: seconds after which a program that does not answer counts as unreachable.
    """

    def __init__(self, environment: Mapping[str, str], timeout: float) -> None:
        self._submitting, self._asking = submission_environment(environment), query_environment(environment)
        self._timeout = timeout

    def call(self, argv: Sequence[str], stdin: str = "", timeout: float | None = None, *, strict: bool = True) -> str:
        """What a program prints.

        Raises:
            SlurmError: it failed (if `strict`), or did not run at all.
        """
        done = self.run(argv, stdin, timeout)
        # scancel answers 0 on errors, so what it printed counts too.
        if (strict and done.returncode != 0) or (argv[0] == "scancel" and _BUSY.search(done.stderr)):
            raise self.error(argv, done)
        return done.stdout

    def run(
        self, argv: Sequence[str], stdin: str = "", timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The program when it has ended, whatever its exit code.

        Raises:
            SlurmError: it did not run, or not to its end.
        """
        conf = self._asking.get("SLURM_CONF")
        if conf and not os.path.exists(conf):  # Slurm itself would wait a minute for the file
            raise SlurmMissing(f"SLURM_CONF names {conf}, which does not exist")
        environment = self._submitting if argv[0] == "sbatch" else self._asking
        try:
            return subprocess.run(
                list(argv), input=stdin, capture_output=True, text=True, errors="replace",
                env=environment, timeout=timeout or self._timeout, check=False,
                process_group=0,  # Ctrl-C is for this process, which may be waiting for an answer
            )  # fmt: skip
        except FileNotFoundError:
            raise SlurmMissing(f"the program {argv[0]!r} was not found") from None
        except subprocess.TimeoutExpired:
            raise SlurmUnreachable(f"{argv[0]} did not answer within {timeout or self._timeout:.0f} s") from None
        except OSError as error:
            raise SlurmError(f"{argv[0]} could not be started: {error}") from error

    def error(self, argv: Sequence[str], done: subprocess.CompletedProcess[str]) -> SlurmError:
        """What it means that a program has failed."""
        if _NO_CONFIGURATION.search(done.stderr):
            return SlurmMissing(f"{argv[0]} finds no configuration (is SLURM_CONF right?)")
        if _BUSY.search(done.stderr):
            in_doubt = not _NOT_TAKEN.search(done.stderr)
            return SlurmUnreachable(f"{argv[0]}: {done.stderr.strip()}", in_doubt=in_doubt)
        if number := _signal(done.returncode):
            return SlurmUnreachable(f"{argv[0]} was killed by signal {number}")
        return SlurmRefused(argv, done.returncode, done.stderr or done.stdout)


def _signal(code: int) -> int:
    """What killed a program, or, as shells tell it, the program that a site's wrapper has called; 0 for none."""
    return -code if code < 0 else code - 128 if 128 < code <= 128 + signal.SIGRTMAX else 0
