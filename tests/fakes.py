"""A small scheduler and a clock, for tests. `tests/contract.py` holds the scheduler against the real Slurm.

    clock = FakeClock()
    slurm = FakeSlurm(clock, ends=by_rule({"align": [failed(3), OK]}), max_running=2)
    slurm.trouble("submit", None, Trouble.LOST_ANSWER)     # the first sbatch works, the answer of the second is lost
    …
    clock.sleep(60)                                        # or slurm.advance(60), slurm.run_dry()

Time is the clock's. One scheduling round a second: a round ends what is due, decides every dependency on what was true
before it, and starts what may start. So a chain of cancellations takes one round per link, and tests see every state
between that a user could see.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import takewhile
from typing import TypeVar

from snakemake_executor_plugin_kempner.errors import SlurmError, SlurmRefused, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.slurm.client import Slurm
from snakemake_executor_plugin_kempner.slurm.consumption import Consumption
from snakemake_executor_plugin_kempner.slurm.ids import array_id, element_id, expand, in_order, is_element
from snakemake_executor_plugin_kempner.slurm.listing import Listed
from snakemake_executor_plugin_kempner.slurm.parse import Record, Shown, Usage, record_of
from snakemake_executor_plugin_kempner.slurm.states import job_state

T = TypeVar("T")

ROUND = 1.0
"""Seconds between two scheduling rounds."""
LATE = 30.0
"""Seconds after which a late request arrives."""
BEGIN_TIME = 120.0
"""Seconds that a requeued job waits before it starts again."""


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0
        self.pauses: list[float] = []
        """What was slept, in order."""
        self.interrupt_at: float | None = None
        """From this time on a sleep is interrupted as by Ctrl-C, once."""

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._now += seconds
        if self.interrupt_at is not None and self._now >= self.interrupt_at:
            self.interrupt_at = None
            raise KeyboardInterrupt


# --- how a job ends -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How one run of a job ends."""

    word: str = "COMPLETED"
    """The state in Slurm's word; REQUEUED goes back into the queue and runs again."""
    exit_code: int = 0
    signal: int | None = None
    seconds: float = 1.0
    """After its start."""


OK = End()
TIMEOUT = End(word="TIMEOUT", signal=15)
OUT_OF_MEMORY = End(word="OUT_OF_MEMORY", exit_code=0, signal=9)
NODE_FAIL = End(word="NODE_FAIL")
REQUEUED = End(word="REQUEUED")


def failed(exit_code: int = 1, *, seconds: float = 1.0) -> End:
    return End(word="FAILED", exit_code=exit_code, seconds=seconds)


def takes(seconds: float) -> End:
    return End(seconds=seconds)


Ends = Callable[["FakeJob"], End]


def by_script(job: "FakeJob") -> End:
    """Understands `sleep N`, `exit N` and `kill -KILL $$`, one to a line or after a semicolon; the rest takes no time.

    A number may be `$((600 * (SLURM_ARRAY_TASK_ID == 2)))`; SLURM_RESTART_COUNT is known, too.
    """
    seconds = 0.0
    known = {"SLURM_ARRAY_TASK_ID": job.index, "SLURM_RESTART_COUNT": job.runs - 1}
    script = re.sub(r"\$\(\((.*?)\)\)(?!\))", lambda match: str(int(eval(match[1], {}, known))), job.script)
    for command in re.split(r"[;\n]", script):
        match command.split():
            case ["sleep", number]:
                seconds += float(number)
            case ["exit", number]:
                word = "FAILED" if int(number) else "COMPLETED"
                return End(word=word, exit_code=int(number), seconds=seconds)
            case ["kill", "-KILL", "$$"]:
                return End(word="FAILED", signal=9, seconds=seconds)
    return End(seconds=seconds)


def by_rule(ends: Mapping[str, End | Sequence[End]]) -> Ends:
    """Ends by the part of the job's name before the first dot, which is the rule.

    The k-th start of a job of that rule takes the k-th end, the last one holds from then on. Other jobs do as their
    script says.
    """
    starts: Counter[str] = Counter()

    def end(job: FakeJob) -> End:
        if job.rule not in ends:
            return by_script(job)
        known = ends[job.rule]
        sequence = (known,) if isinstance(known, End) else known
        starts[job.rule] += 1
        return sequence[min(starts[job.rule], len(sequence)) - 1]

    return end


