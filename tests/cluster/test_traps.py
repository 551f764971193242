"""What Snakemake and Slurm do that an executor which queues the whole DAG can stumble over: a test per trap."""

import json
import os
import pkgutil
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from comparison import SECONDS_PER_RUN, run_forked, run_snakemake
from head import (
    UNTIL_GO,
    Head,
    arguments,
    asked,
    assert_settled,
    ended,
    ends,
    go,
    of_rule,
    queued,
    run,
    start_again,
    states,
    written,
)

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxError

WORKFLOWS = Path(__file__).parent.parent / "workflows"

CHAIN = f"""
rule third:
    input:
        "second.txt",
    output:
        "third.txt",
    shell:
        "cp {{input}} {{output}}"


rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    shell:
        "cp {{input}} {{output}}"


rule first:
    output:
        "first.txt",
    shell:
        "{UNTIL_GO}; echo first > {{output}}"
"""


# --- the head's post-processing comes late --------------------------------------------------------------------------


def test_the_head_leaves_the_times_of_outputs_alone(slurm: Sandbox, tmp_path: Path) -> None:
    """It notices the ends of all three at once, long after; touching the first now would make the second look old."""
    folder = written(tmp_path / "run", CHAIN)
    with Head(slurm, folder) as head:
        head.until_queued()
        head.signal(signal.SIGSTOP)
        go(folder)
        ended(slurm, folder)
        before = _times(folder)
        head.signal(signal.SIGCONT)
        assert head.end() == 0, head.said
    assert _times(folder) == before
    assert list(before) == ["first.txt", "second.txt", "third.txt"]
    assert list(before.values()) == sorted(before.values())


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*.txt"))}


def test_a_head_that_dies_between_two_post_processings_repeats_no_work(slurm: Sandbox, tmp_path: Path) -> None:
    """Killed right after it has seen to the second task, when all three have run; a limit on its rate makes the gap."""
    folder = written(tmp_path / "run", CHAIN)
    with Head(slurm, folder, "--max-jobs-per-timespan", "1/10s") as head:
        head.until_queued()
        head.signal(signal.SIGSTOP)
        go(folder)
        ended(slurm, folder)
        head.signal(signal.SIGCONT)
        head.until(lambda: "2 of 3 steps" in head.said)
        head.kill()
        assert "3 of 3 steps" not in head.said
    # Without checksums of small files, which would hide a wrong time.
    assert_settled(slurm, folder, "--max-checksum-file-size", "0")


def test_a_run_that_the_head_did_not_see_the_end_of_is_remembered(slurm: Sandbox, tmp_path: Path) -> None:
    """Tasks start and end without a head, nothing of them is repeated, and a change of their code is still noticed."""
    folder = written(tmp_path / "run", CHAIN)
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        go(folder)
        ended(slurm, folder)
    assert_settled(slurm, folder)
    written(folder, CHAIN.replace("cp {input} {output}", "cat {input} > {output}", 1))  # of the third rule
    changed = asked(slurm, folder, "--dry-run")
    assert "rule third" in changed.output, changed.output
    assert "Code has changed" in changed.output, changed.output
    assert "rule second" not in changed.output, changed.output


# --- success is not what it seems -----------------------------------------------------------------------------------


def test_a_job_whose_input_never_appears_fails_in_slurm_too(slurm: Sandbox, tmp_path: Path) -> None:
    """Snakemake's own `--wait-for-files` ends with exit code 0, and `afterok` would let the next task go."""
    folder = written(
        tmp_path / "run",
        f"""
        rule after:
            input:
                "reader.txt",
            output:
                "after.txt",
            shell:
                "touch after.started {{output}}"

        rule reader:
            input:
                "source.txt",
                "first.txt",
            output:
                "reader.txt",
            shell:
                "touch {{output}}"

        rule first:
            output:
                "first.txt",
            shell:
                "{UNTIL_GO}; rm source.txt; touch {{output}}"
        """,
    )
    (folder / "source.txt").touch()
    go(folder)
    outcome = run(slurm, folder, "--latency-wait", "1")
    assert outcome.exit_code == 1, outcome.output
    assert ends(slurm, folder) == {"first": "COMPLETED", "reader": "FAILED", "after": "CANCELLED"}
    assert "source.txt" in outcome.output
    assert not (folder / "after.started").exists()


