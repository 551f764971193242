"""What nobody could plan at the beginning is planned by the run's own jobs, as the head would have."""

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from behaviour import moments, ran, with_behaviour
from comparison import Outcome, run_forked, run_snakemake
from detached import DETACHED, closing_log, job_of, left_behind, once, page, until, with_hooks
from head import (
    OVER,
    SMALL,
    arguments,
    asked,
    cancel_all,
    closed,
    of_rule,
    queued,
    run,
    run_detached,
    states,
    written,
)
from snakefiles import ATTEMPT, Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

# --- what nobody could plan at the beginning ------------------------------------------------------------------------

NESTED = """
def names(checkpoint):
    return sorted(name for name in os.listdir(checkpoint.output[0]) if not name.startswith("."))

def leaves(wildcards):
    return [
        f"leaf/{x}-{n}.txt"
        for x in names(checkpoints.first.get())
        for n in names(checkpoints.second.get(x=x))
    ]

rule gather:
    input:
        leaves,
    output:
        "gathered.txt",
    shell:
        "./behave gather && echo {input} > {output}"

rule leaf:
    input:
        "two/{x}",
    output:
        "leaf/{x}-{n}.txt",
    shell:
        "./behave leaf-{wildcards.x}-{wildcards.n} && touch {output}"

checkpoint second:
    input:
        "one",
    output:
        directory("two/{x}"),
    shell:
        "./behave second-{wildcards.x} && mkdir {output} && touch {output}/1"

checkpoint first:
    output:
        directory("one"),
    shell:
        "./behave first && mkdir {output} && touch {output}/a {output}/b"
"""
NESTED_NAMES = {
    *("first", "second-a", "second-b", "leaf-a-1", "leaf-b-1", "gather"),
    *("onstart", "onsuccess"),
}


def test_checkpoints_below_checkpoints_need_no_head_and_hooks_run_once(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, NESTED)
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    begun = once(folder)
    assert begun.keys() == NESTED_NAMES
    assert next(iter(begun)) == "onstart"
    assert list(begun)[-1] == "onsuccess"
    assert begun["onsuccess"] > moments(folder, "ended")["gather"][0]
    assert (folder / "gathered.txt").read_text() == "leaf/a-1.txt leaf/b-1.txt\n"

    again = asked(slurm, folder, "--dry-run")
    assert "Nothing to be done" in again.output, again.output
    assert "metadata" not in again.output
    for module in ("jinja2", "pygments"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"a report needs {module}")
    reported = run_forked(folder, ("--report", "report.html"), slurm.environment)
    assert reported.exit_code == 0, reported.output
    assert "issing metadata" not in reported.output
    runtimes = re.findall(r'"runtime": ?([0-9.]+)', (folder / "report.html").read_text())
    assert len(runtimes) >= 6, runtimes


def test_forcing_everything_of_a_finished_folder_runs_everything_once(slurm: Sandbox, folder: Path) -> None:
    with_hooks(
        folder,
        snakefile(
            rule("gather", Code("lambda wildcards: checkpoints.decide.get().output"), output="gathered.txt"),
            rule("decide", output="decided.txt", kind="checkpoint"),
        ),
    )
    for name in ("decided.txt", "gathered.txt"):
        (folder / name).touch()
    outcome = run_detached(slurm, folder, "--forceall")
    assert outcome.exit_code == 0, outcome.output
    assert ran(folder) == {"onstart", "decide", "gather", "onsuccess"}, outcome.output


