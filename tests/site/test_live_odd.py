"""What Slurm says of sites that are not like Kempner."""

import pytest

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.site.file import parse_site
from snakemake_executor_plugin_kempner.site.live import live_site, parse_live
from snakemake_executor_plugin_kempner.site.model import NodeShape, Site

NODE = "NodeName=n1 CPUTot=64 AvailableFeatures=a100,ib Gres={gres} RealMemory=1000 Partitions=gpu Reason={reason}"


def site_with(gres: str = "(null)", reason: str = "none", partition: str = "", config: str = "") -> Site:
    told = [
        f"ClusterName = c\n{config}",
        f"PartitionName=gpu MaxTime=1-00:00:00 {partition}",
        NODE.format(gres=gres, reason=reason),
    ]
    found = parse_live("\n".join(told), "me", {})
    assert found is not None
    return found


def shapes(gres: str) -> set[tuple[str, int]]:
    return {(shape.type, shape.gpus) for shape in site_with(gres).partitions["gpu"].nodes}


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", {("", 0)}),
        ("gpu:4", {("", 4)}),
        ("gpu:a100:4(S:0-1)", {("a100", 4)}),
        ("gpu:3090:4", {("3090", 4)}),
        ("gpu:1g.10gb:7", {("1g.10gb", 7)}),
        ("lscratch:100,gpu:a100:1(S:0),gpu:a100_1g.5gb:14(S:0)", {("a100", 1), ("a100_1g.5gb", 14), ("", 15)}),
    ],
)
def test_gpus_of_a_node(gres: str, expected: set[tuple[str, int]]) -> None:
    assert shapes(gres) == expected


def test_what_an_administrator_writes_about_a_node_is_not_read() -> None:
    (shape,) = site_with("gpu:a100:4", "Low RealMemory=lo Gres=gpu:3").partitions["gpu"].nodes
    assert shape == NodeShape(
        cores=64, memory_mb=1000, gpus=4, gpu="a100", type="a100", features=frozenset({"a100", "ib"})
    )


def test_a_hidden_partition_is_there_and_never_chosen() -> None:
    found = site_with("gpu:a100:4", partition="Hidden=YES")
    assert "gpu" in found.partitions
    assert not found.with_gpus("a100")


def test_a_site_whose_plugin_places_jobs_is_known_for_it() -> None:
    assert site_with(config="JobSubmitPlugins = lua").is_routed
    assert not site_with(config="JobSubmitPlugins = (null)").is_routed


def test_a_slurm_that_writes_otherwise_is_not_known() -> None:
    assert live_site(lambda *_: "PartitionName=gpu MaxTime=soon", "me", {}) is None


@pytest.mark.parametrize("text", ["- a", "hello", "partitions: {a: {only_gpu: [true]}}", "gpus: {a: {memory: infG}}"])
def test_a_site_file_that_is_none_is_a_fault(text: str) -> None:
    with pytest.raises(PlanError):
        parse_site(text, "site.yaml")
