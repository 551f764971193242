"""Snakemake's hooks: begin or go on with a run, watch, leave. The one place that turns our errors into Snakemake's."""

import asyncio
import atexit
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
from .adapt.hooks import note_hooks
from .adapt.leaving import leave_when_lost
from .adapt.quiet import has_terminal_to_itself, let_errors_be_heard
from .adapt.scheduler import has_failed, measure_what_is_there, run_local_rules_as_jobs
from .adapt.temporary import keep_for_others
from .announcements import detached_message, left_message
from .coordinator import Coordinator
from .departure import Departure
from .ending.finish import Finish, Page
from .errors import KempnerError
from .invocation import Continued, Leaving, StartingOver, started
from .live_view import LiveView
from .planning import Planning, cluster_of, refuse_unknown_cluster
from .run.claim import Claim, claim_folder, this_head
from .run.cluster import refuse_folder_of_other_cluster
from .run.folders import make_folders
from .run.interrupt import hear_ctrl_c_once
from .run.live import LiveRun
from .run.meanwhile import ended_since
from .run.result import Result
from .slurm.client import SlurmCommands

_SLICE, _SLICES = 0.2, 5
"""Seconds of a slice, and how many of them lie between two looks."""


class Executor(RemoteExecutor):
    """Queues the whole DAG when Snakemake hands over the first jobs, and from then on follows what Slurm does.

    Snakemake's scheduler goes on handing over jobs as it finds them ready; by then they are in the queue, running
    or over, and handing over only connects them. Its post-processing works on them as on any cluster.
    """

    continued: ClassVar[Continued | None] = None
    _run: Coordinator | None = None  # the watching thread starts before __post_init__
    _claim: Claim | None = None
    _view: LiveView | None = None
    _result = Result.UNKNOWN
    _ask: Callable[[], None] = staticmethod(lambda: None)

    def __post_init__(self) -> None:
        from snakemake.scheduling.job_scheduler import JobScheduler  # noqa: PLC0415 - it imports executors

        measure_what_is_there(JobScheduler)  # before its first look: what an earlier head has queued runs already
        let_errors_be_heard(self.workflow)
        self._mutex, self._departure = threading.RLock(), Departure()
        self._folder = self.continued.folder if self.continued else self._runs / uuid.uuid4().hex[:8]
        earlier = () if self.continued else beginning.rules_in_open_runs(self._runs)
        if earlier:
            # Perhaps only local rules are left, and nothing is handed over: its closing job must not act meanwhile. If it
            # has been waited for, it may have queued more of them.
            self._claim_folder()
            earlier = beginning.rules_in_open_runs(self._runs)
        if self.continued is None and (ended := ended_since(self._runs, started().time)):
            self._start_over(ended)
        if self._is_detached:
            run_local_rules_as_jobs(self.workflow)
        else:
            run_local_rules_as_jobs(self.workflow, earlier)
            note_hooks(self.workflow, self._note_hook, self._hook_has_ended)

    @cached_property
    def _slurm(self) -> SlurmCommands:
        # A job of the run asks the cluster that it runs on.
        cluster = "" if self.continued else cluster_of(self.workflow)
        return SlurmCommands(self.envvars(), submit_pause=self.executor_settings.submit_pause, cluster=cluster)

    @cached_property
    def _runs(self) -> Path:
        return Path(".snakemake/kempner").absolute()

    @property
    def _is_detached(self) -> bool:
        return self.executor_settings.detach or self.continued is not None

    @property
    def _live(self) -> LiveRun | None:
        return self._run.live if self._run else None

    def _claim_folder(self) -> None:
        try:
            refuse_unknown_cluster(self.workflow, self._slurm)
            refuse_folder_of_other_cluster(self._runs, self._slurm)
            self._claim = claim_folder(self._runs, this_head(self._folder.name), self._slurm.runs, self.logger.info)
        except KempnerError as error:
            raise WorkflowError(str(error)) from None

    def _start_over(self, ended: Sequence[str]) -> None:
        """Give the same command once more: what was read of the files is out of date."""
        self._release()
        what = f"{'Run' if len(ended) == 1 else 'Runs'} {', '.join(ended)} ended while the workflow was read"
        try:
            again = StartingOver()
        except ValueError:
            raise WorkflowError(f"{what}, so that tasks might run twice. Give the same command again.") from None
        self.logger.info(f"{what}; reading it again.")
        raise again

    # --- Snakemake hands over jobs ------------------------------------------------------------------------------

    def run_job(self, job: Any) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Any]) -> None:
        with self._departure.submitting():
            try:
                with self._mutex:
                    self._take(jobs)
            except KempnerError as error:
                # An exception raised from here would be printed with our stack, which tells the user nothing.
                self.workflow.scheduler.executor_error_callback(WorkflowError(str(error)))

    def _take(self, jobs: list[Any]) -> None:
        run = self._run or self._start(jobs)
        run.take(jobs)
        has_more = run.live.open_tasks or (self.continued and not self.continued.is_closing)
        if self._is_detached and has_more:
            if self.continued is None:
                self.logger.info(detached_message(run.live.overview(), run.live.policy, started().folder))
            self._departure.leave()
        run.connect()

    def _start(self, ready: Sequence[Any]) -> Coordinator:
        make_folders(self._folder, ())
        hear_ctrl_c_once()
        detached, continued = self._is_detached, self.continued is not None
        planning = Planning(self.workflow, self, self._slurm, self._folder, detached=detached, continued=continued)
        run = self._run = self._go_on(planning) if continued else self._begin(planning, ready)
        keep_for_others(self.dag, lambda: run.live.tasks.standing().keys())
        if holder := self._claim or self.continued:
            self._ask = self._slurm.before_acting = leave_when_lost(self.workflow, holder.check)
        if not detached:
            self._departure.on_signals()
            if has_terminal_to_itself(self.workflow):
                self._view = LiveView(
                    self._folder, self.logger, SlurmCommands(timeout=60, cluster=self._slurm.other_cluster)
                )
                self._view.start()
        return run

    def _begin(self, planning: Planning, ready: Sequence[Any]) -> Coordinator:
        if self._claim is None:
            self._claim_folder()
        return Coordinator(self, planning, planning.begin(self._runs, ready), self._slurm, None)

    def _go_on(self, planning: Planning) -> Coordinator:
        live, events = planning.go_on()
        run = Coordinator(self, planning, live, self._slurm, self.continued)
        run.go_on(events, self.dag)
        return run

    # --- watching -----------------------------------------------------------------------------------------------

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        # In a thread of its own: resources may need Snakemake's event loop, which cannot run inside this one.
        await asyncio.to_thread(self._tick)
        for info in active_jobs:
            yield info

    def _tick(self) -> None:
        if self._run is None:
            return
        with self._mutex:
            if self._departure.code is None:  # a head that leaves has said its last word
                self._ask()
                self._run.tick(self.executor_settings.status_interval)

    async def sleep(self) -> None:
        """Until the next look; in slices, so that a run that ends is not held up."""
        for _ in range(_SLICES):
            if not self.wait:
                return
            if self._claim is not None and not self._claim.renew():
                self._ask()
            await asyncio.sleep(_SLICE)

    # --- leaving ------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        self._take_view_away()
        code = self._departure.code
        if code is None:
            by_user = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
            self._result = Result.CANCELLED if by_user else Result.FAILED
            super().cancel()
            return
        super().shutdown()
        if self._departure.is_by_signal and self._run is not None:
            self._run.settle_local_failures()
            self.logger.info(left_message(self._run.live.policy, len(self._run.live.jobs), started().command))
        self._release()
        raise Leaving(code)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - ours are more than those
        """Cancel exactly the jobs of this run, also those that Snakemake has not been told of."""
        with self._mutex:
            try:
                if self._live is not None and (number := self._live.cancel()):
                    self.logger.info(f"Cancelled the {number} Slurm jobs of this run.")
            except KempnerError as error:
                self.logger.error(str(error))  # noqa: TRY400 - a message for the user, not a stack

    def shutdown(self) -> None:
        self._take_view_away()
        super().shutdown()
        if self._run is not None:
            self._run.settle_local_failures()
            if not self._is_detached:
                self._departure.on_no_signal()
                if self._departure.code is None:
                    self._tidy(self._run)
            self._run.tell_the_end()
        if self.workflow.execution_settings.no_hooks:
            self._note_result(Result.FAILED if has_failed(self.workflow.scheduler) else Result.SUCCEEDED)
            self._end()
        else:
            atexit.register(self._end)  # hooks run first, if Snakemake comes to them

    def _tidy(self, run: Coordinator) -> None:
        try:
            run.tidy()
        except KempnerError as error:
            self.logger.warning(f"Temporary files of earlier runs may be left: {error}")

    def _take_view_away(self) -> None:
        if self._view is not None:
            self._view.stop()

    def _note_result(self, result: Result) -> None:
        if self._result is Result.UNKNOWN:
            self._result = result

    def _note_hook(self, name: str) -> None:
        self._note_result(Result.SUCCEEDED if name == "onsuccess" else Result.FAILED)
        if self._live is None:
            return
        try:
            self._live.hook(name)
        except KempnerError as error:
            self.logger.warning(f"The closing job may run {name} once more: {error}")

    def _hook_has_ended(self, failed: str) -> None:
        """The end of the run, after its hook; `failed` is the hook's name if it has failed."""
        if failed and self._result is Result.SUCCEEDED:
            self._result = Result.FAILED
        self._end([f"The hook {failed} has failed."] if failed else [])

    def _end(self, notes: Sequence[str] = ()) -> None:
        """The run is over, hooks included: nothing of it stays in the queue but what still runs."""
        atexit.unregister(self._end)
        if self._live is not None and self.continued is None:
            self._ask()
            try:
                folder = Path(self._live.policy.folder)
                if not self._live.end(self._result, lambda: self._finish.run(folder, self._result, notes)):
                    self._finish.tell(folder, notes)
            except KempnerError as error:
                self.logger.warning(f"The run's helper jobs are left in the queue: {error}")
        elif self._live is None and self._claim is not None:
            try:
                beginning.close_what_is_over(self._runs, self._slurm, self.logger, self._result, self._finish.run)
            except KempnerError as error:
                self.logger.warning(f"An earlier run in this folder is left as it is: {error}")
        self._release()

    @cached_property
    def _finish(self) -> Finish:
        return Finish(slurm=self._slurm, say=self.logger.info, warn=self.logger.warning, show=self._show)

    def _show(self, page: Page) -> None:
        (self.logger.error if page.is_of_failure else self.logger.info)(f"\n{page.text}")

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
