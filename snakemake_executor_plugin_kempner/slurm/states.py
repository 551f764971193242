"""Slurm's job states as a table. A state that is not in it is UNKNOWN, which never counts as success."""

import re
from enum import Enum


class JobState(Enum):
    """What a job's state means for its task."""

    WAITING = "waiting"
    """Pending, or requeued."""
    RUNNING = "running"
    """Has a node and has not ended."""
    SUCCEEDED = "succeeded"
    """Ended with exit code 0."""
    FAILED = "failed"
    """Ended in another way; `afternotok` holds."""
    CANCELLED = "cancelled"
    """Cancelled while pending or running, by a user or by Slurm."""
    UNKNOWN = "unknown"
    """A state that is not in the table, or no answer."""

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


# `man squeue`, section JOB STATE CODES; `man sacct` has the same and a few more.
_TABLE = {
    "BOOT_FAIL": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "COMPLETED": JobState.SUCCEEDED,
    "COMPLETING": JobState.RUNNING,  # the processes have ended, the epilog has not: the final state follows
    "CONFIGURING": JobState.RUNNING,
    "DEADLINE": JobState.FAILED,
    "EXPEDITING": JobState.WAITING,
    "FAILED": JobState.FAILED,
    "LAUNCH_FAILED": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "PENDING": JobState.WAITING,
    "POWER_UP_NODE": JobState.RUNNING,
    "PREEMPTED": JobState.FAILED,
    "RECONFIG_FAIL": JobState.FAILED,
    "REQUEUE_FED": JobState.WAITING,
    "REQUEUE_HOLD": JobState.WAITING,
    "REQUEUED": JobState.WAITING,
    "RESIZING": JobState.RUNNING,
    "RESV_DEL_HOLD": JobState.WAITING,
    "REVOKED": JobState.CANCELLED,
    "RUNNING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "SPECIAL_EXIT": JobState.WAITING,  # requeued and held, by the job's own exit code
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "TIMEOUT": JobState.FAILED,
}

NEVER = "DependencyNeverSatisfied"
"""Reason of a pending job that will never start. With --kill-on-invalid-dep it is cancelled with the same reason."""


STUCK_REASONS = frozenset({
    "AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "PartitionConfig", "PartitionNodeLimit",
    "PartitionTimeLimit", "QOSNotAllowed", "QOSTimeLimit", "QOSUsageThreshold",
})  # fmt: skip
"""Reasons of a pending job that will not start: it requests what it cannot get. `man squeue`, JOB REASON CODES."""


_HELD = re.compile(r"JobHeld|JobHold|\bheld\b", re.IGNORECASE)
"""`JobHeldAdmin`, `JobHoldMaxRequeue`, and what Slurm writes in words: `launch failed requeued held`."""
_HELD_WORDS = frozenset({"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})


def is_held(word: str, reason: str) -> bool:
    """Whether a job waits until somebody releases it."""
    return word in _HELD_WORDS or bool(_HELD.search(reason.replace("_", " ")))


def job_state(word: str) -> JobState:
    """Meaning of a state as Slurm prints it; `CANCELLED by 1000` and `CANCELLED+` are CANCELLED."""
    name = word.strip().split(" ")[0].rstrip("+").upper()
    return _TABLE.get(name, JobState.UNKNOWN)
