"""The jobs that Snakemake has handed over, and the reports of their ends to Snakemake."""

from collections.abc import Sequence
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor

from .adapt.postprocess import accept, leave, tidy_up
from .adapt.quiet import shows_messages
from .adapt.scheduler import finish_as_not_needed, withdraw
from .adapt.units import job_label, key_in, task_key
from .errors import SlurmError
from .phrases import short_path
from .report import attempt_message, failure_message, stuck_message
from .run.live import LiveRun
from .run.outcome import IN_THE_HEAD, AttemptFailed, Outcome, TaskEnded, TaskEvent, TaskRequeued, TaskRuns, TaskStuck
from .run.records import usage_of
from .slurm.client import Slurm
from .slurm.parse import Usage


class Handover:
    """Connects jobs of Snakemake with jobs of Slurm, and reports the ends of tasks.

    Args:
        executor: the executor that Snakemake knows.
        live: the run.
        slurm: for the resource usage of failed jobs.
    """

    def __init__(self, executor: Any, live: LiveRun, slurm: Slurm) -> None:
        self._executor, self._live, self._slurm = executor, live, slurm
        # By Snakemake's own key of a job, which may be a part of a group that an earlier process has queued.
        self._jobs: dict[str, SubmittedJobInfo] = {}
        self._reported: dict[str, TaskEnded] = {}
        self._of_task: dict[str, list[str]] = {}
        self.waiting: list[Any] = []
        """Jobs that were handed over and are not in the queue yet."""
        self.failures: set[str] = set()
        """Labels of the tasks whose failure was reported."""
        self.stopping = False
        """A task has failed, and no new task may start."""

    # --- from Snakemake -----------------------------------------------------------------------------------------

    def take(self, jobs: list[Any]) -> bool:
        """Take over jobs; returns whether some of them have to be planned."""
        for job in jobs:
            key = task_key(job)
            if self._reported.pop(key, None):  # its end was reported, and Snakemake wants to run it again
                if self._is_planned(job):
                    self._live.forget(self._task_of(job))
                self.failures.discard(job_label(job))
        if self.stopping:  # a failure has stopped the run: nothing new is submitted
            withdraw(self._scheduler, *(job for job in jobs if not self._is_planned(job)))
            jobs = [job for job in jobs if self._is_planned(job)]
        self.waiting += jobs
        return any(not self._is_planned(job) and self._task_of(job) not in self._live.later for job in jobs)

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    @property
    def ready(self) -> list[Any]:
        """Jobs whose ends Snakemake waits for."""
        return [*(info.job for key, info in self._jobs.items() if key not in self._reported), *self.waiting]

    def connect_planned(self) -> None:
        """Connect the jobs that are planned; jobs with a declared dependency may still be waiting."""
        planned = [job for job in self.waiting if self._is_planned(job)]
        self.waiting = [job for job in self.waiting if not self._is_planned(job)]
        for job in planned:
            self._connect(job)

    def refuse(self, jobs: Sequence[Any], why: str) -> None:
        """Fail jobs that cannot be submitted."""
        refused = [job for job in jobs if not self._is_planned(job)]
        self.waiting = [job for job in self.waiting if job not in refused]
        self._logger.error(why)
        self.failures |= {job_label(job) for job in refused}
        withdraw(self._scheduler, *refused)
        self.stop_unless_keep_going()

    def failed_here(self, job: Any) -> None:
        """A local rule has failed in this process: no later process runs it once more."""
        self._live.refuse({task_key(job): (job_label(job), IN_THE_HEAD)})
        self.failures.add(job_label(job))
        self.stop_unless_keep_going()

    def _is_planned(self, job: Any) -> bool:
        return self._live.tasks.knows(self._task_of(job))

    def _task_of(self, job: Any) -> str:
        return key_in(self._live.tasks.groups(), job)

    def _handed_over(self, task: str) -> list[str]:
        """The own keys of the jobs whose work the task does."""
        return self._of_task.get(task, [])

    def _connect(self, job: Any) -> None:
        """Register a job whose Slurm job is in the queue already, and report at once if it has ended."""
        key, task = task_key(job), self._task_of(job)
        submitted, ended = self._live.tasks[task].next_job, self._live.tasks[task].ended
        info = SubmittedJobInfo(job, external_jobid=submitted.job_id if submitted else None)
        self._jobs[key] = info
        self._of_task[task] = [*(other for other in self._handed_over(task) if other != key), key]
        deciding = ended.job if ended and ended.job else submitted
        if deciding and job.attempt != deciding.submission.turn.attempt:
            job.attempt = deciding.submission.turn.attempt  # Snakemake records the resources of that attempt
        if submitted:
            self._executor.run_job_pre(job)
            self._logger.info(f"{job_label(job)} is Slurm job {submitted.job_id} (log: {short_path(submitted.log)}).")
        # The job itself marks its outputs as incomplete at its start and clears the mark at its end; a mark made here
        # could come after that. So the job is neither registered a second time nor watched by the base class.
        RealExecutor.report_job_submission(self._executor, info, register_job=False)
        if ended:
            self._report(key, ended)

    # --- to Snakemake -------------------------------------------------------------------------------------------

    def tell(self, events: Sequence[TaskEvent]) -> None:
        """Report events; failures before the tasks that were cancelled because of them."""
        for event in sorted(events, key=_may_be_consequence):
            match event:
                case TaskStuck():
                    self._logger.warning(stuck_message(event))
                case TaskRuns():
                    where = f" on {event.node}" if event.node else ""
                    self._logger.info(f"{event.job.submission.label} runs{where} (Slurm job {event.job.job_id}).")
                case TaskRequeued():
                    self._logger.info(f"{event.job.submission.label} (Slurm job {event.job.job_id}) was requeued.")
                case AttemptFailed():
                    self._attempt_failed(event)
                case TaskEnded() if keys := self._handed_over(event.task):
                    for key in keys:
                        self._report(key, event)
                case TaskEnded() if event.outcome.is_cause:
                    # Snakemake has not handed over this job yet; it gets the outcome when it does.
                    self.tell_failure(event)
                    self.stop_unless_keep_going()

    def tell_failure(self, event: TaskEnded) -> None:
        """Print the failure of a task, once."""
        if event.label not in self.failures:
            self._logger.error(self._failure(event))

    def stop_unless_keep_going(self) -> None:
        """Without --keep-going, as in Snakemake: running jobs may finish, no new job starts."""
        if self._executor.workflow.execution_settings.keep_going or self.stopping:
            return
        self.stopping = True
        withdraw(self._scheduler, *self.waiting)
        self.waiting = []
        try:
            self._live.stop()
        except SlurmError as error:
            self._logger.error(str(error))  # noqa: TRY400 - a message for the user, not a stack

    def _attempt_failed(self, event: AttemptFailed) -> None:
        """Print what follows. Snakemake is told only of the last attempt: it would clean up between attempts."""
        handed_over = [self._jobs[key] for key in self._handed_over(event.task)]
        if event.goes_on:
            self._logger.info(attempt_message(event, Usage()))
        elif not handed_over:
            self._logger.error(attempt_message(event, Usage()))
        else:
            message = self._heard(handed_over[0].job, attempt_message(event, usage_of(event.job, self._slurm)))
            self._executor.print_job_error(handed_over[0], msg=message, aux_logs=[str(event.job.log)])
        for info in handed_over:
            info.external_jobid = event.next.job_id
            if not event.goes_on:
                info.job.attempt = event.next.submission.turn.attempt

    def _report(self, key: str, event: TaskEnded) -> None:
        info = self._jobs[key]
        if key in self._reported:
            return
        self._reported[key] = event
        match event.outcome:
            case Outcome.SUCCEEDED:
                accept(self._executor.workflow, info.job, self._logger.warning)
                self._executor.report_job_success(info)
            case Outcome.NOT_NEEDED:
                self._logger.info(f"{event.label} was not needed{f': {event.why}' if event.why else ''}.")
                finish_as_not_needed(self._executor.workflow, info.job)
            case Outcome.BLOCKED | Outcome.STOPPED:
                withdraw(self._scheduler, info.job)
            case _:
                self._report_failure(event, info)

    def _report_failure(self, event: TaskEnded, info: SubmittedJobInfo) -> None:
        if event.never_started:
            self._logger.error(self._failure(event))
            withdraw(self._scheduler, info.job)
        else:
            # All attempts have been made: Snakemake must not retry the job itself.
            info.job.attempt = info.job.restart_times + 1
            if event.files_are_tidy:
                leave(info.job)
            else:
                tidy_up(self._executor.workflow, info.job)
            logs = [str(event.job.log)] if event.job else []
            message = self._heard(info.job, self._failure(event))
            self._executor.report_job_error(info, msg=message, aux_logs=logs)
        self.stop_unless_keep_going()

    def _failure(self, event: TaskEnded) -> str:
        """The message: first the cause, then the tasks that cannot run because of it. A second time, that it was told."""
        if event.label in self.failures:
            return f"{event.label} failed, as told above.\n"
        usage = usage_of(event.job, self._slurm) if event.job else Usage()
        self.failures.add(event.label)
        return failure_message(event, usage, self._live.tasks.fallen(event.task))

    def _heard(self, job: Any, message: str) -> str:
        """The message, which is told here if it would be lost with Snakemake's own word about the failed job."""
        if not shows_messages(self._executor.workflow, job):
            self._logger.error(message)
        return message

    @property
    def _logger(self) -> Any:
        return self._executor.logger

    @property
    def _scheduler(self) -> Any:
        return self._executor.workflow.scheduler


def _may_be_consequence(event: TaskEvent) -> bool:
    """Whether the event may be the consequence of another task's failure."""
    return isinstance(event, TaskEnded) and event.outcome is not Outcome.FAILED
