"""What planning makes of tasks (`task.py`): submissions, calls of sbatch, a plan; and the policy that it follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..layout import LOGS
from ..notation import ranges
from ..options import NO_OPTIONS, Options
from ..site.model import Site
from ..site.modes import Checks
from .dependency import Expression, Ref
from .requested import Requested
from .step import StepSpec
from .task import Edge, Task, Turn


class Kind(Enum):
    """What a submission is for."""

    TASK = "task"
    """Runs an attempt of a task."""
    GATE = "gate"
    """Does nothing; stands for "one attempt of the task has succeeded" as a single job id."""
    RELEASE = "release"
    """Releases further attempts of an array's tasks when attempts have failed (`plan/reserves.py`)."""
    GUARD = "guard"
    """Acts on the first failure without a head process: cancels queued jobs that should no longer start."""
    CONTINUATION = "continuation"
    """Plans and submits what could not be planned before, when what it waited for has succeeded."""
    CLOSING = "closing"
    """The last job of a run without a head process: runs the hooks, cleans up, and exits with the run's status."""


LOOK_AFTER = frozenset({Kind.CONTINUATION.value, Kind.CLOSING.value})
"""Kinds of jobs that look after a run, which are also the names of their tasks. A run with no other job has ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One Slurm job, complete except for the job ids it waits for: an attempt of a task, or a helper job."""

    ref: Ref
    kind: Kind
    label: str
    """Whose submission this is, for people."""
    rule: str = ""
    """Rule of the task, or name of the group."""
    job_name: str
    """Unique among the user's jobs: if sbatch's answer is lost, the job is found by this name."""
    shown_name: str = ""
    """Name in the queue, if not `job_name`: Slurm's `singleton` compares job names, so those jobs share a name."""
    options: Options
    """Options of sbatch except those that `Call.options` adds."""
    step: StepSpec | None = None
    """What the job does; None for a helper job, which has a script."""
    script: str = ""
    log: str
    """Path of the log of a job that is submitted alone; `%j` in the file's name stands for the job id."""
    waits_for: Expression | None = None
    why: str = ""
    """Why it waits for what it waits for."""
    earlier: tuple[Ref, ...] = ()
    """Earlier attempts of the task."""
    attempts: int = 1
    """Number of the task's last attempt."""
    segments: int = 1
    """How many segments each attempt of the task has."""
    stops: bool = False
    """True when its failure stops the run: a job of the last attempt, without --keep-going."""
    edges: tuple[Edge, ...] = ()
    """Of the task."""
    members: tuple[str, ...] = ()
    """Of the task."""
    logs: tuple[str, ...] = ()
    """Of the task."""
    spared: bool = False
    """Stays in the queue when the run stops after a failure, for example a failure handler."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Of the task."""
    units: Mapping[str, int] = field(default_factory=dict)
    """What it takes, while it runs, of what the policy limits."""
    array_from: int = 0
    """Smallest group of alike submissions that becomes a job array; 0 for never."""

    @property
    def turn(self) -> Turn:
        return Turn.of(self.ref.attempt, self.segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of sbatch: a submission alone, or several as the elements of a job array."""

    submissions: tuple[Submission, ...]
    waits_for: Expression | None = None
    """For an array: what all elements wait for, and `aftercorr` terms, which hold element by element."""
    indices: tuple[int, ...] = ()
    """Of the elements of an array; empty for a submission alone."""
    throttle: int = 0
    """How many elements may run at once; 0 for any number."""
    has_reserve: bool = False
    """Further attempts of its tasks wait in reserve (`plan/reserves.py`): one that fails releases the next."""

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
        r"""Slurm cannot put the job id into the log's name: with a \ in the path, sbatch replaces no `%` in it."""
        return "\\" in self.log

    @property
    def options(self) -> Options:
        """Options of sbatch, except for names and dependency."""
        folder, _, name = self.log.rpartition("/")
        if self.opens_own_log:
            literal = f"{self.job_name}.log" if "%" in name else name
            output = f"{folder}/{literal}".replace("\\", "\\\\")
        else:  # Slurm reads % as the start of a replacement; %% is the character itself
            output = f"{folder.replace('%', '%%')}/{name}"
        array = {"array": ranges(self.indices, at_once=self.throttle)} if self.is_array else {}
        return Options({"output": output, **array}) | self.first.options

    def job_ids(self, answer: str) -> tuple[str, ...]:
        """Ids of the submissions, given the job id that sbatch has printed."""
        return tuple(f"{answer}_{index}" for index in self.indices) or (answer,)


def log_path(pattern: str, job_id: str) -> str:
    """Path of the log of a job."""
    folder, slash, name = pattern.rpartition("/")
    return folder + slash + name.replace("%A_%a", job_id).replace("%j", job_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Calls of sbatch in an order in which every dependency comes first."""

    calls: tuple[Call, ...]
    policy: "Policy"
    notices: tuple[str, ...] = ()
    """Messages about decisions made for the user, each shown once."""
    closing_waits_for: Expression | None = None
    """New dependency of the closing job that an earlier plan of this run has submitted."""
    requested: Requested = field(default_factory=Requested, compare=False)
    """By all tasks that it was made for, also those that wait for room or for a result."""

    @property
    def submissions(self) -> tuple[Submission, ...]:
        return tuple(submission for call in self.calls for submission in call.submissions)

    @property
    def tasks(self) -> frozenset[str]:
        """Keys of the tasks that it submits."""
        return frozenset(
            submission.ref.task
            for call in self.calls
            for submission in call.submissions
            if submission.kind is Kind.TASK
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Settings for all submissions of a run."""

    run: str
    """Short unique name of the run; part of each job's name."""
    folder: str
    """The run's folder: logs and records lie below."""
    workdir: str
    """Where the jobs start (`sbatch --chdir`)."""
    python: str
    """Interpreter of the step."""
    kill_on_invalid_dep: bool = True
    """Slurm cancels a job whose dependency can never hold."""
    has_reserves: bool = True
    """Further attempts of an array's tasks may wait in reserve (`plan/reserves.py`): somebody will release them."""
    keep_going: bool = False
    """After a failure, independent tasks still run."""
    logs: str = ""
    """Folder of the jobs' logs; empty for a folder below the run's."""
    prefix: str = ""
    """Text before the name of each job."""
    light_program: str = ""
    """Folder with the program of light jobs; without it every job runs Snakemake."""
    precommand: str = ""
    """Shell command that each job runs first (Snakemake's --precommand)."""
    first_number: int = 1
    """Number of the plan's first submission; the numbers continue over the plans of a run."""
    standing: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    """Unfinished attempts of each unfinished task of earlier plans of this run."""
    detached: bool = False
    """The run has no head process: a closing job follows all jobs, and a continuation runs where needed."""
    has_closing: bool = False
    """A head watches, and a closing job is queued as well: it ends the run if the head dies."""
    locks: Mapping[str, float] = field(default_factory=dict)
    """Snakemake's locks that the head holds, with the times of their files; they stay behind when it is killed."""
    records_in_files: bool = False
    """Snakemake keeps its records in files, not in a database."""
    closing: Ref | None = None
    """The closing job of an earlier plan, if it is still pending."""
    closing_options: Options = NO_OPTIONS
    """More options of sbatch for the closing job."""
    mail: str = ""
    """Who gets a mail about the end of the run: an address, or `self`; empty for nobody."""
    on_end: str = ""
    """Command of the user for the end of the run."""
    array_from: int = 5
    """Smallest number of alike tasks that becomes a job array; 0 for never."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits on what runs at the same time, by Snakemake's resource names."""
    standing_units: tuple[Mapping[str, int], ...] = ()
    """Units that each unfinished job of earlier plans holds."""
    largest_queue: int | None = None
    """Jobs that the user may have in the queue, including other runs; None for no limit."""
    largest_array: int = 1001
    """Largest number of elements of an array: Slurm's MaxArraySize, the largest index plus 1."""
    largest_script: int = 4 * 2**20
    """Largest job script in bytes; a longer script keeps its data in a file beside it."""
    memory: float = 240.0
    """Seconds for which slurmctld keeps an ended job (MinJobAge, 300 by default), less a margin."""
    site: Site | None = None
    """The cluster's partitions and rules; None when unknown."""
    cluster: str = ""
    """Name of the cluster that the run goes to; empty when unknown."""
    home: str = ""
    """Name of the cluster that a job goes to whose rule names none; empty when unknown."""
    local_rules: frozenset[str] = frozenset()
    """Rules that a head runs itself: where they are jobs, they go where the run goes."""
    at: Options = NO_OPTIONS
    """What names the run's cluster to sbatch, if it is another than that of this machine."""
    possible: tuple[Task, ...] = ()
    """A sample task for each rule whose tasks are not known yet, with the resources that all of them will have."""
    environments: tuple[str, ...] = ()
    """What the head builds software environments with (`conda`, `apptainer`)."""
    checks: Checks = Checks.ERROR
    """What to do about requests that the site cannot meet, or that waste resources."""
    retries_elsewhere: bool = True
    """Further attempts keep off nodes that have failed a task."""
    most_gpu_hours: float | None = None
    """GPU hours that the run may ask for; None for no limit."""
    earlier_gpu_hours: float = 0.0
    """GPU hours that earlier plans of this run have asked for."""
    efficiency_report: bool = False
    """At the end, report which share of the requested resources the jobs have used."""

    @property
    def log_folder(self) -> str:
        return self.logs or f"{self.folder}/{LOGS}"

    @property
    def ends_itself(self) -> bool:
        """The run can end without a head: a closing job follows all other jobs."""
        return self.detached or self.has_closing

    @property
    def needs_guard(self) -> bool:
        """Slurm's own flags do not cover what has to happen after a failure."""
        return not (self.keep_going and self.kill_on_invalid_dep)
