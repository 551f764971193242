"""What every job does around its work: its log, its record, earlier attempts, inputs, marks, signals, temporary files."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without `enum`, which `signal` imports
import os
import time

from .files import discard, read, remove_tree
from .job import open_log, own_job_id
from .plain import dumps, loads, printable, say
from .signals import hear_what_ended_it, signalled, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_POLL = 0.2
_SHORT_LIFE = 60
"""Seconds: a job that fails earlier may have failed because of its node."""
TO_BE_CONTINUED = 75
"""As in `plan/step.py`."""
_SIGNALS = 128
"""A command that a signal has ended has this exit code and the number of the signal, as shells have it."""
tried: list[int] = []
"""Attempts of this process that had a reason to run; others end at once because of an earlier attempt."""


class Record:
    """The record of this job, in a file named after its id; replaced as a whole, so it is never incomplete."""

    def __init__(self, spec: Any) -> None:
        job_id = own_job_id() or str(os.getpid())
        self._path = f"{spec.records}/{job_id}.json"
        self._known: dict[str, Any] = {
            "task": spec.task,
            "attempt": spec.attempt,
            "job_id": job_id,
            "node": os.environ.get("SLURMD_NODENAME") or os.uname().nodename,
            "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "start": time.time(),
        }

    def earlier_end(self) -> int | None:
        """The exit code of this job, if it has ended before and was not put back into the queue."""
        try:
            known: Any = loads(read(self._path) or "{}")
        except ValueError:
            return None
        ours = ("task", "attempt", "restarts")
        is_own = isinstance(known, dict) and all(known.get(name) == self._known[name] for name in ours)
        code = known.get("exit_code") if is_own else None
        return code if isinstance(code, int) else None

    @property
    def is_short(self) -> bool:
        return bool(time.time() - self._known["start"] < _SHORT_LIFE)

    def write(self, exit_code: int | None = None, *, cancelled: bool = False) -> None:
        if cancelled:
            self._known["cancelled"] = True
        if exit_code is not None:
            self._known |= {"end": time.time(), "exit_code": exit_code, "peak_memory_mb": 0, "cpu_seconds": 0.0} | used
        beside = f"{self._path}.new"
        try:
            with open(beside, "w", encoding="utf-8") as file:
                file.write(dumps(self._known))
            os.replace(beside, self._path)
        except OSError as error:
            say(f"kempner: this job cannot be recorded in {self._path}: {error.strerror}")


def run_job(spec: Any, rare: Any, work: Callable[[Any], int]) -> int:
    """Run an attempt of a task and record its end; its exit code.

    Args:
        spec: a `StepSpec`.
        rare: answers what a light job leaves to the whole package (`questions.Asked`, `step.asked.Direct`).
        work: does what the task is; returns its exit code.
    """
    open_log(spec)
    record = Record(spec)
    if (code := record.earlier_end()) is not None:  # what it has made may be in use, or made by a later attempt
        say(f"kempner: {spec.task}: this job had ended with exit code {code} when Slurm started it once more.")
        return code
    record.write()
    code = attempt(spec, rare, work)
    if code != 0 and tried:
        hear_what_ended_it()
    if spec.segments > 1 and (code == _SIGNALS + signal.SIGTERM or (code != 0 and signalled)):
        code = TO_BE_CONTINUED  # whatever the program made of the signal: the next segment goes on
    record.write(exit_code=code)
    if spec.elsewhere and tried and not signalled and code not in (0, TO_BE_CONTINUED) and record.is_short:
        rare.fails_at_once(spec)
    if code != 0 and signalled and rare.was_cancelled():
        record.write(exit_code=code, cancelled=True)
    elif code == TO_BE_CONTINUED and spec.segments > 1:
        _say_how_it_goes_on(spec)
    if (
        code != 0 and spec.releases
    ):  # also after a signal: Slurm starts it only if this job is not put back into the queue
        rare.release_next(spec)
    if spec.segment < spec.segments and code not in (0, TO_BE_CONTINUED):
        rare.pass_over(spec)
    goes_on = code == TO_BE_CONTINUED and spec.segment < spec.segments
    if code != 0 and spec.stops and not signalled and not goes_on:
        rare.stop(spec)
    return code


def _say_how_it_goes_on(spec: Any) -> None:
    say(f"kempner: {spec.task}: segment {spec.segment} of {spec.segments} is to be continued from {spec.checkpoints}.")
    if spec.segment == spec.segments:
        say(
            "kempner: There is no further segment. Give the same command again to go on from there, with a larger "
            "slurm_segments if it takes more jobs."
        )


def attempt(spec: Any, rare: Any, work: Callable[[Any], int]) -> int:
    """What surrounds the work of an attempt that has not ended yet; the exit code of the job."""
    if spec.mark and read(spec.mark) == own_job_id():
        say(f"kempner: {spec.task} had succeeded before Slurm put this job back into the queue.")
        return 0
    if spec.earlier_attempts and (decided := rare.decided_before(spec)) is not None:
        return int(decided)
    tried.append(spec.attempt)
    if missing := wait_for(spec, spec.wait_for, spec.latency_wait):
        complain(spec, f"input is not visible on this node after {spec.latency_wait} s (--latency-wait)", missing)
        return 1
    if spec.checkpoints:
        os.makedirs(spec.checkpoints, exist_ok=True)
        os.environ["KEMPNER_CHECKPOINT_DIR"] = spec.checkpoints
    code = work(spec)
    if code == 0 and (missing := wait_for(spec, spec.outputs, 0)):
        complain(spec, "Snakemake has ended with exit code 0, but declared output is missing", missing)
        return 1
    if code == 0 and spec.mark:
        leave_mark(spec.mark)
    # The announced end of a segment is no sign that Slurm may requeue it, unless it leaves no mark to tell by.
    if code == 0 and spec.checkpoints and (not signalled or (spec.segments > 1 and spec.mark)):
        # A later run of this task must start afresh, not resume from finished work.
        discard(spec.checkpoints)
    if code == 0 and spec.mark:
        remove_temporary(spec, rare.may_have_more_readers)
    return code


def wait_for(spec: Any, paths: Iterable[str], seconds: float) -> list[str]:
    """The paths that still do not exist after so many seconds."""

    def absent(candidates: Iterable[str]) -> list[str]:
        return [path for path in candidates if not os.path.lexists(os.path.join(spec.folder, path))]

    end = time.monotonic() + seconds
    missing = absent(paths)
    while missing and time.monotonic() < end:
        time.sleep(_POLL)
        missing = absent(missing)
    return missing


def complain(spec: Any, what: str, paths: list[str]) -> None:
    shown = [f"  {printable(path)}" for path in paths[:20]]
    if len(paths) > len(shown):
        shown.append(f"  and {len(paths) - len(shown)} more")
    say(f"kempner: {spec.task}: {what}:", *shown)


def leave_mark(path: str) -> None:
    """Mark this task as succeeded, before the marks of others are read: so the last task to end sees them all."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(own_job_id())
    except OSError as error:  # the closing job tidies up
        say(f"kempner: success cannot be marked in {path}: {error.strerror}")


def remove_temporary(spec: Any, may_have_more_readers: Callable[[str], bool]) -> None:
    """Remove temporary files that no task needs any more, unless another command may have added readers."""
    done = [path for path, marks in spec.temp_inputs if all(map(os.path.exists, marks))]
    paths = [*spec.temp_outputs, *done]
    if not paths or may_have_more_readers(os.path.dirname(os.path.dirname(spec.mark))):
        return
    for path in paths:
        whole = os.path.join(spec.folder, path)
        try:
            if os.path.isdir(whole) and not os.path.islink(whole):
                remove_tree(whole)
            else:
                os.remove(whole)
        except FileNotFoundError:  # the job's Snakemake, or another reader that ended at the same moment, was first
            continue
        except OSError as error:
            say(f"kempner: temporary {printable(path)} cannot be removed: {error.strerror}")
        else:
            say(f"Removing temporary output {printable(path)}.")
