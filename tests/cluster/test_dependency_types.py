"""What each declared dependency does with each end of the task it names, on a real Slurm."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from behaviour import Submitted, assert_nothing_is_left, moments, ran, submitted, with_behaviour
from head import Head, queued, run, written
from snakefiles import ATTEMPT, Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

# --- five types, six ends -------------------------------------------------------------------------------------------

TYPES = ("after", "afterok", "afternotok", "afterany")

TABLE = """
             after    afterok      afternotok    afterany
succeeds     ran      ran          not_needed    ran
done         ran      ran          not_needed    ran
unasked      ran      ran          not_needed    ran
fails        ran      cannot_run   ran           ran
cancelled    ran      cannot_run   ran           ran
skipped      ran      cannot_run   ran           ran
timeouts     ran      cannot_run   ran           ran
"""
"""What becomes of a dependant of each type (column) when the task that it names ends so (row).

`skipped`: the named task never ran, because its own input failed. `done`: it is up to date. `unasked`: its rule is
part of the workflow, but nothing that was asked for needs it.
"""

BY_TYPE = """
HOW = config["how"].split(",")
BEHAVIOUR = {"fails": "fails", "cancelled": "hangs", "timeouts": "hangs", "succeeds": "waits:after-succeeds.txt"}
BAD = ("fails", "cancelled", "timeouts")
ALONE = [how for how in HOW if how in BEHAVIOUR]
RUNTIME = 1 if "timeouts" in HOW else 30
TYPES = ["after", "afterok", "afternotok", "afterany"]


rule all:
    input:
        expand("up-{how}.txt", how=[how for how in HOW if how != "unasked"]),
        expand("{type}-{how}.txt", type=TYPES, how=HOW),
        expand("alone-{how}-{n}.txt", how=ALONE, n=(1, 2)),


rule broken:
    output:
        "broken.txt",
    shell:
        "./behave broken fails"


rule up:
    input:
        lambda wildcards: "broken.txt" if wildcards.how == "skipped" else [],
    output:
        "up-{how}.txt",
    params:
        behaviour=lambda wildcards: BEHAVIOUR.get(wildcards.how, "succeeds"),
    resources:
        runtime=RUNTIME,
    shell:
        "./behave up-{wildcards.how} {params.behaviour} && touch {output}"


for type in TYPES:

    rule:
        name:
            type
        output:
            type + "-{how}.txt",
        resources:
            slurm_dependency=type + ":up",
        shell:
            "./behave {rule}-{wildcards.how} && touch {output}"


# Slurm's `singleton` goes by the name of the rule: one rule for each end, or they would all wait for each other.
for how in ALONE:

    rule:
        name:
            f"alone_{how}"
        output:
            f"alone-{how}-{{n}}.txt",
        params:
            behaviour=lambda wildcards, rule=None, how=how: (
                BEHAVIOUR[how] if wildcards.n == "1" and how in BAD else "succeeds"
            ),
        resources:
            runtime=RUNTIME,
            slurm_dependency="singleton",
        shell:
            "./behave {rule}-{wildcards.n} {params.behaviour} && touch {output}"
"""


def expected(how: Iterable[str]) -> dict[str, dict[str, str]]:
    """The rows of the table."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {row[0]: dict(zip(head, row[1:], strict=True)) for row in rows if row[0] in how}


def found(folder: Path, said: str, how: Iterable[str]) -> dict[str, dict[str, str]]:
    """The same as it came out."""
    return {one: {kind: _fate(folder, said, kind, one) for kind in TYPES} for one in how}


def _fate(folder: Path, said: str, kind: str, how: str) -> str:
    it_ran = f"{kind}-{how}" in ran(folder)
    cannot = re.findall(r"cannot run now: (.*)", said)
    label = f"{kind}[how={how}]"
    words = {
        "ran": it_ran,
        "not_needed": f"{label} was not needed" in said,
        "cannot_run": any(label in line for line in cannot),
        "failed": f"{label} failed" in said or f"{label} was cancelled" in said,
    }
    return " and ".join(word for word, is_so in words.items() if is_so) or "nothing at all"


