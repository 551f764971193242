"""What the package relies on that takes a Slurm in trouble to be seen; what a healthy one shows is in `contract.py`.

Slurm's own programs are called as they are, so that a fact fails here, and not somewhere in a workflow.
"""

import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from array_contract import WAITS
from conftest import StartSlurm
from contract import KILL, LONG, NEVER, PUT_BACK, REMOVED, RUNS, UNKNOWN_ID, fate

from snakemake_executor_plugin_kempner.errors import SlurmError, SlurmRefused, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxError
from snakemake_executor_plugin_kempner.sandbox.options import SandboxPartition
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState
from snakemake_executor_plugin_kempner.slurm.submit_limits import lacks_room

COMMON = ("--output=/dev/null", "--chdir=/", "--ntasks=1", "--mem=100")


def commands(slurm: Sandbox, **options: float) -> SlurmCommands:
    return SlurmCommands(extra_environment={"SLURM_CONF": str(slurm.conf)}, **options)


def submit(slurm: Sandbox, script: str, *options: str) -> str:
    """The answer of sbatch: an id, or why there is none."""
    try:
        words = ("sbatch", "--parsable", *COMMON, *options)
        return slurm.run(*words, stdin=f"#!/bin/bash\n{script}\n", timeout=240).strip()
    except SandboxError as error:
        return str(error)


def until(is_so: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.5)


def year(slurm: Sandbox) -> int:
    """Of this Slurm's version: 22 for 22.05, 24 for 24.11. Between them not all has been tried."""
    return int(slurm.run("sbatch", "--version").split()[1].partition(".")[0])


# --- ends that take a while -----------------------------------------------------------------------------------------

ENDS = {
    "meets its time limit": ("TIMEOUT", "meets", LONG, "--time=1"),
    "loses its node": ("NODE_FAIL", "loses", LONG, "--no-requeue"),
    "is preempted": ("PREEMPTED", "gives", LONG, "--no-requeue", "--partition=low"),
}
AGAIN = {
    "loses its node and is put back": ("COMPLETED", "returns", PUT_BACK, "--requeue"),
    "is preempted and is put back": ("COMPLETED", "gives", PUT_BACK, "--requeue", "--partition=low"),
}
"""Jobs: the state in which each ends, its node, script and options."""

BEHIND_AN_END = {"afterok": NEVER, "afternotok": RUNS, "afterany": RUNS, "after": RUNS}
BEFORE_THE_LAST_RUN = {"afterok": WAITS, "afternotok": WAITS, "afterany": WAITS, "after": RUNS}
BEHIND_THE_LAST_RUN = {"afterok": RUNS, "afternotok": NEVER, "afterany": RUNS, "after": RUNS}
"""What becomes of a job that waits in each of these ways."""

ALL_NODES = tuple(Node(name=name, cpus=4, memory_mb=8_000) for name in ("waits", "meets", "loses", "returns", "gives"))
PARTITIONS = (
    SandboxPartition(name="plain", nodes=tuple(node.name for node in ALL_NODES), priority_tier=5, default=True),
    SandboxPartition(name="low", nodes=("gives",), priority_tier=1, preemptible=True),
    SandboxPartition(name="high", nodes=("gives",), priority_tier=10),
)


