"""How a task that needs Snakemake is spelled in an exported script."""

import shlex

import pytest

from snakemake_executor_plugin_kempner.export.work import work_of
from snakemake_executor_plugin_kempner.plan.step import StepSpec


def words(wildcard: str) -> list[str]:
    spec = StepSpec(
        task="t", attempt=1, folder="/w", records="/w", targets=(("train", (("name", wildcard),)),), arguments=(),
        outputs=("made.txt",),
    )  # fmt: skip
    return shlex.split(work_of(spec.to_dict(), "t", "/w", "python").command)


def test_a_task_is_named_by_its_rule_and_wildcards() -> None:
    assert words("a b=c")[3:] == ["--target-jobs", "train:name=a b=c"]


@pytest.mark.parametrize("wildcard", ["a,b", 'say "no"', "it's", "'quoted'"])
def test_where_snakemake_would_read_other_wildcards_it_is_named_by_its_outputs(wildcard: str) -> None:
    assert words(wildcard)[3:] == ["made.txt"]
