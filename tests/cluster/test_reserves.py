"""Further attempts of a sweep wait in reserve: calls for each rule, an attempt for each failure, and nobody has to watch."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import assert_nothing_is_left, moments, with_behaviour
from comparison import Outcome
from detached import left_behind, page
from head import Head, cancel_all, closed, of_rule, queued, run, run_detached, written
from snakefiles import ATTEMPT, Code, rule, snakefile, wanted
from test_command_line import kempner
from test_throttles import most_at_once

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

StartSlurm = Callable[..., Sandbox]
HOW = "$(./how {wildcards.n} {resources.nth})"
HOW_SCRIPT = """\
#!/bin/bash
# how SEED ATTEMPT: how this attempt is to behave
case $1-$2 in
    0-1 | 3-1 | 3-2) echo fails ;;
    9-*) echo fails ;;
    *) echo succeeds ;;
esac
"""
DIES = "if [ {wildcards.n}-{resources.nth} = 1-1 ]; then kill -9 $PPID; fi"
"""The first attempt of training 1 is killed, with the step that could release the next: the parent of its command."""


def sweep(seeds: range, **resources: Code) -> str:
    return snakefile(
        wanted("report.txt"),
        rule("report", Code(f'expand("evaluated-{{n}}.txt", n={list(seeds)})'), then="cat {input} > {output}"),
        rule(
            "evaluate", "trained-{n}.txt", output="evaluated-{n}.txt", does="evaluate-{wildcards.n}",
            then="cp {input} {output}",
        ),
        rule(
            "train", output="trained-{n}.txt", does=f"train-{{wildcards.n}}-{{resources.nth}} {HOW}",
            then=f"{DIES} && echo {{wildcards.n}} > {{output}}", retries=2,
            resources={"nth": ATTEMPT, "mem_mb": Code("lambda wildcards, attempt: 600 * attempt"), **resources},
        ),
    )  # fmt: skip


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    place = with_behaviour(tmp_path / "run", sweep(range(6)))
    how = place / "how"
    how.write_text(HOW_SCRIPT)
    how.chmod(0o755)
    yield place
    cancel_all(slurm, place)


EXPECTED = {
    **{f"train-{n}-1": 1 for n in range(6)},
    **{f"train-{n}-2": 1 for n in (0, 1, 3)},
    "train-3-3": 1,
    **{f"evaluate-{n}": 1 for n in range(6)},
    "report": 1,
}


def runs(folder: Path) -> dict[str, int]:
    return {name: len(times) for name, times in moments(folder, "started").items()}


def calls(folder: Path) -> Counter[str]:
    ledgers = folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
    lines = [json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines()]
    return Counter(line["kind"] for line in lines if "intent" in line and "folder" not in line)


def test_what_fails_or_is_killed_is_tried_again_by_itself_with_its_own_memory(slurm: Sandbox, folder: Path) -> None:
    left = left_behind(slurm, folder)
    attempts = of_rule(queued(slurm, folder), "train")
    assert Counter(attempt.memory for attempt in attempts) == {"600M": 6, "1200M": 6, "1800M": 6}
    ended = closed(slurm, folder, left)
    assert ended.exit_code == 0, ended.output
    assert runs(folder) == EXPECTED
    assert_nothing_is_left(slurm, folder)
    assert (folder / "report.txt").read_text().split() == list("012345")
    assert "has succeeded" in page(folder)
    assert calls(folder) == {"task": 5, "gate": 1, "release": 1, "guard": 1, "closing": 1}


def test_a_watched_run_tells_of_each_failure_and_leaves_nothing(slurm: Sandbox, folder: Path) -> None:
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert runs(folder) == EXPECTED
    assert_nothing_is_left(slurm, folder)
    assert outcome.output.count("failed; attempt") == 4


def test_a_head_that_is_killed_changes_nothing(slurm: Sandbox, folder: Path) -> None:
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        assert_nothing_is_left(slurm, folder)
    assert runs(folder) == EXPECTED
    again = run(slurm, folder)
    assert again.exit_code == 0, again.output
    assert runs(folder) == EXPECTED
    assert "Nothing to be done" in again.output


@pytest.mark.parametrize("jobs", [3, 6], ids=["fewer than the sweep has tasks", "as many"])
@pytest.mark.parametrize("alone", [run, run_detached], ids=["watched", "nobody there"])
def test_a_sweep_that_takes_turns_is_tried_again_from_the_reserve(
    slurm: Sandbox, folder: Path, alone: Callable[..., Outcome], jobs: int
) -> None:
    outcome = alone(slurm, folder, "--jobs", str(jobs))
    assert outcome.exit_code == 0, outcome.output
    assert runs(folder) == EXPECTED
    assert_nothing_is_left(slurm, folder)
    assert most_at_once(folder, train=1, evaluate=1, report=1) <= jobs
    assert calls(folder)["task"] <= 5
    assert calls(folder)["gate"] <= 1


def test_a_sweep_without_a_failure_needs_no_release_job(slurm: Sandbox, tmp_path: Path, folder: Path) -> None:
    (folder / "how").write_text("#!/bin/bash\necho succeeds\n")
    (folder / "Snakefile").write_text(sweep(range(6)).replace(DIES, "true"))
    ended = run_detached(slurm, folder)
    assert ended.exit_code == 0, ended.output
    assert_nothing_is_left(slurm, folder)
    assert not [line for name, line in of_helpers(slurm, folder) if name == "release" and line != "CANCELLED"]
    assert set(runs(folder).values()) == {1}


@pytest.mark.parametrize("alone", [run, run_detached], ids=["watched", "nobody there"])
def test_a_sweep_in_waves_is_tried_again_from_the_reserve(
    private_slurm: StartSlurm, tmp_path: Path, folder: Path, alone: Callable[..., Outcome]
) -> None:
    slurm = private_slurm()  # a limit counts all jobs of the user, those of other tests too
    outcome = alone(slurm, folder, "--kempner-max-queued", "20", "--kempner-array-from", "2")
    assert outcome.exit_code == 0, outcome.output
    assert runs(folder) == EXPECTED
    assert_nothing_is_left(slurm, folder)
    assert "will be queued later" in outcome.output
    assert 5 < calls(folder)["task"] < sum(EXPECTED.values()), "several waves, and no attempt by itself"


def of_helpers(slurm: Sandbox, folder: Path) -> list[tuple[str, str]]:
    return [(job.rule, job.state) for job in queued(slurm, folder, helpers=True)]


def test_a_task_that_fails_for_good_takes_what_needs_it_and_the_rest_goes_on(slurm: Sandbox, folder: Path) -> None:
    (folder / "Snakefile").write_text(sweep(range(6)).replace("[0, 1, 2, 3, 4, 5]", "[0, 1, 4, 5, 8, 9]"))
    ended = run_detached(slurm, folder, "--keep-going")
    assert ended.exit_code == 1, ended.output
    assert_nothing_is_left(slurm, folder)
    started = runs(folder)
    assert [started.get(f"train-9-{number}") for number in (1, 2, 3)] == [1, 1, 1]
    assert not any(name in started for name in ("evaluate-9", "report"))
    assert all(started[f"evaluate-{n}"] == 1 for n in (0, 1, 4, 5, 8))
    assert "9 of 13 tasks done" in page(folder) or "10 of 13" in page(folder)


THOUSAND = """
FAILING = list(range(0, 1000, 20))

