"""What a job rarely needs to know or do, with the whole package: about earlier attempts, when it has failed, before it removes.

A light job asks it in a process of its own: `python -m snakemake_executor_plugin_kempner.step.asked QUESTION JSON`. The package is imported
when a question is asked: most jobs ask none.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .light.job import Spec, own_job_id
from .light.questions import GO_ON, NO, YES


class Direct:
    """Answers for a job that has the whole package at hand."""

    def decided_before(self, spec: Any) -> int | None:
        """The exit code of an attempt that must not run because of how an earlier attempt ended; None if it should run."""
        from ..slurm.client import SlurmCommands
        from .earlier import decided_before

        return decided_before(spec, SlurmCommands)

    def was_cancelled(self) -> bool:
        from .earlier import was_cancelled

        return was_cancelled(own_job_id())

    def fails_at_once(self, spec: Any) -> None:
        """Keep further attempts off this node, if another job of the run has failed at once here, as this one has."""
        from ..errors import KempnerError
        from ..run.elsewhere import fails_at_once
        from ..slurm.client import SlurmCommands

        if os.environ.get("SLURM_JOB_NUM_NODES", "1") != "1":
            return
        node = os.environ.get("SLURMD_NODENAME", "")
        try:
            done = fails_at_once(Path(spec.elsewhere), SlurmCommands(), own_job_id(), node)
        except KempnerError as error:  # the next attempt may run here once more
            done = f"further attempts could not be kept off {node}: {error}"
        if done:
            print(f"kempner: {done}", file=sys.stderr)

    def pass_over(self, spec: Any) -> None:
        """Take the further segments of this job's attempt out of the queue, since this one has failed."""
        from ..errors import KempnerError
        from ..run.guard import pass_over
        from ..slurm.client import SlurmCommands

        try:
            pass_over(Path(spec.records).parent, SlurmCommands(), own_job_id())
        except KempnerError as error:  # the next segment does the same, when it starts
            print(f"kempner: further segments could not be cancelled: {error}", file=sys.stderr)

    def release_next(self, spec: Any) -> None:
        """Release the next attempt of this job's task, since this one has failed."""
        from ..errors import KempnerError
        from ..run.release import release_next
        from ..slurm.client import SlurmCommands

        try:
            release_next(Path(spec.records).parent, SlurmCommands(), own_job_id())
        except KempnerError as error:  # the release job does the same, a little later
            print(f"kempner: the next attempt could not be released: {error}", file=sys.stderr)

    def stop(self, spec: Any) -> None:
        """Stop the run, of which this job is a failed task."""
        from ..errors import KempnerError
        from ..run.guard import stop
        from ..slurm.client import SlurmCommands

        try:
            stop(Path(spec.stops), SlurmCommands(), own_job_id())
        except KempnerError as error:  # the guard does the same, a little later
            print(f"kempner: the run could not be stopped: {error}", file=sys.stderr)

    def may_have_more_readers(self, folder: str) -> bool:
        """Whether another command has taken over the run in the folder, or is about to, and may have added tasks."""
        from ..errors import LedgerError
        from ..run.claim import claimed_by
        from ..run.ledger import read_ledger

        if claimed_by(Path(folder).parent) not in ("", Path(folder).name):
            return True
        try:
            return bool(read_ledger(Path(folder)).taken_over_by)
        except LedgerError:
            return True


def _decided_before(about: Any) -> int:
    return {None: GO_ON, 0: YES}.get(Direct().decided_before(about), NO)


def _was_cancelled(_about: Any) -> int:
    return YES if Direct().was_cancelled() else NO


def _fails_at_once(about: Any) -> int:
    Direct().fails_at_once(about)
    return YES


def _pass_over(about: Any) -> int:
    Direct().pass_over(about)
    return YES


def _release_next(about: Any) -> int:
    Direct().release_next(about)
    return YES


def _stop(about: Any) -> int:
    Direct().stop(about)
    return YES


_ANSWERS: Mapping[str, Callable[[Any], int]] = {
    "decided_before": _decided_before,
    "was_cancelled": _was_cancelled,
    "fails_at_once": _fails_at_once,
    "pass_over": _pass_over,
    "release_next": _release_next,
    "stop": _stop,
}

if __name__ == "__main__":
    sys.exit(_ANSWERS[sys.argv[1]](Spec(json.loads(sys.argv[2]))))