def test_two_checkpoints_local_rules_and_sizes_of_inputs_need_no_head(slurm: Sandbox, folder: Path) -> None:
    """Both checkpoints are released at the same moment; what is below one asks for memory by the size of its input."""
    with_behaviour(
        folder,
        """
        localrules: begin, between

        rule all:
            input:
                "left.txt",
                "right.txt",

        def found(wildcards):
            with open(getattr(checkpoints, wildcards.side + "_side").get().output[0]) as file:
                return [f"{wildcards.side}-{name}.part" for name in file.read().split()]

        rule collect:
            input:
                found,
            output:
                "{side}.txt",
            wildcard_constraints:
                side="left|right",
            shell:
                "./behave collect-{wildcards.side} && cat {input} > {output}"

        rule weigh:
            input:
                "{side}-{name}.middle",
            output:
                "{side}-{name}.part",
            resources:
                mem_mb=lambda wildcards, input: 500 + int(10 * input.size_mb),
            shell:
                "./behave weigh-{wildcards.side}-{wildcards.name} && echo {resources.mem_mb} > {output}"

        rule between:
            input:
                "begun.txt",
            output:
                "{side}-{name}.middle",
            shell:
                "./behave between-{wildcards.side}-{wildcards.name} && head -c 10000000 /dev/zero > {output}"

        checkpoint left_side:
            input:
                "begun.txt",
            output:
                "left.names",
            resources:
                mem_mb=lambda wildcards, input: 500 + int(10 * input.size_mb),
            shell:
                "./behave left waits:go && echo a > {output}"

        checkpoint right_side:
            input:
                "begun.txt",
            output:
                "right.names",
            shell:
                "./behave right waits:go && echo b > {output}"

        rule begin:
            output:
                "begun.txt",
            shell:
                "./behave begin && head -c 10000000 /dev/zero > {output}"
        """,
    )
    left = left_behind(slurm, folder)
    until(lambda: {"left", "right"} <= moments(folder, "started").keys())
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    sides = ("left-a", "right-b")
    assert ran(folder) == {
        *("begin", "left", "right", "collect-left", "collect-right"),
        *(f"{rule}-{side}" for rule in ("weigh", "between") for side in sides),
    }
    assert {one.memory for one in of_rule(queued(slurm, folder), "weigh")} == {"595M"}
    assert [one.memory for one in of_rule(queued(slurm, folder), "left_side")] == ["595M"]
    assert (folder / "left.txt").read_text() == (folder / "right.txt").read_text() == "595\n"


LONG = snakefile(
    wanted("gathered.txt", "sized.txt"),
    rule("gather", Code("lambda wildcards: checkpoints.decide.get().output[0]"), "unsteady.txt", output="gathered.txt"),
    rule("decide", "unsteady.txt", output="decided.txt", does="decide waits:go", kind="checkpoint"),
    rule("sized", "unsteady.txt", retries=1),
    rule(
        "unsteady",
        does="try-{resources.nth}",
        then="touch {output} && test {resources.nth} = 2",
        retries=2,
        resources={"nth": ATTEMPT},
    ),
)


@pytest.mark.parametrize("accounting", [False, True], ids=["no accounting", "accounting"])
def test_a_run_may_take_so_long_that_slurm_has_forgotten_how_it_began(
    private_slurm: Callable[..., Sandbox], tmp_path: Path, *, accounting: bool
) -> None:
    slurm = private_slurm(nodes=SMALL, min_job_age=2, accounting=accounting)
    folder = with_hooks(tmp_path / "run", LONG)
    left_behind(slurm, folder)
    until(lambda: "sized" in moments(folder, "ended"))
    until(lambda: not of_rule(queued(slurm, folder, helpers=True), "sized"))
    until(lambda: not of_rule(queued(slurm, folder, helpers=True), "unsteady"))
    (folder / "go").touch()
    until(lambda: {"onsuccess", "onerror"} & moments(folder, "ended").keys(), shown=lambda: closing_log(folder))
    until(lambda: "4 of 4" in page(folder), shown=lambda: closing_log(folder))
    begun = list(once(folder))
    assert [*begun[:3], *begun[5:]] == ["onstart", "try-1", "try-2", "gather", "onsuccess"]


def test_the_closing_job_goes_on_where_the_continuation_was_cancelled(slurm: Sandbox, folder: Path) -> None:
    with_hooks(folder, LONG)
    left = left_behind(slurm, folder)
    slurm.run("scancel", job_of(slurm, folder, "continuation"))
    (folder / "go").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 0, outcome.output
    until(lambda: "onsuccess" in moments(folder, "ended"))
    assert ran(folder) == {"onstart", "try-1", "try-2", "sized", "decide", "gather", "onsuccess"}