def test_a_job_that_has_not_made_its_output_fails_in_slurm_too(slurm: Sandbox, tmp_path: Path) -> None:
    """The command ends with exit code 0 and has made nothing: what depends on it must not start."""
    folder = written(
        tmp_path / "run",
        """
        rule after:
            input:
                "made.txt",
            output:
                "after.txt",
            shell:
                "touch after.started {output}"

        rule forgetful:
            output:
                "made.txt",
            shell:
                "true"
        """,
    )
    outcome = run(slurm, folder, "--latency-wait", "1")
    assert outcome.exit_code == 1, outcome.output
    assert ends(slurm, folder) == {"forgetful": "FAILED", "after": "CANCELLED"}
    assert "made.txt" in outcome.output
    assert not (folder / "after.started").exists()


# --- attempts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        '    shell:\n        "{said} && exit 1"',
        '    run:\n        shell("{said}")\n        raise ValueError("no luck")',
    ],
    ids=["shell", "run"],
)
def test_a_group_with_retries_is_tried_as_often_as_asked(slurm: Sandbox, tmp_path: Path, command: str) -> None:
    """`retries: 1` inside the job as well would make four tries of two; a `run:` starts yet another Snakemake."""
    rule = """
rule stubborn:
    output:
        "stubborn.txt",
    group:
        "pair"
    retries: 1
COMMAND


rule with_it:
    output:
        "with_it.txt",
    group:
        "pair"
    shell:
        "touch {output}"


rule all:
    default_target: True
    input:
        "stubborn.txt",
        "with_it.txt",
"""
    said = "echo $SLURM_JOB_ID >> tries"
    folder = written(tmp_path / "run", rule.replace("COMMAND", command.format(said=said)))
    outcome = run(slurm, folder, "--group-components", "pair=2")
    assert outcome.exit_code == 1, outcome.output
    jobs = ended(slurm, folder)
    assert [one.state for one in jobs] == ["FAILED", "FAILED"]
    assert (folder / "tries").read_text().split() == [one.job_id for one in jobs]


def test_the_resources_of_later_attempts_do_not_leak_into_the_first(slurm: Sandbox, tmp_path: Path) -> None:
    """All attempts are queued ahead of time, each with its own memory, and the first succeeds with its own."""
    folder = written(
        tmp_path / "run",
        f"""
        rule easy:
            output:
                "easy.txt",
            retries: 2
            resources:
                mem_mb=lambda wildcards, attempt: 600 * attempt,
                share=lambda wildcards, attempt: 10 * attempt,
            shell:
                "{UNTIL_GO}; echo {{resources.mem_mb}} {{resources.share}} >> tries; touch {{output}}"
        """,
    )
    with Head(slurm, folder) as head:
        head.until_queued()
        first, second, third = queued(slurm, folder)
        go(folder)
        assert head.end() == 0, head.said
        jobs = ended(slurm, folder)
    assert [one.memory for one in (first, second, third)] == ["600M", "1200M", "1800M"]
    assert second.waits_for == {("afternotok", first.job_id)}
    assert third.waits_for == {("afternotok", first.job_id), ("afternotok", second.job_id)}
    assert [one.state for one in jobs] == ["COMPLETED", "CANCELLED", "CANCELLED"]
    assert (folder / "tries").read_text() == "600 10\n"
    assert "mem_mb=600" in head.said  # what Snakemake itself says of the rule


# --- what belongs to the head ---------------------------------------------------------------------------------------


