"""A fake Slurm and a clock, for tests. `tests/contract.py` holds it against the real Slurm.

    clock = FakeClock()
    slurm = FakeSlurm(clock, ends=by_rule({"align": [failed(3), OK]}), max_running=2)
    slurm.trouble("submit", None, Trouble.LOST_ANSWER)     # the first sbatch works, the answer of the second is lost
    …
    clock.sleep(60)                                        # or slurm.advance(60), slurm.run_dry()

What happens to jobs is in `fake_queue.py`, how they end in `fake_jobs.py`.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from fake_jobs import (
    NODE_FAIL,
    OK,
    OUT_OF_MEMORY,
    REQUEUED,
    TIMEOUT,
    Condition,
    End,
    Ends,
    FakeJob,
    Verdict,
    by_rule,
    by_script,
    failed,
    parse_dependency,
    takes,
)  # fmt: skip
from fake_queue import NODES, Change, FakeClock, FakeQueue, Late

from snakemake_executor_plugin_kempner.errors import SlurmError, SlurmRefused, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.slurm.client import Slurm
from snakemake_executor_plugin_kempner.slurm.consumption import Consumption
from snakemake_executor_plugin_kempner.slurm.ids import array_id, element_id, expand, in_order, is_element
from snakemake_executor_plugin_kempner.slurm.listing import Listed
from snakemake_executor_plugin_kempner.slurm.parse import Record, Shown, Usage, record_of
from snakemake_executor_plugin_kempner.slurm.states import job_state

__all__ = [
    "NODE_FAIL", "OK", "OUT_OF_MEMORY", "REQUEUED", "TIMEOUT", "Call", "Change", "End", "Ends", "FakeClock", "FakeJob",
    "FakeSlurm", "Trouble", "by_rule", "by_script", "failed", "parse_dependency", "takes",
]  # fmt: skip

T = TypeVar("T")

LATE = 30.0
"""Seconds after which a late request arrives."""


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


class FakeSlurm(FakeQueue):
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
        super().__init__(clock or FakeClock(), ends, max_running=max_running, min_job_age=min_job_age)
        self.max_submitted, self.partitions = max_submitted, partitions
        self.keeps_accounts, self.refuses_unknown_ids = keeps_accounts, refuses_unknown_ids
        self._ids = 0
        self.calls: list[Call] = []
        self.name = "cluster fake (/state)"
        self.where = ""
        self.down = False
        """The controller answers nothing."""
        self.hidden: set[str] = set()
        """Jobs that are missing in the answers of `queue` and `show`."""
        self.is_blind = False
        """The list of jobs is empty, as that of a squeue that looks elsewhere; by its id each is known."""
        self._troubles: defaultdict[str, deque[Trouble | BaseException | None]] = defaultdict(deque)

    # --- levers, and what tests ask ---------------------------------------------------------------------------------

    def trouble(self, command: str, *kinds: Trouble | BaseException | None) -> None:
        """What becomes of the next calls of a command, in order; None is no trouble, an exception is raised as it is."""
        self._troubles[command].extend(kinds)

    def crash(self, since: float) -> None:
        """The controller is killed before it has saved what was submitted since then: it counts on from the id before."""
        gone = {job_id for job_id, job in self.jobs.items() if job.submitted >= since}
        self._running.subtract(array_id(job_id) for job_id in gone if self.jobs[job_id].is_running)
        for job_id in gone:
            self._arrays.pop(array_id(job_id), None)
            del self.jobs[job_id]
        self._ids = max((int(array_id(job_id)) for job_id in self.jobs), default=0)

    def forgive(self, command: str) -> None:
        """Drop the troubles that have not come yet."""
        self._troubles[command].clear()

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

    def cluster(self) -> str:
        return self._do("cluster", (), lambda: self.name)

    def listing(self) -> tuple[Listed, ...]:
        def listed() -> tuple[Listed, ...]:
            return () if self.is_blind else tuple(map(self._as_listed, self._seen()))

        return self._do("listing", (), listed)

    def _as_listed(self, job: FakeJob) -> Listed:
        limit = job.limit
        return Listed(
            record=_record(job),
            name=job.name,
            comment=job.options.get("comment") or "(null)",
            starts=job.started if job.started is not None else job.begin or None,
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

    def release(self, job_id: str, dependency: str | None = None) -> None:
        self._do("release", (job_id, dependency or ""), lambda: self._release(job_id, dependency))

    def keep_off(self, job_id: str, node: str, options: Options) -> bool:
        return self._do("keep_off", (job_id, node), lambda: self._keep_off(job_id, node))

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
                self._late.append(Late(due=self.clock.now() + LATE, carry_out=carry_out))
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
                begin=math.inf if "begin" in options else 0.0,
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

    def _release(self, job_id: str, dependency: str | None) -> None:
        if dependency is not None:
            self._depend(job_id, dependency)
        if not (self.jobs.get(job_id) and self.jobs[job_id].is_pending):
            raise _refused("release", "Job is no longer pending execution")
        self.jobs[job_id].separate = True
        self.start_now(job_id)

    def _keep_off(self, job_id: str, node: str) -> bool:
        job = next((one for one in self._known() if one.job_id == job_id), None)
        if job is None:
            raise _refused("keep_off", "Invalid job id specified")
        excluded = job.excluded | {node}
        if node not in NODES or not set(NODES) - excluded:
            return False
        if not job.is_pending:
            raise _refused("keep_off", "Job is no longer pending execution")
        job.excluded = excluded
        return True

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

    def _listed(self) -> list[FakeJob]:
        """As squeue does: also those arrays that say what became of elements which have vanished."""
        emptied = [
            self._emptied(one) for one, since in self.emptied.items() if self.clock.now() - since <= self.min_job_age
        ]
        return self._known() + emptied

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


def _record(job: FakeJob, word: str | None = None) -> Record:
    return Record(
        job_id=job.job_id,
        state=job_state(job.word),
        word=word or job.word,
        reason="" if job.reason == "None" else job.reason,
        exit_code=job.end.exit_code if job.is_final else None,
        signal=job.end.signal if job.is_final else None,
        node=job.node,
    )


def _accounted(job: FakeJob) -> Record:
    by_user = job.word == "CANCELLED" and job.reason != "DependencyNeverSatisfied"
    return _record(job, word="CANCELLED by 1000" if by_user else job.word)


def _elapsed(job: FakeJob, now: float) -> float:
    end = now if job.ended is None else job.ended
    return 0.0 if job.started is None else end - job.started


def _consumed(job_id: str, job: FakeJob, now: float) -> Consumption:
    limit = job.limit
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


_: Callable[[], Slurm] = FakeSlurm  # for mypy: all of the protocol is there
