"""Snakemake's hooks: begin or go on with a run, plan, watch, leave. The one place that turns our errors into Snakemake's."""

import asyncio
import atexit
import signal
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from . import beginning
from .adapt.command import JobCommand
from .adapt.hooks import note_hooks
from .adapt.leaving import leave_when_lost
from .adapt.policy import policy_of
from .adapt.quiet import let_errors_be_heard
from .adapt.scheduler import run_local_rules_as_jobs
from .adapt.settled import wanted_again
from .adapt.temporary import keep_for_others
from .efficiency.report import report_at_end
from .errors import KempnerError
from .handover import Handover
from .invocation import Continued, Leaving, started
from .plan.model import Policy
from .planning import Planning
from .report import detached_message, failures_summary, left_message
from .run.claim import Claim, claim_folder, this_head
from .run.interrupt import hear_ctrl_c_once
from .run.ledger import make_folders
from .run.live import LiveRun
from .run.outcome import AttemptFailed, TaskEnded
from .run.stopping import is_stopped
from .settings import common_settings
from .slurm.client import SlurmCommands
from .slurm.limits import SiteLimits

_SLICE = 0.2
_LEAVE_ON = (signal.SIGTERM, signal.SIGHUP)


class _LeaveError(Exception):
    """Thrown through Snakemake's scheduler, which answers with `cancel`."""