@pytest.mark.slow
def test_what_becomes_of_jobs_whose_parent_has_an_end_that_takes_a_while(private_slurm: StartSlurm) -> None:
    slurm = private_slurm(nodes=ALL_NODES, partitions=PARTITIONS, slurmd_timeout=5)
    parents = {
        key: submit(slurm, script, f"--nodelist={node}", *options)
        for key, (_, node, script, *options) in (ENDS | AGAIN).items()
    }
    behind = {
        (key, kind, kill): submit(slurm, "exit 0", "--nodelist=waits", f"--dependency={kind}:{parent}", *kill)
        for key, parent in parents.items()
        for kind in BEHIND_AN_END
        for kill in ((), (KILL,))
    }

    def look() -> dict[str, Record]:
        return {record.job_id: record for record in commands(slurm).queue()}

    def fates(parents: Collection[str]) -> dict[tuple[str, str, tuple[str, ...]], str]:
        seen = look()
        return {one: fate(seen[job_id]) for one, job_id in behind.items() if one[0] in parents}

    def expected(parents: Collection[str], table: Mapping[str, str]) -> dict[tuple[str, str, tuple[str, ...]], str]:
        return {
            (key, kind, kill): REMOVED if kill and table[kind] == NEVER else table[kind]
            for key, kind, kill in behind
            if key in parents
        }

    until(lambda: all(look()[job_id].state is JobState.RUNNING for job_id in parents.values()))
    slurm.stop_node("loses")
    slurm.stop_node("returns")
    strong = submit(slurm, LONG, "--partition=high", "--nodelist=gives", "--exclusive")
    until(lambda: all(look()[parents[key]].reason == "BeginTime" for key in AGAIN))
    until(lambda: fates(AGAIN) == expected(AGAIN, BEFORE_THE_LAST_RUN))
    for key in AGAIN:  # by themselves they start two minutes after they were put back
        start = slurm.run("squeue", "--noheader", "--format=%S", f"--jobs={parents[key]}").strip()
        assert 60 < (datetime.fromisoformat(start).astimezone(UTC) - datetime.now(tz=UTC)).total_seconds() <= 121
    slurm.run("scancel", strong)
    slurm.start_node("loses")
    slurm.start_node("returns")
    time.sleep(2.1)  # slurmd refuses a start within the second in which it has ended the first run
    for key in AGAIN:
        slurm.run("scontrol", "update", f"JobId={parents[key]}", "StartTime=now")
    until(lambda: all(record.state.is_final or record.never for record in look().values()))
    assert {key: look()[job_id].word for key, job_id in parents.items()} == {
        key: word for key, (word, *_) in (ENDS | AGAIN).items()
    }
    assert fates(ENDS) == expected(ENDS, BEHIND_AN_END)
    assert fates(AGAIN) == expected(AGAIN, BEHIND_THE_LAST_RUN)


# --- what Slurm has forgotten ---------------------------------------------------------------------------------------


def test_what_a_dependency_on_jobs_that_slurm_has_forgotten_means(private_slurm: StartSlurm) -> None:
    """What has failed counts as met, so it must not be named: 22.05 takes it silently, 24.11 refuses most of it."""
    slurm = private_slurm(min_job_age=2)
    bad, good, runs_on = (submit(slurm, script) for script in ("exit 1", "exit 0", LONG))
    until(lambda: {bad, good}.isdisjoint(slurm.run("squeue", "--noheader", "--states=all", "--format=%i").split()))
    asked = {
        text: submit(slurm, "exit 0", KILL, f"--dependency={text.format(bad=bad, good=good, runs_on=runs_on)}")
        for text in (
            "afterok:{bad}", "afterok:{good}", "afternotok:{bad}", "afternotok:{good}",
            "afterany:{bad}", "after:{bad}", "aftercorr:{bad}", "afterok:{bad}?afterok:{runs_on}",
        )
    }  # fmt: skip
    refused = {text for text, answer in asked.items() if not answer.isdigit()}
    assert all("Job dependency problem" in asked[text] for text in refused)
    known = {"afterok:{bad}", "afterok:{good}", "afternotok:{bad}", "afternotok:{good}"}
    assert refused == set() if year(slurm) < 24 else refused >= known
    assert refused.isdisjoint({"afterany:{bad}", "after:{bad}", "aftercorr:{bad}"})
    taken = {job_id for text, job_id in asked.items() if text not in refused}
    until(lambda: taken.isdisjoint(slurm.run("squeue", "--noheader", "--format=%i").split()))
    held = submit(slurm, "exit 0", "--hold", f"--dependency=afterany:{runs_on}")
    commands(slurm).depend(held, f"afterany:{bad}:{runs_on}")  # as a closing job is put off
    if year(slurm) >= 24:
        with pytest.raises(SlurmRefused, match=r"(?i)depend"):  # as `release_one` expects
            commands(slurm).release(held, f"afternotok:{bad}")
    until(lambda: "Dependency=afterany:" + runs_on in slurm.run("scontrol", "show", "job", held))


# --- memory ---------------------------------------------------------------------------------------------------------


