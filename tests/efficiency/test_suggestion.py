"""Requests for the next runs, from what jobs have used: what is suggested, what is not, and what Snakemake reads of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from snakemake_executor_plugin_kempner.efficiency.jobs import JobUse
from snakemake_executor_plugin_kempner.efficiency.suggestion import History, history, suggestion

HOUR = 3600.0
JOB = JobUse(
    label="train[n=1]", rule="train", attempt=1, job_id="7", state="COMPLETED", node="n1", elapsed_s=HOUR, limit_s=7200,
    cores=4, asked_cores=4, cpu_s=3.9 * HOUR, peak_memory_mb=3100, memory_mb=4000, is_peak_whole=True,
    given=frozenset({"mem", "time"}),
)  # fmt: skip
"""A job that has asked for what it needs: two hours for one, 4000 MB for 3100."""


def jobs(number: int = 3, like: JobUse = JOB, label: str = "train[n={n}]", **fields: Any) -> list[JobUse]:
    named = [label.format(n=n) for n in range(number)]
    return [replace(like, label=name, job_id=f"{name} {like.state} {fields}", **fields) for name in named]


def of(found: Sequence[JobUse], **known: Any) -> str:
    return suggestion(replace(history(found, (), 1), **known))


def read(found: Sequence[JobUse], **known: Any) -> dict[str, Any]:
    return yaml.safe_load(of(found, **known)) or {}


def test_a_rule_that_asks_for_what_it_needs_gets_nothing() -> None:
    text = of(jobs(5))
    assert yaml.safe_load(text) is None
    assert "#   train: asks for what it needs" in text


def test_too_much_memory_time_and_cores_become_less_with_the_stated_margins() -> None:
    wasteful = jobs(3, memory_mb=64_000, limit_s=48 * 3600, cores=16, asked_cores=16)
    assert read(wasteful) == {
        "set-threads": {"train": 5},  # 1.25 x 3.9
        "set-resources": {"train": {"mem_mb": 4000, "runtime": 120}},  # 1.25 x 3100, 2 x 60
    }
    text = of(wasteful)
    assert "1.25 times the largest peak of memory, 2 times the longest run, 1.25 times the most CPUs" in text
    assert "asked for 62.5 GB, used 3 GB at most (3 jobs)" in text
    assert "would have held 33.00 core hours less, 175.78 GB hours of memory less." in text  # 3 h x 11, 3 h x 60000 MB
    assert "how much sooner these jobs would have started is not known" in text


def test_two_successful_jobs_are_too_little() -> None:
    text = of(jobs(2, memory_mb=64_000))
    assert yaml.safe_load(text) is None
    assert "#   train: 2 successful jobs, it takes 3" in text
    assert "A rule needs 3 successful jobs." in text


def test_jobs_whose_use_is_not_known_keep_what_they_have() -> None:
    assert read([*jobs(3, memory_mb=64_000), *jobs(1, label="train[n=9]", memory_mb=64_000, is_peak_whole=False)]) == {}


def test_an_attempt_that_ran_out_of_memory_is_a_lower_bound_and_is_counted_as_spared() -> None:
    lost = jobs(2, memory_mb=8000, peak_memory_mb=7900, state="OUT_OF_MEMORY", gpus=2)
    text = of([*jobs(3), *lost])
    assert yaml.safe_load(text)["set-resources"]["train"]["mem_mb"] == 10_000
    assert "2 OUT_OF_MEMORY, so it is a lower bound" in text
    assert "and without 2 failed attempts." in text
    assert "4.00 GPU hours less" in text


def test_a_larger_success_is_no_lower_bound() -> None:
    lost = jobs(1, memory_mb=2000, peak_memory_mb=1900, state="OUT_OF_MEMORY")
    text = of([*jobs(3), *lost])
    assert yaml.safe_load(text)["set-resources"]["train"]["mem_mb"] == 4000
    assert "1 OUT_OF_MEMORY" in text
    assert "so it is a lower bound" not in text


def test_a_job_that_slurm_has_killed_for_memory_without_saying_so_counts_too() -> None:
    lost = jobs(1, memory_mb=8000, peak_memory_mb=8100, state="FAILED")
    assert read([*jobs(3), *lost])["set-resources"]["train"] == {"mem_mb": 10_000}


def test_an_attempt_that_ran_into_its_time_limit_raises_the_time() -> None:
    late = jobs(1, limit_s=3 * 3600, elapsed_s=3 * HOUR, state="TIMEOUT")
    assert read([*jobs(3), *late])["set-resources"]["train"] == {"runtime": 360}


def test_a_use_that_follows_a_wildcard_becomes_an_expression() -> None:
    small = jobs(3, label="train[size=small,n={n}]", peak_memory_mb=300, memory_mb=64_000)
    large = jobs(3, label="train[size=large,n={n}]", peak_memory_mb=30_000, memory_mb=64_000)
    text = of([*small, *large])
    value = yaml.safe_load(text)["set-resources"]["train"]["mem_mb"]
    assert value == "{'small': 500}.get(wildcards.size, 38000)"
    assert "; by size" in text


@pytest.mark.parametrize(
    "others",
    [
        jobs(2, label="train[size=large,n={n}]", peak_memory_mb=30_000, memory_mb=64_000),  # too few of them
        [
            *jobs(2, label="train[size=large,n={n}]", peak_memory_mb=30_000, memory_mb=64_000),
            *jobs(
                1, label="train[size=large,n=9]", peak_memory_mb=350, memory_mb=64_000
            ),  # it also varies within a value
        ],
    ],
    ids=["too few", "unclear"],
)
def test_without_a_clear_history_of_each_value_the_largest_use_decides(others: list[JobUse]) -> None:
    small = jobs(3, label="train[size=small,n={n}]", peak_memory_mb=300, memory_mb=64_000)
    assert read([*small, *others])["set-resources"]["train"]["mem_mb"] == 38_000


def test_one_number_for_all_that_would_cost_more_than_a_function_of_the_input_is_not_suggested() -> None:
    small = jobs(9, label="train[n={n}]", peak_memory_mb=300, memory_mb=500)
    large = jobs(1, label="train[n=99]", peak_memory_mb=30_000, memory_mb=40_000)
    assert read([*small, *large]) == {}


def test_a_rule_that_asks_for_more_with_each_attempt_goes_on_doing_so() -> None:
    wasteful = jobs(3, memory_mb=64_000)
    found = read(wasteful, more_memory=frozenset({"train"}))
    assert found["set-resources"]["train"]["mem_mb"] == "4000 * attempt"


def test_memory_for_each_core_stays_memory_for_each_core() -> None:
    wasteful = jobs(3, memory_mb=64_000, given=frozenset({"mem-per-cpu", "time"}))
    assert read(wasteful)["set-resources"]["train"] == {"mem_mb_per_cpu": 1000}


def test_jobs_with_gpus_keep_their_share_of_cores_and_memory_and_get_a_shorter_limit() -> None:
    wasteful = jobs(3, memory_mb=64_000, cores=16, asked_cores=16, gpus=1, limit_s=48 * 3600)
    assert read(wasteful) == {"set-resources": {"train": {"runtime": 120}}}


def test_segments_say_nothing_about_a_time_limit() -> None:
    parts = [replace(job, segment=number, job_id=f"{job.job_id} {number}") for job in jobs(3) for number in (1, 2)]
    assert read([replace(job, limit_s=48 * 3600) for job in parts]) == {}


def test_a_group_of_jobs_is_named_and_gets_nothing() -> None:
    text = of(jobs(3, memory_mb=64_000), groups=frozenset({"train"}))
    assert yaml.safe_load(text) is None
    assert "#   train: a group of jobs" in text


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a: b # c", "ä", "{x}", "a,n=7", "a\\nb"])
def test_what_a_wildcard_is_called_never_breaks_the_profile(value: str, tmp_path: Path) -> None:
    small = jobs(
        3,
        label=f"train[size={value.replace('{', '{{').replace('}', '}}')},k={{n}}]",
        peak_memory_mb=300,
        memory_mb=64_000,
    )
    large = jobs(3, label="train[size=large,k={n}]", peak_memory_mb=30_000, memory_mb=64_000)
    asked = read([*small, *large])["set-resources"]["train"]["mem_mb"]
    if isinstance(asked, str):
        size = type("Wildcards", (), {"size": value})
        assert eval(asked, {"wildcards": size}) == 500
    else:
        assert asked == 38_000


def test_no_jobs_is_an_answer_too() -> None:
    assert yaml.safe_load(suggestion(History(jobs=(), runs=1))) is None