def test_jobs_need_no_temporary_folder_of_the_head(slurm: Sandbox, tmp_path: Path) -> None:
    """Its tmpdir and its cache of sources are gone when it has ended, and jobs may start after that."""
    folder = written(
        tmp_path / "run",
        f"""
        rule scripted:
            input:
                "first.txt",
            output:
                "scripted.txt",
            script:
                "transcribe.py"

        rule first:
            output:
                "first.txt",
            shell:
                "{UNTIL_GO}; echo first > {{output}}"
        """,
    )
    (folder / "transcribe.py").write_text("import shutil\nshutil.copy(snakemake.input[0], snakemake.output[0])\n")
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    with Head(slurm, folder, TMPDIR=str(scratch), XDG_CACHE_HOME=str(cache)) as head:
        head.until(lambda: len(queued(slurm, folder)) == 2 and "jobid" in head.said)
        head.kill()
        for left in (scratch, cache, *(folder / ".snakemake").glob("tmp*")):
            shutil.rmtree(left)
        go(folder)
        ended(slurm, folder)
    assert (folder / "scripted.txt").read_text() == "first\n"


# --- resources ------------------------------------------------------------------------------------------------------

SIZES = f"""
def read(wildcards, input):
    with open(input[0]) as file:
        return 600 + len(file.read())


rule all:
    input:
        "plain.txt",
        "read.txt",


rule plain:
    input:
        "source.txt",
    output:
        "plain.txt",
    shell:
        "echo {{resources.mem_mb}} > {{output}}"


rule reader:
    input:
        "source.txt",
    output:
        "read.txt",
    resources:
        mem_mb=read,
    shell:
        "echo {{resources.mem_mb}} > {{output}}"


rule source:
    output:
        "source.txt",
    resources:
        mem_mb=700,
    shell:
        "{UNTIL_GO}; head -c 42 /dev/zero > {{output}}"
"""


@pytest.mark.parametrize(
    ("defaults", "ahead", "memory"),
    [
        ((), {"source": "700M", "plain": "8000M"}, "1000"),
        (("mem_mb=min(max(2*input.size_mb, 800), 900)",), {"source": "700M", "plain": "900M"}, "800"),
        (("mem_mb=max(2*input.size_mb, 800)",), {"source": "700M"}, "800"),
    ],
    ids=["Snakemake's defaults", "a default with a bound", "a default without a bound"],
)
def test_memory_by_the_size_of_an_input_that_is_not_there_yet(
    slurm: Sandbox, tmp_path: Path, defaults: tuple[str, ...], ahead: dict[str, str], memory: str
) -> None:
    """A default is queued at its bound; what cannot be known, such as `reader`, whose function raises, waits."""
    folder = written(tmp_path / "run", SIZES)
    with Head(slurm, folder, "--default-resources", *defaults) as head:
        head.until(lambda: "jobid" in head.said and len(queued(slurm, folder)) >= len(ahead))
        assert {one.rule: one.memory for one in queued(slurm, folder)} == ahead
        assert "will be queued later" in head.said
        go(folder)
        assert head.end() == 0, head.said
        (reader,) = of_rule(queued(slurm, folder), "reader")
    assert reader.memory == "642M"
    assert (folder / "read.txt").read_text() == "642\n"
    assert (folder / "plain.txt").read_text() == f"{memory}\n"


def test_a_rule_runs_with_its_own_threads_whatever_the_node_shows(slurm: Sandbox, tmp_path: Path) -> None:
    """With `--cores all` inside the job, threads shrink to the CPUs that Python sees there."""
    folder = written(
        tmp_path / "run",
        """
        rule wide:
            output:
                "wide.txt",
            threads: 16
            shell:
                "echo {threads} $SLURM_CPUS_PER_TASK > {output}"
        """,
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "wide.txt").read_text() == "16 16\n"


