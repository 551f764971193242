"""Groups of Snakemake's DAG."""

from types import SimpleNamespace

import pytest
from reading import Read
from snakefiles import rule, snakefile, wanted
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


def test_a_group_may_lose_what_only_its_own_tasks_read_and_nothing_else(read: Read) -> None:
    reading, _ = read(
        snakefile(
            wanted("target.txt", "outside.txt"),
            rule("first", output=("inside.txt", "unread.txt", "target.txt", "shared.txt"), shell="x", group="g"),
            rule("last", "inside.txt", output=("end.txt", "end_unread.txt"), shell="x", group="g"),
            rule("outside", "shared.txt", "end.txt", shell="x"),
        ),
        targets=("outside.txt", "target.txt"),
    )
    (group,) = (task for task in reading.tasks if task.members)
    assert set(group.attempts[0].step.outputs) == {"target.txt", "shared.txt", "end.txt", "end_unread.txt"}