# --- dependencies ---------------------------------------------------------------------------------------------------


class Verdict(Enum):
    MET = "met"
    OPEN = "open"
    NEVER = "never"


@dataclass(kw_only=True, slots=True)
class Condition:
    """One term of --dependency. Once decided it stays decided, whatever becomes of the other job."""

    type: str
    on: str = ""
    minutes: int = 0
    verdict: Verdict = Verdict.OPEN


@dataclass(kw_only=True, slots=True)
class FakeJob:
    job_id: str
    """Of an element as everywhere: `5_3`."""
    name: str
    options: Options
    script: str
    index: int | None = None
    """Number of the element; None for what is no array."""
    throttle: int | None = None
    """Elements of the array that run at once."""
    separate: bool = True
    """Elements of an array that wait have one record together, until they start, are changed, or wait for `aftercorr`."""
    vanished: bool = False
    """Cancelled out of the common record: Slurm has never heard of it."""
    conditions: tuple[Condition, ...] = ()
    any_of: bool = False
    kill_on_invalid_dep: bool = False
    held: bool = False
    word: str = "PENDING"
    reason: str = ""
    node: str = ""
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    begin: float = 0.0
    """Earliest start."""
    end: End = OK
    """How the present run ends, or the last one has ended."""
    due: float = 0.0
    runs: int = 0

    @property
    def rule(self) -> str:
        return self.name.partition(".")[0]

    @property
    def unique_name(self) -> str:
        """By which a lost answer is found again: the comment, where the name is shared."""
        return self.options.get("comment") or self.name

    @property
    def array_id(self) -> str:
        return array_id(self.job_id)

    @property
    def is_pending(self) -> bool:
        return self.word == "PENDING"

    @property
    def is_running(self) -> bool:
        return self.word == "RUNNING"

    @property
    def is_final(self) -> bool:
        return not (self.is_pending or self.is_running)

    @property
    def verdict(self) -> Verdict:
        verdicts = [condition.verdict for condition in self.conditions]
        if not verdicts:
            return Verdict.MET
        enough, hopeless = (any, all) if self.any_of else (all, any)
        if enough(verdict is Verdict.MET for verdict in verdicts):
            return Verdict.MET
        return Verdict.NEVER if hopeless(verdict is Verdict.NEVER for verdict in verdicts) else Verdict.OPEN


_TYPES = ("after", "afterok", "afternotok", "afterany", "aftercorr")


def parse_dependency(text: str) -> tuple[tuple[Condition, ...], bool]:
    """Conditions, and whether one is enough. A mix of `,` and `?` means "any of all", as Slurm silently reads it.

    Raises:
        ValueError: what sbatch refuses.
    """
    conditions: list[Condition] = []
    for term in re.split(r"[,?](?![^\[]*\])", text):
        if term == "singleton":
            conditions.append(Condition(type=term))
        elif term.isdigit():
            conditions.append(Condition(type="afterany", on=term))
        else:
            kind, *on = term.split(":")
            if kind not in _TYPES or not on:
                raise ValueError(term)
            for one in on:
                match = re.fullmatch(r"(\d+(?:_\d+|_\[[\d,-]+\])?)(?:\+(\d+))?", one)
                if match is None or (match[2] and kind != "after"):
                    raise ValueError(term)
                minutes = int(match[2] or 0)
                conditions += [Condition(type=kind, on=each, minutes=minutes) for each in expand(match[1])]
    return tuple(conditions), "?" in text


# --- the scheduler --------------------------------------------------------------------------------------------------


