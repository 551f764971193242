"""Real Slurms for the tests of this folder; every test here carries the marker `cluster`.

    slurm                    one sandbox for the whole test run, shared by all pytest-xdist workers, no accounting (tests/cell.sh: or with)
    slurm_with_accounting    the same with slurmdbd and MariaDB; started only if a test asks for it
    kempner                  one with nodes of every GPU model, Kempner's partitions, and accounts of two kinds
    private_slurm            a function that starts a sandbox of the test's own, for whoever breaks things
    folder                   where a workflow lies; nothing that was queued there on `slurm` outlives the test

Other workers use the shared ones at the same time: look at and cancel your own jobs only, break nothing. Job 1 of
every sandbox is its own first trial (`sandbox-probe`).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pytest
from kempner_site import ACCOUNTS, NODES

from snakemake_executor_plugin_kempner.sandbox import MissingPrograms, Sandbox, SandboxOptions
from snakemake_executor_plugin_kempner.sandbox.options import kempner_partitions

HERE = Path(__file__).parent
SHARED = SandboxOptions(max_array_size=10_001, max_job_count=20_000, min_job_age=900)
"""However busy the machine is, a test still finds its first job when its last one has ended."""

WAITING = ("test_faults.py", "test_attempts.py", "test_dependency_types.py", "test_sweep.py")
"""Files whose tests wait for time limits, for daemons that are away, for a node to be given up."""

THOROUGH = (
    "test_faults.py::test_a_controller_that_goes_away*[[]frozen]",
    "test_faults.py::test_an_sbatch*[[]or not at all]",
    "test_kills.py::*runs_each_task_once[[]chain]",
    "test_kills.py::*runs_each_task_once[[]temp files]",
    "test_feature_matrix.py::*[[]a temporary file that is asked for-*",
    "test_real_workflows.py::*[[]models, folds and seeds]",
    "test_attempts.py::*node_fails*[[]head lives]",
    "test_requeue.py::*[[]head lives]",
    "test_continuations.py::*slurm_has_forgotten*[[]accounting]",
    "test_kills.py::*runs_each_task_once[[]diamond]",
    "test_kills.py::*runs_each_task_once[[]fan-in]",
    "test_head_dies.py::*[[]SIGHUP]",
    "test_head_dies.py::test_what_is_edited*[[]watched]",
    "test_cancelled_jobs.py::test_what_is_cancelled*-keeps going-watched]",
    "test_cancelled_jobs.py::test_what_is_cancelled*-stops-detached]",
    "test_late_faults.py::test_a_fault*-keeps going-watched]",
    "test_late_faults.py::test_a_fault*-stops-detached]",
    "test_paths.py::*at the end*",
    "test_sources_outlive_heads.py::*[[]15]",
    "test_user_environment.py::test_a_cancel*by a wrapper]",
    "test_forgotten.py::*[[]detached]",
    "test_heard.py::test_a_failure_is_heard*[[]words2]",
    "test_whose_folder.py::test_ctrl_c*-(0.05,)]",
    "test_whose_folder.py::test_ctrl_c*detached*",
    "test_whose_folder.py::test_jobs_of_which*[[]detached-*",
    "test_whose_folder.py::test_on_another_cluster*[[]again, detached]",
    "test_whose_folder.py::test_on_another_cluster*second --yes]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-truncated]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-emptied]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-without_a_job]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-of_another_version]",
    "test_cancelled_jobs.py::test_what_is_held*[[]array-watched]",
    "test_cancelled_jobs.py::test_what_was_not_needed*-watched]",
    "test_submission.py::test_a_submission_that_times_out*[[]after]",
    "test_faults.py::test_a_job_whose_head_died_before*[[]4]",
    "test_reserves.py::test_what_a_person_cancels*[[]kempner cancel]",
    "test_kills.py::*runs_each_task_once[[]retries]",
    "test_kills.py::test_attempts_that_several_heads*[[](2, 1)-succeeds]",
    "test_kills.py::test_what_ends_after*[[]1]",
    "test_cancelled_jobs.py::test_an_element_that_vanishes*[[]watched]",
    "test_cancelled_jobs.py::test_what_is_cancelled*[[]gate-keeps going-detached]",
    "test_cancelled_jobs.py::test_what_is_cancelled*[[]waiting task-keeps going-detached]",
    "test_cancelled_jobs.py::test_what_is_cancelled*[[]waiting array-stops-watched]",
    "test_faults.py::test_a_controller_that_goes_away_in_the_midst*",
    "test_submission.py::test_a_controller_that_is_away_while_jobs_run*",
    "test_submission.py::test_ends_that_the_controller_has_forgotten*[[]with accounting]",
    "test_forgotten.py::test_no_attempt_runs_after_one_that_has_succeeded*[[]watched]",
    "test_sandbox.py::test_a_crashed_node_fails_its_job",
    "test_feature_matrix.py::*[[]notebook-watched]",
    "test_feature_matrix.py::*local copies shared-watched]",
    "test_feature_matrix.py::*[[]default storage, grouped, nothing shared-watched]",
    "test_feature_matrix.py::*[[]wrapper-head killed]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-removed]",
    "test_whose_folder.py::test_jobs_of_which*[[]watched-gone_with_*",
    "test_whose_folder.py::test_the_jobs_of_a_folder_that_was_copied*[[]cp -r]",
    "test_head_dies.py::*dies_right_after_the_submission*[[]SIGTERM]",
    "test_light_jobs.py::test_a_failure_leaves_the_same*[[]--keep-incomplete]",
    "test_soak.py::*[[]33-watched]",
    "test_one_other_cluster.py::*cancelled_there*",
    "test_attempts.py::test_without_a_head_a_job_that_meets_its_time_limit*",
    "test_long_trainings.py::test_a_training_that_its_segments_do_not_suffice*",
    "test_one_other_cluster.py::test_a_failure_stops*",
    "test_one_other_cluster.py::test_what_needs_two*",
    "test_one_other_cluster.py::test_an_open_run*",
)
"""Variations that continuous integration leaves out, as patterns of their names."""

LOWEST = "9.16.3"
NOT_WITH_LOWEST = {
    "test_feature_matrix.py::*[[]default storage, nothing shared-*": "it leaves temporary files in the default storage",
    "test_feature_matrix.py::*[[]default storage, fetched by each job-*": "it leaves temporary files in the default storage",
    "test_feature_matrix.py::*[[]default storage, grouped, fetched by each job-*": "it leaves temporary files in the default storage",
    "test_traps.py::test_memory_by_the_size*[[]a default with a bound]": "it does not evaluate such a default ahead",
    "test_what_jobs_used.py::test_suggested_requests_are_a_profile*": "it takes an expression by wildcards in a profile for a word",
    "test_what_jobs_used.py::test_a_suggestion_by_a_wildcard*": "it takes an expression by wildcards in a profile for a word",
}
"""What the lowest Snakemake does not do, locally or at all: patterns of names of tests, and why they are skipped there."""

pytest.register_assert_rewrite("behaviour", "head", "matrix")


class StartSlurm(Protocol):
    """Starts a sandbox that ends with the test; options are those of `SandboxOptions`, by name."""

    def __call__(self, *, accounting: bool = False, **options: Any) -> Sandbox: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test below this folder, so that none is run without Slurm by mistake; those that mostly wait begin first.

    A warning fails a unit test; here, where what runs takes minutes, it is only shown.
    """
    not_here = NOT_WITH_LOWEST if version("snakemake") == LOWEST else {}
    for item in items:
        if HERE in item.path.parents:
            name = f"{item.path.name}::{item.name}"
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.filterwarnings("default"))
            if any(fnmatchcase(name, pattern) for pattern in THOROUGH):
                item.add_marker(pytest.mark.thorough)
            for pattern, why in not_here.items():
                if fnmatchcase(name, pattern):
                    item.add_marker(pytest.mark.skip(reason=f"Snakemake {LOWEST}: {why}"))
    items.sort(key=lambda item: item.path.name not in WAITING)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The shared sandbox without accounting, unless KEMPNER_ACCOUNTING asks for it."""
    yield from _shared(tmp_path_factory, "slurm", accounting=bool(os.environ.get("KEMPNER_ACCOUNTING")))


@pytest.fixture(scope="session")
def slurm_with_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The shared sandbox with accounting."""
    yield from _shared(tmp_path_factory, "slurm_with_accounting", accounting=True)


