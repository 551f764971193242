"""Ids of jobs and of the elements of job arrays, as Slurm writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.slurm.ids import (
    abridge,
    array_id,
    expand,
    for_people,
    in_order,
    is_element,
    own_job_id,
)

IDS = st.integers(1, 3).flatmap(lambda array: st.just(str(array)) | st.integers(0, 40).map(lambda i: f"{array}_{i}"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("7", "7"),
        ("7_3", "7_3"),
        ("7_[3]", "7_3"),
        ("7_[0-2]", "7_0 7_1 7_2"),
        ("7_[0-1,5,8-9%2]", "7_0 7_1 7_5 7_8 7_9"),
        ("7_[0-9:3%1]", "7_0 7_3 7_6 7_9"),
        ("7_[1-2,10-14:2,20]", "7_1 7_2 7_10 7_12 7_14 7_20"),
        ("7_[4294967294]", "7"),  # Slurm 24.11: no element waits any more
    ],
)
def test_what_stands_for_several_elements_is_written_out(text: str, ids: str) -> None:
    assert list(expand(text)) == ids.split()


@pytest.mark.parametrize(
    "text", ["7_[1-2,5,8-9,12,14...%7]", "7_[1-2,5,8-9,12,14...]", "7_[]", "7_[x]", "_[1]", "7_[1-]"]
)
def test_a_list_that_was_abridged_or_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(SlurmError, match="where a list of the elements"):
        expand(text)


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        ([], []),
        (["12", "7"], ["7", "12"]),
        (["7_2", "7_0", "7_1"], ["7_[0-2]"]),
        (["7_10", "7_9", "7_2", "7", "8_1"], ["7", "7_[2,9-10]", "8_[1]"]),
    ],
)
def test_elements_of_an_array_are_written_together(ids: list[str], texts: list[str]) -> None:
    assert abridge(ids) == texts


@given(st.lists(IDS))
def test_nothing_is_lost_when_ids_are_abridged(ids: list[str]) -> None:
    written = [one for text in abridge(ids) for one in expand(text)]
    assert sorted(written) == sorted(set(ids))
    assert sorted(in_order(ids)) == sorted(set(ids))


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], ""),
        (["9", "10", "12"], "9-10, 12"),
        (["101", "102", "103", "110", "111_1", "111_0", "112_7"], "101-103, 110, 111_[0-1], 112_[7]"),
    ],
)
def test_people_read_the_ids_of_many_jobs_in_a_line(ids: list[str], text: str) -> None:
    assert for_people(ids) == text


def test_an_element_belongs_to_its_array_and_another_job_to_itself() -> None:
    assert [array_id(one) for one in ("7_3", "7")] == ["7", "7"]
    assert [is_element(one) for one in ("7_3", "7")] == [True, False]


@pytest.mark.parametrize(
    ("environment", "job_id"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "0"}, "9_0"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "12"),
    ],
)
def test_a_job_knows_its_own_id(environment: dict[str, str], job_id: str) -> None:
    assert own_job_id(environment) == job_id