def assert_order(slurm: Sandbox, folder: Path, how: Iterable[str]) -> None:
    """`after` waits for the start of what it names, the others for its end; singletons never overlap."""
    starts, ends = moments(folder, "started"), moments(folder, "ended")
    jobs = job_starts(slurm, folder)
    for one in how:
        (end,) = ends.get(f"up-{one}", [0.0])
        if up := jobs.get(f"up[how={one}]"):
            assert up <= jobs[f"after[how={one}]"]
        late = {kind: starts[f"{kind}-{one}"][0] for kind in TYPES[1:] if f"{kind}-{one}" in starts}
        assert all(moment >= end for moment in late.values()), (one, end, late)
        if f"alone_{one}-1" not in starts:  # it has no end that another could wait for
            continue
        first, second = sorted((starts[f"alone_{one}-{n}"][0], f"alone_{one}-{n}") for n in (1, 2))
        assert ends.get(first[1], [0.0])[0] <= second[0], f"{first} and {second} overlap"


def job_starts(slurm: Sandbox, folder: Path) -> dict[str, datetime]:
    """When jobs have started, by name; a command starts later: Snakemake in the job takes its time."""
    lines = slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i %S").splitlines()
    words = dict(line.split() for line in lines)
    starts = {name: words[one.job_id] for name, one in submitted(folder).items()}
    return {name: datetime.fromisoformat(start) for name, start in starts.items() if start != "N/A"}


def test_dependants_of_what_succeeds_is_done_or_is_not_asked_for(slurm: Sandbox, tmp_path: Path) -> None:
    """A handler that was not needed is no failure."""
    how = ("succeeds", "done", "unasked")
    folder = with_behaviour(tmp_path / "run", BY_TYPE)
    (folder / "up-done.txt").touch()
    config = ("--config", f"how={','.join(how)}")
    outcome = run(slurm, folder, *config)
    assert outcome.exit_code == 0, outcome.output
    assert found(folder, outcome.output, how) == expected(how)
    assert_order(slurm, folder, how)
    assert moments(folder, "started")["after-succeeds"] < moments(folder, "ended")["up-succeeds"]
    assert not {"up-done", "up-unasked"} & ran(folder)
    assert "afternotok[how=done] was not needed: up does not run, so it cannot fail" in outcome.output
    assert " has failed: " not in outcome.output
    assert_nothing_is_left(slurm, folder)


def test_dependants_of_what_fails_is_cancelled_or_never_runs(slurm: Sandbox, tmp_path: Path) -> None:
    how = ("fails", "cancelled", "skipped")
    folder = with_behaviour(tmp_path / "run", BY_TYPE)
    with Head(slurm, folder, "--keep-going", "--config", f"how={','.join(how)}") as head:
        head.until_queued()
        for name, label in (("up-cancelled", "up[how=cancelled]"), ("alone_cancelled-1", "alone_cancelled[n=1]")):
            head.until(lambda name=name: name in ran(folder))
            slurm.run("scancel", submitted(folder)[label].job_id)
        assert head.end() == 1, head.said
        assert found(folder, head.said, how) == expected(how)
        assert_order(slurm, folder, how)
        assert "up-skipped" not in ran(folder)
        assert "up[how=cancelled] was cancelled" in head.said
        assert "up[how=fails] failed" in head.said
        assert "up[how=skipped] failed" not in head.said
        assert_nothing_is_left(slurm, folder)


