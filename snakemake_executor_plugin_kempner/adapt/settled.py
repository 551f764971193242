"""In a process that continues a run, the run's record decides which jobs are done, not files and their times.

Snakemake decides by modification times, checksums, parameters and code what has to run. While a run is in the queue, a
user may edit an input or a configuration file, or a rule may rewrite its own input. To a process that reads the
workflow then, the run's results would look outdated, and outputs of perhaps days of work would be removed.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from snakemake.io import is_flagged

from .units import job_label, members_of, task_key

_POLL = 0.5
_MADE_BY_GROUP = ("pipe", "service", "nodelocal")


@dataclass(slots=True)
class Forced:
    """What the command line of the run forces, of which only jobs that the run does not know yet are left.

    A checkpoint may have named them since the run began. All others were forced when they were submitted.
    """

    is_known: Callable[[str], bool]
    """Whether the job of a key is part of the run, or done by its record."""
    everything: bool = False
    names: Collection[str] = ()
    """Of rules, files among them."""

    def __contains__(self, job: object) -> bool:
        """Whether the job is not forced once more, as Snakemake asks its set of jobs for which no rule counts."""
        return self.is_known(task_key(job))

    def rules(self, workflow: Any) -> set[Any]:
        return {rule for rule in workflow.rules if self.everything or rule.name in self.names}


def keep_settled(is_settled: Callable[[str], bool], forced: Forced) -> None:
    """Make Snakemake, in this process, run a settled job only if an output that is needed is missing.

    Args:
        is_settled: whether the record has the job with this key as done, or as up to date when the run began.
        forced: what the command line forces.
    """
    from snakemake.dag import DAG  # noqa: PLC0415 - cannot be imported before Snakemake's workflow is

    update = DAG.update_needrun

    async def update_needrun(self: Any, *args: Any, **kwargs: Any) -> None:
        self.forcerules, self.omitforce = forced.rules(self.workflow), forced
        await update(self, *args, **kwargs)
        await _Settling(self, is_settled).settle()

    DAG.update_needrun = update_needrun


def up_to_date(dag: Any) -> Iterator[str]:
    """Keys of the jobs with outputs that do not have to run, or have run in this process."""
    return (task_key(job) for job in dag.jobs if job.output and (not dag.needrun(job) or dag.finished(job)))


def finished_here(workflow: Any) -> Iterator[str]:
    """Keys of the jobs with outputs that have run in this process, which no Slurm job records."""
    return (task_key(job) for job in workflow.dag.finished_jobs if job.output and workflow.is_local(job.rule))


def is_left_to_main_process(job: Any) -> bool:
    """Whether Snakemake's main process has work to do after the job: it uploads outputs to a storage."""
    return any(file.is_storage for file in job.output)


def wanted_again(dag: Any, has_succeeded: Callable[[str], bool]) -> list[str]:
    """Keys of the tasks that have succeeded and have to run again because an output is missing."""
    units = {dag.get_job_group(job) or job for job in dag.needrun_jobs() if not is_left_to_main_process(job)}
    return [key for key in map(task_key, units) if has_succeeded(key)]


def kept_for_readers(dag: Any, in_flight: Collection[str], done: Collection[str]) -> dict[str, tuple[str, str]]:
    """Tasks that Snakemake would run again although a queued task reads their outputs, directly or indirectly.

    Args:
        dag: of a head that continues an earlier run.
        in_flight: keys of the tasks that are in the queue.
        done: keys of the tasks that have succeeded in the earlier run.

    Returns:
        By key: the label of the task, and the key of the reader.
    """
    units = {dag.get_job_group(job) or job for job in dag.needrun_jobs()}
    stack = [(unit, key) for unit in units if (key := task_key(unit)) in in_flight]
    found: dict[str, tuple[str, str]] = {}
    while stack:
        unit, reader = stack.pop()
        before = {dag.get_job_group(job) or job for member in members_of(unit) for job in dag.dependencies[member]}
        for source in before & units:
            key = task_key(source)
            if key in done and key not in found and all(os.path.lexists(str(file)) for file in source.output):
                found[key] = job_label(source), reader
                stack.append((source, reader))
    return found


class _Settling:
    """Takes settled jobs out of a DAG after Snakemake has determined which jobs need to run."""

    def __init__(self, dag: Any, is_settled: Callable[[str], bool]) -> None:
        self._dag = dag
        self._settled = {
            job
            for job in dag._needrun  # noqa: SLF001 - `needrun_jobs` leaves out what has finished
            if not is_left_to_main_process(job) and is_settled(task_key(job))
        }
        self._targets = dag.targetfiles | {
            file for job in dag.targetjobs for file in (job.output or job.input) if not is_flagged(file, "temp")
        }

    async def settle(self) -> None:
        if not self._settled:
            return
        done = self._done()
        # On a network file system, outputs of another node may not be visible yet.
        deadline = time.monotonic() + self._dag.workflow.execution_settings.latency_wait
        while len(done) < len(self._settled) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
            done = self._done()
        self._take_out(done)

    def _done(self) -> set[Any]:
        """Settled jobs whose outputs exist, as far as targets or jobs that need to run want them."""
        needrun = self._dag._needrun - self._left_aside()  # noqa: SLF001
        done: set[Any] = set()
        for level in reversed(list(self._dag.toposorted())):  # readers of an output before its maker
            for job in level:
                if job in self._settled and not any(self._is_missing(file) for file in self._wanted(job, needrun)):
                    done.add(job)
                    needrun.discard(job)
        return done

    def _left_aside(self) -> set[Any]:
        """Jobs that will not run because of --omit-from or --until; Snakemake takes them out of the DAG later."""
        dag = self._dag
        aside = set(dag.downstream_of_omitfrom()) if dag.omitrules or dag.omitfiles else set()
        if dag.untilrules or dag.untilfiles:
            aside |= set(dag.jobs) - set(dag.bfs(dag.dependencies, *dag.until_jobs()))
        return aside

    def _wanted(self, job: Any, needrun: Collection[Any]) -> Iterator[Any]:
        """Outputs of the job that are targets, or that a job that needs to run reads."""
        for file in job.output:
            passes = is_flagged(file, "temp")
            readers = (reader for reader, files in self._dag.depending[job].items() if file in files)
            if file in self._targets or any(r in needrun and (r.output or not passes) for r in readers):
                yield file

    def _is_missing(self, file: Any) -> bool:
        return not any(is_flagged(file, flag) for flag in _MADE_BY_GROUP) and not os.path.lexists(str(file))

    def _take_out(self, done: Collection[Any]) -> None:
        """Remove jobs from those that need to run, and update Snakemake's counters as `update_needrun` does."""
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
