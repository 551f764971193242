"""The work of a light job: the command of a `shell:` rule, and what Snakemake does before and after it."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without `enum`, which `signal` imports
import os
import time

from .around import complain, run_job
from .files import digest, is_protected, protect, remove, time_of, touch, touch_or_create
from .job import Spec, read_spec
from .notes import Notes, input_digest
from .plain import say
from .questions import Asked
from .signals import hold_signals, let_signals_through, signalled, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_THREADS = tuple(
    f"{name}_THREADS" for name in ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")
)
_POLL = 0.2


class Failed(Exception):  # noqa: N818 - the command has failed, not this program
    """The command has ended with exit code 0, but its outputs are not as declared."""


class Work:
    """An attempt of a task; each method names the part of Snakemake that it equals.

    Args:
        spec: a `StepSpec`; `light` is of the task, `light_rule` of its rule (`plan/light.py`).
    """

    def __init__(self, spec: Any) -> None:
        self._spec, self._rule, self._light = spec, spec.light_rule, spec.light
        self._outputs: dict[str, list[str]] = self._light["outputs"]
        self._logs: list[str] = self._light["logs"]
        self._notes = Notes(self._rule["notes"], self._outputs)

    def run(self) -> int:
        """`JobScheduler.run`, then `_finish_jobs` or `_error_jobs`; the exit code."""
        os.chdir(self._spec.folder)
        if protected := [path for path in self._outputs if is_protected(path)]:
            complain(self._spec, "ProtectedOutputException: outputs are write-protected", protected)
            return 1
        if missing := [path for path in self._spec.wait_for if not os.path.exists(path)]:
            complain(self._spec, "input is missing", missing)
            return 1
        self._prepare()
        code = self._run_command()
        if code == 0:
            try:
                self._finish()
            except Failed as failure:
                say(f"{failure}", f"This is output of {self._rule['place']}.")
                self._notes.forget()
                code = 1
            else:
                # Snakemake lets what runs end when it is told to leave, and still does not report success. A segment is
                # told of its end in any case: if it has finished by then, it has finished.
                return int(signal.SIGTERM in signalled and self._spec.segments == 1)
        self._fail()
        return code

    def _prepare(self) -> None:
        """`Job.prepare`, `Job.register`."""
        for path, flags in self._outputs.items():
            remove(path, is_folder="directory" in flags)
        for path in self._logs:
            remove(path)
        for path in (*self._outputs, *self._logs):
            if folder := os.path.dirname(path):
                _make(folder)
        try:
            self._notes.begin()
        except OSError as error:
            say(f"Failed to set marker file for job started ({error}).")

    def _run_command(self) -> int:
        """`snakemake.shell.shell`."""
        rule = self._rule
        program = _path_of(rule["shell"])
        if program is None:
            say(f"Cannot set shell to {rule['shell']} because it is not available in your PATH.")
            return 1
        command = " ".join((rule["prefix"], self._light["command"], rule["suffix"])).strip()
        files: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        files += [(os.POSIX_SPAWN_CLOSE, number) for number in _inherited()]
        hold_signals()
        try:
            child = os.posix_spawn(
                program, [program, "-c", command], self._environment(),
                file_actions=files, setpgroup=0, setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )  # fmt: skip
        except OSError as error:
            let_signals_through()
            say(f"kempner: {program} cannot be started: {error.strerror}")
            return 1
        code = wait(child)
        if code:
            how = f"died with signal {-code}" if code < 0 else f"returned non-zero exit status {code}"
            say(f"Error in {rule['place']}:", f"Command '{command}' {how}.")
        return 128 - code if code < 0 else code

    def _environment(self) -> dict[str, str]:
        # The user's program must not see that it runs in an array: it may behave differently then.
        found = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_ARRAY_")}
        found |= dict.fromkeys(_THREADS, str(self._light["threads"]))
        if self._rule["tmpdir"]:
            folder = _folder_for_temporary_files()
            os.makedirs(folder, exist_ok=True)
            found |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), folder)
        return found

    def _finish(self) -> None:
        """`Job.postprocess`.

        Raises:
            Failed: the outputs are not as declared.
        """
        for path in self._flagged("touch"):
            say(f"Touching output file {path}.")
            touch_or_create(path, is_folder=self._is_folder(path))
        self._keep_logs()
        self._wait_for_outputs()
        if wrong := [path for path in self._outputs if self._is_folder(path) != os.path.isdir(path)]:
            raise Failed(
                "\n".join(["ImproperOutputException: a folder without directory(), or a file with it:", *wrong])
            )
        self._ensure()
        for path in self._outputs:
            touch(path, is_folder=self._is_folder(path))
        self._check_times()
        for path in self._flagged("protected"):
            say(f"Write-protecting output file {path}.")
            protect(path)
        self._notes.finish(self._record())

    def _fail(self) -> None:
        """`Job.postprocess(error=True)`."""
        self._keep_logs()
        self._notes.finish(self._record())
        there = [] if self._rule["keep_incomplete"] else [path for path in self._outputs if os.path.exists(path)]
        if there:
            say("Removing output files of failed job since they might be corrupted:", ", ".join(there))
        for path in there:
            remove(path, is_folder=self._is_folder(path))

    def _is_folder(self, path: str) -> bool:
        return "directory" in self._outputs[path]

    def _flagged(self, flag: str) -> list[str]:
        return [path for path, flags in self._outputs.items() if flag in flags]

    def _keep_logs(self) -> None:
        """`DAG.handle_log`."""
        for path in self._logs:
            if not os.path.exists(path):
                touch_or_create(path)

    def _wait_for_outputs(self) -> None:
        """`snakemake.io.wait_for_files`."""
        seconds = self._spec.latency_wait
        end = time.monotonic() + seconds
        while missing := [path for path in self._outputs if not os.path.exists(path)]:
            if time.monotonic() >= end:
                what = f"MissingOutputException: Missing files after {seconds} seconds (--latency-wait):"
                raise Failed("\n".join([what, *missing]))
            time.sleep(min(_POLL, seconds))

    def _ensure(self) -> None:
        """`DAG.handle_ensure`."""
        ensured: dict[str, Any] = self._light["ensured"]
        if empty := [path for path, what in ensured.items() if what["non_empty"] and not os.path.getsize(path)]:
            raise Failed("\n".join(["Detected unexpected empty output files:", *empty]))
        sums = {path: what["checksum"] for path, what in ensured.items() if what["checksum"]}
        if other := [path for path, expected in sums.items() if digest(path, expected.partition(":")[0]) != expected]:
            raise Failed("\n".join(["Output files have checksums that differ from the expected ones:", *other]))

    def _check_times(self) -> None:
        """`DAG.check_output_mtime`."""
        inputs = [(time_of(path), path) for path in self._spec.wait_for if os.path.exists(path)]
        newest, which = max(inputs, default=(0.0, ""))
        for path in self._outputs:
            if time_of(path) < newest:
                old, new = time.ctime(time_of(path)), time.ctime(newest)
                raise Failed(
                    f"Output {path} has older modification time ({old}) than input {which} ({new}). "
                    "This could indicate a clock skew problem in your network."
                )

    def _record(self) -> dict[str, Any]:
        """What `PersistenceBase.finished` records of this job, but for times; nothing with --drop-metadata."""
        if not self._rule["record"]:
            return {}
        largest, inputs = self._rule["max_checksum_size"], self._spec.wait_for
        digests = {path: found for path in inputs if (found := input_digest(path, largest)) is not None}
        known = {
            "input": sorted(inputs),
            "log": sorted(self._logs),
            "shellcmd": self._light["command"],
            "params": self._light["params"],
            "job_hash": self._light["job_hash"],
            "input_checksums": digests,
        }
        record: dict[str, Any] = self._rule["record"] | known
        return record


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:  # a link to a folder that the command makes
        return


def _path_of(program: str) -> str | None:
    """The path of a program that a job finds by PATH, as its head did."""
    places = [""] if "/" in program else os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (os.path.join(place, program) for place in places)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _folder_for_temporary_files() -> str:
    """`tempfile.gettempdir`."""
    given = [os.path.abspath(place) for name in ("TMPDIR", "TEMP", "TMP") if (place := os.environ.get(name))]
    places = (*given, "/tmp", "/var/tmp", "/usr/tmp", os.getcwd())  # noqa: S108 - the places that Python tries
    return next(
        (place for place in places if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)), os.getcwd()
    )


def _inherited() -> list[int]:
    """Open files that a child would inherit, and that a child of Snakemake does not."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # that of the list itself
            continue
    return found


def main() -> int:
    """Exit code of the job: 0 only when the command has succeeded and every declared output exists."""
    return run_job(Spec(read_spec()), Asked(), _work)


def _work(spec: Any) -> int:
    try:
        return Work(spec).run()
    except OSError as error:  # a full disk, a folder that may not be written: as when Snakemake breaks down
        say(f"kempner: {spec.task}: {error}")
        return 1
