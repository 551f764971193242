"""Light jobs: what they carry, and which tasks may be such a job. Pure.

A task qualifies when everything that its Snakemake would do is known when it is planned. What is doubtful is not: such
a task runs Snakemake in its job, for the first reason found here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LightRule:
    """What all light jobs of a rule have in common."""

    place: str
    """Rule, Snakefile and line, for messages."""
    shell: str
    """Program that runs the command: a path, or a name that the job looks up in PATH."""
    prefix: str
    suffix: str
    tmpdir: bool
    """TMPDIR is set, to the folder that Python takes for temporary files on the node."""
    keep_incomplete: bool
    """Outputs of a failed command stay (--keep-incomplete)."""
    notes: str
    """Snakemake's folder `.snakemake`."""
    record: Mapping[str, Any]
    """Snakemake's record of an output, with the values of this rule; empty with --drop-metadata."""
    max_checksum_size: int
    """Size in bytes of the largest input whose checksum is recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LightTask:
    """What a light job runs, and what Snakemake does around it."""

    command: str
    threads: int
    outputs: Mapping[str, Sequence[str]]
    """Each output, with those of its flags that matter in a job."""
    logs: Sequence[str]
    ensured: Mapping[str, Mapping[str, Any]]
    """Outputs with `ensure()`: whether it may be empty, and its checksum as `algorithm:digest`, or empty."""
    params: Sequence[str]
    """As Snakemake records them."""
    job_hash: int


OUTPUT_FLAGS = frozenset({"directory", "ensure", "multiext", "protected", "report", "temp", "touch"})
"""Flags of outputs that a light job treats as Snakemake does."""
INPUT_FLAGS = frozenset({"ancient", "directory", "multiext"})
JOB_FLAGS = ("directory", "protected", "touch")
"""Those of an output that a job has to act on."""
NAMES = frozenset({"input", "output", "params", "wildcards", "threads", "resources", "log", "rule"})
"""Names in a command whose values a light job has. Others are globals of the Snakefile."""
RECORDED = (
    "rule", "input", "log", "shellcmd", "params", "code", "record_format_version", "conda_env", "container_img_url",
    "software_stack_hash", "job_hash", "starttime", "endtime", "incomplete", "external_jobid", "input_checksums",
)  # fmt: skip
"""Fields of the record that a light job writes, in Snakemake's order."""
FORMATS = {6: RECORDED}
"""Snakemake's records that a light job can write, by number: that of Snakemake 9.22 and later."""
LONGEST_COMMAND = 16 * 4096 - 64
"""Characters after which Snakemake writes the command into a file, with a margin."""

REASONS = {
    "turned off": "--kempner-light-jobs no",
    "slurm_light": "slurm_light=0",
    "group": "its group",
    "checkpoint": "checkpoint",
    "script": "script:",
    "notebook": "notebook:",
    "wrapper": "wrapper:",
    "cwl": "cwl:",
    "template_engine": "template_engine:",
    "run": "run:",
    "norun": "no command",
    "computed": "its command, which Python computes when it runs",
    "shadow": "shadow:",
    "benchmark": "benchmark:",
    "conda": "conda:",
    "container": "container:",
    "envmodules": "envmodules:",
    "handover": "handover: True",
    "cache": "cache:",
    "edits": "--edit-notebook",
    "debug": "--debug",
    "not shared": "--shared-fs-usage, which leaves something out",
    "records": "Snakemake's records, which are in a database or of a version that light jobs do not know",
    "shell": "its shell",
    "encoding": "file names in another encoding than UTF-8",
    "tmpdir": "its resource tmpdir",
    "shell_exec": "its resource shell_exec",
    "environment": "the Snakefile, which reads the environment of the job",
    "input flag": "a flag of an input",
    "output flag": "a flag of an output",
    "checksum function": "a function in ensure()",
    "names": "its command, which names what only Snakemake has",
    "module": "its command, which names globals of a module",
    "params read": "params: that read files",
    "params objects": "params: that are objects of a class",
    "params resources": "params: that are computed from resources or threads",
    "resources read": "a resource in its command that is computed from files",
    "unknown": "its command, which is not known before its input exists",
    "secret": "its command, which holds the value of a variable of envvars:",
    "sources": "its command, which names a copy of a source that the job keeps elsewhere",
    "long": "its command, which is too long for an argument",
}
"""What a task runs Snakemake in its job because of, in the order in which the reasons are given."""


def reason(obstacles: Collection[str]) -> str:
    """The first reason, for people; empty if there is none."""
    return next((text for obstacle, text in REASONS.items() if obstacle in obstacles), "")