def test_pipes_and_services_may_have_more_members_than_the_machine_has_cpus(slurm: Sandbox, tmp_path: Path) -> None:
    """They have to run at the same time; counting the machine's CPUs would refuse them.

    Snakemake 9 itself hangs when a service comes later than --latency-wait, and, at random, on a chain of pipes, which it
    may cut into two groups that wait for each other.
    """
    members = len(os.sched_getaffinity(0)) + 2
    folder = written(
        tmp_path / "run",
        f"""
        rule all:
            input:
                expand("{{what}}-{{n}}.txt", what=("read", "answer"), n=range({members})),

        rule write:
            output:
                pipe(expand("pipe-{{n}}", n=range({members}))),
            shell:
                "seq 3 | tee {{output}}"

        rule read:
            input:
                "pipe-{{n}}",
            output:
                "read-{{n}}.txt",
            shell:
                "wc -l < {{input}} > {{output}}"

        rule serve:
            output:
                service("serving"),
            shell:
                "echo yes > begun && mv begun {{output}}; while true; do sleep 0.2; done"

        rule ask:
            input:
                "serving",
            output:
                "answer-{{n}}.txt",
            shell:
                "cp {{input}} {{output}}"
        """,
    )
    outcome = run(slurm, folder, "--latency-wait", "60")
    assert outcome.exit_code == 0, outcome.output
    assert len(queued(slurm, folder)) == 2
    assert {path.read_text() for path in folder.glob("read-*.txt")} == {"3\n"}
    assert {path.read_text() for path in folder.glob("answer-*.txt")} == {"yes\n"}


def test_a_group_may_have_more_members_than_the_machine_has_cpus(slurm: Sandbox, tmp_path: Path) -> None:
    members = len(os.sched_getaffinity(0)) + 2
    folder = written(
        tmp_path / "run",
        f"""
        rule all:
            input:
                expand("{{n}}.txt", n=range({members})),

        rule member:
            output:
                "{{n}}.txt",
            group:
                "crowd"
            threads: 2
            shell:
                "echo {{threads}} > {{output}}"
        """,
    )
    outcome = run(slurm, folder, "--group-components", f"crowd={members}")
    assert outcome.exit_code == 0, outcome.output
    assert len(queued(slurm, folder)) == 1
    assert {path.read_text() for path in folder.glob("*.txt")} == {"2\n"}


# --- outputs are removed before a start -----------------------------------------------------------------------------


def test_a_requeued_job_finds_only_what_it_has_not_declared_as_output(slurm: Sandbox, tmp_path: Path) -> None:
    """Snakemake removes declared outputs before each start, so what is to outlive a requeue lies elsewhere."""
    folder = written(
        tmp_path / "run",
        f"""
        rule train:
            output:
                directory("model"),
            shell:
                "ls model kept >> found || true; mkdir -p model kept; touch model/declared kept/undeclared;"
                " touch started; {UNTIL_GO}"
        """,
    )
    with Head(slurm, folder) as head:
        head.until(lambda: (folder / "started").exists() and "train runs on" in head.said)
        (job,) = queued(slurm, folder)
        (folder / "started").unlink()
        slurm.run("scontrol", "requeue", job.job_id)
        head.until(lambda: queued(slurm, folder)[0].state == "PENDING" and "was requeued" in head.said)
        start_again(slurm, head, job.job_id)
        head.until((folder / "started").exists)
        go(folder)
        assert head.end() == 0, head.said
        assert [one.state for one in ended(slurm, folder)] == ["COMPLETED"]
    assert (folder / "found").read_text() == "kept:\nundeclared\n"
    assert (folder / "model" / "declared").exists()


# --- a second head --------------------------------------------------------------------------------------------------


LONG = f"""
rule long:
    output:
        "long.txt",
    shell:
        "echo started >> starts; BEFORE; {UNTIL_GO}; echo long > {{output}}"
"""


def test_the_mark_of_an_incomplete_output_stops_a_second_head(slurm: Sandbox, tmp_path: Path) -> None:
    """The task runs on without its head and has begun to write; Snakemake says what is the matter."""
    folder = written(tmp_path / "run", LONG.replace("BEFORE", "echo half > {output}"))
    with Head(slurm, folder) as head:
        head.until((folder / "long.txt").exists)
        head.kill()
        assert asked(slurm, folder, "--unlock").exit_code == 0
        second = run(slurm, folder)
        assert second.exit_code == 1
        assert "IncompleteFilesException" in second.output, second.output
        assert len(queued(slurm, folder)) == 1


