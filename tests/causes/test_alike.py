"""Failures of the same cause are told once, and many tasks in few words."""

import pytest

from snakemake_executor_plugin_kempner.causes.alike import alike, names


def test_causes_that_differ_only_in_numbers_are_the_same() -> None:
    causes = {"a": "ValueError: loss is NaN at epoch 1", "b": "ValueError: loss is NaN at epoch 27", "c": "exit code 3"}
    assert alike(causes) == {"ValueError: loss is NaN at epoch …": ("a", "b"), "exit code 3": ("c",)}


def test_equal_causes_are_shown_in_full() -> None:
    assert alike({"a": "exit code 3", "b": "exit code 3"}) == {"exit code 3": ("a", "b")}


def test_causes_that_share_no_beginning_are_shown_by_the_first() -> None:
    assert alike({"a": "7 is odd", "b": "8 is odd"}) == {"7 is odd …": ("a", "b")}


def test_no_task_is_lost_without_a_cause() -> None:
    assert alike({"a": "", "b": ""}) == {"": ("a", "b")}


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["report"], "report"),
        ([f"train[lr=0.1,seed={seed}]" for seed in (2, 0, 1, 7)], "train[lr=0.1,seed=0-2,7]"),
        (["a[x=b]", "a[x=c]"], "a[x=b|c]"),
        (["t[lr=1,s=1]", "t[lr=2,s=1]", "t[lr=1,s=2]"], "t[lr=1,s=1-2], t[lr=2,s=1]"),
        (["a[x=1]", "b", "a[x=1]"], "a[x=1], b"),
        (["odd[", "odd[x]y"], "odd[, odd[x]y"),
        ([f"r{number}" for number in range(6)], "r0, r1, r2, r3 and 2 more"),
        ([], ""),
    ],
)
def test_tasks_that_differ_in_a_wildcard_are_named_together(labels: list[str], text: str) -> None:
    assert names(labels) == text
