"""Slurm's programs, called one at a time. The only file of the executor that starts a process."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence

from ..errors import SlurmError, SlurmMissing, SlurmRefused, SlurmUnreachable, UnknownCluster
from .environment import query_environment, submission_environment

OWN_JOBS = ("--me", "--all", "--noheader")
"""Arguments of squeue. `--all`: partitions that are hidden, too."""

# Answers after which the same request may succeed. Those of the first kind say that it was not carried out.
_NOT_TAKEN = re.compile(
    r"Unable to contact slurm controller \(connect failure\)|temporarily unable|Connection refused|try again"
    r"|Resource temporarily unavailable|Slurm backup controller in standby"
    r"|Problem talking to (the )?database|can't be reached now",  # with --clusters, which slurmdbd has to find first
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"timed out|Unable to contact slurm controller|Zero Bytes were transmitted|Connection reset"
    r"|Transport endpoint|Communication|Header lengths are longer|slurm_receive_msg|Unable to connect"
    r"|Message (receive|send) failure|" + _NOT_TAKEN.pattern,
    re.IGNORECASE,
)

_SHORT = 10.0
"""Seconds for a question about this machine's own cluster."""
_NO_CONFIGURATION = re.compile(r"Could not establish a configuration source|Unable to process configuration file")


class Programs:
    """Calls Slurm's programs, and says what it means if they fail.

    Args:
        environment: of the programs, less what does not concern them.
        timeout: seconds after which a program that does not answer counts as unreachable.
        cluster: name of another cluster of the site, which they ask; empty for that of this machine.
    """

    def __init__(self, environment: Mapping[str, str], timeout: float, cluster: str = "") -> None:
        self._submitting, self._asking = submission_environment(environment), query_environment(environment)
        self._environment, self._timeout, self.cluster = environment, timeout, cluster
        self.here = ""
        """Name of the cluster of this machine, once `at` has found it out."""

    def at(self, cluster: str) -> "Programs":
        """The same programs for a cluster of the site by its name; these ones if it is that of this machine.

        With --clusters a program asks slurmdbd first where the cluster is, which takes 0.1 s and needs slurmdbd.

        Raises:
            UnknownCluster: there is none of that name.
            SlurmError: slurmdbd did not answer, or Slurm is missing.
        """
        try:
            told = self.call(["scontrol", "show", "config"], timeout=_SHORT)
            away = None
        except (SlurmRefused, SlurmUnreachable) as error:  # its controller is down, but not that of the other cluster
            told, away = "", error
        self.here = _setting(told, "ClusterName")
        if self.here.lower() == cluster.lower():
            return self
        if told and not _setting(told, "AccountingStorageType").endswith("slurmdbd"):
            raise UnknownCluster(cluster, [self.here])
        names = self._names_of_clusters()
        if away and not names:  # the name may be that of this machine's own cluster, which needs no slurmdbd
            raise away
        if names and cluster.lower() not in names:
            raise UnknownCluster(cluster, names)
        return Programs(self._environment, self._timeout, cluster)

    def _names_of_clusters(self) -> list[str]:
        """The clusters that slurmdbd knows; empty if it is not known to this user."""
        try:
            return self.call(["sacctmgr", "--noheader", "--parsable2", "show", "cluster", "format=cluster"]).split()
        except (SlurmRefused, SlurmMissing):
            return []

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
        where = [f"--clusters={self.cluster}"] if self.cluster and argv[0] != "sacctmgr" else []
        try:
            return subprocess.run(
                [argv[0], *where, *argv[1:]], input=stdin, capture_output=True, text=True, errors="replace",
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


def _setting(told: str, name: str) -> str:
    found = re.search(rf"^{name}\s*= (.*)$", told, re.MULTILINE)
    return found[1].strip() if found else ""


def _signal(code: int) -> int:
    """What killed a program, or, as shells tell it, the program that a site's wrapper has called; 0 for none."""
    return -code if code < 0 else code - 128 if 128 < code <= 128 + signal.SIGRTMAX else 0