@pytest.mark.parametrize("begun", [False, True], ids=["has no output yet", "has begun to write"])
def test_a_new_head_takes_over_what_is_still_running(slurm: Sandbox, tmp_path: Path, *, begun: bool) -> None:
    """Running the same command again repeats nothing: the task that runs is adopted."""
    folder = written(tmp_path / "run", LONG.replace("BEFORE", "echo half > {output}" if begun else "true"))
    with Head(slurm, folder) as head:
        head.until((folder / ("long.txt" if begun else "starts")).exists)
        head.kill()
        assert asked(slurm, folder, "--unlock").exit_code == 0
        with Head(slurm, folder, "--rerun-incomplete") as heir:
            heir.until(lambda: "is Slurm job" in heir.said)
            go(folder)
            assert heir.end() == 0, heir.said
        assert len(queued(slurm, folder)) == 1, queued(slurm, folder)
    assert (folder / "starts").read_text() == "started\n"
    assert (folder / "long.txt").read_text() == "long\n"


# --- a DAG that changes ---------------------------------------------------------------------------------------------


def test_below_a_checkpoint_nothing_is_queued_before_it_has_ended(slurm: Sandbox, tmp_path: Path) -> None:
    """What follows is known only then, and is queued as a whole at that moment; the rest does not wait."""
    folder = written(
        tmp_path / "run",
        f"""
        def parts(_):
            folder = checkpoints.split.get().output[0]
            return expand("work-{{n}}.txt", n=glob_wildcards(f"{{folder}}/{{{{n}}}}.part").n)

        rule all:
            default_target: True
            input:
                "gathered.txt",
                "apart.txt",

        rule gather:
            input:
                parts,
            output:
                "gathered.txt",
            shell:
                "cat {{input}} | sort > {{output}}; echo gather >> runs"

        rule work:
            input:
                "parts/{{n}}.part",
            output:
                "work-{{n}}.txt",
            shell:
                "cp {{input}} {{output}}; echo work >> runs"

        checkpoint split:
            output:
                directory("parts"),
            shell:
                "{UNTIL_GO}; mkdir {{output}}; for n in 1 2; do echo $n > {{output}}/$n.part; done; echo split >> runs"

        rule apart:
            output:
                "apart.txt",
            shell:
                "touch {{output}}"
        """,
    )
    with Head(slurm, folder) as head:
        head.until(lambda: "is Slurm job" in head.said and states(slurm, folder).get("apart") == "COMPLETED")
        head.until(lambda: states(slurm, folder).get("split") == "RUNNING")
        assert states(slurm, folder) == {"split": "RUNNING", "apart": "COMPLETED"}
        assert "checkpoint split decides what follows" in head.said
        go(folder)
        assert head.end() == 0, head.said
        jobs = queued(slurm, folder)
    assert sorted(one.rule for one in jobs) == ["apart", "gather", "split", "work", "work"]
    assert (folder / "gathered.txt").read_text() == "1\n2\n"
    assert (folder / "runs").read_text() == "split\nwork\nwork\ngather\n"


