"""What becomes of a run in which a task fails, whoever is there to see it: the head, the guard, or Slurm alone."""

import signal
import textwrap
import time
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, ran, states, submitted, with_behaviour
from head import Head
from snakefiles import ATTEMPT, Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

DOES_NOT_KILL = ("--kempner-no-kill-on-invalid-dep",)
SITES = pytest.mark.parametrize("site", [(), DOES_NOT_KILL], ids=["kills", "does not kill"])
PAIRS = pytest.mark.parametrize(
    ("site", "policy", "dies"),
    [
        ((), (), True),
        ((), ("--keep-going",), False),
        (DOES_NOT_KILL, (), False),
        (DOES_NOT_KILL, ("--keep-going",), True),
    ],
    ids=["kills-stop-dead", "kills-keep going-lives", "does not kill-stop-lives", "does not kill-keep going-dead"],
)
"""Each kind of site with each policy, with a head that lives and without one, and so for every pair of them."""

WORKFLOW = snakefile(
    wanted("bad.txt", "behind-2.txt", "other-2.txt", "tell.txt", "clean.txt", "unneeded.txt"),
    # The one that fails, when the file `fail` appears, and what needs it.
    rule(
        "bad",
        does="bad-{resources.nth} fails:fail",
        then="",
        retries=Code('int(config.get("retries", 0))'),
        resources={"nth": ATTEMPT},
    ),
    rule(
        "behind",
        Code('lambda wildcards: "bad.txt" if wildcards.n == "1" else "behind-1.txt"'),
        output="behind-{n}.txt",
        does="behind-{wildcards.n}",
    ),
    # What has nothing to do with it: one runs until the file `go` appears, two wait for it.
    rule("runs", does="runs waits:go"),
    rule(
        "other",
        Code('lambda wildcards: "runs.txt" if wildcards.n == "1" else "other-1.txt"'),
        output="other-{n}.txt",
        does="other-{wildcards.n}",
    ),
    # What is there for failures.
    rule("tell", resources={"slurm_dependency": "afternotok:bad"}),
    rule("clean", resources={"slurm_dependency": "afterany:bad"}),
    rule("unneeded", resources={"slurm_dependency": "afternotok:runs"}),
)
BEHIND = {"behind[n=1]", "behind[n=2]"}
OTHERS = {"other[n=1]", "other[n=2]"}


def cancelled(slurm: Sandbox, folder: Path) -> set[str]:
    return {name for name, state in states(slurm, folder).items() if state == "CANCELLED"}


def play(slurm: Sandbox, folder: Path, head: Head, *, keep_going: bool, dies: bool) -> None:
    """Let one task fail while another one runs, and look at both moments."""
    head.until(lambda: "Queued" in head.said and {"bad-1", "runs"} <= ran(folder))
    if dies:
        head.kill()
    (folder / "fail").touch()
    falls = BEHIND if keep_going else BEHIND | OTHERS
    head.until(lambda: falls <= cancelled(slurm, folder))
    now = states(slurm, folder)
    assert now["runs"] == "RUNNING"
    assert {now[other] for other in OTHERS} == ({"PENDING"} if keep_going else {"CANCELLED"})
    (folder / "go").touch()
    if not dies:
        assert head.end() == 1, head.said


@PAIRS
def test_what_needs_the_failed_task_leaves_the_queue_and_the_rest_does_as_told(
    slurm: Sandbox, tmp_path: Path, site: tuple[str, ...], policy: tuple[str, ...], *, dies: bool
) -> None:
    keep_going = bool(policy)
    folder = with_behaviour(tmp_path / "run", WORKFLOW)
    with Head(slurm, folder, *policy, *site) as head:
        play(slurm, folder, head, keep_going=keep_going, dies=dies)
        assert_nothing_is_left(slurm, folder)
        ended = states(slurm, folder)
        said = head.said
    assert ran(folder) == {"bad-1", "runs", "tell", "clean"} | ({"other-1", "other-2"} if keep_going else set())
    assert ended == {
        "bad": "FAILED",
        "runs": "COMPLETED",
        **dict.fromkeys(BEHIND, "CANCELLED"),
        **dict.fromkeys(OTHERS, "COMPLETED" if keep_going else "CANCELLED"),
        "tell": "COMPLETED",
        "clean": "COMPLETED",
        "unneeded": "CANCELLED",
    }
    if not dies:
        assert "bad failed.\n" in said
        assert "2 tasks cannot run now: behind[n=1], behind[n=2]\n" in said
        assert ": bad\n" in said
        assert "was cancelled" not in said


