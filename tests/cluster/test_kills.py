"""Heads that are killed with -9 at random moments and started again, until the workflow is done: nothing runs twice.

The moments come from a seed, which every failure shows; KEMPNER_KILLS_SEED=<number> repeats them.
"""

import os
import random
import shutil
import signal
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import pytest
from comparison import Tree, differences, run_forked, snapshot
from head import SMALL, UNTIL_GO, Head, all_over, assert_settled, go, run, written
from snakefiles import Code, rule, snakefile, temp, wanted
from test_dependency_types import assert_nothing_is_left

from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers
from snakemake_executor_plugin_kempner.sandbox import Sandbox

KILLS = 7
"""In each workflow. Its tasks wait for their share of them, the last one until the head that may live follows it."""
LONGEST_START = 240.0
"""Seconds until a head has made the folder of its run."""
AGAIN = ("--nolock", "--rerun-incomplete")
"""What Snakemake wants of a command that is started again after a kill."""

# --- workflows ------------------------------------------------------------------------------------------------------

WORK = """\
#!/bin/bash
# work TASK ATTEMPT KILLS: say that it runs, wait until so many heads were killed, then work for half a second to two
echo "$1 $2" >> ../runs
until [ "$(wc -l < ../kills)" -ge $(($3)) ]; do sleep 0.1; done
RANDOM=$(cksum <<< "SEED $1 $2" | cut -d ' ' -f 1)
sleep "$((RANDOM % 16 + 5))e-1"
"""
AT_ONCE = '#!/bin/bash\necho "$1 $2" >> ../runs\n'
"""The same where nobody is killed."""

NTH = """\
def nth(wildcards, attempt):
    return attempt

"""

CHAIN = snakefile(
    wanted("6.txt"),
    rule(
        "step",
        Code('lambda wildcards: [f"{int(wildcards.n) - 1}.txt"] if wildcards.n != "1" else []'),
        output="{n}.txt",
        shell="../work step-{wildcards.n} {resources.nth} {wildcards.n}+2 && echo {input} {wildcards.n} > {output}",
        resources={"nth": Code("nth")},
    ),
)

DIAMOND = """
rule sink:
    input:
        expand("side-{n}.txt", n=range(3)),
    output:
        "sink.txt",
    resources:
        nth=nth,
    shell:
        "../work sink {resources.nth} 8 && cat {input} > {output}"

rule side:
    input:
        "source.txt",
    output:
        "side-{n}.txt",
    resources:
        nth=nth,
    shell:
        "../work side-{wildcards.n} {resources.nth} 4+{wildcards.n} && echo {wildcards.n} | cat {input} - > {output}"

rule source:
    output:
        "source.txt",
    resources:
        nth=nth,
    shell:
        "../work source {resources.nth} 3 && echo source > {output}"
"""

FAN_IN = snakefile(
    rule(
        "gather",
        Code('expand("part-{n}.txt", n=range(7))'),
        output="gathered.txt",
        shell="../work gather {resources.nth} 8 && cat {input} > {output}",
        resources={"nth": Code("nth")},
    ),
    rule(
        "part",
        output="part-{n}.txt",
        shell="../work part-{wildcards.n} {resources.nth} {wildcards.n} && echo {wildcards.n} > {output}",
        resources={"nth": Code("nth")},
    ),
)

TEMP = snakefile(
    rule(
        "last",
        "joined.tmp",
        shell="../work last {resources.nth} 8 && cp {input} {output}",
        resources={"nth": Code("nth")},
    ),
    rule(
        "join",
        "left.tmp",
        "right.txt",
        output=temp("joined.tmp"),
        shell="../work join {resources.nth} 6 && cat {input} > {output}",
        resources={"nth": Code("nth")},
    ),
    rule(
        "left",
        "raw.tmp",
        output=temp("left.tmp"),
        shell="../work left {resources.nth} 4 && sed s/raw/left/ {input} > {output}",
        resources={"nth": Code("nth")},
    ),
    rule(
        "right",
        "raw.tmp",
        shell="../work right {resources.nth} 3 && sed s/raw/right/ {input} > {output}",
        resources={"nth": Code("nth")},
    ),
    rule(
        "raw",
        output=temp("raw.tmp"),
        shell="../work raw {resources.nth} 2 && echo raw > {output}",
        resources={"nth": Code("nth")},
    ),
)

