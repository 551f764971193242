"""Snakemake's hooks: read the DAG, plan, submit, watch, report. The one place that turns our errors into Snakemake's."""

import asyncio
import atexit
import signal
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from . import beginning
from .adapt.command import JobCommand
from .adapt.dag import Reading, finished, read_dag
from .adapt.hooks import note_hooks
from .adapt.leaving import leave_when_lost
from .adapt.policy import policy_of
from .adapt.postprocess import accept, leave, tidy_up
from .adapt.scheduler import finish_as_not_needed, locked, run_local_rules_as_jobs, withdraw
from .adapt.settled import finished_here, kept_for_readers, up_to_date, wanted_again
from .adapt.units import Scope, job_label, task_key
from .efficiency.report import report_at_end
from .errors import KempnerError, PlanError, SlurmError
from .invocation import Continued, Leaving, started
from .plan.model import Plan, Policy
from .report import (
    NO_ROOM,
    attempt_message,
    detached_message,
    failure_message,
    failures_summary,
    left_message,
    plan_messages,
    short_path,
    stuck_message,
)
from .run.claim import claim_folder, this_head
from .run.interrupt import hear_ctrl_c_once
from .run.ledger import make_folders
from .run.live import LiveRun
from .run.opening import Found
from .run.outcome import AttemptFailed, Outcome, TaskEnded, TaskEvent, TaskRequeued, TaskStuck
from .run.records import usage_of
from .run.settled import note_up_to_date, settled
from .run.stopping import is_stopped
from .settings import common_settings
from .slurm.client import SlurmCommands
from .slurm.limits import SiteLimits
from .slurm.parse import Usage

_SLICE = 0.2


class _LeaveError(Exception):
    """Thrown through Snakemake's scheduler, which answers with `cancel`."""


