"""What accounting keeps of a job's time, cores, memory and GPUs. The texts in tests/recorded were written by sacct itself."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.slurm.consumption import (
    Consumption,
    parse_consumption,
    requested_memory,
)
from snakemake_executor_plugin_kempner.slurm.states import JobState

RECORDED = Path(__file__).parents[1] / "recorded"
VERSIONS = sorted(path.parent.name for path in RECORDED.glob("*/sacct_consumption.txt"))


@pytest.fixture(params=VERSIONS)
def told(request: pytest.FixtureRequest) -> dict[str, Consumption]:
    """What was recorded, by what the jobs did."""
    folder = RECORDED / request.param
    found = {one.job_id: one for one in parse_consumption((folder / "sacct_consumption.txt").read_text())}
    jobs = json.loads((folder / "consumption_jobs.json").read_text())
    names = {job_id: name for name, job_id in jobs.items()}
    return {names.get(job_id, "_".join([names.get(job_id.split("_")[0], ""), job_id.split("_")[-1]])): one
            for job_id, one in found.items()}  # fmt: skip


def test_a_job_has_what_it_asked_for_and_what_its_steps_used(told: dict[str, Consumption]) -> None:
    job = told["burns"]
    assert (job.state, job.word, job.node, job.nodes) == (JobState.SUCCEEDED, "COMPLETED", "n1", 1)
    assert (job.cores, job.memory_mb, job.limit_s, job.gpus, job.sruns) == (2, 1000, 600, None, 0)
    assert job.elapsed_s is not None
    assert job.elapsed_s >= 6
    assert job.cpu_s is not None
    assert 1 < job.cpu_s <= 6.5
    assert job.peak_memory_mb is not None
    assert 85 < job.peak_memory_mb < 120


def test_what_was_killed_at_its_limit_has_the_time_that_was_seen(told: dict[str, Consumption]) -> None:
    job = told["burns until its limit"]
    assert (job.word, job.limit_s) == ("TIMEOUT", 60)
    assert job.cpu_s is not None
    assert job.cpu_s > 10


@pytest.mark.parametrize("name", ["cancelled while waiting", "array that waits_0", "array that waits_2"])
def test_what_never_started_has_used_nothing_and_has_no_zeros(told: dict[str, Consumption], name: str) -> None:
    job = told[name]
    assert (job.node, job.elapsed_s, job.cpu_s, job.peak_memory_mb, job.gpu_utilisation) == ("", None, None, None, None)


def test_who_has_cancelled_a_job_is_no_part_of_its_state(told: dict[str, Consumption]) -> None:
    assert (told["cancelled while running"].word, told["cancelled while running"].state) == (
        "CANCELLED", JobState.CANCELLED,
    )  # fmt: skip


def test_elements_of_an_array_are_jobs_of_their_own_and_memory_for_each_core_is_added_up(
    told: dict[str, Consumption],
) -> None:
    assert [told[f"array_{index}"].memory_mb for index in range(3)] == [200, 200, 200]


def test_a_job_that_slurm_has_not_looked_at_has_no_peak(told: dict[str, Consumption]) -> None:
    assert told["array_0"].peak_memory_mb is None
    assert told["array_0"].cpu_s in (0.004, 0.005)


def test_of_a_requeued_job_the_last_run_counts(told: dict[str, Consumption]) -> None:
    job = told["requeued"]
    assert (job.word, job.elapsed_s, job.sruns) == ("FAILED", 4, 0)


def test_tasks_of_a_step_are_added_up_and_calls_of_srun_are_counted(told: dict[str, Consumption]) -> None:
    both = told["two nodes"]
    assert (both.nodes, both.cores, both.memory_mb, both.sruns) == (2, 4, 600, 1)
    assert both.peak_memory_mb == 19  # 12.23 MB of the script and 6.42 MB of four tasks, of which the largest had 1.62
    several = told["several sruns"]
    assert (several.sruns, several.peak_memory_mb) in ((2, 15), (2, 16))


def test_gpus_are_what_was_allocated_and_their_use_is_not_known_where_nobody_measures_it(
    told: dict[str, Consumption],
) -> None:
    assert (told["with gpu"].gpus, told["with gpu"].gpu_utilisation) == (2, None)


def test_what_runs_has_not_ended(told: dict[str, Consumption]) -> None:
    assert not told["running"].state.is_final
    assert told["running"].cpu_s is None


# --- forms that were not recorded -----------------------------------------------------------------------------------

JOB = "7|COMPLETED|n1|600|60|4|1|{memory}|billing=4,cpu=4,gres/gpu:a100=1,gres/gpu=1,mem=16000M,node=1|10:00.000|||"
STEP = "7.{name}|COMPLETED|n1|600||4|1||cpu=4,mem=16000M,node=1|10:00.000|{rss}|{use}|{use}"


def one(*steps: str, memory: str = "16000M") -> Consumption:
    (found,) = parse_consumption("\n".join([JOB.format(memory=memory), *steps]))
    return found


@pytest.mark.parametrize(
    ("use", "percent"),
    [
        ("cpu=00:10:00,gres/gpumem=30000M,gres/gpuutil=87,mem=900M", 87),
        ("cpu=00:10:00,gres/gpumem=30000M,gres/gpuutil=0,mem=900M", 0),
        ("cpu=00:10:00,gres/gpumem=0,gres/gpuutil=0,mem=900M", None),
        ("cpu=00:10:00,gres/gpuutil=0,mem=900M", None),
        ("cpu=00:10:00,mem=900M", None),
    ],
)
def test_the_use_of_a_gpu_is_known_where_somebody_measured_it(use: str, percent: float | None) -> None:
    assert one(STEP.format(name="batch", rss="900M", use=use)).gpu_utilisation == percent


def test_the_step_that_uses_the_gpu_is_the_one_that_counts() -> None:
    idle = STEP.format(name="batch", rss="300M", use="gres/gpumem=0,gres/gpuutil=0,mem=300M")
    busy = STEP.format(name="0", rss="900M", use="gres/gpumem=3G,gres/gpuutil=42,mem=900M")
    job = one(idle, busy)
    assert (job.gpu_utilisation, job.gpus, job.peak_memory_mb) == (42, 1, 1200)


@pytest.mark.parametrize("memory", ["0", "0n", "", "?"])
def test_where_no_amount_was_asked_for_what_was_allocated_counts(memory: str) -> None:
    assert one(memory=memory).memory_mb == 16_000


@pytest.mark.parametrize("limit", ["UNLIMITED", "Partition_Limit", ""])
def test_no_time_limit_is_none(limit: str) -> None:
    (job,) = parse_consumption(JOB.format(memory="1M").replace("|60|", f"|{limit}|"))
    assert job.limit_s is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("4000M", 4000), ("62.50G", 64_000), ("4000Mn", 8000), ("4Gc", 24_576), ("0n", None), ("", None), ("?", None)],
)
def test_memory_asked_for_by_newer_and_older_slurm(text: str, value: int | None) -> None:
    assert requested_memory(text, cores=6, nodes=2) == value


@pytest.mark.parametrize("text", ["", "\n", "warning\n", "|".join(13 * "|"), "7.batch" + 12 * "|"])
def test_lines_that_are_no_records_are_passed_over(text: str) -> None:
    assert parse_consumption(text) == ()


@given(st.text())
def test_no_output_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(SlurmError):
        parse_consumption(text)
        parse_consumption(f"7|{text}|n1|{text}|{text}|{text}|1|{text}|{text}|{text}|||")
