"""Groups of Snakemake's DAG."""

from types import SimpleNamespace

import pytest
from snakemake import jobs

from snakemake_executor_plugin_kempner.adapt.grouping import keep_groups_apart


def test_a_group_has_the_jobs_that_it_is_asked_for_though_an_earlier_group_of_them_has_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs.GroupJobFactory, "new", jobs.GroupJobFactory.new)
    monkeypatch.setattr(jobs, "GroupJob", lambda _name, members, _resources: SimpleNamespace(jobs=members))
    keep_groups_apart()
    factory = jobs.GroupJobFactory()
    grown = factory.new("g", ["a"], {})
    assert factory.new("g", ["a"], {}) is grown
    grown.jobs |= {"b"}
    assert factory.new("g", ["a"], {}).jobs == {"a"}
