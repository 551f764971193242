"""How programs, languages and systems say that something went wrong, as tables. Pure."""

import re

_NAME = r"(?:[A-Za-z_][\w$]*\.)*[A-Za-z_][\w$]*"

WRAPPERS = re.compile(
    r"(?:[\w.]*\.)?(?:CalledProcessError|ChildFailedError|ProcessRaisedException|RuleException|SystemExit)\b"
)
"""Exceptions that only say that another program has failed: what that program said comes first."""

TRACEBACK = "Traceback (most recent call last):"
EXCEPTION = re.compile(rf"({_NAME})(?:: .*|:)?")
"""The line after the frames of a Python traceback."""


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


SURE = _any(
    r"Exception in thread .*",  # Java
    r"Caused by: .*",
    r"Error in .+ ?: .*|Error in .+ ?:$|Error: .*",  # R
    r"ERROR: LoadError: .*",  # Julia
    r"thread '.*' (?:\(\d+\) )?panicked at .*",  # Rust
    r"panic: .*|fatal error: .*",  # Go
    r"terminate called after throwing .*|\s*what\(\): .*",  # C++
    r"Error using .*",  # MATLAB
    r".*: (?:command not found|not found|Permission denied|unbound variable|cannot execute.*)$",  # shells
    r"(?!.*[Ww]arning).*\b(?:CUDA|HIP|CUBLAS|NCCL)\b.*\b(?:out of memory|error|failure)\b.*",
    r"(?:.*: )?(?:line \d+: +\d+ )?(?:Killed|Segmentation fault|Bus error|Aborted|Illegal instruction)\b.*",
    r"slurmstepd: error: .*(?:oom.kill|TIME LIMIT|PREEMPTION|NODE FAIL|memory limit|CANCELLED).*",
    r".*: No space left on device.*|.*Disk quota exceeded.*",
    r"kempner: .*(?:declared output is missing|input is not visible on this node|input is missing).*",  # our own step
    r"Detected unexpected empty output files:|Output files have checksums that differ .*:",
)
"""Lines that say why a program ended. Of several, the last counts."""

LIKELY = _any(
    r"(?:\S+: )?(?:fatal |internal )?(?:error|Error|ERROR|fatal|FATAL)\s?(?:\[[^\]]*\])?:\s.*",
    r"(?:[\d\[][\d\-/:.,T \]]*)?\W?(?:ERROR|FATAL|CRITICAL|SEVERE)\b\W.*",  # a log level, perhaps after a time
    r".*\| ?(?:ERROR|CRITICAL) .*|.*\[(?:ERROR|FATAL|error)\].*",
    r".*: No such file or directory$",
    r"(?:Error|ERROR|Failed|FAILED|Fatal|Aborting|Cannot|Could not)\b.*",
    r".*\b[Oo]ut of memory\b.*",
)
"""Lines that report an error, which may be a consequence of an earlier error. Of several near the end, the first counts."""

RANK = re.compile(r"^(?:\[(?:rank|default)?\d+\]: ?|\d+: )")
"""What torchrun, srun --label and the like write before each line of a process."""

NOISE = re.compile(
    r"Building DAG of jobs|Using shell: |Select jobs to execute|Execute \d+ jobs|Assuming unrestricted shared"
    r"|Provided (?:cores|resources|remote)|Rules claiming more threads|host: |Shutting down, this might take"
    r"|Exiting because a job execution failed|Storing output in storage|Elapsed time: |Complete log(?:\(s\))?: "
    r"|At least one job did not complete|Removing output files of failed job|Waiting at most \d+ seconds"
    r"|WorkflowError:$|RuleException:$|CalledProcessError in file|Command '.*' (?:returned non-zero|died with)"
    r"|This is output of |kempner: no --keep-going: cancelling|Execution halted|srun: |Full Traceback|\[[A-Z][a-z]{2} [A-Z][a-z]{2} +\d"
)
"""Starts of lines that Snakemake, Slurm or this package write around the words of the rule."""

AFTERWARDS = re.compile(r"RuleException:|MissingOutputException(?: in |: Missing files)")
"""Snakemake's own account of the end of a rule begins here."""
AT_LAST = re.compile(
    r"Shutting down, this might take|WorkflowError:|Error in (?:rule|group)|\w+(?:Error|Exception) in (?:rule|file) "
)
"""The same, where no rule has ended."""
