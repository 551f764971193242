"""The one mail about the end of a run.

A program of this machine sends it, with the whole page. Where there is none, or where it refuses, Slurm does: a job that
does nothing is submitted with the subject as its name, and Slurm mails its end.
"""

import os
from collections.abc import Callable

from ..errors import SlurmError
from ..options import NO_OPTIONS, Options
from ..plan.model import Kind
from ..printable import printable
from ..run.again import changed
from ..run.belonging import user_name
from ..run.ledger_record import LedgerRecord
from ..slurm.client import Slurm
from .programs import hand_to_mailer

SELF = "self"
"""In place of an address: the user."""
_SCRIPT = "#!/bin/bash\n# mail: this job does nothing; Slurm sends a mail with its name\nexit 0\n"
_LONGEST = 200


def send(ledger: LedgerRecord, subject: str, text: str, slurm: Slurm, say: Callable[[str], None]) -> None:
    """Send the mail that the user has asked for, and say how.

    Raises:
        SlurmError: neither this machine nor Slurm sends it.
    """
    address = str(ledger.header.get("mail", ""))
    is_sent, how = hand_to_mailer(user_name(os.getuid()) if address == SELF else address, subject, text)
    if is_sent:
        say(f"Mail to {address}: sent with {how}.")
        return
    try:
        job_id = slurm.submit(_options(ledger, address, subject), _SCRIPT)
    except SlurmError as error:
        raise SlurmError(f"No mail to {address} was sent. {printable(how)}. Slurm: {error}") from error
    say(f"Mail to {address}: sent by Slurm, as that of job {job_id} ({printable(how)}).")


def _options(ledger: LedgerRecord, address: str, subject: str) -> Options:
    """Options of a job that does nothing, where the closing job of the run would be."""
    placed = next((entry.options for entry in reversed(ledger.entries) if entry.kind == Kind.CLOSING.value), NO_OPTIONS)
    new = {
        "job-name": printable(subject)[:_LONGEST], "comment": "mail", "output": "/dev/null", "time": "1", "mem": "50M",
        "mail-type": "END",
    }  # fmt: skip
    return changed(placed, Options(new if address == SELF else {**new, "mail-user": address}))
