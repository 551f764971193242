"""The interface to Slurm (`interface.py`), implemented with Slurm's own commands."""

import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from tempfile import NamedTemporaryFile

from ..errors import SlurmError, SlurmMissing, SlurmRefused
from ..options import Options
from .consumption import CONSUMPTION_FORMAT, Consumption, parse_consumption
from .elements import separate, set_apart
from .excluding import keep_off
from .ids import abridge, array_id, expand, in_order, is_element
from .interface import Slurm
from .listing import LISTING_FORMAT, Listed, parse_listing
from .parse import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    Record,
    Shown,
    Usage,
    has_mixed_reasons,
    parse_cluster,
    parse_job_id,
    parse_sacct,
    parse_shown,
    parse_squeue,
    parse_usage,
    record_of,
    records_of,
)
from .programs import OWN_JOBS, Programs
from .states import JobState

__all__ = ["Slurm", "SlurmCommands"]

_IDS_PER_CALL = 500
_SHORT = 10.0
"""Seconds for a question whose answer only adorns a message."""
_PIPE = 4096
"""Characters that a pipe surely takes at once."""
_UNKNOWN_ID = re.compile(r"Invalid job id specified")


class SlurmCommands:
    """Slurm through its commands: sbatch, squeue, sacct, scancel, scontrol.

    Args:
        extra_environment: variables that jobs need beside those of this process.
        timeout: seconds after which a command that does not answer counts as unreachable.
        submit_pause: seconds to wait before each call of sbatch but the first.
        cluster: name of the cluster of the site that is asked; empty for that of this machine.
    """

    def __init__(
        self, extra_environment: Mapping[str, str] | None = None, timeout: float = 120, submit_pause: float = 0.0,
        cluster: str = "",
    ) -> None:  # fmt: skip
        self._submit_pause, self._has_submitted = submit_pause, False
        whole = {**os.environ, **(extra_environment or {})}
        self._timeout, self._local, self.named = timeout, Programs(whole, timeout), cluster
        self._has_accounting = True
        self.before_acting: Callable[[], None] = lambda: None
        """Called right before a job is submitted, changed or cancelled; an error that it raises prevents that."""

    @cached_property
    def _programs(self) -> Programs:
        return self._local.at(self.named) if self.named else self._local

    def _call(self, argv: Sequence[str], stdin: str = "", timeout: float | None = None, *, strict: bool = True) -> str:
        return self._programs.call(argv, stdin, timeout, strict=strict)

    @property
    def other_cluster(self) -> str:
        """The cluster that is asked, if it is not that of this machine; else empty.

        Raises:
            UnknownCluster: there is none of that name.
            SlurmError: it could not be found out.
        """
        return self._programs.cluster

    @property
    def here(self) -> str:
        """Name of the cluster of this machine, where a cluster was named; else empty, and when unknown."""
        return self._local.here

    @property
    def where(self) -> str:
        try:
            name = self._programs.cluster
        except SlurmError:
            name = self.named
        return f" --clusters={name}" if name else ""

    def submit(self, options: Options, script: str) -> str:
        argv = ["sbatch", "--parsable", *options.without("clusters").argv]  # all jobs go to the cluster that is asked
        # Of a full cluster sbatch asks for two minutes by itself, before it gives up.
        timeout = 1.25 * self._timeout
        if self._has_submitted:
            time.sleep(self._submit_pause)
        self._has_submitted = True
        self.before_acting()
        if len(script) < _PIPE:
            answer = self._call(argv, script, timeout)
        else:  # if this process dies while it writes into the pipe, sbatch must not take half a script for a whole one
            with NamedTemporaryFile("w", suffix=".sh", encoding="utf-8", errors="surrogateescape") as file:
                file.write(script)
                file.flush()
                answer = self._call([*argv, file.name], timeout=timeout)
        if not answer.strip():
            raise SlurmRefused(argv, 0, "")
        job_id = parse_job_id(answer)
        set_apart(self._programs, job_id, options)
        return job_id

    def find(self, job_name: str) -> tuple[str, ...]:
        found = {array_id(job_id) for job_id, names in self.names().items() if job_name in names}
        if not found:  # squeue may leave jobs out, and what is not found is submitted again
            shown = self._shown()
            found = {array_id(job.record.job_id) for job in shown if job_name in (job.name, job.comment)}
        return tuple(sorted(found))

    def names(self) -> dict[str, tuple[str, str]]:
        queued = self._call(["squeue", *OWN_JOBS, "--states=all", "--format=%i|%j|%k"])
        rows = [line.strip().split("|", 2) for line in queued.splitlines() if line.count("|") >= 2]
        return {job_id: (name, comment) for ids, name, comment in rows for job_id in expand(ids)}

    def workdirs(self) -> dict[str, str]:
        rows = [line.partition("|") for line in self._call(["squeue", *OWN_JOBS, "--format=%i|%Z"]).splitlines()]
        return {job_id: folder for ids, _, folder in rows for job_id in expand(ids.strip())}

    def runs(self, job_id: str) -> bool:
        try:
            records = [*self.queue(), *(job.record for job in self.show([job_id]))]
        except SlurmError:
            return True
        return any(
            job_id in (record.job_id, array_id(record.job_id)) for record in records if not record.state.is_final
        )

    def queue(self) -> tuple[Record, ...]:
        argv = ["squeue", *OWN_JOBS, "--states=all", f"--Format={SQUEUE_FORMAT}"]
        text = self._call(argv)
        records = {record.job_id: record for record in parse_squeue(text)}
        if has_mixed_reasons(text):  # with --array each has its own, but of 0-100:2 the last one is left out (22.05)
            records |= {record.job_id: record for record in parse_squeue(self._call([*argv, "--array"]))}
        return tuple(records.values())

    def cluster(self) -> str:
        return parse_cluster(self._call(["scontrol", "show", "config"], timeout=_SHORT))

    def listing(self) -> tuple[Listed, ...]:
        return parse_listing(self._call(["squeue", *OWN_JOBS, "--states=all", f"--Format={LISTING_FORMAT}"]))

    def show(self, job_ids: Collection[str]) -> tuple[Shown, ...]:
        ids = set(map(array_id, job_ids))
        return self._shown(ids) if ids else ()

    def _shown(self, ids: Collection[str] | None = None) -> tuple[Shown, ...]:
        """What scontrol says of these jobs, or of all that it knows.

        Raises:
            SlurmError: it says of some neither what they are nor that they are unknown.
        """
        argv = ["scontrol", "--oneliner", "--all"]
        done = self._programs.run(
            argv, "".join(f"show job {job_id}\n" for job_id in ([""] if ids is None else in_order(ids)))
        )
        text = re.sub(r"^(scontrol: )+", "", done.stdout, flags=re.MULTILINE)
        found = re.findall(r"^JobId=(\d+)(?: ArrayJobId=(\d+))?", text, re.MULTILINE)
        if ids is None:
            silent = not found and not re.search(r"^No jobs", text, re.MULTILINE)
        else:
            silent = len(set(ids).difference(*found)) > len(_UNKNOWN_ID.findall(done.stderr))
        if silent:
            raise (
                self._programs.error(argv, done)
                if done.stderr.strip()
                else SlurmError("scontrol did not answer about jobs")
            )
        return parse_shown(text, os.getuid())

    def accounting(self, job_ids: Collection[str]) -> tuple[Record, ...]:
        # A requeued job has one line per run; the last one counts.
        texts = self._accounts(job_ids, "--allocations", f"--format={SACCT_FORMAT}")
        records = {record.job_id: record for text in texts for record in parse_sacct(text)}
        told = [record_of(job_id, records) for job_id in in_order(job_ids)]
        return tuple(record for record in told if record is not None)

    def consumption(self, job_ids: Collection[str]) -> tuple[Consumption, ...]:
        texts = self._accounts(job_ids, "--units=M", f"--format={CONSUMPTION_FORMAT}")
        known = {used.job_id: used for text in texts for used in parse_consumption(text)}
        # As `record_of`: of elements that were taken out of a waiting array, the array's own line tells.
        told = ((job_id, known.get(job_id) or known.get(array_id(job_id))) for job_id in in_order(job_ids))
        return tuple(replace(used, job_id=job_id) for job_id, used in told if used is not None)

    def _accounts(self, job_ids: Collection[str], *options: str) -> Iterator[str]:
        """What sacct says of the jobs, in as many texts as it takes; none on a cluster without accounting."""
        # Elements that never started stand together in one line, which is found by the array's id only.
        ids = in_order(array_id(job_id) for job_id in job_ids)
        for start in range(0, len(ids) if self._has_accounting else 0, _IDS_PER_CALL):
            chunk = ",".join(ids[start : start + _IDS_PER_CALL])
            argv = ["sacct", "--noheader", "--parsable2", "--duplicates", *options, f"--jobs={chunk}"]
            try:
                yield self._call(argv)
            except SlurmRefused as error:
                if "accounting storage is disabled" not in error.answer:
                    raise
                self._has_accounting = False
                return
            except SlurmMissing:
                self._has_accounting = False
                return

    def usage(self, job_id: str) -> Usage:
        if not self._has_accounting:
            return Usage()
        argv = ["sacct", "--noheader", "--parsable2", "--format=Elapsed,MaxRSS", f"--jobs={job_id}"]
        try:
            return parse_usage(self._call(argv, timeout=_SHORT))
        except SlurmError:
            return Usage()

    def depend(self, job_id: str, dependency: str) -> None:
        self.before_acting()
        self._call(["scontrol", "update", f"JobId={job_id}", f"Dependency={dependency}"])

    def release(self, job_id: str, dependency: str | None = None) -> None:
        self.before_acting()
        changes = [] if dependency is None else [f"Dependency={dependency}"]
        self._call(["scontrol", "update", f"JobId={job_id}", "StartTime=now", *changes])

    def keep_off(self, job_id: str, node: str, options: Options) -> bool:
        self.before_acting()
        return keep_off(self._programs, job_id, node, options)

    def requeue(self, job_id: str) -> None:
        self._call(["scontrol", "requeue", job_id])

    def cancel(self, job_ids: Collection[str], *, pending_only: bool = False) -> None:
        ids = in_order(job_ids)
        self.before_acting()
        if pending_only or any(map(is_element, ids)):
            separate(self._programs, {job_id for job_id in ids if pending_only or is_element(job_id)})
        state = ["--state=PENDING"] if pending_only else []
        for start in range(0, len(ids), _IDS_PER_CALL):
            part = ids[start : start + _IDS_PER_CALL]
            try:
                self._call(["scancel", "--quiet", *state, *abridge(part)])
            except SlurmError as error:
                # With --state an unknown id is a failure, after the others are cancelled.
                is_gone = isinstance(error, SlurmRefused) and (not error.answer or "Invalid job id" in error.answer)
                if not is_gone and self._stay(part, pending_only):
                    raise

    def _stay(self, job_ids: Collection[str], pending_only: bool) -> bool:
        """Whether jobs may be left that scancel should have cancelled, whatever it has said."""
        try:
            known = records_of(job_ids, self.queue()).values()
        except SlurmError:
            return True
        if pending_only:
            return any(record.state is JobState.WAITING for record in known)
        return any(not record.state.is_final and record.word != "COMPLETING" for record in known)

    def tell(self, program: str, questions: Sequence[str]) -> str:
        """What scontrol or sacctmgr answers to each of these questions, one after another; a refused one has no answer.

        Raises:
            SlurmError: the program is missing or does not answer at all.
        """
        argv = [program, *({"scontrol": ["--oneliner", "--all"], "sacctmgr": ["--noheader", "--parsable2"]}[program])]
        return self._call(argv, "".join(f"{question}\n" for question in questions), _SHORT, strict=False)
