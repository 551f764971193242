"""`python -m snakemake_executor_plugin_kempner.step [MANIFEST] < spec`: run an attempt of a task and record its end.

An array element reads the part of its spec that differs from those of other elements from the manifest.

There are two processes: the child becomes the job's Snakemake; the parent stays small, forwards signals, checks the
outputs and records the end, so that a child killed for its memory is recorded too.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ..errors import KempnerError, LedgerError
from ..plan.manifest import read_line
from ..plan.model import log_path
from ..plan.step import StepSpec
from ..printable import printable
from ..run.claim import claimed_by
from ..run.guard import stop
from ..run.ledger import read_ledger
from ..slurm.client import SlurmCommands
from ..slurm.ids import own_job_id
from .earlier import decided_before, was_cancelled

_POLL = 0.2
_signalled: list[int] = []
"""Signals that this job has received. Slurm may requeue it now, so its failure must not stop the run, and its
checkpoints must be kept."""


def main() -> int:
    """Exit code of the job: 0 only when Snakemake has succeeded and every declared output exists."""
    spec = _read_spec()
    _open_log(spec)
    _name_log(spec)
    record = _Record(spec)
    record.write()
    code = _run(spec)
    record.write(exit_code=code)
    if code != 0 and _signalled and was_cancelled(own_job_id(os.environ)):
        record.write(exit_code=code, cancelled=True)
    if code != 0 and spec.stops and not _signalled:
        try:
            stop(Path(spec.stops), SlurmCommands(), own_job_id(os.environ))
        except KempnerError as error:  # the guard does the same, a little later
            print(f"kempner: the run could not be stopped: {error}", file=sys.stderr)
    return code


def _read_spec() -> StepSpec:
    known = json.load(sys.stdin)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as file:
            known |= read_line(file, int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))
    return StepSpec.from_dict(known)


def _open_log(spec: StepSpec) -> None:
    """Redirect output to the log file, if Slurm could not be told its name."""
    if not spec.log:
        return
    path = log_path(spec.log, own_job_id(os.environ))
    try:
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        print(f"kempner: the log {path} cannot be opened: {error.strerror}", file=sys.stderr)
        return
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def _name_log(spec: StepSpec) -> None:
    """Link to the log of an array element under the name with its wildcards."""
    if not spec.log_name:
        return
    name = log_path(spec.log_name, own_job_id(os.environ))
    with suppress(OSError):  # after a requeue it exists; otherwise the job can do without it
        os.symlink(os.readlink("/proc/self/fd/1"), name)


def _run(spec: StepSpec) -> int:
    if spec.mark and _read(spec.mark) == own_job_id(os.environ):
        print(f"kempner: {spec.task} had succeeded before Slurm put this job back into the queue.", file=sys.stderr)
        return 0
    if (decided := decided_before(spec, SlurmCommands)) is not None:
        return decided
    missing = _wait_for(spec, spec.wait_for, spec.latency_wait)
    if missing:
        _complain(spec, f"input is not visible on this node after {spec.latency_wait} s (--latency-wait)", missing)
        return 1
    if spec.checkpoints:
        os.makedirs(spec.checkpoints, exist_ok=True)
        os.environ["KEMPNER_CHECKPOINT_DIR"] = spec.checkpoints
    code = _run_snakemake(spec)
    if code == 0 and (missing := _wait_for(spec, spec.outputs, 0)):
        _complain(spec, "Snakemake has ended with exit code 0, but declared output is missing", missing)
        return 1
    if code == 0 and spec.checkpoints and not _signalled:
        # A later run of this task must start afresh, not resume from finished work.
        shutil.rmtree(spec.checkpoints, ignore_errors=True)
    if code == 0 and spec.mark:
        _leave_mark(spec.mark)
        _remove_temporary(spec)
    return code


def _leave_mark(path: str) -> None:
    """Mark this task as succeeded, before the marks of others are read: so the last task to end sees them all."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(own_job_id(os.environ))
    except OSError as error:  # the closing job tidies up
        print(f"kempner: success cannot be marked in {path}: {error.strerror}", file=sys.stderr)