class Trouble(Enum):
    """What may happen to a command."""

    REFUSED = "refused"
    NOT_TAKEN = "not taken"
    """It did not arrive, and that is said: there was nobody to connect to."""
    UNREACHABLE = "unreachable"
    """It did not arrive, and nobody can know."""
    LOST_ANSWER = "lost answer"
    """It was carried out, and nobody is told."""
    LATE = "late"
    """No answer, and it is carried out half a minute later."""
    INTERRUPTED = "interrupted"
    """It was carried out, and Ctrl-C came before the answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command that was asked for, answered or not."""

    command: str
    about: tuple[str, ...] = ()
    """Unique name of `submit` and `find`, job ids of `accounting`, `cancel` and the like, both arguments of `depend`."""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A job has come to a new state."""

    time: float
    job: FakeJob
    word: str


@dataclass(kw_only=True, slots=True)
class _Late:
    due: float
    carry_out: Callable[[], object]


class FakeSlurm:
    """The protocol `Slurm`, and levers for tests.

    Args:
        clock: time; shared with whoever sleeps.
        ends: how each run of a job ends; asked at its start.
        max_running: jobs that run at once; each has the node to itself.
        max_submitted: jobs that may be in the queue, as an association's or QOS's submit limit has it.
        partitions: those that exist; None for any.
        keeps_accounts: whether `accounting`, `consumption` and `usage` answer.
        min_job_age: seconds after its end for which the controller knows a job.
        refuses_unknown_ids: as Slurm 24.11 does for afterok and afternotok; 22.05 takes an unknown id as satisfied.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        *,
        ends: Ends = by_script,
        max_running: int | None = None,
        max_submitted: int | None = None,
        partitions: Collection[str] | None = None,
        keeps_accounts: bool = False,
        min_job_age: float = 300,
        refuses_unknown_ids: bool = False,
    ) -> None:
        self.clock = clock or FakeClock()
        self.ends = ends
        self.max_running, self.max_submitted, self.partitions = max_running, max_submitted, partitions
        self.keeps_accounts, self.min_job_age = keeps_accounts, min_job_age
        self.refuses_unknown_ids = refuses_unknown_ids
        self.jobs: dict[str, FakeJob] = {}
        """Every job that was ever accepted, in order; each element of an array is one."""
        self.emptied: dict[str, float] = {}
        """Arrays whose own id says CANCELLED for elements that have vanished, and since when."""
        self._arrays: defaultdict[str, list[FakeJob]] = defaultdict(list)
        self._running: Counter[str] = Counter()
        self._ids = 0
        self.calls: list[Call] = []
        self.changes: list[Change] = []
        """Everything that happened, in order."""
        self.down = False
        """The controller answers nothing."""
        self.hidden: set[str] = set()
        """Jobs that are missing in the answers of `queue` and `show`."""
        self.is_blind = False
        """The list of jobs is empty, as that of a squeue that looks elsewhere; by its id each is known."""
        self.forgotten: set[str] = set()
        """Jobs that the controller has purged, whatever their age."""
        self.witness: Callable[[Change], None] = lambda _change: None
        """Is told of everything that happens, when it happens."""
        self._troubles: defaultdict[str, deque[Trouble | BaseException | None]] = defaultdict(deque)
        self._late: list[_Late] = []
        self._time = self.clock.now()
        self._restless = False

    # --- levers -----------------------------------------------------------------------------------------------------

    def trouble(self, command: str, *kinds: Trouble | BaseException | None) -> None:
        """What becomes of the next calls of a command, in order; None is no trouble, an exception is raised as it is."""
        self._troubles[command].extend(kinds)

    def forgive(self, command: str) -> None:
        """Drop the troubles that have not come yet."""
        self._troubles[command].clear()

    def tick(self) -> None:
        """One scheduling round."""
        self.advance(ROUND)

    def advance(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self._catch_up()

    def run_dry(self) -> None:
        """Until nothing more happens by itself."""
        while (then := self._next_round()) is not None:
            self.advance(max(then - self.clock.now(), 0))

    def vanish(self, job_id: str, *, by_filter: bool = False) -> None:
        """An element that waits is cancelled by `scancel 5_3`, or with all that wait by `scancel --user` or `--state`."""
        common = [one for one in self._elements(array_id(job_id)) if one.is_pending and not one.separate]
        gone = [one for one in common if by_filter or one.job_id == job_id]
        for job in gone:
            job.vanished = True
            self._ended(job, End(word="CANCELLED"))
        if gone and len(gone) == len(common):
            self.emptied[array_id(job_id)] = self._time

    def start_now(self, job_id: str) -> None:
        """`scontrol update StartTime=now`: a job that was requeued need not wait any longer."""
        self.jobs[job_id].begin = self._time
        self._restless = True

    def settled(self, job_id: str) -> bool:
        """The job has ended, or will never start."""
        job = self.jobs[job_id]
        return job.is_final or job.verdict is Verdict.NEVER

    # --- what tests ask -----------------------------------------------------------------------------------------------

    @property
    def left(self) -> list[FakeJob]:
        """Jobs in the queue."""
        return [job for job in self.jobs.values() if not job.is_final]

    def named(self, rule: str) -> list[FakeJob]:
        """Jobs of a rule, in order of submission."""
        return [job for job in self.jobs.values() if job.rule == rule]

    def asked(self, command: str) -> list[Call]:
        return [call for call in self.calls if call.command == command]

    @property
    def doubles(self) -> set[str]:
        """What was accepted more than once, by unique names."""
        submitted = {(job.array_id, job.unique_name) for job in self.jobs.values()}
        return {name for name, count in Counter(name for _, name in submitted).items() if count > 1}

    # --- the protocol -----------------------------------------------------------------------------------------------

    def submit(self, options: Options, script: str) -> str:
        name = options.get("job-name", "sbatch")
        unique_name = options.get("comment", name)
        return self._do("submit", (unique_name,), lambda: self._accept(name, options, script))

    def find(self, job_name: str) -> tuple[str, ...]:
        def found() -> tuple[str, ...]:
            return tuple(
                dict.fromkeys(one.array_id for one in self._listed() if job_name in (one.name, one.unique_name))
            )

        return self._do("find", (job_name,), found)

    def names(self) -> dict[str, tuple[str, str]]:
        def named() -> dict[str, tuple[str, str]]:
            jobs = () if self.is_blind else self._listed()
            return {one.job_id: (one.name, one.options.get("comment") or "(null)") for one in jobs}

        return self._do("names", (), named)

    def workdirs(self) -> dict[str, str]:
        placed = lambda: {one.job_id: one.options.get("chdir") or "" for one in self._listed() if not one.is_final}  # noqa: E731
        return self._do("workdirs", (), placed)

    def queue(self) -> tuple[Record, ...]:
        shown = lambda: () if self.is_blind else tuple(map(_record, self._seen()))  # noqa: E731
        return self._do("queue", (), shown)

    def listing(self) -> tuple[Listed, ...]:
        def listed() -> tuple[Listed, ...]:
            return () if self.is_blind else tuple(map(self._as_listed, self._seen()))

        return self._do("listing", (), listed)

    def _as_listed(self, job: FakeJob) -> Listed:
        limit = _seconds(job.options.get("time"))
        return Listed(
            record=_record(job),
            name=job.name,
            comment=job.options.get("comment") or "(null)",
            starts=job.started,
            used_s=round(_elapsed(job, self.clock.now())),
            limit_s=None if limit is None else round(limit),
        )

    def show(self, job_ids: Collection[str]) -> tuple[Shown, ...]:
        arrays = set(map(array_id, job_ids))

        def shown() -> tuple[Shown, ...]:
            found = [one for one in self._seen() if one.array_id in arrays]
            return tuple(
                Shown(record=_record(one), name=one.name, comment=one.options.get("comment") or "(null)")
                for one in found
            )

        return self._do("show", tuple(sorted(arrays)), shown)

    def _seen(self) -> list[FakeJob]:
        return [job for job in self._listed() if job.job_id not in self.hidden]

    def accounting(self, job_ids: Collection[str]) -> tuple[Record, ...]:
        return self._do("accounting", tuple(sorted(job_ids)), lambda: tuple(self._accounts(job_ids)))

    def consumption(self, job_ids: Collection[str]) -> tuple[Consumption, ...]:
        def told() -> tuple[Consumption, ...]:
            known = self._accounted_for()
            found = [(one, known.get(one) or known.get(array_id(one))) for one in in_order(job_ids)]
            return tuple(_consumed(one, job, self.clock.now()) for one, job in found if job is not None)

        return self._do("consumption", tuple(sorted(job_ids)), told)

    def usage(self, job_id: str) -> Usage:
        try:
            return self._do("usage", (job_id,), lambda: self._usage(job_id))
        except SlurmError:
            return Usage()

    def _usage(self, job_id: str) -> Usage:
        job = self._accounted_for().get(job_id)
        return Usage() if job is None else Usage(elapsed=_clock(_elapsed(job, self.clock.now())))

    def runs(self, job_id: str) -> bool:
        try:
            records = [*self.queue(), *(one.record for one in self.show([job_id]))]
        except SlurmError:
            return True
        return any(job_id in (one.job_id, array_id(one.job_id)) for one in records if not one.state.is_final)

    def depend(self, job_id: str, dependency: str) -> None:
        self._do("depend", (job_id, dependency), lambda: self._depend(job_id, dependency))

    def requeue(self, job_id: str) -> None:
        self._do("requeue", (job_id,), lambda: self._requeue(job_id))

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> None:
        self._do("cancel", tuple(sorted(job_ids)), lambda: self._cancel(job_ids, pending_only=pending_only))

    # --- commands ---------------------------------------------------------------------------------------------------

    def _do(self, command: str, about: tuple[str, ...], carry_out: Callable[[], T]) -> T:
        self._catch_up()
        self.calls.append(Call(command, about, self.clock.now()))
        trouble = self._troubles[command].popleft() if self._troubles[command] else None
        if isinstance(trouble, BaseException):
            raise trouble
        match trouble:
            case Trouble.REFUSED:
                raise _refused(command, "Access/permission denied")
            case Trouble.LATE if not self.down:
                self._late.append(_Late(due=self.clock.now() + LATE, carry_out=carry_out))
            case Trouble.LOST_ANSWER if not self.down:
                carry_out()
            case Trouble.INTERRUPTED if not self.down:
                carry_out()
                raise KeyboardInterrupt
        if trouble is Trouble.NOT_TAKEN or self.down:
            why = "Unable to contact slurm controller (connect failure)"
            raise SlurmUnreachable(f"{command}: {why}", in_doubt=False)
        if trouble:
            raise SlurmUnreachable(f"{command}: Socket timed out on send/recv operation")
        return carry_out()

    def _accept(self, name: str, options: Options, script: str) -> str:
        partition = options.get("partition")
        if self.partitions is not None and partition and partition not in self.partitions:
            raise _refused("submit", "Invalid partition name specified")
        indices, throttle = _indices(options.get("array")) if "array" in options else ([None], None)
        if self.max_submitted is not None and len(self.left) + len(indices) > self.max_submitted:
            raise _refused("submit", "Job violates accounting/QOS policy", before="AssocMaxSubmitJobLimit")
        text = options.get("dependency")
        self._conditions(text)  # what is refused takes no number
        self._ids += 1
        for index in indices:
            conditions, any_of = self._conditions(text)
            job = FakeJob(
                job_id=str(self._ids) if index is None else element_id(str(self._ids), index),
                name=name,
                options=options,
                script=script,
                index=index,
                throttle=throttle,
                separate=index is None,
                conditions=conditions,
                any_of=any_of,
                kill_on_invalid_dep=options.get("kill-on-invalid-dep") == "yes",
                held="hold" in options,
                submitted=self.clock.now(),
            )
            job.reason = "Dependency" if job.verdict is not Verdict.MET else "None"
            self.jobs[job.job_id] = job
            if index is not None:
                self._arrays[job.array_id].append(job)
            self._changed(job, "PENDING")
        return str(self._ids)

    def _conditions(self, text: str) -> tuple[tuple[Condition, ...], bool]:
        try:
            conditions, any_of = parse_dependency(text) if text else ((), False)
        except ValueError:
            raise _refused("submit", "Job dependency problem") from None
        for condition in conditions:
            if condition.on and not any(self._knows(job) for job in self._named(condition.on)):
                if self.refuses_unknown_ids and condition.type in ("afterok", "afternotok"):
                    raise _refused("submit", "Job dependency problem")
                condition.verdict = Verdict.MET
        return conditions, any_of

    def _depend(self, job_id: str, dependency: str) -> None:
        jobs = [one for one in self._known() if job_id in (one.job_id, one.array_id)]
        if not jobs:
            raise _refused("depend", "Invalid job id specified")
        for job in jobs:
            if job.is_pending:
                job.conditions, job.any_of = self._conditions(dependency)
                job.reason = "Dependency" if job.verdict is not Verdict.MET else "None"
                job.separate |= is_element(job_id)
                self._restless = True
        if not all(job.is_pending for job in jobs):
            raise _refused("depend", "Job is no longer pending execution")

    def _requeue(self, job_id: str) -> None:
        """What has ended goes back into the queue, too, as long as the controller knows it."""
        jobs = [one for one in self._known() if job_id in (one.job_id, one.array_id)]
        if not jobs:
            raise _refused("requeue", f"Invalid job id specified for job {job_id}")
        waiting = [one for one in jobs if one.is_pending]
        bound = [one for one in jobs if "no-requeue" in one.options]
        for job in jobs:
            if job not in waiting and job not in bound:
                self._put_back(job)
        if bound:
            raise _refused("requeue", f"Requested operation is presently disabled for job {job_id}")
        if waiting:
            raise _refused("requeue", f"Job is pending execution for job {job_id}")

    def _elements(self, job_id: str) -> list[FakeJob]:
        """Of an array; none for the id of one job."""
        return self._arrays.get(job_id, [])

    def _named(self, job_id: str) -> list[FakeJob]:
        """The elements of an array, or one job; none for an id that was never given."""
        return self._elements(job_id) or [self.jobs[one] for one in (job_id,) if one in self.jobs]

    def _known(self) -> list[FakeJob]:
        return [job for job in self.jobs.values() if self._knows(job)]

    def _knows(self, job: FakeJob) -> bool:
        if job.vanished or job.job_id in self.forgotten:
            return False
        return job.ended is None or self.clock.now() - job.ended <= self.min_job_age

    def _listed(self) -> list[FakeJob]:
        """As squeue does: also those arrays that say what became of elements which have vanished."""
        emptied = [
            self._emptied(one) for one, since in self.emptied.items() if self.clock.now() - since <= self.min_job_age
        ]
        return self._known() + emptied

    def _emptied(self, job_id: str) -> FakeJob:
        return replace(next(one for one in self._elements(job_id) if one.vanished), job_id=job_id, index=None)

    def _accounts(self, job_ids: Collection[str]) -> Iterator[Record]:
        records = {job_id: _accounted(job) for job_id, job in self._accounted_for().items()}
        yield from (record for one in job_ids if (record := record_of(one, records)) is not None)

    def _accounted_for(self) -> dict[str, FakeJob]:
        if not self.keeps_accounts:
            return {}
        known = {job.job_id: job for job in self.jobs.values() if not job.vanished}
        return known | {job_id: self._emptied(job_id) for job_id in self.emptied}

    def _cancel(self, job_ids: Collection[str], *, pending_only: bool) -> None:
        for job_id in in_order(job_ids):
            for job in self._named(job_id):
                if job.is_final or (job.is_running and pending_only):
                    continue
                job.separate |= pending_only or is_element(job_id)
                end = End(word="CANCELLED", signal=15 if job.is_running else None)
                if job.is_running:
                    job.reason = ""
                self._ended(job, end)

    # --- time -------------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        while (then := self._next_round()) is not None and then <= self.clock.now():
            self._time = then
            self._round()
        if not self._restless:
            self._time = max(self._time, self.clock.now() // ROUND * ROUND)

    def _next_round(self) -> float | None:
        """When something may happen; time in between is skipped."""
        if self._restless:
            return self._time + ROUND
        times = [late.due for late in self._late]
        for job in self.jobs.values():
            if job.is_running:
                times.append(job.due)
            elif job.is_pending:
                times += self._awaited(job)
        return max(min(times), self._time + ROUND) if times else None

    def _awaited(self, job: FakeJob) -> Iterator[float]:
        if job.begin > self._time:
            yield job.begin
        for condition in job.conditions:
            is_open = condition.verdict is Verdict.OPEN and condition.minutes
            for other in self._named(condition.on) if is_open else ():
                if not other.is_pending:
                    yield _since(other) + 60 * condition.minutes

    def _round(self) -> None:
        self._restless = False
        for late in [one for one in self._late if one.due <= self._time]:
            self._late.remove(late)
            late.carry_out()
        for job in list(self.jobs.values()):
            if job.is_running and job.due <= self._time:
                self._end_run(job)
        pending = [job for job in self.jobs.values() if job.is_pending]
        for job in pending:
            job.separate |= any(condition.type == "aftercorr" for condition in job.conditions)
        before = {job.job_id: job.verdict for job in pending}
        verdicts = [(one, self._judge(job, one)) for job in pending for one in job.conditions]
        for condition, verdict in verdicts:
            condition.verdict = verdict
        for job in pending:
            self._queue_or_start(job)
            self._restless |= job.verdict is not before[job.job_id]

    def _judge(self, job: FakeJob, condition: Condition) -> Verdict:
        if condition.verdict is not Verdict.OPEN:
            return condition.verdict
        if condition.type == "singleton":
            earlier = takewhile(lambda one: one.array_id != job.array_id, self.jobs.values())
            return Verdict.OPEN if any(not one.is_final for one in earlier if one.name == job.name) else Verdict.MET
        if elements := self._elements(condition.on):
            return self._judge_array(job, condition, elements)
        other = self.jobs[condition.on]
        if other.vanished:
            return Verdict.MET
        if condition.type == "after":
            return self._judge_start(condition, [other])
        return _judge_one(condition.type, other)

    def _judge_array(self, job: FakeJob, condition: Condition, elements: list[FakeJob]) -> Verdict:
        """As one: when all have ended. One without a partner in `aftercorr` waits for all of the other array to succeed."""
        partner = self.jobs.get(element_id(condition.on, job.index)) if job.index is not None else None
        if condition.type == "aftercorr" and partner and self._knows(partner):
            return _judge_one("afterok", partner)
        if condition.type == "after":
            common = any(one.is_final and not one.separate and not one.vanished for one in elements)
            # Elements that are cancelled with their common record never count as started.
            return Verdict.OPEN if common else self._judge_start(condition, elements)
        if not all(one.is_final for one in elements):
            return Verdict.OPEN
        worst = next((one for one in elements if one.word != "COMPLETED"), elements[0])
        return _judge_one(condition.type, worst)

    def _judge_start(self, condition: Condition, others: list[FakeJob]) -> Verdict:
        due = max(map(_since, others)) + 60 * condition.minutes
        started = not any(one.is_pending for one in others)
        return Verdict.MET if started and due <= self._time else Verdict.OPEN

    def _queue_or_start(self, job: FakeJob) -> None:
        if job.verdict is Verdict.NEVER:
            job.reason = "DependencyNeverSatisfied"
            if job.kill_on_invalid_dep:
                job.started = self._time
                self._ended(job, End(word="CANCELLED"))
        elif job.verdict is Verdict.OPEN:
            job.reason = "Dependency"
        elif job.held:
            job.reason = "JobHeldUser"
        elif job.begin > self._time:
            job.reason = "BeginTime"
        elif job.throttle and self._running[job.array_id] >= job.throttle:
            job.reason = "JobArrayTaskLimit"
        elif self.max_running is not None and self._running.total() >= self.max_running:
            job.reason = "Resources"
        else:
            self._start(job)

    def _start(self, job: FakeJob) -> None:
        job.runs += 1
        job.separate = True
        job.started, job.node, job.reason = self._time, f"n{int(job.array_id) % 4 + 1}", ""
        job.end = self.ends(job)
        limit = _seconds(job.options.get("time"))
        if limit is not None and job.end.seconds > limit:
            job.end = End(word="TIMEOUT", signal=15, seconds=limit)
        job.due = self._time + job.end.seconds
        self._changed(job, "RUNNING")

    def _end_run(self, job: FakeJob) -> None:
        if job.end.word == "REQUEUED":
            self._put_back(job)
            return
        job.reason = _REASONS.get(job.end.word, "")
        if job.end.word == "FAILED":
            job.reason = "JobLaunchFailure" if job.end.signal else "NonZeroExitCode"
        self._ended(job, job.end)

    def _put_back(self, job: FakeJob) -> None:
        job.begin, job.node, job.reason = self._time + BEGIN_TIME, "", "BeginTime"
        job.started = job.ended = None
        self._changed(job, "PENDING")

    def _ended(self, job: FakeJob, end: End) -> None:
        job.end, job.ended = end, self._time
        self._changed(job, end.word)

    def _changed(self, job: FakeJob, word: str) -> None:
        self._running[job.array_id] += (word == "RUNNING") - job.is_running
        job.word = word
        self.changes.append(Change(self._time, job, word))
        self.witness(self.changes[-1])
        self._restless = True


_REASONS = {"TIMEOUT": "TimeLimit", "OUT_OF_MEMORY": "OutOfMemory", "NODE_FAIL": "NodeDown"}


def _judge_one(kind: str, other: FakeJob) -> Verdict:
    if not other.is_final:
        return Verdict.OPEN
    succeeded = other.word == "COMPLETED"
    holds = {"afterok": succeeded, "aftercorr": succeeded, "afternotok": not succeeded, "afterany": True}[kind]
    return Verdict.MET if holds else Verdict.NEVER


def _since(job: FakeJob) -> float:
    """When it started, or was cancelled before it could."""
    return job.started if job.started is not None else job.ended or 0.0


def _record(job: FakeJob, word: str | None = None, reason: str | None = None) -> Record:
    reason = job.reason if reason is None else reason
    return Record(
        job_id=job.job_id,
        state=job_state(job.word),
        word=word or job.word,
        reason="" if reason == "None" else reason,
        exit_code=job.end.exit_code if job.is_final else None,
        signal=job.end.signal if job.is_final else None,
        node=job.node,
    )


def _accounted(job: FakeJob) -> Record:
    by_slurm = job.word == "CANCELLED" and job.reason == "DependencyNeverSatisfied"
    by_user = job.word == "CANCELLED" and not by_slurm
    word = "CANCELLED by 1000" if by_user else job.word
    return _record(job, word=word, reason="Dependency" if by_slurm else job.reason)


def _elapsed(job: FakeJob, now: float) -> float:
    end = now if job.ended is None else job.ended
    return 0.0 if job.started is None else end - job.started


def _consumed(job_id: str, job: FakeJob, now: float) -> Consumption:
    limit = _seconds(job.options.get("time"))
    return Consumption(
        job_id=job_id,
        state=job_state(job.word),
        word=job.word,
        node=job.node,
        elapsed_s=round(_elapsed(job, now)) if job.node else None,
        limit_s=None if limit is None else round(limit),
        cores=int(job.options.get("cpus-per-task") or 1) if job.node else None,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _indices(array: str) -> tuple[list[int], int | None]:
    """Of `--array=0-9:3,20%4`: the elements in order, and how many run at once."""
    listed, _, throttle = array.partition("%")
    return sorted(int(one.partition("_")[2]) for one in expand(f"0_[{listed}]")), int(throttle) if throttle else None


_PROGRAMS = {
    "submit": "sbatch",
    "cancel": "scancel",
    "accounting": "sacct",
    "consumption": "sacct",
    "depend": "scontrol",
    "requeue": "scontrol",
}


def _refused(command: str, why: str, before: str = "") -> SlurmRefused:
    program = _PROGRAMS.get(command, "squeue")
    text = f"Batch job submission failed: {why}" if command == "submit" else why
    lines = [f"{program}: error: {one}" for one in (before, text) if one]
    return SlurmRefused([program], 1, "\n".join(lines))


def _seconds(time: str) -> float | None:
    """`--time` as minutes, `MM:SS`, `HH:MM:SS` or with `D-` before."""
    if not time:
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


_: Callable[[], Slurm] = FakeSlurm  # for mypy: all of the protocol is there
