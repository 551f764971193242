"""The values of planning: task, attempt, submission, plan, policy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..printable import printable
from ..site.checks import Checks
from ..site.model import Site
from .dependency import DependencyType, Expression, Ref
from .step import StepSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A task waits for another one."""

    on: str
    """Key of the other task."""
    type: DependencyType = DependencyType.AFTEROK
    minutes: int | None = None
    declared: bool = False
    """Said by the rule (`slurm_dependency`) rather than following from a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The k-th try of a task, with the resources that hold for it."""

    number: int
    threads: int
    resources: Mapping[str, int | str]
    """Evaluated resources, by Snakemake's names."""
    step: StepSpec
    units: Mapping[str, int] = field(default_factory=dict)
    """What it takes, while it runs, of what the policy limits."""


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
    singleton: bool = False
    """Never beside another task of the same rule and user, in whatever run."""
    members: tuple[str, ...] = ()
    """Keys of the jobs of a group; empty for a job alone. A group has another key when some of its members are done."""
    folders: tuple[str, ...] = ()
    """Declared outputs that are folders."""
    not_needed: str = ""
    """Why nothing has to be submitted for it; empty when something has to."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Digests of what it runs on (code, parameters, inputs): a later run sees what has changed since."""

    @property
    def is_handler(self) -> bool:
        """Runs only when something has failed; not being needed is no failure."""
        return any(edge.type is DependencyType.AFTERNOTOK for edge in self.edges)

    @property
    def may_follow_failure(self) -> bool:
        """It was declared to run after another task in whatever way that one ends."""
        return any(edge.declared and edge.type is not DependencyType.AFTEROK for edge in self.edges)

    @property
    def label(self) -> str:
        """`rule[wildcard=value]`, for people."""
        return label(self.name, self.wildcards)


def label(name: str, wildcards: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in wildcards.items())
    return printable(f"{name}[{inside}]" if inside else name)


@dataclass(frozen=True, slots=True)
class Deferred:
    """Something that cannot be planned yet."""

    why: str
    awaits: frozenset[str] = frozenset()
    """Keys of the tasks that have to succeed first; none when it waits for the head process itself."""
    however: bool = False
    """They have to end only, however."""
    task: Task | None = field(default=None, compare=False)
    """What it asks for, as far as that is known: it is checked now and submitted later."""


class Kind(Enum):
    """What a submission is for."""

    TASK = "task"
    """Runs an attempt of a task."""
    GATE = "gate"
    """Does nothing; stands for "one attempt of the task has succeeded" as a single job id."""
    GUARD = "guard"
    """Acts on the first failure when no head lives: takes out of the queue what is not to start any more."""
    CONTINUATION = "continuation"
    """Plans and submits what could not be planned before, when what it waited for has succeeded."""
    CLOSING = "closing"
    """The last job of a run that nobody watches: runs the hooks, tidies up, and ends as the run has ended."""


LOOK_AFTER = frozenset({Kind.CONTINUATION.value, Kind.CLOSING.value})
"""Kinds of jobs that look after a run, which are also the names of their tasks; they alone are nothing to look after."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One Slurm job, complete but for the job ids it waits for: an attempt of a task, or a job of ours."""

    ref: Ref
    kind: Kind
    label: str
    """Whose submission this is, for people."""
    rule: str = ""
    """Rule of the task, or name of the group."""
    job_name: str
    """Unique among the user's jobs; a lost answer of sbatch is found again by it."""
    shown_name: str = ""
    """Name in the queue where it is not the unique one: `singleton` goes by the name that jobs have in common."""
    options: tuple[str, ...]
    """Options of sbatch except those that `Call.options` adds."""
    step: StepSpec | None = None
    """What the job does; None for a job of ours, which has a script."""
    script: str = ""
    log: str
    """Path of the log of a job that is submitted alone; `%j` in the file's name stands for the job id."""
    waits_for: Expression | None = None
    why: str = ""
    """Why it waits for what it waits for."""
    earlier: tuple[Ref, ...] = ()
    """Attempts of the task before this one."""
    attempts: int = 1
    """Number of the task's last attempt."""
    stops: bool = False
    """Its failure is the end of the run: the last attempt, without --keep-going."""
    edges: tuple[Edge, ...] = ()
    """Of the task."""
    members: tuple[str, ...] = ()
    """Of the task."""
    spared: bool = False
    """Declared to follow a failure, so it stays in the queue when the run stops for one."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Of the task."""
    units: Mapping[str, int] = field(default_factory=dict)
    """What it takes, while it runs, of what the policy limits."""
    array_from: int = 0
    """From how many of its kind on it becomes an element of a job array; 0 for never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of sbatch: a submission alone, or several as the elements of a job array."""

    submissions: tuple[Submission, ...]
    waits_for: Expression | None = None
    """For an array, what all of its elements wait for, and element by element (`aftercorr`)."""
    indices: tuple[int, ...] = ()
    """Of the elements of an array; empty for a submission alone."""
    throttle: int = 0
    """How many elements may run at once; 0 for any number."""

    @property
    def first(self) -> Submission:
        return self.submissions[0]

    @property
    def job_name(self) -> str:
        return self.first.job_name

    @property
    def is_array(self) -> bool:
        return bool(self.indices)

    @property
    def log(self) -> str:
        """Path of the log of each submission; `%j` or `%A_%a` in the file's name stands for the job id."""
        if not self.is_array:
            return self.first.log
        return f"{self.first.log.rpartition('/')[0]}/array-{self.job_name.rpartition('.')[2]}.%A_%a.log"

    @property
    def opens_own_log(self) -> bool:
        r"""Slurm cannot put the job id into the log's name: a \ in a path makes it take all of it as it is, less the \."""
        return "\\" in self.log

    @property
    def options(self) -> tuple[str, ...]:
        """Options of sbatch, except for names and dependency."""
        folder, _, name = self.log.rpartition("/")
        if self.opens_own_log:
            literal = f"{self.job_name}.log" if "%" in name else name
            output = f"{folder}/{literal}".replace("\\", "\\\\")
        else:  # Slurm reads % as the start of a replacement; %% is the character itself
            output = f"{folder.replace('%', '%%')}/{name}"
        throttle = f"%{self.throttle}" if self.throttle else ""
        array = (f"--array={ranges(self.indices)}{throttle}",) if self.is_array else ()
        return (f"--output={output}", *array, *self.first.options)

    def job_ids(self, answer: str) -> tuple[str, ...]:
        """Ids of the submissions, when sbatch has answered with that one."""
        return tuple(f"{answer}_{index}" for index in self.indices) or (answer,)