class Executor(RemoteExecutor):
    """Queues the whole DAG when Snakemake hands over the first jobs, and from then on follows what Slurm does.

    Snakemake's scheduler goes on handing over jobs as it finds them ready; by then they are in the queue, running
    or over, and handing over only connects them. Its post-processing works on them as on any cluster.
    """

    continued: ClassVar[Continued | None] = None
    _live: LiveRun | None = None  # the watching thread starts before __post_init__
    _claim: Claim | None = None
    _ask: Callable[[], None] = staticmethod(lambda: None)

    def __post_init__(self) -> None:
        let_errors_be_heard(self.workflow)
        self._mutex = threading.RLock()
        self._failed: Sequence[TaskEnded] = ()
        self._detached = self.executor_settings.detach or self.continued is not None
        self._leaving: int | None = None
        self._is_taking = False
        self._runs = Path(".snakemake/kempner").absolute()
        self._folder = self.continued.folder if self.continued else self._runs / uuid.uuid4().hex[:8]
        earlier = () if self.continued else beginning.rules_in_open_runs(self._runs)
        if earlier:
            # Perhaps only local rules are left, and nothing is handed over: its closing job must not act meanwhile. If it
            # has been waited for, it may have queued more of them.
            self._claim_folder()
            earlier = beginning.rules_in_open_runs(self._runs)
        if self._detached:
            run_local_rules_as_jobs(self.workflow)
        else:
            run_local_rules_as_jobs(self.workflow, earlier)
            note_hooks(self.workflow, self._note_hook, self._end)

    @cached_property
    def _slurm(self) -> SlurmCommands:
        return SlurmCommands(self.envvars(), submit_pause=self.executor_settings.submit_pause)

    def _claim_folder(self) -> None:
        try:
            self._claim = claim_folder(self._runs, this_head(self._folder.name), self._slurm.runs, self.logger.info)
        except KempnerError as error:
            raise WorkflowError(str(error)) from None

    # --- Snakemake hands over jobs ------------------------------------------------------------------------------

    def run_job(self, job: Any) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        self._is_taking = True
        try:
            with self._mutex:
                self._take(jobs)
        except KempnerError as error:
            # An exception raised from here would be printed with our stack, which tells the user nothing.
            self.workflow.scheduler.executor_error_callback(WorkflowError(str(error)))
        finally:
            self._is_taking = False
        if self._leaving:  # it was told to while it submitted
            raise _LeaveError

    def _take(self, jobs: list[Any]) -> None:
        is_first = self._live is None
        live = self._live or self._start(jobs)
        has_new = self._handover.take(jobs)
        if not self._handover.stopping and (is_first or has_new):
            self._plan_or_refuse(live)
        if self._detached and (live.open_tasks or (self.continued and not self.continued.is_closing)):
            if self.continued is None:
                self.logger.info(detached_message(live.overview(), live.policy, started().folder))
            self._leaving = 0
            raise _LeaveError
        self._handover.connect_planned()

    # --- begin a run, or go on with one -------------------------------------------------------------------------

    def _start(self, ready: Sequence[Any]) -> LiveRun:
        folder = self._folder
        make_folders(folder, ())
        if self._detached and not self.continued:
            beginning.check_that_it_can_leave()
        hear_ctrl_c_once()
        limits = SiteLimits(self._slurm.tell)
        policy = beginning.at_site(self._policy(folder), limits, self.executor_settings.site)
        command = JobCommand(self.workflow, common_settings, folder)
        notes = self.continued is None and policy.ends_itself
        self._planning = Planning(self.workflow, self.logger, self._slurm, command, notes_up_to_date=notes)
        if self.continued:
            self._live = live = self._go_on(self.continued, policy, limits)
        else:
            self._live = live = self._begin(policy, limits, ready)
        keep_for_others(self.dag, lambda: live.in_flight)
        if holder := self._claim or self.continued:
            self._ask = self._slurm.before_acting = leave_when_lost(self.workflow, holder.check)
        for number in () if self._detached else _LEAVE_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._leave)
        return live

    def _policy(self, folder: Path) -> Policy:
        return policy_of(
            self.workflow,
            self.executor_settings,
            folder,
            self.get_python_executable(),
            detached=self._detached,
            may_go_on=started().is_command_line,
        )

    def _begin(self, policy: Policy, limits: SiteLimits, ready: Sequence[Any]) -> LiveRun:
        settings = self.executor_settings
        if self._claim is None:
            self._claim = claim_folder(self._runs, this_head(policy.run), self._slurm.runs, self.logger.info)
        found = beginning.earlier_runs(self._runs, self._slurm, self.logger, settings.delete_runs_after)
        found = self._planning.go_on_with(found, policy, ready, replaces_changed=settings.replace_changed)
        live = beginning.begin_run(policy, found, self._slurm, self.logger, limits)
        self._handover = Handover(self, live, self._slurm)
        return live

    def _go_on(self, continued: Continued, policy: Policy, limits: SiteLimits) -> LiveRun:
        live, events = beginning.go_on_with_run(policy, self._slurm, self.logger, limits)
        self._handover = Handover(self, live, self._slurm)
        self._failed = [event for event in events if isinstance(event, TaskEnded) and event.outcome.is_cause]
        if continued.is_closing:
            self._handover.tell([event for event in events if isinstance(event, AttemptFailed)])
        self._handover.stopping = is_stopped(Path(policy.folder))
        for key in wanted_again(self.dag, continued.had_succeeded):
            live.forget(key)
        return live

    # --- planning -----------------------------------------------------------------------------------------------

    def _plan_or_refuse(self, live: LiveRun) -> None:
        """The first plan fails as a whole; when a later one fails, what is in the queue goes on without it."""
        first = self.continued is None and not live.open_jobs and self._handover.is_empty
        waiting = list(self._handover.waiting)
        try:
            (self._plan if first else self._plan_rest)(live, waiting)
        except KempnerError as error:
            if first or self.continued is not None:
                raise
            self._handover.refuse(waiting, str(error))

    def _plan_rest(self, live: LiveRun, ready: Sequence[Any]) -> None:
        """A later plan: a task at fault has failed, and the rest goes on without it."""
        try:
            self._plan(live, ready)
        except KempnerError as error:
            if not (refused := live.refuse(error.by_task)):
                raise
            self._handover.connect_planned()
            self._handover.tell(refused)
            if not self._handover.stopping:
                self._plan_rest(live, ready)

    def _plan(self, live: LiveRun, ready: Sequence[Any]) -> None:
        if live.open_jobs:
            self._handover.tell(live.observe())  # a job that has ended is never named as a dependency
        self._planning.plan(live, ready)

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
                self._handover.tell(self._live.observe())
                if not self._handover.stopping:
                    self._plan_what_waits(self._live)

    def _plan_what_waits(self, live: LiveRun) -> None:
        """There may be room in the queue now, or a local rule or a checkpoint has ended, though nothing is ready yet."""
        try:
            if self._planning.plan_more(live):
                self._plan_rest(live, self._handover.ready)
        except KempnerError as error:
            # Tried again when there is room, or when Snakemake hands over a job.
            self.logger.warning(str(error))
        self._handover.connect_planned()

    async def sleep(self) -> None:
        """Until the next query is due; in slices, so that a run that ends is not held up."""
        longest = self.executor_settings.status_interval
        slept = 0.0
        while self.wait and slept < (self._live.pause(longest) if self._live else 1.0):
            if self._claim is not None and not self._claim.renew():
                self._ask()
            await asyncio.sleep(_SLICE)
            slept += _SLICE

    # --- leaving ------------------------------------------------------------------------------------------------

    def _leave(self, number: int, _frame: object) -> None:
        """On SIGTERM and SIGHUP: the jobs stay in the queue, and the run goes on without this process."""
        _on_signals(signal.SIG_IGN)
        self._leaving = 128 + number
        if not self._is_taking:  # else when everything is submitted
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
        if self._live is not None:
            self._tell_the_end(self._live)
        if self.workflow.execution_settings.no_hooks:
            self._end()
        else:
            atexit.register(self._end)  # hooks run first, if Snakemake comes to them

    def _tell_the_end(self, live: LiveRun) -> None:
        if not self._detached:
            _on_signals(signal.SIG_DFL)
        if self._handover.stopping and live.running:
            self.logger.info(f"{live.running} Slurm jobs of this run are still running and will finish.")
        if live.policy.efficiency_report and self.continued is None:
            report_at_end(Path(live.policy.folder), self._slurm, self.logger.info, self.logger.warning)
        for event in self._failed:  # what Snakemake had no reason to hand over
            self._handover.tell_failure(event)
        if self._handover.failures:
            self.logger.error(failures_summary(self._handover.failures, sys.argv, len(self._handover.fallen)))

    def _note_hook(self, name: str) -> None:
        if self._live is None:
            return
        try:
            self._live.hook(name)
        except KempnerError as error:
            self.logger.warning(f"The closing job may run {name} once more: {error}")

    def _end(self) -> None:
        """The run is over, hooks included: nothing of it stays in the queue but what still runs."""
        atexit.unregister(self._end)
        if self._live is not None and self.continued is None:
            self._ask()
            try:
                self._live.end()
            except KempnerError as error:
                self.logger.warning(f"The run's helper jobs are left in the queue: {error}")
        elif self._live is None and self._claim is not None:
            try:
                beginning.close_what_is_over(self._runs, self._slurm, self.logger)
            except KempnerError as error:
                self.logger.warning(f"An earlier run in this folder is left as it is: {error}")
        self._release()

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()


def _on_signals(handler: signal.Handlers) -> None:
    for number in _LEAVE_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
