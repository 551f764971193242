"""What to do about the findings of the checks; apart from them, for those who need only the word."""

from enum import StrEnum


class Checks(StrEnum):
    """What to do about findings."""

    ERROR = "error"
    """Errors stop the submission; warnings are shown."""
    WARN = "warn"
    """All findings are shown as warnings, and the jobs are submitted."""
    OFF = "off"
    """No checks."""