def log_path(pattern: str, job_id: str) -> str:
    """Path of the log of a job."""
    folder, slash, name = pattern.rpartition("/")
    return folder + slash + name.replace("%A_%a", job_id).replace("%j", job_id)


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as Slurm writes them: `0-5,9`."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1][1:] = [number]
        else:
            groups.append([number])
    return ",".join("-".join(map(str, group)) for group in groups)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Calls of sbatch in an order in which every dependency comes first."""

    calls: tuple[Call, ...]
    policy: "Policy"
    notices: tuple[str, ...] = ()
    """What was decided for the user and is worth saying once."""
    closing_waits_for: Expression | None = None
    """What the closing job of an earlier plan of the run has to wait for from now on."""

    @property
    def submissions(self) -> tuple[Submission, ...]:
        return tuple(one for call in self.calls for one in call.submissions)

    @property
    def tasks(self) -> frozenset[str]:
        """Keys of the tasks that it submits."""
        return frozenset(one.ref.task for call in self.calls for one in call.submissions if one.kind is Kind.TASK)


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
    keep_going: bool = False
    """After a failure, what does not depend on it goes on."""
    logs: str = ""
    """Where the logs of jobs lie; empty for a folder below that of the run."""
    prefix: str = ""
    """Text before the name of each job."""
    precommand: str = ""
    """Shell command that each job runs first (Snakemake's --precommand)."""
    first_number: int = 1
    """Number of the plan's first submission; later plans of a run go on counting."""
    standing: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    """Tasks of earlier plans of this run that have not ended: their attempts that have not ended."""
    detached: bool = False
    """No head will be there: a closing job is queued behind everything, and a continuation where one is needed."""
    has_closing: bool = False
    """A head watches, and a closing job is queued all the same: it ends the run if that head dies."""
    locks: bool = True
    """The head holds Snakemake's lock, which stays behind when it is killed."""
    records_in_files: bool = False
    """Snakemake keeps its records in files, not in a database."""
    closing: Ref | None = None
    """The closing job of an earlier plan, when it still waits in the queue."""
    closing_options: tuple[str, ...] = ()
    """More options of sbatch for the closing job."""
    array_from: int = 5
    """From how many tasks of a rule on they become a job array; 0 for never."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """How much of something, by Snakemake's names, may be taken by what runs at once."""
    standing_units: tuple[Mapping[str, int], ...] = ()
    """What each job of earlier plans takes that has not ended."""
    largest_queue: int | None = None
    """Jobs that the user may have in the queue, those of other runs included; None for any number."""
    largest_array: int = 1001
    """Elements that an array may have: Slurm's MaxArraySize, which is one more than the largest index."""
    largest_script: int = 4 * 2**20
    """Bytes of a job script; what is longer lies in a file beside it."""
    memory: float = 240.0
    """Seconds for which Slurm surely remembers a job that has ended, with a margin: MinJobAge is 300 by default."""
    site: Site | None = None
    """Where the jobs are to run; None where nothing is known of it."""
    possible: tuple[Task, ...] = ()
    """A task for each rule that has none yet and may get some, with resources that are the same for all."""
    environments: tuple[str, ...] = ()
    """What the head builds software environments with (`conda`, `apptainer`)."""
    checks: Checks = Checks.ERROR
    """What is done about a request that the site cannot meet, or that wastes."""

    efficiency_report: bool = False
    """At the end it is said what the jobs used of what they asked for."""

    @property
    def log_folder(self) -> str:
        return self.logs or f"{self.folder}/logs"

    @property
    def ends_itself(self) -> bool:
        """The run does not need a head to end: a closing job is queued behind everything."""
        return self.detached or self.has_closing

    @property
    def needs_guard(self) -> bool:
        """Something has to act on a failure that Slurm's own flags do not cover."""
        return not (self.keep_going and self.kill_on_invalid_dep)
