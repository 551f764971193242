"""Elements of a waiting array are made jobs of their own, by changes that change nothing."""

import re
from collections.abc import Collection
from contextlib import suppress

from ..errors import SlurmError, SlurmRefused
from ..options import Options
from .ids import abridge, array_id, expand, in_order, is_element
from .programs import OWN_JOBS, Programs

_HAS_ENDED = re.compile(r"already finished|no longer pending|Invalid job id", re.IGNORECASE)
"""Of some jobs: the others were changed."""


def set_apart(programs: Programs, job_id: str, options: Options) -> None:
    """Have Slurm look at each element of an array that waits for `aftercorr`.

    By itself it looks at ten (`correspond_after_task_cnt`), and at the next when one of them has started: behind ten
    that wait long, no other starts, and what it waits for may be forgotten meanwhile. One change of all elements but
    one makes each a job of its own. If it fails the array is in the queue all the same, and slower.
    """
    if "array" not in options or "aftercorr" not in options.get("dependency"):
        return
    nice = options.get("nice", "100" if "nice" in options else "0")  # as it is: a change that changes nothing
    with suppress(SlurmError):
        for elements in abridge(expand(f"{job_id}_[{options.get('array')}]")[:-1]):
            programs.call(["scontrol", "update", f"JobId={elements}", f"Nice={nice}"])


def separate(programs: Programs, job_ids: Collection[str]) -> None:
    """Make elements that wait jobs of their own, which Slurm does when they start or one of them is changed.

    Until then they have one record together. `scancel --state` takes it as a whole, whichever element is named, and
    an element that is cancelled out of it leaves no trace: what waits for it by its own id takes it for ended well.
    """
    text = programs.call(["squeue", *OWN_JOBS, "--states=PENDING", "--array", "--format=%i %A"])
    rows = [row for row in map(str.split, text.splitlines()) if len(row) == 2 and is_element(row[0])]
    apart = {job_id for job_id, raw in rows if raw != array_id(job_id)}
    for array in in_order(raw for job_id, raw in rows if job_id not in apart):
        together = [job_id for job_id, raw in rows if raw == array and (job_id in job_ids or array in job_ids)]
        left_out = (
            {job_id for job_id in job_ids if is_element(job_id) and array_id(job_id) == array} - apart - set(together)
        )
        # A change of all that are left together would be one of their common record.
        for part in (together[:-1], [*together[-1:], *left_out]):
            for elements in abridge(part):
                _change_nothing(programs, elements)


def _change_nothing(programs: Programs, elements: str) -> None:
    try:
        programs.call(["scontrol", "update", f"JobId={elements}", "Nice=0"])
    except SlurmRefused as error:
        if not _HAS_ENDED.search(error.answer):
            raise
