"""`python forked_step.py`: steps that run Snakemake, each in a fork of a process that has imported it as a job does.

A line of JSON on standard input is a step: its folder, its environment, and the files of its input and its output. The
answer is a line with its exit code.
"""

import json
import os
import sys

from snakemake_executor_plugin_kempner.step.__main__ import main as step
from snakemake_executor_plugin_kempner.step.snakemake_job import _import_snakemake


def main() -> None:
    _import_snakemake()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(folder: str, environment: dict[str, str], spec: str, said: str) -> None:
    code = 1
    try:
        os.dup2(os.open(spec, os.O_RDONLY), 0)
        for standard in (1, 2):
            os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), standard)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[0] = folder
        with open(0, closefd=False) as sys.stdin:
            code = step()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
