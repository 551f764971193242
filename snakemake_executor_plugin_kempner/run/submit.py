"""Plan → calls of sbatch: in order, recorded ahead, each job exactly once, and all of a plan or nothing."""

import logging
import math
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SlurmError, SlurmMissing, SlurmRefused, SlurmUnreachable
from ..options import NO_OPTIONS, Options
from ..plan.dependency import Expression, Ref, render
from ..plan.jobscript import call_script, manifest_path
from ..plan.model import Call, Kind, Plan, Policy
from ..slurm.client import Slurm
from ..slurm.submit_limits import lacks_room
from .clock import Clock
from .interrupt import undisturbed
from .ledger import Ledger, write_manifest
from .parents import Parents, UnneededError, whose
from .scripts import keep

PATIENCE = 900.0
"""Seconds for which requests are repeated while slurmctld does not answer."""
SETTLE = 40.0
"""Seconds after which slurmctld, once it answers again, has processed earlier requests, if it ever will. After a freeze
it may answer a query about its queue before an older request."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


@dataclass
class _Doubt:
    """Whether Slurm may still carry out a request that got no answer."""

    lost_at: float | None = None
    answers_since: float | None = None
    """Since when all queries were answered; None if the last query was not."""

    def ends_in(self, now: float) -> float:
        if self.lost_at is None:
            return 0.0
        return SETTLE if self.answers_since is None else self.answers_since + SETTLE - now


class Submitter:
    """Submits plans.

    Args:
        slurm: the scheduler.
        ledger: gets an intent before each sbatch, and the job id after it.
        clock: time.
        logger: gets a message when slurmctld is slow to answer.
    """

    def __init__(self, slurm: Slurm, ledger: Ledger, clock: Clock, logger: logging.Logger) -> None:
        self._slurm, self._ledger, self._clock, self._logger = slurm, ledger, clock, logger
        self._answer_lost = self._is_interrupted = False
        self._memory = math.inf
        self._parents = Parents(slurm, clock.now)

    @property
    def is_in_doubt(self) -> bool:
        """Slurm may still carry out a request of the last plan, which was given up."""
        return self._answer_lost or self._is_interrupted

    def submit(self, plan: Plan, known: Mapping[Ref, str]) -> tuple[dict[Ref, str], Call | None]:
        """Submit the plan, or as much as there is room for; after an error, nothing of the plan stays in the queue.

        Args:
            plan: what to submit; a dependency leads to an earlier submission of the plan or to `known`.
            known: job ids of earlier plans.

        Returns:
            The job id of each submission, `123_4` for an array element; and the call that Slurm has refused for lack of
            room in the queue, after which nothing more was submitted.

        Raises:
            SlurmError: a submission failed; those before it have been cancelled.
            LedgerError: the ledger cannot be written; submitted jobs have been cancelled.
        """
        ids: dict[Ref, str] = {}
        job_id = ChainMap(ids, dict(known)).__getitem__
        current: Call | None = None
        taken: list[str] = []
        self._answer_lost, self._memory = False, plan.policy.memory
        self._parents = Parents(self._slurm, self._clock.now, memory=self._memory, folder=Path(plan.policy.folder))
        try:
            for current in plan.calls:
                try:
                    waits_for = self._parents.left(current, job_id)
                except UnneededError:
                    self._parents.unneeded |= {submission.ref for submission in current.submissions}
                    continue
                taken.append(self._submit_one(current, plan.policy, job_id, waits_for))
                refs = (submission.ref for submission in current.submissions)
                ids.update(zip(refs, current.job_ids(taken[-1]), strict=True))
        except BaseException as error:
            self._is_interrupted = not isinstance(error, Exception)
            if isinstance(error, SlurmRefused) and lacks_room(error.answer) and not self._answer_lost:
                return ids, current
            # Looked up even after a refusal: a wrapper of sbatch may fail although Slurm has accepted the job.
            nothing_sent = isinstance(error, SlurmMissing) and not self._answer_lost
            in_doubt = None if nothing_sent or (current and current.first.ref in ids) else current
            self._withdraw(taken, in_doubt)
            if isinstance(error, SlurmRefused) and current is not None:
                raise SlurmError(_refusal(current, error), _refused(current, error)) from error
            raise
        return ids, None

    @property
    def unneeded(self) -> Collection[Ref]:
        """Submissions of the last plan that were left out because their dependencies can no longer be satisfied."""
        return self._parents.unneeded

    def put_off(self, job_id: str, waits_for: Expression, known: Mapping[Ref, str]) -> None:
        """Change the dependency of a pending job. If Slurm refuses, the user only gets a warning."""
        dependency = render(waits_for, dict(known).__getitem__)
        try:
            self._slurm.depend(job_id, dependency)
        except SlurmError as error:
            self._logger.warning(f"Slurm job {job_id} could not be put off: {error}")

    def _submit_one(
        self, call: Call, policy: Policy, job_id: Callable[[Ref], str], waits_for: Expression | None
    ) -> str:
        first = call.first
        names = Options({"job-name": first.shown_name or first.job_name, "comment": first.job_name})
        options = names | call.options
        script, manifest = call_script(call, policy, job_id)
        if manifest is not None:
            write_manifest(Path(manifest_path(call, policy)), manifest)
        keep(Path(policy.folder), call, script)
        self._ledger.intend(call.job_name, **_intent(call), options=(options | _dependency(waits_for, job_id)).argv)
        found = self._patiently(call, options, script, job_id)
        self._ledger.submitted(call.job_name, found)
        self._parents.submitted(call, found)
        return found

    def _patiently(self, call: Call, options: Options, script: str, job_id: Callable[[Ref], str]) -> str:
        """Repeat a request until slurmctld answers, without ever submitting a job twice.

        Slurm may carry out a request without answering it, even half a minute later. So the job is looked up by its
        name for a while before the request is repeated.
        """
        started, pause = self._clock.now(), _FIRST_PAUSE
        doubt = _Doubt()
        while True:
            try:
                if doubt.lost_at is not None and (found := self._look_up(call, doubt)):
                    return found
                left = doubt.ends_in(self._clock.now())
                if left <= 0:
                    if doubt.lost_at is not None and self._clock.now() - doubt.lost_at > self._memory:
                        raise SlurmError(self._unknown(call, doubt.lost_at))
                    waits_for = self._parents.left(call, job_id)
                    return self._send(options | _dependency(waits_for, job_id), script, doubt)
                pause = max(_FIRST_PAUSE, min(pause, left))
                self._logger.warning(f"{whose(call)} is looked for in the queue, again in {pause:.0f} s")
            except SlurmUnreachable as error:
                doubt.answers_since = None
                if self._clock.now() - started > PATIENCE:
                    raise SlurmUnreachable(f"{error}\n{self._unknown(call, started)}") from error
                self._logger.warning(f"Slurm is busy, asking again in {pause:.0f} s ({error})")
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _look_up(self, call: Call, doubt: _Doubt) -> str | None:
        found = self._slurm.find(call.job_name)
        if found:
            self._drop_doubles(call.job_name, found[0])
            return found[0]
        if doubt.answers_since is None:
            doubt.answers_since = self._clock.now()
        return None

    def _send(self, options: Options, script: str, doubt: _Doubt) -> str:
        try:
            with undisturbed():
                return self._slurm.submit(options, script)
        except SlurmUnreachable as error:
            if error.in_doubt:
                doubt.lost_at, self._answer_lost = self._clock.now(), True
            raise
        except SlurmRefused as error:
            if error.answer or doubt.lost_at is not None:
                raise
            # Without a message, Slurm may have accepted the job; the second time it counts as a refusal.
            doubt.lost_at, self._answer_lost = self._clock.now(), True
            raise SlurmUnreachable(f"sbatch ended with exit code {error.code} and without a word") from error

    def _unknown(self, call: Call, since: float) -> str:
        return (
            f"Slurm did not answer for {(self._clock.now() - since) / 60:.0f} minutes while {whose(call)} was "
            f"submitted. Whether it is in the queue: squeue{self._slurm.where} --me --name={call.job_name}"
        )

    def _drop_doubles(self, job_name: str, keep: str) -> None:
        # Slurm may have carried out a request that timed out after the look-up.
        doubles = [job_id for job_id in self._slurm.find(job_name) if job_id != keep]
        if doubles:
            self._slurm.cancel(doubles)

    def _withdraw(self, ours: list[str], in_doubt: Call | None) -> None:
        where = self._slurm.where
        doubt = (
            f"; whether {whose(in_doubt)} is there: squeue{where} --me --name={in_doubt.job_name}" if in_doubt else ""
        )
        try:
            if in_doubt is not None:
                ours += self._slurm.find(in_doubt.job_name)  # its answer may have been lost
            if ours:
                self._slurm.cancel(ours)
                self._ledger.cancelled(ours)
        except SlurmError as error:
            message = f"Jobs of this run may be left in the queue ({error}): scancel{where} {' '.join(ours)}{doubt}"
            raise SlurmError(message) from error


def _dependency(waits_for: Expression | None, job_id: Callable[[Ref], str]) -> Options:
    return NO_OPTIONS if waits_for is None else Options({"dependency": render(waits_for, job_id)})


def _intent(call: Call) -> dict[str, Any]:
    """The ledger's line about a call: values common to its submissions, and under `array` those that differ."""
    first = call.first
    common = {
        "kind": first.kind.value, "attempt": first.ref.attempt, "attempts": first.attempts, "log": call.log,
        "why": first.why, "spared": first.spared, "units": dict(first.units),
        **({"segments": first.segments} if first.segments > 1 else {}),
    }  # fmt: skip
    own = [
        {
            "task": submission.ref.task,
            "label": submission.label,
            "edges": [(edge.on, edge.type, edge.declared) for edge in submission.edges],
            "members": submission.members,
            **({"logs": submission.logs} if submission.logs else {}),
            "content": dict(submission.content),
        }
        for submission in call.submissions
    ]
    if not call.is_array:
        return {**common, **own[0]}
    return {**common, "array": [{"index": index, **element} for index, element in zip(call.indices, own, strict=True)]}


