"""A sample of the soak (`soak.py`), and that what it runs and compares is what it is there for."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from comparison import Entry, Outcome
from head import UNTIL_GO, Head, closed, ended, go, run, run_detached, written
from snakefiles import rule, snakefile, temp, wanted
from soak import End, compare, try_seed
from soak_workflows import Kind, Trouble, Workflow, random_workflow

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOWS = [random_workflow(seed) for seed in range(300)]
LEFT = End(
    exit_code=0,
    tree={"r0.txt": Entry(kind="file", content="r0")},
    ran=("r0", "r1"),
    hooks=("onsuccess",),
    next=frozenset(),
    said="",
)


@pytest.mark.parametrize(("seed", "mode"), [(33, "watched"), (21, "detached")])
def test_a_random_workflow_leaves_on_slurm_what_a_local_run_leaves(
    slurm: Sandbox, tmp_path: Path, seed: int, mode: str
) -> None:
    assert try_seed(slurm, random_workflow(seed), (mode,), tmp_path) == {mode: []}


def test_a_seed_gives_the_same_workflow_each_time() -> None:
    assert [random_workflow(seed).snakefile for seed in range(20)] == [one.snakefile for one in WORKFLOWS[:20]]


def test_the_random_workflows_contain_what_they_are_there_for() -> None:
    rules = [rule for workflow in WORKFLOWS for rule in workflow.rules]
    kinds, troubles = Counter(rule.kind for rule in rules), Counter(rule.trouble for rule in rules)
    assert min(kinds[kind] for kind in Kind) >= 30
    assert min(troubles[trouble] for trouble in Trouble) >= 30
    for name in ("wild", "checkpoint", "local", "group", "log", "after", "unread", "ancient"):
        assert sum(bool(getattr(rule, name)) for rule in rules) >= 30, name
    failing = Counter("--keep-going" in workflow.options for workflow in WORKFLOWS if workflow.fails)
    assert min(failing[True], failing[False]) >= 20


def test_what_is_known_to_differ_is_drawn_on_demand_alone() -> None:
    def known(workflow: Workflow) -> bool:
        return any(rule.norun or (rule.group and "temp" in rule.unread) for rule in workflow.rules)

    assert not any(map(known, WORKFLOWS))
    assert any(known(random_workflow(seed, known_faults=True)) for seed in range(300))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"exit_code": 1}, ["exit code 1, not 0"]),
        ({"hooks": ("onsuccess", "onsuccess")}, ["hooks: onsuccess, onsuccess, not onsuccess"]),
        ({"ran": ("r0", "r0")}, ["commands that have run: +r0 -r1"]),
        ({"tree": {}}, ["missing file: r0.txt"]),
        ({"next": frozenset({"r1"})}, ["a dry run would run ['r1'], not []"]),
    ],
)
def test_a_difference_is_said(change: dict[str, object], words: list[str]) -> None:
    workflow = next(one for one in WORKFLOWS if not one.fails)
    assert list(compare(workflow, LEFT, replace(LEFT, **change))) == words  # type: ignore[arg-type]


def test_of_a_run_that_stops_at_a_failure_only_what_is_certain_is_compared() -> None:
    workflow = next(
        one
        for one in WORKFLOWS
        if one.fails and "--keep-going" not in one.options and one.rules[0].trouble is Trouble.ALWAYS
    )
    assert list(compare(workflow, LEFT, replace(LEFT, ran=("r0",), tree={}))) == []
    assert list(compare(workflow, LEFT, replace(LEFT, ran=("r0", "r1", "r1")))) == ["commands that have run: +r1"]
    other = {"r0.txt": Entry(kind="file", content="other")}
    assert "r0.txt has another content" in next(compare(workflow, LEFT, replace(LEFT, tree=other)))


# --- what the soak has found ----------------------------------------------------------------------------------------


def test_a_local_rule_that_is_in_flight_as_a_job_is_not_run_by_the_next_head(slurm: Sandbox, tmp_path: Path) -> None:
    """Found by seed 312, killed and given again: what the run went on with by itself was run by the head, too."""
    folder = written(
        tmp_path / "run",
        f"""
        onsuccess:
            shell("echo onsuccess >>hooks")
        rule all:
            input: "b.txt"
        rule b:
            localrule: True
            output: "b.txt"
            shell: "echo b >>runs; {UNTIL_GO}; touch {{output}}"
        """,
    )
    left = run(slurm, folder, "--kempner-detach")
    with Head(slurm, folder, "--rerun-incomplete") as head:
        head.until(lambda: "b is Slurm job" in head.said and (folder / "runs").exists())
        go(folder)
        assert head.end() == 0, head.said
        ended(slurm, folder)
    assert left.exit_code == 0
    assert (folder / "runs").read_text() == "b\n"
    assert (folder / "hooks").read_text() == "onsuccess\n"


def test_a_temporary_file_stays_for_a_reader_that_has_failed_and_kept_its_output(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Found by seed 30009, detached: the kept output made the reader look finished to the closing job's Snakemake."""
    folder = written(
        tmp_path / "run",
        snakefile(
            wanted("good.txt", "bad.txt"),
            rule("make", output=temp("made.txt"), shell="touch {output}"),
            rule("good", "made.txt", shell="touch {output}"),
            rule("bad", "made.txt", shell="touch {output}; false"),
        ),
    )
    outcome = run_detached(slurm, folder, "--keep-going", "--keep-incomplete")
    assert outcome.exit_code == 1
    assert (folder / "bad.txt").exists()
    assert (folder / "made.txt").exists()


def test_a_rule_that_does_not_look_as_if_it_had_to_run_runs_though_the_head_has_died(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """Found by seed 30010: its output exists and is newer than its input, but it was to be updated by what runs before."""
    folder = written(
        tmp_path / "run",
        f"""
        rule all:
            input: "updated.txt", "made.txt"
        rule make:
            output: "made.txt"
            shell: "{UNTIL_GO}; touch {{output}}"
        rule bring_up_to_date:
            localrule: True
            input: ancient("made.txt")
            output: update("updated.txt")
            shell: "echo new >>{{output}}"
        """,
    )
    (folder / "updated.txt").write_text("old\n")
    with Head(slurm, folder) as head:
        head.until_queued()
        head.kill()
        go(folder)
        (ledger,) = folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
        closed(slurm, folder, Outcome(exit_code=0, output=f"Run {ledger.parent.name} is in Slurm's hands"))
    assert (folder / "updated.txt").read_text() == "old\nnew\n"
