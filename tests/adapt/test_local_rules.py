"""Which local rules are jobs."""

from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_kempner.adapt.scheduler import run_local_rules_as_jobs


def rule(name: str, *, norun: bool = False) -> Any:
    return SimpleNamespace(name=name, group=None, norun=norun, output=() if norun else ("a.txt",))


@pytest.mark.parametrize(
    ("names", "local"),
    [(None, {"all"}), (frozenset({"all", "queued"}), {"all", "other"}), (frozenset(), {"all", "queued", "other"})],
)
def test_local_rules_of_these_names_are_jobs_if_they_have_anything_to_run(names: Any, local: set[str]) -> None:
    workflow = SimpleNamespace(local_exec=False, is_local=lambda _rule: True)
    run_local_rules_as_jobs(workflow, names)
    rules = (rule("all", norun=True), rule("queued"), rule("other"))
    assert {one.name for one in rules if workflow.is_local(one)} == local
