"""How long `kempner status` takes on a run of 10,000 tasks: 5,000 trainings in arrays, an evaluation of each.

    python benchmarks/looking.py [TASKS]

Writes such a run into a temporary folder (60 % done, 50 failed with logs, 100 running), lets a `squeue` of its own answer, which counts how
often it is asked, and measures the program from start to end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from snakemake_executor_plugin_kempner.run.folders import make_folders
from snakemake_executor_plugin_kempner.run.ledger import Ledger

ARRAY, REPEAT, FAILED, RUNNING = 1000, 5, 50, 100


def write_run(workdir: Path, tasks: int) -> None:
    """A run with its ledger, the records of its jobs, and Slurm's list."""
    folder, half = workdir / ".snakemake/kempner/0000beef", tasks // 2
    make_folders(folder, [str(folder / "logs/train/x.log")])
    ledger = Ledger(folder, run="0000beef", command=["snakemake", "--executor", "kempner"], workdir=str(workdir))
    lines, done = [], int(0.6 * half)
    for rule, base in (("train", 1000), ("evaluate", 2000)):
        for number, start in enumerate(range(0, half, ARRAY)):
            name, array = f"{rule}.0000beef.{base + number}", str(base + number)
            edges = [[f"train{seed}", "afterok", False] for seed in range(start, min(start + ARRAY, half))]
            ledger.intend(
                name, kind="task", attempt=1, attempts=1, log=f"{folder}/logs/{rule}/array.%A_%a.log", spared=False, units={},
                options=["--mem=4000M", "--time=60", "--gres=gpu:1"],
                array=[
                    {"index": index, "task": f"{rule}{start + index}", "label": f"{rule}[lr=0.1,seed={start + index}]",
                     "edges": [edge] if rule == "evaluate" else [], "content": {}}
                    for index, edge in enumerate(edges)
                ],
            )  # fmt: skip
            ledger.submitted(name, array)
            for index in range(len(edges)):
                seed, job_id = start + index, f"{array}_{index}"
                if rule == "train" and seed < done + FAILED:
                    code = int(seed >= done)
                    known = {"start": 1.0, "end": 99.0, "exit_code": code, "node": "n1", "peak_memory_mb": 900}
                    (folder / f"ended/{job_id}.json").write_text(json.dumps(known))
                    if code:
                        log = "epoch\n" * 2000 + f"Traceback (most recent call last):\n  x\nValueError: NaN at {seed}\n"
                        (folder / f"logs/train/array.{job_id}.log").write_text(log)
                elif rule == "train" and seed < done + FAILED + RUNNING:
                    lines.append(f"{job_id}|RUNNING|None|0|n1|2026-11-28T12:00:00|10:00|1:00:00|{name}|{name}")
                else:
                    reason = "Priority" if rule == "train" else "Dependency"
                    lines.append(f"{job_id}|PENDING|{reason}|0||N/A|0:00|1:00:00|{name}|{name}")
    (workdir / "queue").write_text("\n".join(lines) + "\n")
    (workdir / "squeue").write_text(f"#!/bin/sh\necho asked >> {workdir}/asked\nexec cat {workdir}/queue\n")
    (workdir / "squeue").chmod(0o755)


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        write_run(workdir, tasks)
        environment = {**os.environ, "PATH": f"{workdir}:{os.environ['PATH']}"}
        environment.pop("SLURM_CONF", None)
        command = [sys.executable, "-m", "snakemake_executor_plugin_kempner", "status"]
        seconds = []
        for _ in range(REPEAT):
            began = time.perf_counter()
            done = subprocess.run(command, cwd=workdir, env=environment, check=True, capture_output=True, text=True)
            seconds.append(time.perf_counter() - began)
        print(done.stdout)
        asked = len((workdir / "asked").read_text().splitlines()) / REPEAT
        print(
            f"{tasks} tasks: {statistics.median(seconds):.2f} s (fastest {min(seconds):.2f} s), {asked:g} queries of squeue"
        )


if __name__ == "__main__":
    main()