@pytest.fixture(scope="session")
def kempner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The shared sandbox that looks like Kempner: jobs of the default account may not use the GPU partitions."""
    partitions = tuple(
        replace(one, extra="AllowAccounts=kempner_doe_lab") if one.name.startswith("kempner") else one
        for one in kempner_partitions(NODES)
    )
    options = replace(SHARED, nodes=NODES, partitions=partitions, accounts=ACCOUNTS, accounting_enforce="associations")
    yield from _shared(tmp_path_factory, "kempner", accounting=True, options=options)


@pytest.fixture
def private_slurm() -> Iterator[StartSlurm]:
    """Start sandboxes for this test alone: `private_slurm(accounting=True, min_job_age=2, …)`, options by name."""
    with ExitStack() as stack:

        def start(*, accounting: bool = False, **options: Any) -> Sandbox:
            wanted = SandboxOptions(**options)
            return stack.enter_context(_or_skip(lambda: Sandbox.start(accounting=accounting, options=wanted)))

        yield start


def _shared(
    factory: pytest.TempPathFactory, name: str, *, accounting: bool, options: SandboxOptions = SHARED
) -> Iterator[Sandbox]:
    base = factory.getbasetemp()
    # A worker's own folder lies inside the one that all workers of a run have in common.
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    sandbox = _or_skip(lambda: Sandbox.share(common / name, accounting=accounting, options=options))
    try:
        yield sandbox
    finally:
        sandbox.leave()


def _or_skip(start: Callable[[], Sandbox]) -> Sandbox:
    """Skip where Slurm is not installed, unless KEMPNER_REQUIRE_SLURM forbids it, as continuous integration should."""
    try:
        return start()
    except MissingPrograms as error:
        if os.environ.get("KEMPNER_REQUIRE_SLURM"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def folder(slurm: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """Where a workflow lies; nothing that was queued there outlives the test."""
    from head import cancel_all

    place = tmp_path / "run"
    yield place
    cancel_all(slurm, place)