def _may_have_more_readers(folder: Path) -> bool:
    """Whether another command has taken over this run, or is about to, and may have added tasks."""
    if claimed_by(folder.parent) not in ("", folder.name):
        return True
    try:
        return bool(read_ledger(folder).taken_over_by)
    except LedgerError:
        return True


def _remove_temporary(spec: StepSpec) -> None:
    """Remove temporary files that no task needs any more, unless another command may have added readers."""
    done = [path for path, marks in spec.temp_inputs if all(map(os.path.exists, marks))]
    paths = [*spec.temp_outputs, *done]
    if not paths or _may_have_more_readers(Path(spec.mark).parent.parent):
        return
    for path in paths:
        _remove(path, os.path.join(spec.folder, path))


def _remove(name: str, path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    except FileNotFoundError:  # the job's Snakemake, or another reader that ended at the same moment, was first
        return
    except OSError as error:
        print(f"kempner: temporary {printable(name)} cannot be removed: {error.strerror}", file=sys.stderr)
    else:
        print(f"Removing temporary output {printable(name)}.", file=sys.stderr)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def _run_snakemake(spec: StepSpec) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _become_snakemake(spec)
    _give_own_group(child)

    def forward(number: int, _frame: FrameType | None) -> None:
        _signalled.append(number)
        # To the whole group: the rule's own process has to hear it too.
        os.killpg(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(f"kempner: Snakemake was ended by {signal.Signals(-code).name}.", file=sys.stderr)
        return 128 - code
    return code


def _become_snakemake(spec: StepSpec) -> None:
    """In the child: run Snakemake and leave, never to return into the parent's code."""
    code = 1
    try:
        _give_own_group(0)
        # The user's program must not see that it runs in an array: it may behave differently then.
        for name in [name for name in os.environ if name.startswith("SLURM_ARRAY_")]:
            del os.environ[name]
        # The spec came by standard input; the rule gets empty input, like any batch job.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        from .snakemake_job import run

        code = run(spec)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(bool(leave.code))
    except BaseException:  # noqa: BLE001 - the child must not return
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _give_own_group(process: int) -> None:
    # Called by parent and child, so that the group exists before either of them goes on.
    try:
        os.setpgid(process, process)
    except (PermissionError, ProcessLookupError):
        return


def _wait_for(spec: StepSpec, paths: Iterable[str], seconds: float) -> list[str]:
    """The paths that still do not exist after so many seconds."""

    def absent(candidates: Iterable[str]) -> list[str]:
        return [path for path in candidates if not os.path.lexists(os.path.join(spec.folder, path))]

    end = time.monotonic() + seconds
    missing = absent(paths)
    while missing and time.monotonic() < end:
        time.sleep(_POLL)
        missing = absent(missing)
    return missing


def _complain(spec: StepSpec, what: str, paths: list[str]) -> None:
    shown = [f"  {printable(path)}" for path in paths[:20]]
    if len(paths) > len(shown):
        shown.append(f"  and {len(paths) - len(shown)} more")
    print(f"kempner: {spec.task}: {what}:", *shown, sep="\n", file=sys.stderr)


class _Record:
    """The record of this job, in a file named after its id; replaced as a whole, so it is never incomplete."""

    def __init__(self, spec: StepSpec) -> None:
        self._job_id = own_job_id(os.environ) or str(os.getpid())
        self._path = f"{spec.records}/{self._job_id}.json"
        self._known = {
            "task": spec.task,
            "attempt": spec.attempt,
            "job_id": self._job_id,
            "node": os.environ.get("SLURMD_NODENAME") or os.uname().nodename,
            "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "start": time.time(),
        }

    def write(self, exit_code: int | None = None, *, cancelled: bool = False) -> None:
        if cancelled:
            self._known["cancelled"] = True
        if exit_code is not None:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._known |= {"end": time.time(), "exit_code": exit_code, "peak_memory_mb": used.ru_maxrss // 1024}
            self._known["cpu_seconds"] = round(used.ru_utime + used.ru_stime, 2)
        beside = f"{self._path}.new"
        try:
            with open(beside, "w", encoding="utf-8") as file:
                json.dump(self._known, file)
            os.replace(beside, self._path)
        except OSError as error:
            print(f"kempner: this job cannot be recorded in {self._path}: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
