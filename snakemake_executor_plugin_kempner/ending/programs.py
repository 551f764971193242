"""Starts the programs of the end of a run: those that send mail, and the command that the user has given."""

import email.policy
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage

from ..slurm.environment import submission_environment

_PATIENCE = 60.0
"""Seconds that a program may take to accept a mail."""
_LINE = 900
"""Characters of a line of a mail, of at most 998."""
_SENDMAIL = ("sendmail", "/usr/sbin/sendmail", "/usr/lib/sendmail")
_MAIL = ("mail", "mailx")


def run_command(command: str, folder: str, variables: Mapping[str, str]) -> str:
    """Run a command of the user in a shell; what it prints goes where this process prints.

    Args:
        command: for the shell.
        folder: in which it runs.
        variables: of its environment, beside those of this process.

    Returns:
        What went wrong; empty if it has ended with exit code 0.
    """
    environment = {**submission_environment(os.environ), **variables}  # it may submit jobs of its own
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        return str(error)
    return f"exit code {done.returncode}" if done.returncode else ""


def hand_to_mailer(address: str, subject: str, text: str) -> tuple[bool, str]:
    """Send a mail by a program of this machine.

    Returns:
        Whether a program has accepted it, and which, or what went wrong with each.
    """
    faults = []
    for argv, stdin in _mailers(address, subject, text):
        fault = _fault_of(argv, stdin)
        if not fault:
            return True, argv[0]
        faults.append(f"{argv[0]}: {fault}")
    return False, "; ".join(faults) or "this machine has neither sendmail nor mail"


def _mailers(address: str, subject: str, text: str) -> Iterator[tuple[Sequence[str], bytes]]:
    message = EmailMessage(policy=email.policy.default.clone(max_line_length=_LINE))
    message["To"], message["Subject"] = address, subject
    message.set_content(text, cte="8bit")
    if found := next(filter(None, map(shutil.which, _SENDMAIL)), None):
        yield (found, "-i", "-t"), message.as_bytes()
    if found := next(filter(None, map(shutil.which, _MAIL)), None):
        yield (found, "-s", subject, address), text.encode()


def _fault_of(argv: Sequence[str], stdin: bytes) -> str:
    try:
        done = subprocess.run(list(argv), input=stdin, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = " ".join(done.stderr.decode(errors="replace").split())
    return f"exit code {done.returncode}{f' ({said})' if said else ''}" if done.returncode else ""