rule all:
    input: expand("evaluated/{n}", n=range(1000))

rule evaluate:
    input: "trained/{n}"
    output: "evaluated/{n}"
    shell: "echo evaluate {wildcards.n} >> ran/{wildcards.n}; cp {input} {output}"

rule train:
    output: "trained/{n}"
    retries: 2
    resources:
        nth=lambda wildcards, attempt: attempt,
        mem_mb=lambda wildcards, attempt: 50 * attempt,
        runtime=lambda wildcards, attempt: attempt,
    params:
        how=lambda wildcards: ("exit 3", "kill -9 $PPID", "exec python3 -c 'import time; x = bytearray(150 << 20); time.sleep(600)'",
                               "exec sleep 600")[int(wildcards.n) // 20 % 4] if int(wildcards.n) in FAILING else "true"
    shell:
        "echo train {resources.nth} {resources.mem_mb} >> ran/{wildcards.n}; "
        "[ {resources.nth} != 1 ] || eval \\"{params.how}\\"; "
        "echo {wildcards.n} > {output}"
"""


@pytest.mark.thorough
def test_of_a_thousand_trainings_fifty_fail_once_and_each_is_tried_again_once(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    nodes = tuple(Node(name=f"n{number}", cpus=4, memory_mb=64_000) for number in range(1, 5))
    slurm = private_slurm(nodes=nodes, slurmd_timeout=20, enforce_memory=True)
    folder = written(tmp_path / "run", THOUSAND)
    (folder / "ran").mkdir()
    left_behind(slurm, folder, "--jobs", "unlimited")
    assert calls(folder).total() <= 20
    assert_nothing_is_left(slurm, folder, within=900)
    assert "has succeeded" in page(folder)
    for n in range(1000):
        tried = [f"train {attempt} {50 * attempt}" for attempt in ((1, 2) if n % 20 == 0 else (1,))]
        assert (folder / f"ran/{n}").read_text().splitlines() == [*tried, f"evaluate {n}"]


HELD_BACK = snakefile(
    wanted(*(f"trained-{n}.txt" for n in range(6))),
    rule("prepare", shell="for _ in {{1..600}}; do [ -e go ] && break; sleep 0.2; done; touch {output}"),
    rule(
        "train", "prepare.txt", output="trained-{n}.txt", does="train-{wildcards.n}-{resources.nth} $(./how {wildcards.n} {resources.nth})",
        retries=1, resources={"nth": ATTEMPT},
    ),
)  # fmt: skip


@pytest.mark.parametrize("how", ["scancel", "kempner cancel"])
def test_what_a_person_cancels_while_it_waits_is_not_tried_again(
    slurm: Sandbox, tmp_path: Path, folder: Path, how: str
) -> None:
    (folder / "Snakefile").write_text(HELD_BACK)
    left = left_behind(slurm, folder, "--keep-going")
    first = of_rule(queued(slurm, folder), "train")[4].job_id
    assert first.endswith("_4")
    if how == "scancel":
        slurm.run("scancel", first)
    else:
        said = kempner(slurm, folder, "cancel", "train[n=4]", "--yes")
        assert "cancelled" in said.lower(), said
    (folder / "go").touch()
    ended = closed(slurm, folder, left)
    assert ended.exit_code == 1, ended.output
    assert_nothing_is_left(slurm, folder)
    assert runs(folder) == {**{f"train-{n}-1": 1 for n in (0, 1, 2, 3, 5)}, "train-0-2": 1, "train-3-2": 1}
    assert not (folder / "trained-4.txt").exists()
