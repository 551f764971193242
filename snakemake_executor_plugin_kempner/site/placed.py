"""Where a request goes at a site: its partitions, and the nodes there that it can get."""

import re
from dataclasses import dataclass

from .choices import default_partition
from .model import NodeShape, Partition, Site
from .request import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedRequest:
    """A request with the partitions it goes to and the nodes there that it can get."""

    request: Request
    site: Site
    partitions: tuple[Partition, ...]
    shapes: tuple[NodeShape, ...]
    """Nodes with the requested GPUs, or all nodes if it requests none."""

    @property
    def where(self) -> str:
        """The partition, for messages."""
        return f"partition {self.request.partition}" if self.request.partition else "the default partition"

    @property
    def source(self) -> str:
        return next((partition.source for partition in self.partitions if partition.source), self.site.name)

    @property
    def policy(self) -> str:
        return next((partition.policy for partition in self.partitions if partition.policy), self.site.name)


def placed(request: Request, site: Site) -> PlacedRequest:
    """Look up the partitions and nodes of a request."""
    if request.partition:
        names = request.partition.split(",")
        partitions = tuple(partition for name in names if (partition := site.partition(name)))
    else:
        partitions = tuple(partition for partition in (default_partition(site),) if partition)
    shapes = tuple(shape for partition in partitions for shape in partition.nodes)
    if request.gpus:
        shapes = tuple(shape for shape in shapes if shape.gpus)
        if request.wanted_model:
            shapes = tuple(shape for shape in shapes if shape.is_one_of(request.wanted_model)) or shapes
    elif re.fullmatch(r"[\w.-]+", request.constraint):
        shapes = tuple(shape for shape in shapes if request.constraint in shape.features) or shapes
    return PlacedRequest(request=request, site=site, partitions=partitions, shapes=shapes)