@pytest.mark.slow
def test_dependants_of_what_meets_its_time_limit_and_its_next_attempt(slurm: Sandbox, tmp_path: Path) -> None:
    """Everything that has to wait for Slurm's shortest limit, a minute and what it takes to notice, in one run."""
    how = ("timeouts",)
    more = snakefile(
        rule(
            "slow",
            does="slow-{resources.nth} {resources.behaviour}",
            retries=1,
            resources={
                "nth": ATTEMPT,
                "behaviour": Code('lambda wildcards, attempt: "hangs" if attempt == 1 else "succeeds"'),
                "runtime": ATTEMPT,
            },
        ),
        rule("after_slow", "slow.txt", output="after-slow.txt"),
    )
    folder = with_behaviour(tmp_path / "run", BY_TYPE + more)
    with Head(slurm, folder, "all", "after-slow.txt", "--keep-going", "--config", "how=timeouts") as head:
        assert head.end() == 1, head.said
        assert found(folder, head.said, how) == expected(how), head.said
        assert "stopped at its time limit of 1 min" in head.said
        jobs = job_starts(slurm, folder)
        limit = timedelta(seconds=59)  # Slurm cuts off parts of a second
        waits = {
            "afternotok[how=timeouts]": "up[how=timeouts]",
            "afterany[how=timeouts]": "up[how=timeouts]",
            "slow#2": "slow",
        }
        if jobs["alone_timeouts[n=1]"] < jobs["alone_timeouts[n=2]"]:  # the other one hangs for nobody
            waits["alone_timeouts[n=2]"] = "alone_timeouts[n=1]"
        assert all(jobs[late] - jobs[early] >= limit for late, early in waits.items()), jobs
        assert_order(slurm, folder, how)
        assert {"slow-1", "slow-2", "after_slow"} <= ran(folder)
        assert [submitted(folder)[one].options["--time"] for one in ("slow", "slow#2")] == ["1", "2"]
        assert_nothing_is_left(slurm, folder)


# --- what the text becomes ------------------------------------------------------------------------------------------


def queued_on_hold(slurm: Sandbox, folder: Path, *more: str) -> dict[str, Submitted]:
    """What a run has in the queue, for workflows whose rules ask to be held there; then the run is cancelled."""
    with Head(slurm, folder, *more) as head:
        head.until_queued()
        return submitted(folder)


def test_a_delay_after_a_start_reaches_slurm(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "run",
        snakefile(
            wanted("train.txt", "monitor.txt"),
            rule("train", shell="touch {output}", resources={"slurm_extra": "--hold"}),
            rule("monitor", shell="touch {output}", resources={"slurm_dependency": "after:train+1"}),
        ),
    )
    with Head(slurm, folder) as head:
        head.until_queued()
        jobs = submitted(folder)
        shown = slurm.run("squeue", "-h", "-o", "%E", "-j", jobs["monitor"].job_id)
    assert jobs["monitor"].dependency == "after:train+1"
    assert shown.startswith(f"after:{jobs['train'].job_id}+1")


def test_a_rules_name_means_the_tasks_that_agree_in_the_wildcards_they_share(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "run",
        """
        SAMPLES, SEEDS = ("a", "b"), (1, 2)


        rule all:
            input:
                expand("train-{sample}-{seed}.txt", sample=SAMPLES, seed=SEEDS),
                expand("tell-{sample}-{seed}-{whom}.txt", sample=SAMPLES, seed=SEEDS, whom="me"),
                expand("clean-{sample}.txt", sample=SAMPLES),
                "last.txt",

        rule train:
            output:
                "train-{sample}-{seed}.txt",
            resources:
                slurm_extra="--hold",
            shell:
                "touch {output}"

        rule tell:
            output:
                "tell-{sample}-{seed}-{whom}.txt",
            resources:
                slurm_dependency="afternotok:train",
            shell:
                "touch {output}"

        rule clean:
            output:
                "clean-{sample}.txt",
            resources:
                slurm_dependency="afterany:train",
            shell:
                "touch {output}"

        rule last:
            output:
                "last.txt",
            resources:
                slurm_dependency="afterok:train,afterany:clean:tell",
            shell:
                "touch {output}"
        """,
    )
    jobs = queued_on_hold(slurm, folder)
    for sample in "ab":
        for seed in "12":
            wanted = f"afternotok:train[sample={sample},seed={seed}]"
            assert jobs[f"tell[sample={sample},seed={seed},whom=me]"].dependency == wanted
        assert terms(jobs[f"clean[sample={sample}]"].dependency) == {
            ("afterany", f"train[sample={sample},seed={seed}]") for seed in "12"
        }
    assert terms(jobs["last"].dependency) == {
        ("afterok" if name.startswith("train") else "afterany", name) for name in jobs.keys() - {"last", "closing"}
    }


