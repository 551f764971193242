"""What the head must not do a second time after a job: the job's own Snakemake has done it on the node.

Snakemake's scheduler post-processes each job in the head as well. Most of it is harmless twice. These are not:
touching outputs after a consumer has run makes the consumer look outdated when the head dies in between,
asking for temp files that the job has removed fails it, and restoring an updated file twice deletes it.
"""

from collections.abc import Callable
from typing import Any

DoneByJob = Callable[[Any], bool]
"""Whether a Snakemake job was run by a Slurm job of this run."""


def leave_to_jobs(dag: Any, persistence: Any, done_by_job: DoneByJob, restored_by_job: Callable[[str], bool]) -> None:
    """Adjust this run's DAG and persistence objects; local rules are post-processed by the head as ever."""
    check, touch, restore = dag.check_and_touch_output, dag.handle_touch, persistence.restore_output

    async def check_output(job: Any, *args: Any, **kwargs: Any) -> Any:
        if done_by_job(job):
            kwargs["no_touch"] = True
            ignored = kwargs.get("ignore_missing_output", False)
            if ignored is not True:
                group = dag.get_job_group(job) or job
                kwargs["ignore_missing_output"] = [*(ignored or ()), *dag.get_unneeded_temp_files(group)]
        return await check(job, *args, **kwargs)

    def handle_touch(job: Any) -> Any:
        return None if done_by_job(job) else touch(job)

    def restore_output(path: Any) -> bool:
        # True means "restored": the head then spares the file when it removes the outputs of a failed job.
        backup = persistence._get_backup_path(path)  # noqa: SLF001
        return bool(restore(path)) if backup.exists() else restored_by_job(str(path))

    dag.check_and_touch_output = check_output
    dag.handle_touch = handle_touch
    persistence.restore_output = restore_output
