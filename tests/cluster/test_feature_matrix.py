"""Each feature of Snakemake gives on Slurm what it gives with Snakemake's own local executor.

A case is a small workflow (`tests/cases.py`, `tests/combinations.py`). It runs here and on Slurm, and both runs must
leave the same files, the same provenance, the same exit codes, and the same for the next run to do. What only a head process
can do is refused by `--kempner-detach` before anything is submitted.

Set `MATRIX_EXECUTOR=local` to try the cases themselves, without Slurm, and `MATRIX_COLUMNS=all` for every way of running every
case: watched, detached, with the head killed, and with the head killed and the command given again. `conformance.py` makes
the table of the documentation.
"""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import combinations
import pytest
from cases import AGAIN, CASES, COLUMNS, FEATURES, LEFT_TO_JOBS, Case, why_not
from columns import CALLS
from comparison import Tree, differences, run_snakemake
from matrix import Executor, checked, laid_out, local, play

from snakemake_executor_plugin_kempner.sandbox import Sandbox

ALL = (*CASES, *combinations.CASES)

LONG = frozenset({"all batches", "many rules without a command", "temporary files, when something fails"})
WITHOUT_A_HEAD = frozenset({
    "temp", "temp that nobody reads", "protected", "ensure that is broken", "log of a failure", "update that fails",
    "keep-going", "no keep-going", "keep-incomplete", "onsuccess", "checkpoints", "retries", "group",
    "resources from the size of an input", "directory elsewhere", "workdir", "odd characters", "until",
    "an input that vanished", "default storage, fetched by each job", "handover",
    *({case.name for case in LEFT_TO_JOBS} - LONG),
})  # fmt: skip
"""Features in which a head has a part, so that it makes a difference that none is there; see also test_detached.py."""
IN_GROUPS = frozenset({
    "group × two rules for a file, of which one lacks its input", "group × a task in it that removes what others have made",
})  # fmt: skip
SAMPLE: Mapping[str, frozenset[str]] = {
    "watched": frozenset({
        "before_update × update", *IN_GROUPS, "--omit-flags × benchmark", "--replace-workflow-config × script",
        *({case.name for case in FEATURES} - WITHOUT_A_HEAD),
    }),
    "detached": WITHOUT_A_HEAD | IN_GROUPS,
    "head killed": frozenset({"temp", "checkpoints", "onsuccess", "wrapper"}),
    AGAIN: frozenset({"temporary files that are read before and after a checkpoint", "checkpoints", "group"}),
}  # fmt: skip
"""What continuous integration tries: each feature at least once."""


def _is_chosen(case: Case, column: str) -> bool:
    return os.environ.get("MATRIX_COLUMNS") == "all" or case.name in SAMPLE.get(column, ())


TRIED = [
    pytest.param(case, column, id=f"{case.name}-{column}")
    for case in ALL
    for column in COLUMNS
    if not why_not(case, column) and _is_chosen(case, column)
]
REFUSED = [pytest.param(case, id=case.name) for case in ALL if case.needs_head]


@pytest.fixture(scope="session")
def ends_of_local_runs() -> dict[str, Tree]:
    """What a local run of each case has left, once for all columns."""
    return {}


@pytest.mark.parametrize(("case", "column"), TRIED)
def test_a_feature_gives_what_it_gives_locally(
    case: Case,
    column: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    ends_of_local_runs: dict[str, Tree],
) -> None:
    _skip_without(case)
    if case.name not in ends_of_local_runs:
        ends_of_local_runs[case.name] = play(case, local(), tmp_path / "local" / case.folder)
    found = play(case, _executor(column, request), tmp_path / "tried" / case.folder)
    sentences = differences(ends_of_local_runs[case.name], found)
    assert not sentences, f"{case.name}, {column}, differs from a local run:\n" + "\n".join(sentences)


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_a_head_is_refused_before_anything_is_submitted(case: Case, slurm: Sandbox, tmp_path: Path) -> None:
    _skip_without(case)
    laid_out(case, folder := tmp_path / "run")
    args = ("--executor", "kempner", "--jobs", "20", "--kempner-detach")
    executor = Executor(name="detached", args=args, environment=slurm.environment, snakemake=run_snakemake)
    checked(executor.run(case, folder), 1, case.needs_head)
    assert str(folder) not in slurm.run("squeue", "--noheader", "--states=all", "--format=%Z")


def _skip_without(case: Case) -> None:
    for module in case.needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{case.name} needs {module}, which is not installed")


def _executor(column: str, request: pytest.FixtureRequest) -> Executor:
    """The executor under test: `kempner`, unless the environment names another."""
    name = os.environ.get("MATRIX_EXECUTOR", "kempner")
    if name == "local":
        return local()
    slurm: Sandbox = request.getfixturevalue("slurm")
    return Executor(
        name=name,
        args=("--executor", name, "--jobs", "20"),
        environment=slurm.environment,
        waiting=lambda: slurm.run("squeue", "--noheader", "--states=PENDING", "--format=%i %j %R %Z"),
        snakemake=CALLS[column](slurm),
    )
