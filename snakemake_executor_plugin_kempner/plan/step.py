"""The task of the step inside a Slurm job, as a value with a JSON form. Imported inside every job: keep it light."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .light import LightRule, LightTask

VERSION = 2
TO_BE_CONTINUED = 75
"""Exit code of a segment after which the next one goes on: EX_TEMPFAIL of sysexits.h."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSpec:
    """An attempt of a task, as the job script carries it."""

    task: str
    """Label of the task, for messages: `rule[wildcard=value]`."""
    attempt: int
    """Its number among the attempts of the task."""
    folder: str
    """Base of the relative paths below. The job itself starts where Snakemake was started; its Snakemake then changes
    to this folder when the Snakefile has a `workdir:`."""
    records: str
    """Folder for the record of this job's start and end."""
    targets: tuple[tuple[str, dict[str, str]], ...]
    """Rule name and wildcards of the task, or of each member of a group."""
    arguments: tuple[str, ...]
    """Arguments of the job's own Snakemake, without the targets."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Values of --config."""
    wait_for: tuple[str, ...] = ()
    """Files that must be visible on the node before the start."""
    outputs: tuple[str, ...] = ()
    """Files and folders that must exist before the job may end with exit code 0."""
    earlier_attempts: tuple[str, ...] = ()
    """Job ids of earlier attempts: if the user has cancelled any of them, this attempt does not run."""
    segment: int = 1
    segments: int = 1
    """This is segment `segment` of `segments` of its attempt (`plan/segments.py`)."""
    earlier_tries: tuple[int, ...] = ()
    """Of a task with segments: for each job in `earlier_attempts`, of which attempt it is a segment."""
    releases: bool = False
    """The next attempt waits in reserve (`plan/reserves.py`): a failure of this one releases it."""
    stops: str = ""
    """Folder of the run, if a failure of this attempt stops the run (the last attempt, without --keep-going)."""
    elsewhere: str = ""
    """Folder of the run, if further attempts of the task are to keep off a node that fails this one."""
    checkpoints: str = ""
    """The task's KEMPNER_CHECKPOINT_DIR: a folder that is kept over requeues, attempts and time limits."""
    mark: str = ""
    """File that marks the task as succeeded, in a run that may end without a head; else empty."""
    temp_inputs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Each temporary input, with the marks of all tasks that read it: when all exist, the input is deleted."""
    temp_outputs: tuple[str, ...] = ()
    """Temporary outputs that no other task reads."""
    log_name: str = ""
    """A second name for the log of an array's element, as if submitted alone; `%j` stands for the job id."""
    log: str = ""
    """Log that the job opens itself because Slurm cannot name it; `%j` or `%A_%a` stands for the job id."""
    latency_wait: int = 5
    """Seconds to wait for a file that another node has written."""
    light: LightTask | None = None
    """The command of a light job, which runs no Snakemake; then `targets`, `arguments` and `config` are empty."""
    light_rule: LightRule | None = None
    """Of a light job: what all tasks of its rule have in common."""
    runs_snakemake: str = ""
    """Why the job is not a light job, for people."""
    version: int = field(default=VERSION)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what it holds is shared, not copied."""
        known = {name: getattr(self, name) for name in _FIELDS}
        known["light"] = _by_name(self.light) if self.light else None
        known["light_rule"] = _by_name(self.light_rule) if self.light_rule else None
        return known

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> "StepSpec":
        """Raises ValueError for a version that this package does not know, and for a light job."""
        data = dict(known)
        if data.get("version") != VERSION:
            raise ValueError(f"step version {data.get('version')!r} is not {VERSION}: job and plugin do not match")
        if data["light"] is not None:
            raise ValueError("a light job has a program of its own (step/light)")
        data["targets"] = tuple((rule, dict(wildcards)) for rule, wildcards in data["targets"])
        data["temp_inputs"] = tuple((path, tuple(marks)) for path, marks in data["temp_inputs"])
        for name in ("arguments", "wait_for", "outputs", "earlier_attempts", "earlier_tries", "temp_outputs"):
            data[name] = tuple(data.get(name, ()))
        return cls(**data)


_FIELDS = tuple(each.name for each in fields(StepSpec))


def _by_name(value: LightTask | LightRule) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def without_options(arguments: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Arguments of a Snakemake without these options and their values."""
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument in names
        if not dropping:
            yield argument


NOTHING = StepSpec(task="", attempt=1, folder="", records="", targets=(), arguments=())
"""For a task that is only checked, not submitted."""
