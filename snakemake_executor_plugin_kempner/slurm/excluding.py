"""A waiting job is kept off a node, if another node can run it."""

import re

from ..errors import SlurmRefused
from ..options import Options
from .programs import Programs

_NO_TEST = ("array", "begin", "clusters", "dependency", "exclude", "hold", "wait")
"""Options that do not say where a job can run, or that change what a trial answers."""
_SCRIPT = "#!/bin/bash\n"


def keep_off(programs: Programs, job_id: str, node: str, options: Options) -> bool:
    """As `Slurm.keep_off`. Slurm takes a list that leaves no node, and the job waits for ever: so it is tried before."""
    shown = programs.call(["scontrol", "--oneliner", "show", "job", job_id])
    found = re.search(r" ExcNodeList=(\S*)", shown)
    excluded = found[1] if found and found[1] != "(null)" else ""
    if node in excluded.split(","):
        return True
    nodes = f"{excluded},{node}" if excluded else node
    try:
        programs.call(
            ["sbatch", "--test-only", *(options.without(*_NO_TEST) | Options({"exclude": nodes})).argv], _SCRIPT
        )
    except SlurmRefused:
        return False
    programs.call(["scontrol", "update", f"JobId={job_id}", f"ExcNodeList={nodes}"])
    return True