CHECKPOINT = """
def parts(_):
    folder = checkpoints.split.get().output[0]
    return expand("work-{n}.txt", n=sorted(glob_wildcards(f"{folder}/{{n}}.part").n))

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
    resources:
        nth=nth,
    shell:
        "../work gather {resources.nth} 8 && cat {input} > {output}"

rule work:
    input:
        "parts/{n}.part",
    output:
        "work-{n}.txt",
    resources:
        nth=nth,
    shell:
        "../work work-{wildcards.n} {resources.nth} 3+{wildcards.n} && cp {input} {output}"

checkpoint split:
    output:
        directory("parts"),
    resources:
        nth=nth,
    shell:
        "../work split {resources.nth} 2 && mkdir {output} && for n in 1 2 3; do echo $n > {output}/$n.part; done"

rule apart:
    output:
        "apart.txt",
    resources:
        nth=nth,
    shell:
        "../work apart {resources.nth} 5 && touch {output}"
"""

RETRIES = """
rule join:
    input:
        "once-1.txt",
        "once-2.txt",
        "copy.txt",
    output:
        "joined.txt",
    resources:
        nth=nth,
    shell:
        "../work join {resources.nth} 8 && cat {input} > {output}"

rule copy:
    input:
        "twice.txt",
    output:
        "copy.txt",
    retries: 1
    resources:
        nth=nth,
    shell:
        "../work copy {resources.nth} 5+{resources.nth} && test {resources.nth} -eq 2 && cp {input} {output}"

rule twice:
    output:
        "twice.txt",
    retries: 2
    resources:
        nth=nth,
    shell:
        "../work twice {resources.nth} 1+{resources.nth} && test {resources.nth} -eq 3 && echo twice > {output}"

rule once:
    output:
        "once-{n}.txt",
    retries: 1
    resources:
        nth=nth,
    shell:
        "../work once-{wildcards.n} {resources.nth} {wildcards.n}*{resources.nth}"
        " && test {resources.nth} -eq 2 && echo once > {output}"
"""

SHAPES = {
    "chain": CHAIN,
    "diamond": DIAMOND,
    "fan-in": FAN_IN,
    "temp files": TEMP,
    "checkpoint": CHECKPOINT,
    "retries": RETRIES,
}


# --- moments --------------------------------------------------------------------------------------------------------


class Moment(Enum):
    """When a head dies, if it comes to that; else after some seconds of watching."""

    BEFORE_CALL = "before sbatch is called"
    DURING_CALL = "while sbatch is at work, which lives on"
    LATE_CALL = "while sbatch is slow, and submits when the next head is there"
    AFTER_CALL = "after sbatch, before its answer is read"
    LEDGER = "when the ledger has this many lines"
    START = "before it has looked into the queue"
    NOTED = "when it has noted the end of a job"
    WATCHING = "after some seconds of watching"


CALLS = {
    Moment.BEFORE_CALL: "before",
    Moment.DURING_CALL: "during",
    Moment.LATE_CALL: "late",
    Moment.AFTER_CALL: "after",
}
SUBMITTING = (*CALLS, Moment.LEDGER)
AT_RANDOM = [moment for moment in Moment if moment is not Moment.LATE_CALL]
SECONDS = {Moment.START: (0.0, 2.0), Moment.WATCHING: (0.0, 2.5), Moment.NOTED: (5.0, 5.0)}
"""Shortest and longest time after which a head dies although the moment has not come."""

