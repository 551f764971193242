"""Groups of Snakemake's DAG, each job in one of them."""

from typing import Any


def keep_groups_apart() -> None:
    """Make groups from the jobs that they are asked for, in this process.

    Snakemake keeps each group under the jobs that it began with. When it groups jobs again, after a checkpoint, it takes
    the kept group, which has grown since by `--group-components`: then a job is in two groups, and runs twice.
    """
    from snakemake.jobs import GroupJobFactory  # noqa: PLC0415 - only where a workflow is run

    new = GroupJobFactory.new
    if hasattr(new, "keeps_apart"):
        return

    def with_these_jobs(self: Any, name: str, jobs: Any, resources: Any) -> Any:
        wanted = frozenset(jobs)
        found = new(self, name, wanted, resources)
        if found.jobs != wanted:
            del self.cache[name, wanted]
            found = new(self, name, wanted, resources)
        return found

    with_these_jobs.keeps_apart = True  # type: ignore[attr-defined]
    GroupJobFactory.new = with_these_jobs