_REMEDIES = (
    ("invalid account", "set the account: --default-resources slurm_account=NAME (your accounts: sshare -U)"),
    ("invalid partition", "set an existing partition: --default-resources slurm_partition=NAME (they are: sinfo -s)"),
    ("requested node configuration", "no node of the partition has what the rule asks for (see: sinfo -N -l)"),
    ("invalid generic resource", "this cluster does not know the device; check gpu, gpu_model or gres of the rule"),
    ("qos", "check the rule's qos, or leave it out: it usually comes with the partition"),
    ("job dependency problem", "Slurm has forgotten a job that it waits for (MinJobAge); give the same command again"),
    ("time limit", "shorten the rule's runtime, or take a partition with a longer limit (see: sinfo -s)"),
)


def _remedy(error: SlurmRefused) -> str:
    return next((text for part, text in _REMEDIES if part in error.answer.lower()), "")


def _refused(call: Call, error: SlurmRefused) -> dict[str, tuple[str, str]]:
    """The tasks whose job Slurm has refused, each with its label and Slurm's answer."""
    remedy = _remedy(error)
    why = f"Slurm refused its job: {error.answer or 'no message'}{f' ({remedy})' if remedy else ''}"
    return {
        submission.ref.task: (submission.label, why) for submission in call.submissions if submission.kind is Kind.TASK
    }


def _refusal(call: Call, error: SlurmRefused) -> str:
    """The error message: task, Slurm's answer, options, and what to do."""
    lines = [f"Slurm refused the job of {whose(call)}: {error.answer or 'no message'}"]
    lines.append(f"  submitted with: sbatch {call.options.without('chdir', 'output', 'export')}")
    if remedy := _remedy(error):
        lines.append(f"  what to do: {remedy}")
    lines.append("  Nothing of this plan was left in the queue.")
    return "\n".join(lines)