def terms(dependency: str) -> set[tuple[str, str]]:
    """`afterok:a:b,afterany:c` → pairs of type and name; every separator has to be the comma."""
    assert "?" not in dependency
    pieces = re.findall(r"(?:^|,)(after\w*)((?::\w+(?:\[[^]]*\])?(?:#\w+)?)+)", dependency)
    return {(kind, name) for kind, names in pieces for name in re.findall(r":(\w+(?:\[[^]]*\])?(?:#\w+)?)", names)}


def test_declared_edges_join_those_of_the_data(slurm: Sandbox, tmp_path: Path) -> None:
    """A handler that needs a file of another task waits for both; what fails is dealt with, what succeeds is not."""
    folder = with_behaviour(
        tmp_path / "run",
        snakefile(
            wanted("good.txt", "bad.txt", Code('expand("tell-{of}.txt", of=("good", "bad"))'), "told.txt"),
            rule("address"),
            rule("good"),
            rule("bad", does="bad fails", then=""),
            rule(
                "tell_good",
                "address.txt",
                output="tell-good.txt",
                does="{rule}",
                resources={"slurm_dependency": "afternotok:good"},
            ),
            rule(
                "tell_bad",
                "address.txt",
                output="tell-bad.txt",
                does="{rule}",
                resources={"slurm_dependency": "afternotok:bad"},
            ),
            rule("told", "tell-bad.txt", does="{rule}", resources={"slurm_dependency": "afterany:tell_good:good"}),
        ),
    )
    outcome = run(slurm, folder, "--keep-going")
    assert outcome.exit_code == 1, outcome.output
    jobs = submitted(folder)
    assert terms(jobs["tell_bad"].dependency) == {("afterok", "address"), ("afternotok", "bad")}
    assert terms(jobs["told"].dependency) == {("afterok", "tell_bad"), ("afterany", "tell_good"), ("afterany", "good")}
    assert ran(folder) == {"address", "good", "bad", "tell_bad", "told"}
    assert "tell_good was not needed" in outcome.output
    assert ": bad\n" in outcome.output
    assert_nothing_is_left(slurm, folder)