SBATCH = """\
#!/bin/bash
# The real sbatch; at the call that DEATH names it kills the head that calls it.
read -r how number calls <<< "$DEATH"
if [ -n "$calls" ]; then
    echo call >> "$calls"
    if [ "$(wc -l < "$calls")" -eq "$number" ]; then
        case $how in
            before) kill -9 $PPID; exit 1 ;;
            during) kill -9 $PPID ;;
            late) kill -9 $PPID; for i in $(seq 200); do [ ! -e late ] || break; sleep 0.1; done ;;
            after) SBATCH "$@" > /dev/null; kill -9 $PPID; exit 0 ;;
        esac
    fi
fi
exec SBATCH "$@"
"""

SQUEUE = """\
#!/bin/bash
# The real squeue; the first answer of a head comes SLOW seconds late: the workflow has been read, the queue has not.
if [ -n "$SLOW" ] && mkdir "$FIRST" 2> /dev/null; then sleep "$SLOW"; fi
exec SQUEUE "$@"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """How a head dies, and what comes after it."""

    moment: Moment
    number: int
    """Of the call of sbatch, or of lines in the ledger."""
    seconds: float
    """After its run has a folder, or for START after it was started, at the latest."""
    later: float
    """Seconds between the moment and the kill."""
    alone: bool
    """The processes that it has started live on."""
    pause: float
    """Seconds until the next head."""
    slow: float = 0
    """Seconds that the next head waits for the first answer of squeue."""


def deaths(chance: random.Random) -> Iterator[Death]:
    """Each kind of moment once; those of submitting mostly early, while there is something left to submit."""
    moments = sorted(AT_RANDOM, key=lambda one: chance.random() + (0 if one in SUBMITTING else 0.6))
    if moments[-1] is Moment.NOTED:  # no end would be left that another head could note
        moments[-2:] = reversed(moments[-2:])
    for moment in moments:
        shortest, longest = SECONDS.get(moment, (1.0, 3.5))
        yield Death(
            moment=moment,
            number=chance.randint(1, 3) if moment in CALLS else chance.randint(1, 8),
            seconds=chance.uniform(shortest, longest),
            later=chance.choice((0, chance.uniform(0, 0.1))) if moment is Moment.NOTED else 0,
            alone=chance.random() < 0.5,
            pause=chance.choice((0, 0, chance.uniform(0, 2))),
            slow=chance.choice((0, chance.uniform(0, 1.5))),
        )


# --- heads that die -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A workflow whose heads are killed."""

    slurm: Sandbox
    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / ".snakemake" / "kempner"

    @property
    def kills(self) -> Path:
        return self.folder.parent / "kills"

    @property
    def path(self) -> str:
        return os.pathsep.join((str(self.folder.parent / "bin"), self.slurm.environment["PATH"]))

    def ledgers(self) -> set[Path]:
        """Folders of runs."""
        return {folder.parent for folder in self.runs.glob("[0-9a-f]*/ended")}

    def head(self, slow: float = 0, first: str = "", **extra: str) -> Head:
        """A head whose sbatch may kill it; the first answer of its squeue comes late."""
        slowly = {"SLOW": str(slow), "FIRST": str(self.folder.parent / first)} if slow else {}
        return Head(self.slurm, self.folder, *AGAIN, PATH=self.path, **slowly, **extra)

    def count_kill(self) -> None:
        """Let the tasks go on that wait for one more."""
        with self.kills.open("a") as kills:
            kills.write("killed\n")


def die(site: Site, head: Head, death: Death, before: set[Path]) -> str:
    """Wait for the moment and kill the head; what killed it. Tasks that wait for this kill go on after it, or, where an
    end is to be noted, before.
    """
    started = time.monotonic()
    begun: float | None = started if death.moment is Moment.START else None
    while head.lives:
        mine = site.ledgers() - before
        now = time.monotonic()
        if begun is None and mine:
            begun = now
            if death.moment is Moment.NOTED:
                site.count_kill()
        if begun is None:
            assert now - started < LONGEST_START, f"the head does not begin. It said:\n{head.said}"
        elif _has_come(death, mine):
            time.sleep(death.later)
            return _kill(head, death, death.moment.value)
        elif now - begun >= death.seconds:
            return _kill(head, death, f"after {death.seconds:.2f} s")
        time.sleep(0.01)
    assert head.end() == -signal.SIGKILL, f"the head ended before it was killed. It said:\n{head.said}"
    return death.moment.value


