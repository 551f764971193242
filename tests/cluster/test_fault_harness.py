"""A sample of the runs under faults (`faults.py`), and that the harness sees what it is there for."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from comparison import Entry
from fault_kinds import FAULTS, Effect, Fault
from faults import fit, judge, table, try_seed
from soak import End
from soak_workflows import Kind, Trouble, Workflow, random_workflow

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOW = next(each for each in map(random_workflow, range(100)) if not each.fails)
LOCAL = End(
    exit_code=0,
    tree={"r0.txt": Entry(kind="file", content="r0")},
    ran=("r0", "r1"),
    hooks=("onsuccess",),
    next=frozenset(),
    said="",
)
HARMLESS, REPEATING = (Fault(does="", effect=effect) for effect in (Effect.NOTHING, Effect.REPEATS))


def test_jobs_that_sbatch_has_taken_without_an_answer_are_neither_lost_nor_run_twice(
    slurm: Sandbox, tmp_path: Path
) -> None:
    assert try_seed(slurm, "timed-out-but-taken", 2, "detached", tmp_path) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "seed", "mode"),
    [
        ("cancelled", 2, "again"),
        ("none", 130, "again"),
        ("programs-fail", 4, "detached"),
        ("programs-fail", 130029, "watched"),
        ("programs-hang", 4, "detached"),
        ("requeued", 2, "again"),
        ("requeued", 4, "detached"),
        ("wrong-clocks", 100011, "killed"),
        ("wrong-clocks", 1796081191, "again"),
    ],
)
def test_a_run_that_was_wrong_once_is_right(tmp_path: Path, fault: str, seed: int, mode: str) -> None:
    with Sandbox.start(accounting=FAULTS[fault].accounting, options=FAULTS[fault].slurm()) as slurm:
        assert try_seed(slurm, fault, seed, mode, tmp_path) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ran": ("r0", "r0", "r1")}, "commands that have run: +r0"),
        ({"ran": ("r0",)}, "commands that have run: -r1"),
        ({"exit_code": 1}, "exit code 1, not 0"),
        ({"tree": {"r0.txt": Entry(kind="file", content="")}}, "r0.txt has another content"),
    ],
    ids=["twice", "lost", "exit code", "early"],
)
def test_a_wrong_end_is_seen(change: dict[str, object], words: str) -> None:
    found = list(judge(HARMLESS, "watched", WORKFLOW, LOCAL, replace(LOCAL, **change)))  # type: ignore[arg-type]
    assert any(words in sentence for sentence in found), found


def test_a_command_may_run_more_often_only_where_the_fault_starts_jobs_again() -> None:
    def wrong(*ran: str) -> Iterator[str]:
        return judge(REPEATING, "watched", WORKFLOW, LOCAL, replace(LOCAL, ran=ran))

    assert list(wrong("r0", "r0", "r1")) == []
    assert list(wrong("r0")) == ["commands that have not run: r1"]


def test_workflows_under_a_fault_that_ends_tasks_have_a_certain_end() -> None:
    def odd(workflow: Workflow) -> int:
        return sum(rule.kind is Kind.UPDATE or rule.trouble is Trouble.ALWAYS for rule in workflow.rules)

    workflows = [random_workflow(seed) for seed in range(50)]
    assert sum(map(odd, workflows))
    assert not any(odd(fit(REPEATING, workflow)) for workflow in workflows)
    assert all(fit(HARMLESS, workflow) is workflow for workflow in workflows)


def test_of_each_run_the_last_result_is_in_the_table() -> None:
    lines = [
        {"fault": "held", "seed": 1, "mode": "watched", "slurm": "22.05.8", "right": False},
        {"fault": "held", "seed": 1, "mode": "watched", "slurm": "22.05.8", "right": True},
        {"fault": "held", "seed": 2, "mode": "again", "slurm": "22.05.8", "right": False},
        {"fault": "held", "seed": 2, "mode": "again", "slurm": "22.05.8", "right": True, "beside_others": True},
    ]
    rows = Counter(row.split(" | ")[0] for row in table(lines).splitlines()[2:])
    assert set(rows) == {f"| `{name}`" for name in FAULTS}
    assert f"| `held` | {FAULTS['held'].does} | nothing | 2 | 1 (seed 2, again) | 1 | 0 |" in table(lines)
