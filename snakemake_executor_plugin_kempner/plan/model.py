"""The values of planning: task, attempt, submission, plan, policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .dependency import DependencyType, Expression, Ref
from .step import StepSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A task waits for another one."""

    on: str
    """Key of the other task."""
    type: DependencyType = DependencyType.AFTEROK
    minutes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The k-th try of a task, with the resources that hold for it."""

    number: int
    threads: int
    resources: Mapping[str, int | str]
    """Evaluated resources, by Snakemake's names."""
    step: StepSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One Snakemake job or group job."""

    key: str
    """Digest of rule, wildcards and outputs: the same in every run of the workflow."""
    name: str
    """Rule, or name of the group."""
    wildcards: Mapping[str, str]
    attempts: tuple[Attempt, ...]
    edges: tuple[Edge, ...] = ()

    @property
    def label(self) -> str:
        """`rule[wildcard=value]`, for people."""
        return label(self.name, self.wildcards)


def label(name: str, wildcards: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in wildcards.items())
    return f"{name}[{inside}]" if inside else name


class Kind(Enum):
    """What a submission is for."""

    TASK = "task"
    """Runs an attempt of a task."""
    GATE = "gate"
    """Does nothing; stands for "one attempt of the task has succeeded" as a single job id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One sbatch call, complete but for the job ids it waits for."""

    ref: Ref
    kind: Kind
    label: str
    """Whose submission this is, for people."""
    job_name: str
    """Unique among the user's jobs; a lost answer of sbatch is found again by it."""
    options: tuple[str, ...]
    """Options of sbatch except --dependency."""
    script: str
    log: str
    """Path of the job's log; `%j` in the file's name stands for the job id."""
    waits_for: Expression | None = None
    why: str = ""
    """Why it waits for what it waits for."""

    def log_path(self, job_id: str) -> str:
        folder, slash, name = self.log.rpartition("/")
        return folder + slash + name.replace("%j", job_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Submissions in an order in which every dependency comes first."""

    submissions: tuple[Submission, ...]
    notices: tuple[str, ...] = ()
    """What was decided for the user and is worth saying once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What holds for all submissions of a run."""

    run: str
    """Short unique name of the run; part of each job's name."""
    folder: str
    """The run's folder: logs and records lie below."""
    workdir: str
    """Where the jobs start (`sbatch --chdir`)."""
    python: str
    """Interpreter of the step."""
    kill_on_invalid_dep: bool = True
    """A job whose dependency can never hold leaves the queue by itself."""
    precommand: str = ""
    """Shell command that each job runs first (Snakemake's --precommand)."""
    first_number: int = 1
    """Number of the plan's first submission; later plans of a run go on counting."""
    standing: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    """Tasks submitted by earlier plans of this run: submissions whose success releases what depends on them.
    An empty tuple is a task that has succeeded."""
