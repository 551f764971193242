"""A Slurm in trouble, and a head that is killed at the worst moment: every task runs, and runs once."""

import json
import os
import re
import shutil
import signal
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from head import HELPERS, SMALL, UNTIL_GO, Head, all_over, asked, assert_settled, go, queued, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

StartSlurm = Callable[..., Sandbox]
Trouble = Callable[[Sandbox], AbstractContextManager[None]]
FROZEN = 60
"""Seconds; longer than the executor looks for a request without an answer before it makes it again."""


# --- workflows in which every task writes down that it ran ----------------------------------------------------------


def chains(number: int, length: int, held: int | None = None) -> str:
    """Chains of tasks; those at one place in them may be held until the file `go` is there."""
    return f"""
    rule all:
        input:
            expand("{{chain}}.{length - 1}.txt", chain=range({number})),

    rule link:
        input:
            lambda wildcards: [f"{{wildcards.chain}}.{{int(wildcards.step) - 1}}.txt"] if wildcards.step != "0" else [],
        output:
            "{{chain}}.{{step}}.txt",
        wildcard_constraints:
            step="[0-9]+",
        params:
            first=lambda wildcards: "{UNTIL_GO}" if wildcards.step == "{held}" else "true",
        shell:
            "{{params.first}}; echo {{output}} >> runs; cat {{input}} /dev/null > {{output}}; echo {{output}} >> {{output}}"
    """


def outputs(number: int, length: int) -> list[str]:
    return [f"{chain}.{step}.txt" for chain in range(number) for step in range(length)]


def ran(folder: Path) -> list[str]:
    runs = folder / "runs"
    return runs.read_text().splitlines() if runs.exists() else []


def begun(folder: Path) -> int:
    """How many jobs have written down that they started.

    A launch that is under way when slurmctld ends is lost, and Slurm finds out minutes later.
    """
    return len({path.name for path in folder.glob(".snakemake/kempner/*/ended/*.json")})


def assert_each_ran_once(slurm: Sandbox, folder: Path, number: int, length: int) -> None:
    """By the word of the tasks, by the word of the queue, and by that of Snakemake."""
    assert Counter(ran(folder)) == Counter(outputs(number, length))
    for chain in range(number):
        for step in range(length):
            lines = (folder / f"{chain}.{step}.txt").read_text().split()
            assert lines == [f"{chain}.{one}.txt" for one in range(step + 1)]
    assert_one_job_each(slurm, folder, number * length)
    assert_settled(slurm, folder)


def assert_one_job_each(slurm: Sandbox, folder: Path, tasks: int) -> None:
    jobs = queued(slurm, folder)
    assert len(jobs) == tasks, jobs
    assert {one.state for one in jobs} == {"COMPLETED"}, jobs


