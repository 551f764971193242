"""A real Slurm on this machine, for tests, demonstrations and a first try before the cluster. Import is free of effects."""

from .config import DEFAULT_NODES, Node, SandboxOptions, SandboxPartition, kempner_partitions
from .errors import AlreadyRunning, MissingPrograms, NotReady, NotRunning, SandboxError
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