ENDS_MEANWHILE = """
import glob, json, os, time

def ends(name):
    \"\"\"In the continuation, wait until both tasks have ended and been recorded.\"\"\"
    if os.environ.get("SLURM_JOB_NAME", "").startswith("continuation"):
        open("looked", "w").close()
        while sum("exit_code" in open(path).read() for path in glob.glob(".snakemake/kempner/[0-9a-f]*/ended/*.json")) < 2:
            time.sleep(0.1)
    return len(open(name).read())

rule all:
    input:
        "slow.txt",
        "late.txt",

rule slow:
    output:
        "slow.txt",
    shell:
        "until [ -e looked ]; do sleep 0.1; done; echo once >> slow.runs; touch {output}"

rule first:
    output:
        "first.txt",
    shell:
        "echo text > {output}"

rule late:
    input:
        "first.txt",
    output:
        "late.txt",
    resources:
        runtime=lambda wildcards, input: ends(input[0]),
    shell:
        "touch {output}"
"""


@pytest.mark.parametrize("more", [(), ("--forceall",)], ids=["new", "forced"])
def test_a_task_that_ends_while_a_continuation_reads_the_workflow_runs_once(
    slurm: Sandbox, folder: Path, more: tuple[str, ...]
) -> None:
    written(folder, ENDS_MEANWHILE)
    outcome = run_detached(slurm, folder, *more)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "slow.runs").read_text() == "once\n"


def test_a_checkpoint_that_fails_ends_the_run(slurm: Sandbox, folder: Path) -> None:
    """With --keep-going, too: nobody knows what would follow."""
    with_hooks(folder, LONG.replace("decide waits:go", "decide fails:go").replace("sized &&", "sized waits:go-2 &&"))
    left = left_behind(slurm, folder, "--keep-going")
    until(lambda: {"decide", "sized"} <= moments(folder, "started").keys())
    (folder / "go").touch()
    until(lambda: "decide" in moments(folder, "ended"))
    (folder / "go-2").touch()
    outcome = closed(slurm, folder, left)
    assert outcome.exit_code == 1, outcome.output
    assert ran(folder) == {"onstart", "try-1", "try-2", "sized", "decide", "onerror"}
    assert ": decide" in page(folder)


def test_a_command_that_asks_for_less_says_what_will_not_follow_by_itself(slurm: Sandbox, folder: Path) -> None:
    """What follows on a checkpoint of the run before is nobody's then, until the first command is given again."""
    with_hooks(folder, LONG)
    left_behind(slurm, folder, "gathered.txt")
    until(lambda: "decide" in moments(folder, "started"))
    left = left_behind(slurm, folder, "sized.txt")
    assert "still had tasks to submit" in left.output
    assert "snakemake --executor kempner" in left.output
    again = left_behind(slurm, folder, "gathered.txt", "sized.txt")
    assert "still had tasks to submit" not in again.output
    (folder / "go").touch()
    outcome = closed(slurm, folder, again)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / "gathered.txt").exists()
    assert all(len(times) == 1 for name, times in moments(folder, "started").items() if name != "onstart")