class Wrapped:
    """An `sbatch` that comes before the real one on PATH.

    Args:
        folder: of the test.
        script: bash; knows `$call`, the number of this call, `$real`, and `$here`, a folder to leave notes in.
    """

    def __init__(self, slurm: Sandbox, folder: Path, script: str) -> None:
        self.here = folder / "wrapped"
        self.here.mkdir()
        real = shutil.which("sbatch", path=slurm.environment["PATH"])
        program = self.here / "sbatch"
        program.write_text(
            f"#!/bin/bash\nhere={self.here}; real={real}\n"
            f'echo call >> "$here/calls"; call=$(wc -l < "$here/calls")\n{script}\nexec $real "$@"\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.path = os.pathsep.join((str(self.here), slurm.environment["PATH"]))

    @property
    def calls(self) -> int:
        return len((self.here / "calls").read_text().split())


class Gated(Wrapped):
    """Holds one call back before it does anything, until the test lets it go on."""

    def __init__(self, slurm: Sandbox, folder: Path, call: int) -> None:
        wait = f"""
        if [ $call = {call} ]; then
            touch "$here/reached"
            until [ -e "$here/onward" ]; do sleep 0.05; done
        fi
        """
        super().__init__(slurm, folder, wait)

    @property
    def is_reached(self) -> bool:
        return (self.here / "reached").exists()

    def let_go(self) -> None:
        (self.here / "onward").touch()


# --- the controller is away -----------------------------------------------------------------------------------------


@contextmanager
def stopped(slurm: Sandbox) -> Iterator[None]:
    slurm.stop_controller()
    yield
    slurm.start_controller()


@contextmanager
def frozen(slurm: Sandbox) -> Iterator[None]:
    slurm.pause_controller()
    thaws = time.monotonic() + FROZEN
    try:
        yield
        time.sleep(max(0, thaws - time.monotonic()))
    finally:
        slurm.resume_controller()


@pytest.mark.parametrize("trouble", [stopped, frozen])
def test_a_controller_that_goes_away_in_the_midst_of_the_submissions(
    private_slurm: StartSlurm, tmp_path: Path, trouble: Trouble
) -> None:
    slurm = private_slurm(nodes=SMALL)
    folder, sbatch = written(tmp_path / "run", chains(3, 3, held=0)), Gated(slurm, tmp_path, call=5)
    with Head(slurm, folder, PATH=sbatch.path) as head:
        head.until(lambda: sbatch.is_reached and begun(folder) == 3)
        with trouble(slurm):
            sbatch.let_go()
            go(folder)
            head.until(lambda: "Slurm is busy, asking again" in head.said)
        assert head.end() == 0, head.said
    assert_each_ran_once(slurm, folder, 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [stopped, frozen])
def test_a_controller_that_goes_away_while_tasks_run(
    private_slurm: StartSlurm, tmp_path: Path, trouble: Trouble
) -> None:
    slurm = private_slurm(nodes=SMALL)
    folder = written(tmp_path / "run", chains(3, 3, held=1))
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued 9 tasks" in head.said and len(ran(folder)) == 3)
        with trouble(slurm):
            go(folder)
            head.until(lambda: "Slurm could not be asked" in head.said)
        assert head.end() == 0, head.said
    assert_each_ran_once(slurm, folder, 3, 3)


@pytest.mark.slow
def test_a_head_whose_first_question_is_not_answered_asks_again(private_slurm: StartSlurm, tmp_path: Path) -> None:
    slurm = private_slurm(nodes=SMALL)
    folder = written(tmp_path / "run", chains(2, 2, held=0))
    with Head(slurm, folder) as head:
        head.until_queued()
        head.until(lambda: begun(folder) == 2)
        head.kill()
        with stopped(slurm):
            second = Head(slurm, folder, "--nolock", "--rerun-incomplete")
            second.until(lambda: "Slurm could not be asked about the runs of this folder, again in" in second.said)
        with second:
            go(folder)
            assert second.end() == 0, second.said
    assert_each_ran_once(slurm, folder, 2, 2)


# --- accounting is away ---------------------------------------------------------------------------------------------


def accounted(slurm: Sandbox, folder: Path) -> list[str]:
    """States of the tasks of this folder, as accounting has them; one line for each run of each job."""
    words = ("sacct", "-X", "-n", "-P", "--duplicates", "-S", "now-1hours", "-o", "JobName,State,WorkDir")
    rows = (line.split("|", 2) for line in slurm.run(*words).splitlines())
    return [state for name, state, workdir in rows if workdir == str(folder) and name.partition(".")[0] not in HELPERS]


BAD = f"""
    rule after_bad:
        input:
            "bad.txt",
        output:
            "after_bad.txt",
        shell:
            "touch {{output}}"

    rule bad:
        output:
            "bad.txt",
        shell:
            "{UNTIL_GO}; echo bad >> runs; echo no such gene; exit 3"
"""


def test_accounting_that_goes_away_in_the_midst_of_the_submissions(private_slurm: StartSlurm, tmp_path: Path) -> None:
    """It stays away until the run is over, and then learns of every job."""
    slurm = private_slurm(accounting=True, nodes=SMALL)
    folder, sbatch = written(tmp_path / "run", chains(3, 2)), Gated(slurm, tmp_path, call=3)
    with Head(slurm, folder, PATH=sbatch.path) as head:
        head.until(lambda: sbatch.is_reached)
        slurm.stop_accounting()
        sbatch.let_go()
        assert head.end() == 0, head.said
        slurm.start_accounting()
        head.until(lambda: accounted(slurm, folder) == ["COMPLETED"] * 6)
    assert_each_ran_once(slurm, folder, 3, 2)


def test_accounting_that_goes_away_while_tasks_run(private_slurm: StartSlurm, tmp_path: Path) -> None:
    """A task that fails meanwhile is reported with all that Slurm itself knows of it."""
    slurm = private_slurm(accounting=True, nodes=SMALL)
    folder = written(tmp_path / "run", chains(2, 2) + BAD)
    with Head(slurm, folder, "--keep-going", "all", "after_bad.txt") as head:
        head.until(lambda: "Queued 6 tasks" in head.said and ran(folder))
        slurm.stop_accounting()
        go(folder)
        assert head.end() == 1, head.said
        slurm.start_accounting()
        # Slurm never tells accounting of a job that it took out of the queue meanwhile (measured, 22.05).
        ends = Counter({"COMPLETED": 4, "FAILED": 1})
        head.until(lambda: Counter(accounted(slurm, folder)) - Counter({"CANCELLED": 1}) == ends)
    assert Counter(ran(folder)) == Counter([*outputs(2, 2), "bad"])
    assert re.search(r"bad failed\.\n  cause: .*\n  Slurm job \d+: FAILED, .*exit code 3, on n1", head.said), head.said
    assert "no such gene" in head.said


def test_ends_that_the_controller_has_forgotten_are_known_while_accounting_is_away(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    """The jobs' own records are left."""
    slurm = private_slurm(accounting=True, nodes=SMALL, min_job_age=2)
    folder = written(tmp_path / "run", chains(2, 2, held=0))
    with Head(slurm, folder) as head:
        head.until(lambda: len(queued(slurm, folder)) == 4)
        slurm.stop_accounting()
        head.signal(signal.SIGSTOP)
        go(folder)
        head.until(lambda: all_over(slurm, folder))
        head.signal(signal.SIGCONT)
        head.until(lambda: not head.lives)
        assert head.end() == 0, head.said
    assert Counter(ran(folder)) == Counter(outputs(2, 2))
    assert_settled(slurm, folder)


# --- sbatch does not answer -----------------------------------------------------------------------------------------

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
ENDS_BADLY = {
    "times out": f'echo "{TIMED_OUT}" >&2; exit 1',
    "is killed": "kill -9 $$",
    "says nothing and succeeds": "exit 0",
    "hangs": "exec sleep 600",
}


@pytest.mark.parametrize(
    "ends",
    [("times out", "says nothing and succeeds", "is killed"), ("hangs", "is killed", "says nothing and succeeds")],
    ids=["badly", "or not at all"],
)
def test_an_sbatch_that_takes_the_job_and(
    slurm_with_accounting: Sandbox, tmp_path: Path, ends: tuple[str, ...]
) -> None:
    """The first, one in the middle and the last: each is in the queue once, and the run goes on."""
    slurm = slurm_with_accounting
    cases = "\n".join(
        f'{call}) $real "$@" > "$here/answer"; {ENDS_BADLY[end]} ;;' for call, end in zip((1, 2, 4), ends, strict=True)
    )
    script = f"case $call in\n{cases}\nesac"
    folder, sbatch = written(tmp_path / "run", chains(2, 2)), Wrapped(slurm, tmp_path, script)
    with Head(slurm, folder, PATH=sbatch.path, PYTHONPATH=impatient(tmp_path, seconds=20)) as head:
        assert head.end() == 0, head.said
        head.until(lambda: accounted(slurm, folder) == ["COMPLETED"] * 4)
        assert sbatch.calls == len(queued(slurm, folder, helpers=True))
    assert head.said.count("Slurm is busy, asking again in 1 s") >= 3, head.said
    assert_each_ran_once(slurm, folder, 2, 2)


def impatient(folder: Path, *, seconds: int) -> str:
    """A PYTHONPATH for a head that waits for an answer this long, not for two minutes."""
    (folder / "sitecustomize.py").write_text(
        "import subprocess\n"
        "run = subprocess.run\n"
        f"shorter = lambda timeout: {seconds} if timeout == 120 else timeout\n"
        "subprocess.run = lambda *words, timeout=None, **more: run(*words, timeout=shorter(timeout), **more)\n"
    )
    return os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep)


# --- the head dies between the request and its record ---------------------------------------------------------------


@pytest.mark.parametrize("call", [1, 4])
def test_a_job_whose_head_died_before_it_was_recorded_is_adopted(slurm: Sandbox, tmp_path: Path, call: int) -> None:
    """The same command finds it by its name and queues only what is missing."""
    folder = written(tmp_path / "run", chains(2, 3, held=0))
    with killed_at(call, slurm, folder):
        assert len(queued(slurm, folder)) == call
        with Head(slurm, folder, "--rerun-incomplete") as head:
            head.until(lambda: "Goes on with run" in head.said)
            go(folder)
            assert head.end() == 0, head.said
        assert_each_ran_once(slurm, folder, 2, 3)


def test_what_was_not_submitted_before_the_head_died_is_in_the_queue_before_the_first_task_has_ended(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Also when all that Snakemake hands over at first is in the queue already."""
    folder = written(tmp_path / "run", chains(2, 3, held=0))
    with killed_at(2, slurm, folder), Head(slurm, folder, "--rerun-incomplete") as head:
        head.until(lambda: "Goes on with run" in head.said)
        head.until(lambda: len(queued(slurm, folder)) == 6)


STUBBORN = f"""
    rule after:
        input:
            "stubborn.txt",
        output:
            "after.txt",
        shell:
            "cp {{input}} {{output}}; echo after >> runs"

    rule stubborn:
        output:
            "stubborn.txt",
        retries: 1
        shell:
            "{UNTIL_GO}; echo try >> runs; test $(grep -c try runs) -eq 2; echo stubborn > {{output}}"
"""


@pytest.mark.parametrize("call", [2])
def test_a_retry_whose_head_died_before_it_was_recorded_is_adopted(slurm: Sandbox, tmp_path: Path, call: int) -> None:
    folder = written(tmp_path / "run", STUBBORN)
    with killed_at(call, slurm, folder), Head(slurm, folder, "--rerun-incomplete") as head:
        head.until(lambda: "Goes on with run" in head.said)
        go(folder)
        assert head.end() == 0, head.said
        ends = Counter((one.rule, one.state) for one in queued(slurm, folder))
    assert ends == {("stubborn", "FAILED"): 1, ("stubborn", "COMPLETED"): 1, ("after", "COMPLETED"): 1}
    assert ran(folder) == ["try", "try", "after"]
    assert_settled(slurm, folder)


@contextmanager
def killed_at(call: int, slurm: Sandbox, folder: Path) -> Iterator[None]:
    """A head that is killed with kill -9 when the real sbatch has done its work and nobody has heard its answer."""
    script = f"""
    if [ $call = {call} ]; then
        $real "$@" > "$here/answer"
        kill -9 -- -$PPID
    fi
    """
    sbatch = Wrapped(slurm, folder.parent, script)
    with Head(slurm, folder, PATH=sbatch.path) as head:
        head.until(lambda: not head.lives)
        assert (sbatch.here / "answer").read_text().strip() not in recorded(folder)
        unlocked = asked(slurm, folder, "--unlock")
        assert unlocked.exit_code == 0, unlocked.output
        yield


def recorded(folder: Path) -> list[str]:
    """Ids of the jobs that the head has written down."""
    (ledger,) = folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
    entries = map(json.loads, ledger.read_text().splitlines())
    return [entry["job_id"] for entry in entries if "submitted" in entry]