def test_a_handler_of_a_handler_is_refused(slurm: Sandbox, tmp_path: Path) -> None:
    """Slurm takes a handler that is not needed out of the queue, and that is "not ok": the next one would run."""
    folder = written(
        tmp_path / "run",
        snakefile(
            wanted(Code('expand("{name}.txt", name=("train", "repair", "alarm"))')),
            rule("train", shell="touch {output}"),
            rule("repair", shell="touch {output}", resources={"slurm_dependency": "afternotok:train"}),
            rule("alarm", shell="touch {output}", resources={"slurm_dependency": "afternotok:repair"}),
        ),
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 1
    assert "1 fault found before anything was submitted:" in outcome.output
    assert "alarm: is to run when repair fails, which is a failure handler itself" in outcome.output
    assert queued(slurm, folder) == []


GROUPS = snakefile(
    wanted("second.txt", "watch.txt", "tell.txt", "late-2.txt"),
    rule("first", group="pair"),
    rule("second", "first.txt", does="second fails", then="", group="pair"),
    rule("watch", resources={"slurm_dependency": "after:first"}),
    rule("tell", resources={"slurm_dependency": "afternotok:first"}),
    rule("late_1", output="late-1.txt", group="late"),
    rule("late_2", "late-1.txt", output="late-2.txt", group="late", resources={"slurm_dependency": "afterany:second"}),
)


def test_a_member_of_a_group_stands_for_the_whole_group(slurm: Sandbox, tmp_path: Path) -> None:
    """What names a member waits for its group's job; what a member declares holds for the job of its own group."""
    folder = with_behaviour(tmp_path / "run", GROUPS)
    outcome = run(slurm, folder, "--keep-going")
    assert outcome.exit_code == 1, outcome.output
    assert {name: one.dependency for name, one in submitted(folder).items()} == {
        "pair_first_second": "",
        "watch": "after:pair_first_second",
        "tell": "afternotok:pair_first_second",
        "late_late_1_late_2": "afterany:pair_first_second",
    }
    assert ran(folder) == {"first", "second", "watch", "tell", "late_1", "late_2"}
    assert_nothing_is_left(slurm, folder)


ON_HOLD = snakefile(
    wanted("train.txt", "tell.txt"),
    rule("train", shell="touch {output}", resources={"slurm_extra": "--hold"}),
    rule("tell", shell="touch {output}"),
)


def test_the_command_line_declares_for_a_rule_that_does_not(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ON_HOLD)
    jobs = queued_on_hold(slurm, folder, "--set-resources", "tell:slurm_dependency=afternotok:train")
    assert jobs["tell"].dependency == "afternotok:train"


def test_a_profile_declares_for_a_rule_that_does_not(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ON_HOLD)
    profile = folder / "profile" / "config.yaml"
    profile.parent.mkdir()
    profile.write_text("set-resources:\n  tell:\n    slurm_dependency: 'afternotok:train,singleton'\n")
    jobs = queued_on_hold(slurm, folder, "--profile", str(profile.parent))
    assert jobs["tell"].dependency == "afternotok:train,singleton"


# --- what cannot be meant -------------------------------------------------------------------------------------------


FAULTS = """
  - typo: slurm_dependency: there is no rule 'trian' in the workflow
      afterok:train,afternotok:trian
                               ^^^^^

  - wrong_type: slurm_dependency: unknown type 'onfailure'; there are after, afterok, afternotok, afterany, singleton
      onfailure:train
      ^^^^^^^^^

  - many: slurm_dependency: train means 2 tasks here, and it is not said which of them has to fail; give this rule the \
wildcards of train
      afternotok:train
                 ^^^^^
"""


def test_every_fault_of_every_rule_is_in_one_message_and_nothing_is_submitted(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "run",
        snakefile(
            wanted(
                Code('expand("{name}.txt", name=("a", "b", "typo", "type", "many"))'),
                Code('expand("train-{seed}.txt", seed=(1, 2))'),
            ),
            rule("a", shell="touch {output}", resources={"slurm_dependency": "afterany:b"}),
            rule("b", shell="touch {output}", resources={"slurm_dependency": "after:a"}),
            rule("train", output="train-{seed}.txt", shell="touch {output}"),
            rule("typo", shell="touch {output}", resources={"slurm_dependency": "afterok:train,afternotok:trian"}),
            rule(
                "wrong_type",
                output="type.txt",
                shell="touch {output}",
                resources={"slurm_dependency": "onfailure:train"},
            ),
            rule("many", shell="touch {output}", resources={"slurm_dependency": "afternotok:train"}),
        ),
    )
    outcome = run(slurm, folder)
    assert outcome.exit_code == 1
    assert "4 faults found before anything was submitted:\n" in outcome.output
    circle = re.search(r"tasks wait for each other in a circle: (.*)", outcome.output)
    assert circle
    assert circle[1].split(" → ") in (["a", "b", "a"], ["b", "a", "b"])
    for fault in FAULTS.strip("\n").split("\n\n"):
        assert fault in outcome.output, outcome.output
    assert queued(slurm, folder) == []
    assert submitted(folder) == {}
    assert "Traceback" not in outcome.output