class Executor(RemoteExecutor):
    """Queues the whole DAG when Snakemake hands over the first jobs, and from then on follows what Slurm does.

    Snakemake's scheduler goes on handing over jobs as it finds them ready; by then they are in the queue, running
    or over, and handing over only connects them. Its post-processing works on them as on any cluster.
    """

    continued: ClassVar[Continued | None] = None
    _live: LiveRun | None = None  # the watching thread starts before __post_init__
    _claim: Any = None

    def __post_init__(self) -> None:
        self._mutex = threading.RLock()
        self._handed_over: dict[str, SubmittedJobInfo] = {}
        self._reported: dict[str, TaskEnded] = {}
        self._waiting: list[Any] = []
        self._deferred = False
        self._finished_at_last_plan = 0
        self._stopping = False
        self._notices: set[str] = set()
        self._failures: list[str] = []
        self._failed: Sequence[TaskEnded] = ()
        self._planned, self._noted = False, set[str]()
        self._keep_going = self.workflow.execution_settings.keep_going
        self._found: Found | None = None
        self._detached = self.executor_settings.detach or self.continued is not None
        self._leaving: int | None = None
        if self._detached:
            run_local_rules_as_jobs(self.workflow)
        if not self._detached:
            note_hooks(self.workflow, self._note_hook, self._end)

    # --- Snakemake hands over jobs ------------------------------------------------------------------------------

    def run_job(self, job: Any) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        try:
            with self._mutex:
                self._take(jobs)
        except KempnerError as error:
            # An exception raised from here would be printed with our stack, which tells the user nothing.
            self.workflow.scheduler.executor_error_callback(WorkflowError(str(error)))

    def _take(self, jobs: list[Any]) -> None:
        is_first = self._live is None
        live = self._live or self._start(jobs)
        for job in jobs:
            key = task_key(job)
            if self._reported.pop(key, None):  # its end was reported and Snakemake wants it once more
                live.forget(key)
        if self._stopping:  # a failure has stopped the run before this process began: nothing new is submitted
            for job in [job for job in jobs if not live.knows(task_key(job))]:
                jobs.remove(job)
                withdraw(self.workflow.scheduler, job)
        self._waiting += jobs
        new = [job for job in jobs if not live.knows(task_key(job)) and task_key(job) not in live.later]
        if not self._stopping and (is_first or new):
            self._plan_or_report(live, self._waiting)
        if self._detached and (live.open_tasks or (self.continued and not self.continued.is_closing)):
            if self.continued is None:
                self.logger.info(detached_message(live.overview(), live.policy, started().command, started().folder))
            self._leaving = 0
            raise _LeaveError
        self._connect_planned(live)

    def _connect_planned(self, live: LiveRun) -> None:
        """Connect the jobs that were handed over and are planned; a declared dependency may keep one waiting."""
        planned = [job for job in self._waiting if live.knows(task_key(job))]
        self._waiting = [job for job in self._waiting if not live.knows(task_key(job))]
        for job in planned:
            self._connect(live, job)

    # --- begin a run, or go on with one -------------------------------------------------------------------------

    def _start(self, ready: Sequence[Any]) -> LiveRun:
        runs = Path(".snakemake/kempner").absolute()
        folder = self.continued.folder if self.continued else runs / uuid.uuid4().hex[:8]
        make_folders(folder, ())
        if self._detached and not self.continued:
            beginning.check_that_it_can_leave()
        hear_ctrl_c_once()
        self._slurm = SlurmCommands(self.envvars(), submit_pause=self.executor_settings.submit_pause)
        limits = SiteLimits(self._slurm.tell)
        policy = policy_of(
            self.workflow,
            self.executor_settings,
            folder,
            self.get_python_executable(),
            detached=self._detached,
            may_go_on=started().is_command_line,
        )
        policy = beginning.at_site(policy, limits, self.executor_settings.site)
        self._command = JobCommand(self.workflow, common_settings, folder)
        if self.continued:
            live, events = beginning.go_on_with_run(policy, self._slurm, self.logger, limits)
            self._failed = [one for one in events if isinstance(one, TaskEnded) and one.outcome.is_cause]
            if self.continued.is_closing:
                self._handle([one for one in events if isinstance(one, AttemptFailed)])
            self._stopping = is_stopped(folder)
            for key in wanted_again(self.dag, live.has_succeeded):
                live.forget(key)
        else:
            self._claim = claim_folder(runs, this_head(policy.run), self._slurm.runs, self.logger.info)
            found = beginning.earlier_runs(runs, self._slurm, self.logger, self.executor_settings.delete_runs_after)
            self._found = self._settle_changes(found, policy, ready)
            live = beginning.begin_run(policy, self._found, self._slurm, self.logger, limits)
        self._live = live
        self._ask = self._slurm.before_acting = leave_when_lost(self.workflow, (self.continued or self._claim).check)
        if not self._detached:
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._leave)
        return live

    def _settle_changes(self, found: Found, policy: Policy, ready: Sequence[Any]) -> Found:
        """Show what has changed since it was submitted; with `--kempner-replace-changed`, cancel it."""
        left = {one.task: one for one in found.left if not one.has_succeeded}
        if not left:
            return found
        tasks = self._read(policy, ready, known=lambda key: key not in left, in_flight=left).tasks
        done = {key for ledger in found.ledgers for key in settled(ledger).succeeded}
        outdated = kept_for_readers(self.dag, left, done)
        slurm = self._slurm if self.executor_settings.replace_changed else None
        return beginning.settle_changes(found, tasks, outdated, slurm, self.logger.warning, site=policy.site)

    # --- planning -----------------------------------------------------------------------------------------------

    def _plan_or_report(self, live: LiveRun, jobs: Sequence[Any]) -> None:
        """The first plan fails as a whole; when a later one fails, what is in the queue goes on without it."""
        first = self.continued is None and not live.open_jobs and not self._handed_over
        try:
            (self._plan if first else self._plan_rest)(live, jobs)
        except KempnerError as error:
            if first or self.continued is not None:
                raise
            refused = [job for job in jobs if not live.knows(task_key(job))]
            self._waiting = [job for job in self._waiting if job not in refused]
            self.logger.error(str(error))  # noqa: TRY400 - a message for the user, not a stack
            self._failures += map(job_label, refused)
            withdraw(self.workflow.scheduler, *refused)
            self._stop_unless_keep_going()

    def _plan_rest(self, live: LiveRun, ready: Sequence[Any]) -> None:
        """A later plan: a task at fault has failed, and the rest goes on without it."""
        try:
            self._plan(live, ready)
        except PlanError as error:
            if not (refused := live.refuse(error.by_task)):
                raise
            self._connect_planned(live)
            self._handle([one for one in refused if one.task not in self._reported])
            if not self._stopping:
                self._plan_rest(live, ready)

    def _plan(self, live: LiveRun, ready: Sequence[Any]) -> None:
        if live.open_jobs:
            self._handle(live.observe())  # a job that has ended is never named as a dependency
        reading = self._read(live.policy, ready, known=live.knows, in_flight=live.in_flight)
        self._note_up_to_date(live)
        plan = live.submit(reading.tasks, reading.deferred, reading.left_out)
        self._deferred = bool(reading.deferred)
        if self._found is not None:
            number = len(plan.tasks) + len(live.later)
            beginning.take_over(self._found, live.policy.run, self._slurm, self.logger, number)
            self._found = None
        self._say(plan, live, [one.why for one in reading.deferred])

    def _note_up_to_date(self, live: LiveRun) -> None:
        """Write down what a job that goes on with the run is not to run, whatever files and clocks say then."""
        if self.continued is not None or not live.policy.ends_itself:
            return
        with locked(self.workflow.scheduler):
            done = set(finished_here(self.workflow) if self._planned else up_to_date(self.dag))
        note_up_to_date(Path(live.policy.folder), done - self._noted)
        self._planned, self._noted = True, self._noted | done

    def _say(self, plan: Plan, live: LiveRun, deferred: Sequence[str] = ()) -> None:
        for line in plan_messages(plan, [*deferred, *len(live.later) * [NO_ROOM]], self._notices):
            self.logger.info(line)

    def _read(self, policy: Policy, ready: Sequence[Any], **which: Any) -> Reading:
        scope = Scope(
            folder=policy.folder,
            ready=ready,
            limited=policy.limits.keys(),
            detached=policy.detached,
            ends_itself=policy.ends_itself,
            **which,
        )
        with locked(self.workflow.scheduler):
            self._finished_at_last_plan = finished(self.dag)
            return read_dag(self.workflow, self._command, scope)

    def _connect(self, live: LiveRun, job: Any) -> None:
        """Register a job whose Slurm job is in the queue already, and report at once if it has ended."""
        key = task_key(job)
        submitted, ended = live.job(key), live.ended(key)
        info = SubmittedJobInfo(job, external_jobid=submitted.job_id if submitted else None)
        self._handed_over[key] = info
        deciding = ended.job if ended and ended.job else submitted
        if deciding and job.attempt != deciding.submission.ref.attempt:
            job.attempt = deciding.submission.ref.attempt  # what Snakemake records is what that attempt ran with
        if submitted:
            self.run_job_pre(job)
            self.logger.info(f"{job_label(job)} is Slurm job {submitted.job_id} (log: {short_path(submitted.log)}).")
        # The job marks its outputs as incomplete when it starts, and clears the mark at its end: a mark made here
        # might come after that. So the job is not registered a second time, nor watched by the base class.
        RealExecutor.report_job_submission(self, info, register_job=False)
        if ended:
            self._report(ended)

    # --- watching -----------------------------------------------------------------------------------------------

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        # In a thread of its own: resources may need Snakemake's event loop, which cannot run inside this one.
        await asyncio.to_thread(self._tick)
        for info in active_jobs:
            yield info

    def _tick(self) -> None:
        if self._live is not None:
            with self._mutex:
                self._ask()
                self._handle(self._live.observe())
                self._plan_what_waits(self._live)

    def _plan_what_waits(self, live: LiveRun) -> None:
        """There may be room in the queue now, or a local rule or a checkpoint has ended, though nothing is ready yet."""
        if self._stopping:
            return
        try:
            if (plan := live.submit_later()) is not None:
                self._say(plan, live)
            if self._deferred and finished(self.dag) != self._finished_at_last_plan:
                ready = [info.job for key, info in self._handed_over.items() if key not in self._reported]
                self._plan_rest(live, [*ready, *self._waiting])
        except KempnerError as error:
            # Tried again when there is room, or when Snakemake hands over a job.
            self.logger.warning(str(error))
        self._connect_planned(live)

    async def sleep(self) -> None:
        """Until the next query is due; in slices, so that a run that ends is not held up."""
        longest = self.executor_settings.status_interval
        slept = 0.0
        while self.wait and slept < (self._live.pause(longest) if self._live else 1.0):
            if self._claim is not None and not self._claim.renew():
                self._ask()
            await asyncio.sleep(_SLICE)
            slept += _SLICE

    def _handle(self, events: Sequence[TaskEvent]) -> None:
        # What has failed is told before what was taken out of the queue for it.
        for event in sorted(events, key=lambda one: isinstance(one, TaskEnded) and one.outcome is not Outcome.FAILED):
            match event:
                case TaskStuck():
                    self.logger.warning(stuck_message(event))
                case TaskRequeued():
                    self.logger.info(f"{event.job.submission.label} (Slurm job {event.job.job_id}) was requeued.")
                case AttemptFailed():
                    self._attempt_failed(event)
                case TaskEnded() if event.task in self._handed_over:
                    self._report(event)
                case TaskEnded() if event.outcome.is_cause:
                    # Snakemake hears of it when it hands the job over.
                    self.logger.error(self._failure(event))
                    self._stop_unless_keep_going()

    def _attempt_failed(self, event: AttemptFailed) -> None:
        """Slurm has the next attempt in its queue. Snakemake hears of the last one alone: it would clean up too soon."""
        info = self._handed_over.get(event.task)
        if info is None:
            self.logger.error(attempt_message(event, Usage()))
            return
        message = attempt_message(event, usage_of(event.job, self._slurm))
        self.print_job_error(info, msg=message, aux_logs=[str(event.job.log)])
        info.job.attempt = event.next.submission.ref.attempt
        info.external_jobid = event.next.job_id

    def _report(self, event: TaskEnded) -> None:
        info = self._handed_over[event.task]
        if event.task in self._reported:
            return
        self._reported[event.task] = event
        match event.outcome:
            case Outcome.SUCCEEDED:
                accept(self.workflow, info.job, self.logger.warning)
                self.report_job_success(info)
            case Outcome.NOT_NEEDED:
                self.logger.info(f"{event.label} was not needed{f': {event.why}' if event.why else ''}.")
                finish_as_not_needed(self.workflow, info.job)
            case Outcome.BLOCKED | Outcome.STOPPED:
                withdraw(self.workflow.scheduler, info.job)
            case _:
                self._report_failure(event, info)

    def _report_failure(self, event: TaskEnded, info: SubmittedJobInfo) -> None:
        if event.never_started:
            self.logger.error(self._failure(event))
            withdraw(self.workflow.scheduler, info.job)
        else:
            # Every attempt has been made; Snakemake is not to try once more by itself.
            info.job.attempt = info.job.restart_times + 1
            if event.files_are_tidy:
                leave(info.job)
            else:
                tidy_up(self.workflow, info.job)
            logs = [str(event.job.log)] if event.job else []
            self.report_job_error(info, msg=self._failure(event), aux_logs=logs)
        self._stop_unless_keep_going()

    def _failure(self, event: TaskEnded) -> str:
        """Cause first, then what fell with it."""
        usage = usage_of(event.job, self._slurm) if event.job else Usage()
        fallen = self._live.fallen(event.task) if self._live else ()
        self._failures.append(event.label)
        return failure_message(event, usage, fallen)

    def _stop_unless_keep_going(self) -> None:
        """Snakemake's rule without --keep-going: what runs may finish, nothing new starts."""
        if self._keep_going or self._stopping or self._live is None:
            return
        self._stopping = True
        withdraw(self.workflow.scheduler, *self._waiting)
        self._waiting = []
        try:
            self._live.stop()
        except SlurmError as error:
            self.logger.error(str(error))  # noqa: TRY400

    # --- leaving ------------------------------------------------------------------------------------------------

    def _leave(self, number: int, _frame: object) -> None:
        """On SIGTERM and SIGHUP: the jobs stay in the queue, and the run goes on without this process."""
        for one in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        self._leaving = 128 + number
        raise _LeaveError

    def cancel(self) -> None:
        if self._leaving is None:
            super().cancel()
            return
        super().shutdown()
        if self._leaving and self._live is not None:
            self.logger.info(left_message(self._live.policy, len(self._live.open_jobs), started().command))
        self._release()
        raise Leaving(self._leaving)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - ours are more than those
        """Cancel exactly the jobs of this run, also those that Snakemake has not been told of."""
        with self._mutex:
            try:
                if self._live is not None and (number := self._live.cancel()):
                    self.logger.info(f"Cancelled the {number} Slurm jobs of this run.")
            except KempnerError as error:
                self.logger.error(str(error))  # noqa: TRY400 - a message for the user, not a stack

    def shutdown(self) -> None:
        super().shutdown()
        if self._live is not None and self._stopping and self._live.running:
            self.logger.info(f"{self._live.running} Slurm jobs of this run are still running and will finish.")
        if self._live is not None and self._live.policy.efficiency_report and self.continued is None:
            report_at_end(Path(self._live.policy.folder), self._slurm, self.logger.info, self.logger.warning)
        for event in self._failed:  # what Snakemake had no reason to hand over
            if event.label not in self._failures:
                self.logger.error(self._failure(event))
        if self._failures:
            self.logger.error(failures_summary(self._failures, sys.argv))
        if self.workflow.execution_settings.no_hooks:
            self._end()
        else:
            atexit.register(self._end)  # hooks run first, if Snakemake comes to them

    def _note_hook(self, name: str) -> None:
        if self._live is not None:
            self._live.hook(name)

    def _end(self) -> None:
        """The run is over, hooks included: nothing of it stays in the queue but what still runs."""
        atexit.unregister(self._end)
        if self._live is not None and self.continued is None:
            self._ask()
            try:
                self._live.end()
            except KempnerError as error:
                self.logger.warning(f"The run's helper jobs are left in the queue: {error}")
        self._release()

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