def test_an_input_from_a_queue_is_refused_before_anything_is_submitted(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(
        folder,
        """
        from queue import Queue

        arriving = Queue()  # its end has not been seen
        arriving.put("a.txt")

        rule gather:
            input:
                from_queue(arriving, finish_sentinel=object()),
            output:
                "gathered.txt",
            shell:
                "cat {input} > {output}"

        rule make:
            output:
                "a.txt",
            shell:
                "touch {output}"
        """,
    )
    outcome = run(slurm, folder, DETACHED)
    assert outcome.exit_code == 1, outcome.output
    assert "reads from a queue" in outcome.output
    assert "leave out --kempner-detach" in outcome.output
    assert not queued(slurm, folder, helpers=True)


# --- the command that is given once more ----------------------------------------------------------------------------


def test_a_continuation_sees_what_the_head_saw(slurm: Sandbox, folder: Path) -> None:
    """The flag and the executor stand in a profile, all paths are relative, and a text has quotes in it."""
    title = """it's "quoted",  with $HOME & 2 spaces"""
    (folder / "code").mkdir(parents=True)
    (folder / "profiles/default").mkdir(parents=True)
    (folder / "profiles/default/config.yaml").write_text(
        "executor: kempner\njobs: 20\nkempner-detach: true\nscheduler: greedy\nlatency-wait: 10\n"
        "default-resources:\n  - mem_mb=640\n"
    )
    (folder / "settings.yaml").write_text("of_file: from the file\n")
    (folder / "code/Snakefile").write_text(
        """
def found(wildcards):
    with open(checkpoints.decide.get().output[0]) as file:
        return file.read().split()

rule gather:
    input:
        found,
    output:
        "gathered.txt",
    shell:
        "cat {input} > {output}"

rule part:
    output:
        "part.txt",
    params:
        title=config["title"],
    shell:
        "printf '%s\\n' {params.title:q} '{config[of_file]}' $SLURM_MEM_PER_NODE $SEEN > {output}"

checkpoint decide:
    output:
        "decided.txt",
    shell:
        "echo part.txt > {output}"
"""
    )
    words = ("--snakefile", "code/Snakefile", "--directory", "elsewhere", "--configfile", "settings.yaml", "--nocolor")
    left = run_snakemake(
        folder, (*words, "--config", f"title={title}"), {**slurm.environment, "SEEN": "from the environment"}
    )
    assert left.exit_code == 0, left.output
    try:
        outcome = closed(slurm, folder, left)
    finally:
        cancel_all(slurm, folder / "elsewhere")
    (shown,) = re.findall(r"its end: +(\S+)", left.output)
    assert (folder / shown).exists()  # as seen from where the command was given
    assert outcome.exit_code == 0, outcome.output
    text = (folder / "elsewhere/gathered.txt").read_text()
    assert text.splitlines() == [title, "from the file", "640", "from", "the", "environment"]


INSIDE = snakefile(
    rule(
        "gather",
        Code("lambda wildcards: checkpoints.decide.get().output[0]"),
        "second.txt",
        output="gathered.txt",
        shell="echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}",
        resources={"mem_mb": 700},
    ),
    rule(
        "second",
        "decided.txt",
        shell="echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}",
        threads=3,
        resources={"mem_mb": 800},
    ),
    rule(
        "decide",
        output="decided.txt",
        shell="echo $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE > {output}",
        kind="checkpoint",
        resources={"mem_mb": 900},
    ),
)


def test_a_head_inside_a_slurm_job_gives_nothing_of_that_job_away(slurm: Sandbox, folder: Path) -> None:
    with_behaviour(folder, INSIDE)
    words = " ".join((*arguments(), DETACHED))
    script = f"#!/bin/bash\n{shutil.which('python')} -m snakemake {words}\n"
    options = ("--parsable", "-D", str(folder), "-o", "head.log", "-J", "outer", "--cpus-per-task=2", "--mem=3000")
    outer = slurm.run("sbatch", *options, stdin=script).strip()
    until(lambda: slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", outer).strip() in OVER)
    said = (folder / "head.log").read_text()
    outcome = closed(slurm, folder, Outcome(exit_code=0, output=said))
    assert outcome.exit_code == 0, outcome.output
    assert states(slurm, folder)["outer"] == "COMPLETED", said
    assert (folder / "decided.txt").read_text() == "1 900\n"
    assert (folder / "second.txt").read_text() == "3 800\n"
    assert (folder / "gathered.txt").read_text() == "1 700\n"
    closing = slurm.run("squeue", "-h", "-t", "all", "-o", "%j %C %m").splitlines()
    run_id = re.search(r"\(run (\w+)\)", said)
    assert run_id is not None
    mine = [line.split() for line in closing if f".{run_id[1]}." in line]
    assert all(cpus == "1" for name, cpus, _ in mine if not name.startswith("second")), mine