def test_a_job_that_accounting_kills_for_its_memory_ends_by_signal_9_and_its_peak_tells_why(
    private_slurm: StartSlurm,
) -> None:
    """Its state is not OUT_OF_MEMORY; that comes from cgroups, which a private Slurm does not have."""
    slurm = private_slurm(accounting=True, enforce_memory=True)
    hungry = submit(slurm, "python3 -c 'import time; a = bytearray(400_000_000); time.sleep(60)'", "--mem=50")
    asked = commands(slurm)

    def record() -> Record:
        return next(job for job in asked.queue() if job.job_id == hungry)

    until(lambda: record().state.is_final)
    assert (record().word, record().exit_code, record().signal) == ("FAILED", 0, 9)
    until(lambda: any(job.state.is_final for job in asked.consumption([hungry])))
    (used,) = asked.consumption([hungry])
    assert used.peak_memory_mb is not None
    assert used.peak_memory_mb > 50


# --- what removes jobs ----------------------------------------------------------------------------------------------


def test_a_site_may_let_slurm_cancel_what_can_never_start(private_slurm: StartSlurm) -> None:
    slurm = private_slurm(slurm_conf=("DependencyParameters=kill_invalid_depend",))
    fails = submit(slurm, "exit 1", "--hold")
    by_site = submit(slurm, "exit 0", f"--dependency=afterok:{fails}")
    by_job = submit(slurm, "exit 0", "--kill-on-invalid-dep=no", f"--dependency=afterok:{fails}")
    slurm.run("scontrol", "release", fails)
    seen: dict[str, Record] = {}

    def look() -> dict[str, Record]:
        seen.update({record.job_id: record for record in commands(slurm).queue()})
        return seen

    until(lambda: look()[by_site].state.is_final and seen[by_job].never)
    assert (fate(seen[by_site]), fate(seen[by_job])) == (REMOVED, NEVER)


def test_scancel_says_nothing_of_what_slurm_does_not_know_and_says_when_nobody_answers(
    private_slurm: StartSlurm,
) -> None:
    slurm = private_slurm()

    def scancel(job_id: str) -> subprocess.CompletedProcess[str]:
        argv = ["scancel", job_id]
        return subprocess.run(argv, env=slurm.environment, capture_output=True, text=True, timeout=120, check=False)

    unknown = scancel(UNKNOWN_ID)
    assert (unknown.returncode, unknown.stderr) == (0, "")
    job_id = submit(slurm, LONG)
    slurm.stop_controller()
    assert "Unable to contact slurm controller" in scancel(job_id).stderr  # by version, its exit status says so or not
    with pytest.raises(SlurmUnreachable):
        commands(slurm).cancel([job_id])


# --- arrays ---


def test_of_an_array_that_waits_for_another_slurm_by_itself_looks_at_the_first_ten(slurm: Sandbox) -> None:
    """`SlurmCommands.submit` sets the elements apart, so that each starts in its turn: `array_contract.py`."""
    index = "SLURM_ARRAY_TASK_ID"
    parent = submit(slurm, f"sleep $((600 * ({index} < 12)))", "--array=0-19")
    child = submit(slurm, "exit 0", KILL, "--array=0-19", f"--dependency=aftercorr:{parent}")
    asked = commands(slurm)

    def states(array: str) -> list[JobState]:
        known = {record.job_id: record.state for record in asked.queue()}
        return [known[f"{array}_{index}"] for index in range(20)]

    try:
        until(lambda: states(parent)[12:] == [JobState.SUCCEEDED] * 8)
        time.sleep(8)
        assert states(child) == [JobState.WAITING] * 20
    finally:
        asked.cancel([parent, child])


