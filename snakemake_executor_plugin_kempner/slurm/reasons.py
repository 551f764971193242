"""Why a job waits, in words: the reasons of `squeue`. Pure. Source: `man squeue`, section JOB REASON CODES."""

import re

_WORDS = {
    "None": "Slurm has not looked at it yet",
    "Dependency": "a job before it has not ended",
    "DependencyNeverSatisfied": "it never starts: a job before it failed or was cancelled",
    "Priority": "jobs with a higher priority come first",
    "Resources": "no node has enough free cores, memory or GPUs now",
    "BeginTime": "its earliest start is later",
    "JobArrayTaskLimit": "as many tasks of its array run as may at once",
    "JobHeldUser": "it is held until you release it",
    "JobHeldAdmin": "it is held by an administrator",
    "Licenses": "all licences are in use",
    "Reservation": "its reservation has not begun",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs now",
    "PartitionTimeLimit": "it asks for more time than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows",
    "BadConstraints": "no node has what it asks for",
    "InvalidAccount": "its account does not exist",
    "AccountNotAllowed": "its account may not use the partition",
    "InvalidQOS": "its QOS does not exist",
    "QOSNotAllowed": "its QOS may not be used there",
    "NodeDown": "its node is down",
    "JobLaunchFailure": "it could not be launched",
    "Cleaning": "its earlier start is being cleaned up",
    "FedJobLock": "another cluster decides about it",
    "Prolog": "the node is being prepared",
}
_PATTERNS = (
    (r"ReqNodeNotAvail.*|Nodes required for job are DOWN.*", "the nodes that it needs are down, drained or reserved"),
    (r"(QOS|Assoc).*(GRES|Gres|gres|gpu).*", "the limit on GPUs is reached for you or your group"),
    (r"(QOS|Assoc).*(Cpu|CPU).*", "the limit on cores is reached for you or your group"),
    (r"(QOS|Assoc).*(Mem|memory).*", "the limit on memory is reached for you or your group"),
    (r"(QOS|Assoc).*(Jobs|JobsLimit|Submit).*", "the limit on jobs is reached for you or your group"),
    (r"(QOS|Assoc)(Grp|Max).*", "a limit is reached for you or your group"),
    (r".*held.*", "it is held until somebody releases it"),
    (r"Resources,Priority|Priority,Resources", "jobs with a higher priority come first, and no node is free"),
)


def in_words(reason: str) -> str:
    """A reason in words, with Slurm's own name for it; Slurm's name alone if it is not in the table."""
    words = _WORDS.get(reason) or next((words for pattern, words in _PATTERNS if re.fullmatch(pattern, reason)), "")
    return f"{words} ({reason})" if words and reason != "None" else words or reason or _WORDS["None"]
