"""In a process that goes on with a run, the record of the run decides which jobs are done, not files and clocks.

Snakemake finds out from modification times, checksums, parameters and code what has to run. While a run is in the queue
somebody may edit an input or a configuration file, or a rule may write its own input anew. To a process that reads the
workflow then, what the run has made would look outdated, and its outputs, perhaps of days, would go.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from snakemake.io import is_flagged

from .units import job_label, members_of, task_key

_POLL = 0.5
_MADE_BY_GROUP = ("pipe", "service", "nodelocal")


def keep_settled(is_settled: Callable[[str], bool]) -> None:
    """Let Snakemake, in this process, run a settled job only if an output of it is missing that is wanted.

    Args:
        is_settled: whether the record knows the job of a key as done, or as up to date when the run began.
    """
    from snakemake.dag import DAG  # noqa: PLC0415 - cannot be imported before Snakemake's workflow is

    update = DAG.update_needrun

    async def update_needrun(self: Any, *args: Any, **kwargs: Any) -> None:
        await update(self, *args, **kwargs)
        await _Settling(self, is_settled).settle()

    DAG.update_needrun = update_needrun


def up_to_date(dag: Any) -> Iterator[str]:
    """Keys of the jobs with outputs that do not have to run, or have run in this process."""
    return (task_key(job) for job in dag.jobs if job.output and (not dag.needrun(job) or dag.finished(job)))


def finished_here(workflow: Any) -> Iterator[str]:
    """Keys of the jobs with outputs that have run in this process: no Slurm job records them."""
    return (task_key(job) for job in workflow.dag.finished_jobs if job.output and workflow.is_local(job.rule))


def is_left_to_main_process(job: Any) -> bool:
    """Whether Snakemake's main process has work to do after the job: it uploads what lies in a storage."""
    return any(file.is_storage for file in job.output)


def wanted_again(dag: Any, has_succeeded: Callable[[str], bool]) -> list[str]:
    """Keys of the tasks that have succeeded and have to run once more, because an output is missing."""
    units = {dag.get_job_group(job) or job for job in dag.needrun_jobs() if not is_left_to_main_process(job)}
    return [key for key in map(task_key, units) if has_succeeded(key)]


def kept_for_readers(dag: Any, in_flight: Collection[str], done: Collection[str]) -> dict[str, tuple[str, str]]:
    """Tasks that Snakemake would run again while a task in the queue reads, directly or not, what they have made.

    Args:
        dag: of a head that goes on with an earlier run.
        in_flight: keys of the tasks that are in the queue.
        done: keys of what has succeeded in the earlier run.

    Returns:
        By key: the label of the task, and the key of the reader.
    """
    units = {dag.get_job_group(job) or job for job in dag.needrun_jobs()}
    stack = [(unit, key) for unit in units if (key := task_key(unit)) in in_flight]
    found: dict[str, tuple[str, str]] = {}
    while stack:
        unit, reader = stack.pop()
        before = {dag.get_job_group(job) or job for member in members_of(unit) for job in dag.dependencies[member]}
        for one in before & units:
            key = task_key(one)
            if key in done and key not in found and all(os.path.lexists(str(file)) for file in one.output):
                found[key] = job_label(one), reader
                stack.append((one, reader))
    return found


class _Settling:
    """One pass over a DAG whose jobs Snakemake has just judged."""

    def __init__(self, dag: Any, is_settled: Callable[[str], bool]) -> None:
        self._dag = dag
        self._settled = {
            job
            for job in dag._needrun  # noqa: SLF001 - `needrun_jobs` leaves out what has finished
            if job.output and not is_left_to_main_process(job) and is_settled(task_key(job))
        }
        self._targets = dag.targetfiles | {
            file for job in dag.targetjobs for file in (job.output or job.input) if not is_flagged(file, "temp")
        }

    async def settle(self) -> None:
        if not self._settled:
            return
        done = self._done()
        # On a network file system, what another node has written may not be visible yet.
        deadline = time.monotonic() + self._dag.workflow.execution_settings.latency_wait
        while len(done) < len(self._settled) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
            done = self._done()
        self._take_out(done)

    def _done(self) -> set[Any]:
        """Settled jobs of which nothing is missing that a target or a job that has to run asks for."""
        needrun = set(self._dag._needrun)  # noqa: SLF001
        done: set[Any] = set()
        for level in reversed(list(self._dag.toposorted())):  # what reads an output comes before what makes it
            for job in level:
                if job in self._settled and not any(self._is_missing(file) for file in self._wanted(job, needrun)):
                    done.add(job)
                    needrun.discard(job)
        return done

    def _wanted(self, job: Any, needrun: Collection[Any]) -> Iterator[Any]:
        """Outputs of the job that something asks for."""
        for file in job.output:
            passes = is_flagged(file, "temp")
            readers = (reader for reader, files in self._dag.depending[job].items() if file in files)
            if file in self._targets or any(r in needrun and (r.output or not passes) for r in readers):
                yield file

    def _is_missing(self, file: Any) -> bool:
        return not any(is_flagged(file, flag) for flag in _MADE_BY_GROUP) and not os.path.lexists(str(file))

    def _take_out(self, done: Collection[Any]) -> None:
        """As Snakemake itself ends its judgement."""
        dag = self._dag
        dag._needrun -= done  # noqa: SLF001
        for job in done:
            dag.reason(job).clear()
        dag._n_until_ready.clear()  # noqa: SLF001
        dag._checkpoint_jobs.clear()  # noqa: SLF001
        for job in dag._needrun:  # noqa: SLF001
            dag._n_until_ready[job] = sum(before in dag._needrun for before in dag.dependencies[job])  # noqa: SLF001
            if job.is_checkpoint:
                dag._checkpoint_jobs.add(job)  # noqa: SLF001
        dag._len = len(dag._finished | dag._needrun)  # noqa: SLF001
