"""The queue of the fake Slurm: what becomes of its jobs as time passes.

Time is the clock's. One scheduling round a second: a round ends what is due, decides every dependency on what was true
before it, and starts what may start. So a chain of cancellations takes one round per link, and tests see every state
between that a user could see.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from fake_jobs import Condition, End, Ends, FakeJob, Verdict

from snakemake_executor_plugin_kempner.slurm.ids import array_id, element_id

ROUND = 1.0
"""Seconds between two scheduling rounds."""
NODES = ("n1", "n2", "n3", "n4")
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


@dataclass(frozen=True, slots=True)
class Change:
    """A job has come to a new state."""

    time: float
    job: FakeJob
    word: str


@dataclass(kw_only=True, slots=True)
class Late:
    """A request that was sent, and that is still on its way."""

    due: float
    carry_out: Callable[[], object]


class FakeQueue:
    """Jobs, and what happens to them.

    Args:
        clock: time; shared with whoever sleeps.
        ends: how each run of a job ends; asked at its start.
        max_running: jobs that run at once; each has the node to itself.
        min_job_age: seconds after its end for which the controller knows a job.
    """

    def __init__(self, clock: FakeClock, ends: Ends, *, max_running: int | None, min_job_age: float) -> None:
        self.clock, self.ends, self.max_running, self.min_job_age = clock, ends, max_running, min_job_age
        self.jobs: dict[str, FakeJob] = {}
        """Every job that was ever accepted, in order; each element of an array is one."""
        self.emptied: dict[str, float] = {}
        """Arrays whose own id says CANCELLED for elements that have vanished, and since when."""
        self.forgotten: set[str] = set()
        """Jobs that the controller has purged, whatever their age."""
        self.changes: list[Change] = []
        """Everything that happened, in order."""
        self.witness: Callable[[Change], None] = lambda _change: None
        """Is told of everything that happens, when it happens."""
        self._arrays: defaultdict[str, list[FakeJob]] = defaultdict(list)
        self._running: Counter[str] = Counter()
        self._late: list[Late] = []
        self._time = self.clock.now()
        self._restless = False

    # --- levers -----------------------------------------------------------------------------------------------------

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

    # --- what tests ask ---------------------------------------------------------------------------------------------

    def settled(self, job_id: str) -> bool:
        """The job has ended, or will never start."""
        job = self.jobs[job_id]
        return job.is_final or job.verdict is Verdict.NEVER

    @property
    def left(self) -> list[FakeJob]:
        """Jobs in the queue."""
        return [job for job in self.jobs.values() if not job.is_final]

    def named(self, rule: str) -> list[FakeJob]:
        """Jobs of a rule, in order of submission."""
        return [job for job in self.jobs.values() if job.rule == rule]

    # --- jobs by their ids ------------------------------------------------------------------------------------------

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

    def _emptied(self, job_id: str) -> FakeJob:
        return replace(next(one for one in self._elements(job_id) if one.vanished), job_id=job_id, index=None)

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
        if self._time < job.begin < math.inf:
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
        first = int(job.array_id) % len(NODES)
        node = next(one for one in (*NODES[first:], *NODES[:first]) if one not in job.excluded)
        job.started, job.node, job.reason = self._time, node, ""
        job.end = self.ends(job)
        limit = job.limit
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
