"""A real Slurm on this machine, for tests, demonstrations and a first try before the cluster. Import is free of effects."""

from .errors import AlreadyRunning, MissingPrograms, NotReady, NotRunning, SandboxError
from .options import DEFAULT_NODES, Node, SandboxOptions, SandboxPartition, kempner_partitions
from .sandbox import Sandbox

__all__ = [
    "DEFAULT_NODES",
    "AlreadyRunning",
    "MissingPrograms",
    "Node",
    "NotReady",
    "NotRunning",
    "Sandbox",
    "SandboxError",
    "SandboxOptions",
    "SandboxPartition",
    "kempner_partitions",
]
