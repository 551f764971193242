"""Starts a worker for each GPU of this node and tells it its place among all: what torchrun does."""

import os
import subprocess
import sys

workers, meeting_point, *command = sys.argv[1:]
node, nodes = int(os.environ["SLURM_NODEID"]), int(os.environ["SLURM_NNODES"])
processes = [
    subprocess.Popen(
        command,
        env=os.environ
        | {
            "RANK": str(node * int(workers) + local),
            "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(nodes * int(workers)),
            "MEETING_POINT": meeting_point,
        },
    )
    for local in range(int(workers))
]
sys.exit(max(abs(process.wait()) for process in processes))
