"""How a run has ended, as its ledger says."""

from enum import StrEnum


class Result(StrEnum):
    """Written by whoever closes the ledger and knows."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = ""
