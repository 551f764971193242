"""What reaches the queue, when, and what becomes of it whatever happens to the head process."""

import os
import re
import shutil
import signal
import stat
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from comparison import differences, snapshot
from head import (
    SMALL,
    UNTIL_GO,
    Head,
    accounted,
    all_over,
    assert_settled,
    bystander,
    ended,
    ends,
    go,
    of_rule,
    queued,
    run,
    states,
    written,
)
from snakefiles import Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

# --- everything at once ---------------------------------------------------------------------------------------------

DIAMOND = f"""
rule sink:
    input:
        expand("work-{{n}}.txt", n=range(3)),
    output:
        "sink.txt",
    shell:
        "cat {{input}} > {{output}}"


rule work:
    input:
        "source.txt",
    output:
        "work-{{n}}.txt",
    shell:
        "(cat {{input}}; echo {{wildcards.n}}) > {{output}}"


rule source:
    output:
        "source.txt",
    shell:
        "{UNTIL_GO}; echo source > {{output}}"
"""
DIAMOND_MAKES = "source\n0\nsource\n1\nsource\n2\n"


def test_the_whole_diamond_is_in_the_queue_before_its_first_task_has_ended(
    slurm_with_accounting: Sandbox, tmp_path: Path
) -> None:
    slurm, folder = slurm_with_accounting, written(tmp_path / "run", DIAMOND)
    with Head(slurm, folder) as head:
        head.until_queued()
        jobs = queued(slurm, folder)
        assert len(jobs) == 5
        go(folder)
        assert head.end() == 0, head.said

    (source,) = of_rule(jobs, "source")
    work = of_rule(jobs, "work")
    (sink,) = of_rule(jobs, "sink")
    assert source.waits_for == frozenset()
    assert [one.waits_for for one in work] == [{("afterok", source.job_id)}] * 3
    assert sink.waits_for == {("afterok", one.job_id) for one in work}
    assert (folder / "sink.txt").read_text() == DIAMOND_MAKES

    times = accounted(slurm, [one.job_id for one in jobs])
    assert max(one.submit for one in times.values()) <= times[source.job_id].end
    assert all(times[source.job_id].end <= times[one.job_id].start for one in work)
    assert all(times[one.job_id].end <= times[sink.job_id].start for one in work)


def test_one_job_at_a_time_still_queues_all_and_finishes(slurm: Sandbox, tmp_path: Path) -> None:
    """`--jobs 1` limits what runs, not what Slurm may see."""
    folder = written(
        tmp_path / "run",
        f"""
        rule all:
            input:
                expand("{{n}}.txt", n=range(3)),

        rule each:
            output:
                "{{n}}.txt",
            shell:
                "touch {{wildcards.n}}.started; {UNTIL_GO}; touch {{output}}"
        """,
    )
    with Head(slurm, folder, jobs=1) as head:
        head.until(lambda: len(queued(slurm, folder)) == 3 and list(folder.glob("*.started")))
        go(folder)
        assert head.end() == 0, head.said
    assert len(list(folder.glob("*.txt"))) == 3


# --- the end of the head --------------------------------------------------------------------------------------------


def test_ctrl_c_cancels_exactly_the_jobs_of_this_run(slurm: Sandbox, tmp_path: Path) -> None:
    """The same user's other jobs are none of its business, even one with the name of a rule."""
    folder = written(tmp_path / "run", DIAMOND)
    with bystander(slurm, tmp_path, name="source") as other, Head(slurm, folder) as head:
        head.until(lambda: states(slurm, folder).get("source") == "RUNNING" and "jobid" in head.said)
        head.signal(signal.SIGINT)
        code = head.end()
        ended(slurm, folder)
        left = {one.state for one in queued(slurm, folder, helpers=True)}
        (its,) = [one.state for one in queued(slurm, tmp_path) if one.job_id == other]
        said = head.said
    assert code != 0
    assert left == {"CANCELLED"}
    assert its == "RUNNING"
    assert re.search(r"Cancelled the \d+ Slurm jobs of this run", said), said


def test_when_the_head_is_killed_the_jobs_finish_without_it(slurm: Sandbox, tmp_path: Path) -> None:
    """With kill -9 or by the end of the login node: nothing of ours is needed any more."""
    folder = written(tmp_path / "run", DIAMOND)
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        go(folder)
        jobs = ended(slurm, folder)
    assert [one.state for one in jobs] == ["COMPLETED"] * 5
    assert (folder / "sink.txt").read_text() == DIAMOND_MAKES
    assert_settled(slurm, folder)


# --- failure --------------------------------------------------------------------------------------------------------