def _has_come(death: Death, mine: set[Path]) -> bool:
    ledgers = [path.read_text() for folder in mine if (path := folder / "ledger.jsonl").exists()]
    match death.moment:
        case Moment.LEDGER:
            return any(text.count("\n") >= death.number for text in ledgers)
        case Moment.NOTED:
            return any('{"ended"' in text for text in ledgers)
    return False


def _kill(head: Head, death: Death, why: str) -> str:
    if death.alone:
        os.kill(head._process.pid, signal.SIGKILL)
        head.end()
    else:
        head.kill()
    return why


def killed_again_and_again(site: Site, deaths: Sequence[Death], stack: ExitStack) -> None:
    """Start a head for each death, and one more, which may live."""
    slow = 0.0
    for number, death in enumerate(deaths, 1):
        calls = site.folder.parent / f"calls-{number}"
        how = f"{CALLS[death.moment]} {death.number} {calls}" if death.moment in CALLS else ""
        before = site.ledgers()
        head = stack.enter_context(site.head(slow, f"first-{number}", DEATH=how))
        why = die(site, head, death, before)
        print(f"{head.said}\n{time.strftime('%X')} head {number} was killed {why}; meant: {death}\n")
        if death.moment is not Moment.NOTED:
            site.count_kill()
        time.sleep(death.pause)
        slow = death.slow
    last = stack.enter_context(site.head(slow, "first"))
    last.until(lambda: "is Slurm job" in last.said or not last.lives)
    site.count_kill()
    code = last.end()
    print(last.said)
    print(*(ledger.read_text() for ledger in site.runs.glob("[0-9a-f]*/ledger.jsonl")), sep="\n")
    assert code == 0, "the last head failed; what it said stands above"


# --- what has to come of it -----------------------------------------------------------------------------------------


def workflow(folder: Path, snakefile: str, work: str, kills: int) -> Path:
    """A folder with a workflow; beside it, what its tasks read and write that is not part of it."""
    written(folder, f"{NTH}{textwrap.dedent(snakefile)}")
    program = folder.parent / "work"
    program.write_text(work)
    program.chmod(0o755)
    (folder.parent / "kills").write_text("killed\n" * kills)
    return folder


def prepared(slurm: Sandbox, folder: Path, snakefile: str, work: str) -> Site:
    """A workflow, an sbatch that kills who calls it, and an squeue that is slow."""
    workflow(folder, snakefile, work, 0)
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE)):
        program = folder.parent / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.replace(name.upper(), shutil.which(name, path=slurm.environment["PATH"]) or ""))
        program.chmod(0o755)
    return Site(slurm=slurm, folder=folder)


def undisturbed(folder: Path, snakefile: str) -> tuple[Tree, Counter[str]]:
    """What the workflow makes and what it runs where no head dies: on this machine."""
    workflow(folder, snakefile, AT_ONCE, KILLS)
    outcome = run_forked(folder, ("--cores", "8", "--nocolor"), os.environ)
    assert outcome.exit_code == 0, outcome.output
    return snapshot(folder), ran(folder)