def test_what_reads_from_a_queue_waits_for_the_head(slurm: Sandbox, tmp_path: Path) -> None:
    """Only the head's own Python fills the queue, so the task cannot be queued ahead, and the user is told."""
    folder = written(
        tmp_path / "run",
        """
        import os, threading, time
        from queue import Queue

        END, arriving = object(), Queue()

        def fill():
            arriving.put("a.txt")
            while not os.path.exists("go"):
                time.sleep(0.1)
            arriving.put("b.txt")
            arriving.put(END)

        if os.path.exists("go"):
            fill()
        else:
            threading.Thread(target=fill, daemon=True).start()

        rule gather:
            input:
                from_queue(arriving, finish_sentinel=END),
            output:
                "gathered.txt",
            shell:
                "cat {input} > {output}"

        rule make:
            output:
                "{item}.txt",
            wildcard_constraints:
                item="[ab]",
            shell:
                "echo {wildcards.item} > {output}"
        """,
    )
    with Head(slurm, folder, "--queue-input-wait-time", "1") as head:
        head.until(lambda: "is Slurm job" in head.said)
        assert [one.rule for one in queued(slurm, folder)] == ["make"]
        assert "gather reads from a queue that is not finished" in head.said
        go(folder)
        assert head.end() == 0, head.said
        assert sorted(one.rule for one in queued(slurm, folder)) == ["gather", "make", "make"]
    assert (folder / "gathered.txt").read_text() == "a\nb\n"


# --- the job reads the workflow again -------------------------------------------------------------------------------


TELL = """
import json, os

rule tell:
    output:
        "told.json",
    params:
        told=lambda _: json.dumps([os.environ.get("TRAP_VALUE"), config], sort_keys=True),
    shell:
        "printf %s {params.told:q} > {output}"
"""


def test_the_job_reads_the_workflow_with_the_environment_and_configuration_of_the_head(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Values that a shell, sbatch or YAML could take for something else; the command line wins over the file."""
    value = 'it\'s a "value",\nwith $HOME and a\ttab; `ls`'
    folder = written(tmp_path / "run", TELL)
    (folder / "odd name.yaml").write_text("word: 'yes'\ndeep: {list: [1, 'two words']}\nnumber: 1\n")
    more = ("--configfile", "odd name.yaml", "--config", "title=a title's words, 100% & $HOME", "number=2")
    outcome = run(slurm, folder, *more, TRAP_VALUE=value)
    assert outcome.exit_code == 0, outcome.output
    assert json.loads((folder / "told.json").read_text()) == [
        value,
        {"deep": {"list": [1, "two words"]}, "number": 2, "title": "a title's words, 100% & $HOME", "word": "yes"},
    ]


def test_a_configuration_value_is_in_the_job_what_it_is_in_the_head(slurm: Sandbox, tmp_path: Path) -> None:
    """Snakemake writes it for the job's command line as Python would, which is not how a shell reads it."""
    folder = written(tmp_path / "run", TELL)
    values = ('quotes=it\'s a "title" here', "backslash=C:\\new\\table", 'line_break={it: "two\nlines"}')
    told = []
    local = ("--executor", "local", "--cores", "1")
    for snakemake, options in ((run_forked, local), (run_snakemake, arguments("--forceall"))):
        outcome = snakemake(folder, (*options, "--config", *values), slurm.environment)
        assert outcome.exit_code == 0, outcome.output
        told.append(json.loads((folder / "told.json").read_text()))
    assert told[0] == told[1]
    assert told[0][1].keys() == {"quotes", "backslash", "line_break"}


# --- a job inside a job ---------------------------------------------------------------------------------------------


def test_a_head_inside_a_job_passes_on_the_site_and_not_its_own_job(slurm: Sandbox, tmp_path: Path) -> None:
    """SLURM_CONF must reach sbatch; what Slurm has set for the head's own job must not reach the tasks."""
    folder = written(
        tmp_path / "run",
        """
        rule small:
            output:
                "small.txt",
                "environment.txt",
            threads: 2
            resources:
                mem_mb=600,
            shell:
                "echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE $SLURM_JOB_NUM_NODES $SLURM_JOB_PARTITION > {output[0]};"
                " env > {output[1]}"
        """,
    )
    inner = shlex.join([sys.executable, "-m", "snakemake", *arguments()])
    # What sets these (--mem-per-cpu, --tres-per-task) cannot go together with the options below, or is too new.
    leaking = {"SLURM_MEM_PER_CPU": "777", "SLURM_TRES_PER_TASK": "cpu:4", "SLURM_HINT": "nomultithread"}
    exports = " ".join(f"{name}={value}" for name, value in leaking.items())
    options = ("--cpus-per-task=4", "--mem=3000", "--partition=kempner", "--gres=gpu:2", "--job-name=outer")
    words = ("sbatch", "--wait", "-D", str(folder), "-o", str(folder / "outer.log"), *options)
    try:
        slurm.run(*words, stdin=f"#!/bin/bash\nexport {exports}\nexec {inner}\n", timeout=SECONDS_PER_RUN)
    except SandboxError as error:  # the job's log says more than its exit code
        raise AssertionError((folder / "outer.log").read_text()) from error
    assert (folder / "small.txt").read_text() == "2 600 1 shared\n"
    environment = dict(
        line.split("=", 1) for line in (folder / "environment.txt").read_text().splitlines() if "=" in line
    )
    assert not leaking.items() & environment.items()  # 24.11 sets one of them itself, from the options of the task
    assert environment["SLURM_CONF"] == str(slurm.conf)


# --- what every Snakemake process pays ------------------------------------------------------------------------------

IMPORTING = """
import snakemake_interface_executor_plugins.settings
import sys, time
events = []
sys.addaudithook(lambda name, _: events.append(name))
before = set(sys.modules)
start = time.process_time()
import snakemake_executor_plugin_kempner
seconds = time.process_time() - start
started = [name for name in events if name in {"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"}]
print(seconds, *started, *(name for name in set(sys.modules) - before if not name.startswith("snakemake_executor")))
"""


def test_importing_the_plugin_costs_nothing() -> None:
    """Every Snakemake process imports every executor plugin, and every task is a Snakemake process."""
    told = [_python(IMPORTING).split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in told) < 0.1
    assert [words[1:] for words in told] == [[]] * 3


def test_the_plugin_makes_snakemake_load_no_heavy_library() -> None:
    """Snakemake asks each plugin for its executor, so what that imports counts as well."""
    script = """
import sys
import snakemake.cli
heavy = {"numpy", "pandas", "matplotlib", "scipy", "sklearn", "torch", "polars"}
print(*sorted(heavy & sys.modules.keys()), "snakemake_executor_plugin_kempner.executor" in sys.modules)
"""
    assert _python(script).split()[-1:] == ["True"], "Snakemake did not register the plugin"
    assert _python(script).split() == ["True"]


def _python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_PER_RUN,
        cwd=Path(__file__).parent,
    )
    return done.stdout