FAILURE = snakefile(
    wanted("after_bad.txt", "after_running.txt"),
    rule("bad", shell="until [ -e running.started ]; do sleep 0.2; done; echo no such gene; exit 7"),
    rule("after_bad", "bad.txt", shell="touch {output}"),
    rule("running", shell="touch running.started; until [ -e go ]; do sleep 0.2; done; echo ran > {output}"),
    rule("after_running", "running.txt", shell="cp {input} {output}"),
)


def test_after_a_failure_what_has_not_started_is_cancelled_and_what_runs_finishes(
    slurm: Sandbox, tmp_path: Path
) -> None:
    folder = written(tmp_path / "run", FAILURE)
    with Head(slurm, folder) as head:
        head.until(lambda: states(slurm, folder).get("after_running") == "CANCELLED")
        assert states(slurm, folder)["running"] == "RUNNING"
        go(folder)
        assert head.end() == 1, head.said
        assert ends(slurm, folder) == {
            "bad": "FAILED",
            "after_bad": "CANCELLED",
            "running": "COMPLETED",
            "after_running": "CANCELLED",
        }
    assert (folder / "running.txt").read_text() == "ran\n"
    assert "exit code 7" in head.said
    assert "no such gene" in head.said


def test_with_keep_going_what_does_not_depend_on_the_failure_is_finished(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", FAILURE)
    with Head(slurm, folder, "--keep-going") as head:
        head.until(lambda: states(slurm, folder).get("after_bad") == "CANCELLED" and "bad failed" in head.said)
        go(folder)
        assert head.end() == 1, head.said
        assert ends(slurm, folder) == {
            "bad": "FAILED",
            "after_bad": "CANCELLED",
            "running": "COMPLETED",
            "after_running": "COMPLETED",
        }
    assert (folder / "after_running.txt").read_text() == "ran\n"


def test_a_task_that_fails_twice_is_tried_three_times_each_in_its_own_job(slurm: Sandbox, tmp_path: Path) -> None:
    """Each attempt has the memory that is meant for it; the dependant waits for the one that succeeds."""
    folder = written(
        tmp_path / "run",
        snakefile(
            rule("after", "stubborn.txt", shell="cp {input} {output}; echo ran >> after.runs"),
            rule(
                "stubborn",
                shell="echo $SLURM_JOB_ID {resources.mem_mb} >> tries && test $(wc -l < tries) -eq 3 && echo third > {output}",
                retries=2,
                resources={"mem_mb": Code("lambda wildcards, attempt: 600 * attempt")},
            ),
        ),
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    attempts = of_rule(ended(slurm, folder), "stubborn")
    expected = [(one.job_id, memory) for one, memory in zip(attempts, ("600", "1200", "1800"), strict=True)]
    assert [tuple(line.split()) for line in (folder / "tries").read_text().splitlines()] == expected
    assert [one.memory for one in attempts] == ["600M", "1200M", "1800M"]
    assert [one.state for one in attempts] == ["FAILED", "FAILED", "COMPLETED"]
    assert (folder / "after.txt").read_text() == "third\n"
    assert (folder / "after.runs").read_text() == "ran\n"


# --- resources ------------------------------------------------------------------------------------------------------


def test_a_rule_gets_the_gpus_it_asks_for(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "run",
        snakefile(
            rule(
                "train",
                output="devices.txt",
                shell="echo $CUDA_VISIBLE_DEVICES > {output}",
                resources={"slurm_partition": "kempner", "gpu": 2},
            )
        ),
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    devices = (folder / "devices.txt").read_text().strip().split(",")
    assert len(set(devices)) == 2
    assert all(device.isdigit() for device in devices)


def test_a_tiny_memory_request_leaves_room_for_snakemake_itself(
    private_slurm: Callable[..., Sandbox], tmp_path: Path
) -> None:
    """`mem_mb=5` may be all that the command needs, but the job also holds the Snakemake that runs it."""
    slurm = private_slurm(nodes=SMALL, enforce_memory=True)
    folder = written(
        tmp_path / "run", snakefile(rule("tiny", shell="sleep 3; echo survived > {output}", resources={"mem_mb": 5}))
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "tiny.txt").read_text() == "survived\n"
    assert "Memory raised to" in outcome.output


# --- clusters differ ------------------------------------------------------------------------------------------------

CHAIN_THAT_FAILS = snakefile(
    rule("third", "second.txt", shell="echo half > {output}; exit 3"),
    rule("second", "first.txt", shell="cp {input} {output}"),
    rule("first", shell="echo first > {output}"),
)


def test_accounting_makes_no_difference(slurm: Sandbox, slurm_with_accounting: Sandbox, tmp_path: Path) -> None:
    """Neither to the files nor to what is said of a failure."""
    trees, failures = [], []
    for name, cluster in (("without", slurm), ("with", slurm_with_accounting)):
        folder = written(tmp_path / name, CHAIN_THAT_FAILS)
        outcome = run(cluster, folder)
        assert outcome.exit_code == 1, outcome.output
        trees.append(snapshot(folder))
        failures.append(
            # Said once more where it was noticed before Snakemake had handed the job over.
            {
                re.sub(r"Slurm job \d+", "Slurm job N", one)
                for one in re.findall(r"third failed(?!, as told above).*\n.*\n.*", outcome.output)
            }
        )
    assert not differences(*trees)
    assert failures[0] == failures[1]
    (failure,) = failures[0]
    assert "exit code 3" in failure


# --- a controller in trouble ----------------------------------------------------------------------------------------

CHAIN = f"""
rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    shell:
        "cp {{input}} {{output}}; echo second >> runs.txt"


rule first:
    output:
        "first.txt",
    shell:
        "{UNTIL_GO}; echo first > {{output}}; echo first >> runs.txt"
"""


@pytest.mark.parametrize("accounting", [False, True], ids=["without accounting", "with accounting"])
def test_ends_that_the_controller_has_forgotten_are_still_known(
    private_slurm: Callable[..., Sandbox], tmp_path: Path, *, accounting: bool
) -> None:
    """A head that was asleep for longer than MinJobAge finds none of its jobs in the queue."""
    slurm = private_slurm(accounting=accounting, nodes=SMALL, min_job_age=2)
    bad = f"""
    rule all:
        default_target: True
        input:
            "second.txt",
            "after_bad.txt",

    rule bad:
        output:
            "bad.txt",
        shell:
            "{UNTIL_GO}; exit 3"

    rule after_bad:
        input:
            "bad.txt",
        output:
            "after_bad.txt",
        shell:
            "touch {{output}}"
    """
    folder = written(tmp_path / "run", CHAIN + textwrap.dedent(bad))
    with Head(slurm, folder, "--keep-going") as head:
        head.until_queued()
        head.signal(signal.SIGSTOP)
        go(folder)
        head.until(lambda: all_over(slurm, folder))
        head.signal(signal.SIGCONT)
        assert head.end() == 1, head.said
    assert (folder / "runs.txt").read_text() == "first\nsecond\n"
    assert "bad failed" in head.said
    assert "second failed" not in head.said
    assert "lost" not in head.said
    assert "2 of 5 steps" in head.said


def test_a_controller_that_is_away_while_jobs_run_is_waited_for(
    private_slurm: Callable[..., Sandbox], tmp_path: Path
) -> None:
    """A failed query is never read as the end of a task, and the user hears of it."""
    slurm = private_slurm(nodes=SMALL)
    folder = written(tmp_path / "run", CHAIN)
    with Head(slurm, folder) as head:
        head.until(lambda: states(slurm, folder).get("first") == "RUNNING" and "jobid" in head.said)
        slurm.stop_controller()
        go(folder)
        head.until((folder / "runs.txt").exists)
        head.until(lambda: "Slurm could not be asked (2 times in a row)" in head.said)
        slurm.start_controller()
        assert head.end() == 0, head.said
    assert (folder / "runs.txt").read_text() == "first\nsecond\n"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submission_that_times_out_is_made_exactly_once(slurm: Sandbox, tmp_path: Path, when: str) -> None:
    """A busy controller may have taken the job although it never answered."""
    folder = written(tmp_path / "run", CHAIN)
    go(folder)
    sbatch = shutil.which("sbatch", path=slurm.environment["PATH"])
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f"""#!/bin/bash
        echo call >> {tmp_path}/calls
        if [ $(wc -l < {tmp_path}/calls) -eq 1 ]; then
            {f'{sbatch} "$@" > {tmp_path}/lost' if when == "after" else "cat > /dev/null"}
            echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
            exit 1
        fi
        exec {sbatch} "$@"
        """
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join((str(wrapper.parent), slurm.environment["PATH"]))
    with Head(slurm, folder, PATH=path) as head:
        assert head.end() == 0, head.said
        jobs = ended(slurm, folder)
    assert [(one.rule, one.state) for one in jobs] == [("first", "COMPLETED"), ("second", "COMPLETED")]
    assert "Slurm is busy, asking again" in head.said
    assert (folder / "runs.txt").read_text() == "first\nsecond\n"
