"""Options of sbatch that a user writes as text, and those that are not the user's to set."""

import shlex

from ..errors import Fault, PlanError
from ..options import NO_OPTIONS, Options
from .sbatch import UnreadableError, read

_SETS = "which the plugin sets itself"
_NO_ID = "after which sbatch submits nothing, or does not say the job's id"
OWNED_OPTIONS = {
    **dict.fromkeys(
        (
            "array", "begin", "chdir", "comment", "dependency", "error", "export", "job-name", "kill-on-invalid-dep",
            "open-mode", "output", "parsable", "wrap",
        ),
        _SETS,
    ),
    **dict.fromkeys(("autocomplete", "help", "quiet", "test-only", "usage", "version"), _NO_ID),
    "wait": "with which sbatch does not return before the job has ended",
}  # fmt: skip
"""Options that slurm_extra may not set, and why."""
SET_BY_PLUGIN = tuple(name for name, why in OWNED_OPTIONS.items() if why is _SETS)
"""Options of a submission that do not come from the task's resources."""


def extra_options(where: str, text: str) -> Options:
    """Options of sbatch from a text that the user has written.

    Raises:
        PlanError: the text cannot be read, or sets an option that the plugin sets itself.
    """
    faults: list[Fault] = []
    options = given_extra(text, where, faults, what="it")
    if faults:
        raise PlanError(faults)
    return options


def given_extra(extra: int | str | None, where: str, faults: list[Fault], what: str = "slurm_extra") -> Options:
    if not extra:
        return NO_OPTIONS
    text = str(extra).strip()
    try:
        words = shlex.split(text)
        if len(words) == 1 and text[0] in "'\"":
            words = shlex.split(words[0])  # a second pair of quotes, as in "'--gres=gpu:1 --mail-type=END'"
        options = read(words)
    except UnreadableError as error:
        remedy = "write options in full, as --name=value"
        faults.append(Fault(where=where, what=f"{what} {error}", remedy=remedy))
        return NO_OPTIONS
    except ValueError as error:
        faults.append(Fault(where=where, what=f"{what}={extra!r} cannot be read: {error}"))
        return NO_OPTIONS
    faults += (
        Fault(where=where, what=f"{what} sets --{name}, {OWNED_OPTIONS[name]}", remedy="remove it there")
        for name in options
        if name in OWNED_OPTIONS
    )
    return options