def test_what_is_cancelled_of_an_array_that_waits_may_be_more_than_was_named(slurm: Sandbox) -> None:
    """So `SlurmCommands.cancel` makes elements jobs of their own before it cancels what waits."""
    array = submit(slurm, "exit 0", "--hold", "--array=0-2")
    try:
        slurm.run("scancel", "--state=PENDING", f"{array}_1")
        left = slurm.run(
            "squeue", "--noheader", "--array", "--states=PENDING", "--format=%i", f"--jobs={array}"
        ).split()
        others = [f"{array}_0", f"{array}_2"]
        assert sorted(left) in {22: [[]], 24: [others]}.get(year(slurm), [[], others])
    finally:
        slurm.run("scancel", array)


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_a_dependency_of_thousands_of_terms_and_a_script_of_megabytes_are_taken(slurm: Sandbox) -> None:
    asked = commands(slurm)
    array = asked.submit(Options.of(*COMMON, "--hold", "--array=0-3999"), "#!/bin/bash\n")
    ids = [array]
    try:
        terms = "?".join(f"afternotok:{array}_{index}" for index in range(4000))
        ids.append(asked.submit(Options.of(*COMMON, "--hold", f"--dependency={terms}"), "#!/bin/bash\n"))
        script = "#!/bin/bash\n" + f"# {'x' * 97}\n" * 41_000
        assert 4_000_000 < len(script) < 4 * 2**20
        ids.append(asked.submit(Options.of(*COMMON, "--hold"), script))
        with pytest.raises(SlurmError):
            ids.append(asked.submit(Options.of(*COMMON, "--hold"), script * 2))
    finally:
        asked.cancel(ids)


# --- how programs read what they are given --------------------------------------------------------------------------


def test_sbatch_reads_bundles_and_abbreviations_and_nothing_behind_the_script(slurm: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n")
    common = ("sbatch", "--parsable", "--output=/dev/null")
    bundle = slurm.run(*common, "-Ha0-2", str(script)).strip()
    short = slurm.run(*common, "--arr=0-1", "--hol", str(script)).strip()
    behind = slurm.run(*common, "--hold", str(script), "--array=0-4").strip()
    try:
        asked = ("squeue", "--noheader", "--array", "--format=%i", f"--jobs={bundle},{short},{behind}")
        listed = sorted(slurm.run(*asked).split())
        assert listed == sorted([*(f"{bundle}_{n}" for n in range(3)), *(f"{short}_{n}" for n in range(2)), behind])
    finally:
        slurm.run("scancel", bundle, short, behind)


def test_variables_of_the_environment_change_what_the_programs_do(slurm: Sandbox) -> None:
    def run(*argv: str, **variables: str) -> str:
        done = subprocess.run(
            argv, env={**slurm.environment, **variables}, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    sbatch = ("sbatch", "--parsable", "--output=/dev/null", "--hold", "--wrap=true")
    array = run(*sbatch, SBATCH_ARRAY_INX="0-2").strip()
    try:
        shown = ("squeue", "--noheader", "--array", "--format=%i", f"--jobs={array}")
        assert len(run(*shown).split()) == 3
        assert run(*shown, SQUEUE_PARTITION="test").split() == []
        assert run("scancel", array, SCANCEL_PARTITION="test") == ""
        assert len(run(*shown).split()) == 3
    finally:
        run("scancel", array)


def test_a_backslash_in_the_name_of_a_log_is_doubled_and_switches_off_its_patterns(
    slurm: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "back\\slash"
    folder.mkdir()
    output = f"{folder}/%j.log".replace("\\", "\\\\")
    job_id = submit(slurm, "echo here", f"--output={output}")
    until(lambda: not commands(slurm).runs(job_id))
    assert [file.name for file in tmp_path.rglob("*.log")] == ["%j.log"]


# --- patience -------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_sbatch_waits_two_minutes_for_room_in_a_full_cluster(private_slurm: StartSlurm) -> None:
    slurm = private_slurm(max_job_count=4)
    began = time.monotonic()
    while (answer := submit(slurm, LONG, "--hold")).isdigit():
        began = time.monotonic()
    assert lacks_room(answer) == "MaxJobCount"
    assert 100 < time.monotonic() - began < 200


@pytest.mark.thorough
def test_a_frozen_database_holds_a_question_to_accounting_and_not_the_run(private_slurm: StartSlurm) -> None:
    slurm = private_slurm(accounting=True)
    job_id = submit(slurm, "exit 0")
    until(lambda: any(job.state.is_final for job in commands(slurm).accounting([job_id])))
    assert commands(slurm).usage(job_id).elapsed != ""
    slurm.pause_accounting()
    try:
        began = time.monotonic()
        assert commands(slurm).usage(job_id).elapsed == ""
        assert time.monotonic() - began < 20
        with pytest.raises(SlurmError):
            commands(slurm, timeout=100).accounting([job_id])
        assert submit(slurm, "exit 0").isdigit()
    finally:
        slurm.resume_accounting()