def ran(folder: Path) -> Counter[str]:
    """Task and attempt, as often as it started."""
    return Counter((folder.parent / "runs").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_workflow_whose_head_is_killed_again_and_again_runs_each_task_once(
    slurm: Sandbox, tmp_path: Path, shape: str
) -> None:
    seed = os.environ.get("KEMPNER_KILLS_SEED", "31")
    print(f"KEMPNER_KILLS_SEED={seed}")
    expected, expected_runs = undisturbed(tmp_path / "undisturbed" / "run", SHAPES[shape])

    site = prepared(slurm, tmp_path / "killed" / "run", SHAPES[shape], WORK.replace("SEED", seed))
    folder = site.folder
    planned = list(deaths(random.Random(f"{seed} {shape}")))
    with ExitStack() as stack:
        killed_again_and_again(site, planned, stack)
        assert_nothing_is_left(slurm, folder)

    assert ran(folder) == expected_runs
    open_ledgers(site.runs)  # all can be read
    assert_settled(slurm, folder)
    if "temp(" in SHAPES[shape]:
        # What its last reader has read while no head lived is not deleted yet; the last head has seen the last task.
        print("left of temp files:", *sorted(path.name for path in folder.glob("*.tmp")))
        assert not (folder / "joined.tmp").exists()
        assert run(slurm, folder, "--delete-temp-output", *AGAIN).exit_code == 0
    assert not differences(expected, snapshot(folder))


def test_every_workflow_meets_each_kind_of_moment() -> None:
    planned = [list(deaths(random.Random(seed))) for seed in range(20)]
    assert all({one.moment for one in each} == set(AT_RANDOM) for each in planned)
    assert {len(each) for each in planned} == {KILLS}
    assert KILLS * len(SHAPES) >= 40


# --- single moments -------------------------------------------------------------------------------------------------


def at_call(number: int, moment: Moment = Moment.AFTER_CALL, pause: float = 0, slow: float = 0) -> Death:
    return Death(moment=moment, number=number, seconds=LONGEST_START, later=0, alone=True, pause=pause, slow=slow)


def watching(seconds: float, slow: float = 0) -> Death:
    return Death(moment=Moment.WATCHING, number=0, seconds=seconds, later=0, alone=True, pause=0, slow=slow)


UNTIL_QUEUED = "for i in $(seq 1000); do ! grep -qs 'submitted.*TASK' .snakemake/kempner/[0-9a-f]*/ledger.jsonl || break; sleep 0.2; done;"
"""Shell: run until a head has queued the task, a few minutes at most."""


def test_a_head_that_adopts_what_is_ready_queues_all_the_rest_at_once(slurm: Sandbox, tmp_path: Path) -> None:
    snakefile = f"""
        rule second:
            input:
                "first.txt",
            output:
                "second.txt",
            shell:
                "../work second 1 0 && touch {{output}}"

        rule first:
            output:
                "first.txt",
            shell:
                "../work first 1 0; {UNTIL_QUEUED.replace("TASK", "second")}"
                " cat .snakemake/kempner/[0-9a-f]*/ledger.jsonl > ../ledgers && touch {{output}}"
        """
    site = prepared(slurm, tmp_path / "run", snakefile, AT_ONCE)
    with ExitStack() as stack:
        killed_again_and_again(site, [at_call(1)], stack)
    assert ran(site.folder) == Counter(["first 1", "second 1"])
    assert '"submitted": "second' in (tmp_path / "ledgers").read_text()


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
@pytest.mark.parametrize("calls", [(2, 1)], ids=str)
def test_attempts_that_several_heads_have_submitted_are_one_task(
    slurm: Sandbox, tmp_path: Path, calls: tuple[int, ...], *, fails: bool
) -> None:
    """The attempts stand in the ledgers of several heads; the first one runs until the last head has queued the rest."""
    site = prepared(
        slurm,
        tmp_path / "run",
        f"""
        rule after:
            input:
                "stubborn.txt",
            output:
                "after.txt",
            shell:
                "../work after 1 0 && cp {{input}} {{output}}"

        rule stubborn:
            output:
                "stubborn.txt",
            retries: 2
            resources:
                nth=nth,
            shell:
                "../work stubborn {{resources.nth}} 0"
                " && {UNTIL_QUEUED.replace("TASK", "after")} sleep 1"
                " && test {{resources.nth}} -gt {int(fails)} && echo stubborn > {{output}}"
        """,
        AT_ONCE,
    )
    with ExitStack() as stack:
        killed_again_and_again(site, [at_call(number) for number in calls], stack)
        assert_nothing_is_left(slurm, site.folder)
    assert ran(site.folder) == Counter(["stubborn 1", *(["stubborn 2"] if fails else []), "after 1"])
    assert_settled(slurm, site.folder)


ONE = """
rule one:
    output:
        "one.txt",
    retries: RETRIES
    resources:
        nth=nth,
    shell:
        "touch late; ../work one {resources.nth} 0; sleep 4; test {resources.nth} -gt RETRIES && echo one > {output}"
"""


def test_an_attempt_that_failed_before_the_next_was_queued_is_not_made_again(slurm: Sandbox, tmp_path: Path) -> None:
    """The head that would have queued the next one is dead; the next head has only that one left to queue."""
    site = prepared(slurm, tmp_path / "run", ONE.replace("RETRIES", "1"), AT_ONCE)
    with ExitStack() as stack:
        killed_again_and_again(site, [at_call(1, pause=8)], stack)
    assert ran(site.folder) == Counter(["one 1", "one 2"])


@pytest.mark.parametrize("retries", [0, 1])
def test_what_ends_after_the_workflow_was_read_and_before_the_queue_was_is_not_run_again(
    slurm: Sandbox, tmp_path: Path, retries: int
) -> None:
    snakefile = ONE.replace("-gt RETRIES", "-gt 0").replace("RETRIES", str(retries))
    site = prepared(slurm, tmp_path / "run", snakefile, AT_ONCE)
    with ExitStack() as stack:
        killed_again_and_again(site, [watching(2, slow=8)], stack)
    assert ran(site.folder) == Counter(["one 1"])


@pytest.mark.slow
def test_a_request_that_outlives_its_head_is_not_made_twice(slurm: Sandbox, tmp_path: Path) -> None:
    """A slow controller takes the job of a dead head after the next head has looked for it in the queue."""
    site = prepared(slurm, tmp_path / "run", ONE.replace("RETRIES", "0"), AT_ONCE)
    with ExitStack() as stack:
        killed_again_and_again(site, [at_call(1, Moment.LATE_CALL)], stack)
        assert_nothing_is_left(slurm, site.folder)
    assert ran(site.folder) == Counter(["one 1"])


def test_a_ledger_that_has_no_first_line_yet_does_no_harm(slurm: Sandbox, tmp_path: Path) -> None:
    """A head may be killed after it has made the file and before it has written to it."""
    site = prepared(slurm, tmp_path / "run", ONE.replace("RETRIES", "0"), AT_ONCE)
    (site.runs / "12345678").mkdir(parents=True)
    (site.runs / "12345678" / "ledger.jsonl").touch()
    with ExitStack() as stack:
        killed_again_and_again(site, [], stack)


def test_the_record_of_the_attempt_that_succeeded_is_kept(slurm: Sandbox, tmp_path: Path) -> None:
    """The first attempt failed while no head lived; the head that sees the second succeed records that one."""
    site = prepared(slurm, tmp_path / "run", ONE.replace("RETRIES", "1"), AT_ONCE)
    with ExitStack() as stack:
        killed_again_and_again(site, [replace(watching(1), pause=6.5)], stack)
    expected, _ = undisturbed(tmp_path / "undisturbed" / "run", ONE.replace("RETRIES", "1"))
    assert not differences(expected, snapshot(site.folder))


def test_an_adopted_job_that_the_controller_has_forgotten_is_not_lost(
    private_slurm: Callable[..., Sandbox], tmp_path: Path
) -> None:
    """The job wrote its end into the folder of the run that submitted it."""
    slurm = private_slurm(nodes=SMALL, min_job_age=2)
    site = prepared(slurm, tmp_path / "run", ONE.replace("RETRIES", "0").replace("sleep 4", UNTIL_GO), AT_ONCE)
    with site.head() as first:
        first.until((site.folder.parent / "runs").exists)
        first.kill()
        with site.head() as second:
            second.until(lambda: "is Slurm job" in second.said)
            second.signal(signal.SIGSTOP)
            go(site.folder)
            second.until(lambda: all_over(slurm, site.folder))
            second.signal(signal.SIGCONT)
            assert second.end() == 0, second.said
    assert "lost" not in second.said