def test_snakemake_finds_the_plugin_and_its_flags(tmp_path: Path) -> None:
    """It looks with pkgutil.iter_modules, which sees folders on sys.path only, not what an import hook serves."""
    assert "snakemake_executor_plugin_kempner" in {module.name for module in pkgutil.iter_modules()}
    outcome = run_snakemake(tmp_path, ("--help",), os.environ)
    assert outcome.exit_code == 0
    assert "kempner" in outcome.output
    assert "--kempner-status-interval" in outcome.output


# --- few jobs at a time ---------------------------------------------------------------------------------------------


SLOW_AND_BAD = f"""
rule all:
    input:
        "slow.txt",
        "bad.txt",
        "after_slow.txt",


rule after_slow:
    input:
        "slow.txt",
    output:
        "after_slow.txt",
    shell:
        "touch {{output}}"


rule slow:
    output:
        "slow.txt",
    priority: 10
    shell:
        "{UNTIL_GO}; touch {{output}}"


rule bad:
    output:
        "bad.txt",
    shell:
        "echo no luck; exit 9"
"""


def test_with_few_jobs_at_a_time_a_failure_is_noticed_at_once(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", SLOW_AND_BAD)
    with Head(slurm, folder, "--keep-going", jobs=2) as head:
        head.until(lambda: "bad failed" in head.said and "no luck" in head.said)
        head.until(lambda: states(slurm, folder)["slow"] == "RUNNING")
        go(folder)
        assert head.end() == 1, head.said
        assert ends(slurm, folder) == {"slow": "COMPLETED", "bad": "FAILED", "after_slow": "COMPLETED"}


def test_with_few_jobs_at_a_time_a_failure_stops_what_has_not_started(slurm: Sandbox, tmp_path: Path) -> None:
    """The first failure counts, whether Snakemake has asked for that task already or not."""
    folder = written(tmp_path / "run", SLOW_AND_BAD)
    with Head(slurm, folder, jobs=2) as head:
        head.until(lambda: "bad failed" in head.said)
        head.until(lambda: states(slurm, folder)["after_slow"] == "CANCELLED")
        go(folder)
        assert head.end() == 1, head.said
        assert ends(slurm, folder)["slow"] == "COMPLETED"


# --- files that the job has seen to ---------------------------------------------------------------------------------


def test_a_temp_output_that_nobody_reads_is_no_missing_output(slurm: Sandbox, tmp_path: Path) -> None:
    """The job removes it, alone or in a group, and the head must not look for it."""
    folder = written(
        tmp_path / "run",
        """
        rule all:
            input:
                "third.txt",

        rule third:
            input:
                "second.txt",
            output:
                "third.txt",
                temp("scratch-3.txt"),
            group:
                "pair"
            shell:
                "touch {output}"

        rule second:
            input:
                "first.txt",
            output:
                "second.txt",
                temp("scratch-2.txt"),
            group:
                "pair"
            shell:
                "touch {output}"

        rule first:
            output:
                "first.txt",
                temp("scratch-1.txt"),
            shell:
                "touch {output}"
        """,
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert len(queued(slurm, folder)) == 2
    assert sorted(path.name for path in folder.glob("*.txt")) == ["first.txt", "second.txt", "third.txt"]
    assert_settled(slurm, folder)


UPDATE = f"""
rule extend:
    output:
        update("journal.txt"),
    retries: 1
    shell:
        "echo half >> {{output}}; touch started; {UNTIL_GO}; exit 1"
"""


def test_a_file_whose_update_fails_keeps_its_old_content(slurm: Sandbox, tmp_path: Path) -> None:
    """The job restores it after each attempt; the head, which has no backup, must not remove it."""
    folder = written(tmp_path / "run", UPDATE)
    (folder / "journal.txt").write_text("old\n")
    go(folder)
    outcome = run(slurm, folder, "--forceall")
    assert outcome.exit_code == 1, outcome.output
    assert [one.state for one in ended(slurm, folder)] == ["FAILED", "FAILED"]
    assert (folder / "journal.txt").read_text() == "old\n"


@pytest.mark.parametrize("how", [(), ("--full", "--signal=TERM")], ids=["cancelled", "terminated"])
def test_a_file_whose_update_is_stopped_keeps_its_old_content(
    slurm: Sandbox, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """By its user or an administrator: the job has restored the file in its last seconds."""
    folder = written(tmp_path / "run", UPDATE.replace("    retries: 1\n", ""))
    (folder / "journal.txt").write_text("old\n")
    with Head(slurm, folder, "--forceall") as head:
        head.until((folder / "started").exists)
        slurm.run("scancel", *how, queued(slurm, folder)[0].job_id)
        assert head.end() == 1, head.said
    assert (folder / "journal.txt").read_text() == "old\n"


def test_a_file_whose_update_is_killed_gets_its_old_content_back(slurm: Sandbox, tmp_path: Path) -> None:
    """A Snakemake that is killed, for its memory say, has restored nothing: that is left to the head."""
    folder = written(
        tmp_path / "run", UPDATE.replace("    retries: 1\n", "").replace("exit 1", "kill -9 $PPID; sleep 1")
    )
    (folder / "journal.txt").write_text("old\n")
    go(folder)
    outcome = run(slurm, folder, "--forceall")
    assert outcome.exit_code == 1, outcome.output
    assert "SIGKILL" in outcome.output
    assert (folder / "journal.txt").read_text() == "old\n"