@SITES
def test_a_task_that_has_another_attempt_has_not_failed_yet(
    slurm: Sandbox, tmp_path: Path, site: tuple[str, ...]
) -> None:
    """Without a head, without --keep-going: the first failed attempt stops nothing, the last one does."""
    folder = with_behaviour(tmp_path / "run", WORKFLOW.replace("fails:fail", "fails:fail-{resources.nth}"))
    with Head(slurm, folder, "--config", "retries=1", *site) as head:
        head.until(lambda: "Queued" in head.said and {"bad-1", "runs"} <= ran(folder))
        head.kill()
        (folder / "fail-1").touch()
        head.until(lambda: "bad-2" in ran(folder))
        time.sleep(3)  # for whoever might act on the first attempt's end
        now = states(slurm, folder)
        assert now["bad"] == "FAILED"
        assert {now[one] for one in BEHIND | OTHERS} == {"PENDING"}
        (folder / "fail-2").touch()
        head.until(lambda: cancelled(slurm, folder) >= BEHIND | OTHERS)
        assert states(slurm, folder)["runs"] == "RUNNING"
        (folder / "go").touch()
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {"bad-1", "bad-2", "runs", "tell", "clean"}


def test_a_head_that_looks_late_names_the_cause_and_not_what_fell_with_it(slurm: Sandbox, tmp_path: Path) -> None:
    """The pause between two queries grows to minutes; the guard is faster, and what it removes has not failed.

    Tasks that were submitted before the failed one are looked at before it, too.
    """
    deep = snakefile(
        rule(
            "prepare",
            Code('lambda wildcards: f"prepare-{int(wildcards.n) - 1}.txt" if wildcards.n != "1" else []'),
            output="prepare-{n}.txt",
            shell="touch {output}",
        )
    )
    late = WORKFLOW.replace("rule bad:\n", 'rule bad:\n    input:\n        "prepare-3.txt",\n') + textwrap.dedent(deep)
    folder = with_behaviour(tmp_path / "run", late)
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued" in head.said and {"bad-1", "runs"} <= ran(folder))
        order = [*submitted(folder)]
        assert order.index("other[n=1]") < order.index("bad")
        head.signal(signal.SIGSTOP)
        (folder / "fail").touch()
        head.until(lambda: cancelled(slurm, folder) >= BEHIND | OTHERS)
        (folder / "go").touch()
        assert_nothing_is_left(slurm, folder, but="closing")  # which sees that the head lives
        head.signal(signal.SIGCONT)
        assert head.end() == 1, head.said
        said = head.said
    assert "bad failed.\n" in said
    assert ": bad\n" in said
    assert "was cancelled" not in said


def test_a_guard_waits_as_long_as_slurm_takes_to_notice(private_slurm, tmp_path: Path) -> None:
    """Slurm's own pace: it says only seconds later that a job can never start, once for each link of a chain."""
    slurm = private_slurm(nodes=(Node(name="n1", cpus=8, memory_mb=16_000),), fast_scheduling=False)
    folder = with_behaviour(
        tmp_path / "run",
        WORKFLOW.replace('"behind-2.txt"', '"behind-9.txt"').replace(
            '"behind-1.txt"', 'f"behind-{int(wildcards.n) - 1}.txt"'
        ),
    )
    with Head(slurm, folder, "--keep-going", "--kempner-no-kill-on-invalid-dep") as head:
        head.until(lambda: "Queued" in head.said and {"bad-1", "runs"} <= ran(folder))
        head.kill()
        (folder / "fail").touch()
        (folder / "go").touch()
        head.until(lambda: states(slurm, folder)["other[n=2]"] == "COMPLETED")
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == {"bad-1", "runs", "other-1", "other-2", "tell", "clean"}


def test_on_a_full_machine_nothing_starts_after_a_failure_either(private_slurm, tmp_path: Path) -> None:
    """The CPU that the failed task leaves is wanted by tasks that were in the queue before the guard."""
    slurm = private_slurm(nodes=(Node(name="n1", cpus=3, memory_mb=16_000),))
    folder = with_behaviour(
        tmp_path / "run",
        snakefile(
            wanted("bad.txt", "runs.txt", Code('expand("other-{n}.txt", n=range(4))')),
            rule("bad", does="bad fails:fail", then=""),
            rule("runs", does="runs waits:go"),
            rule("first"),
            rule("other", "first.txt", output="other-{n}.txt", does="other-{wildcards.n} waits:go"),
        ),
    )
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued" in head.said and len(ran(folder)) == 4)
        before = ran(folder)
        head.kill()
        (folder / "fail").touch()
        head.until(lambda: states(slurm, folder)["bad"] == "FAILED")
        time.sleep(5)
        (folder / "go").touch()
        assert_nothing_is_left(slurm, folder)
    assert ran(folder) == before
