"""Options of sbatch are read as sbatch reads them, however they are written."""

import pytest

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.sbatch import read
from snakemake_executor_plugin_kempner.site.request import Request, request_of

TABLE: dict[str, dict[str, object]] = {
    "": {},
    "--partition=gpu --account=lab": {"partition": "gpu", "account": "lab"},
    "-p gpu -A lab": {"partition": "gpu", "account": "lab"},
    "-pgpu -Alab": {"partition": "gpu", "account": "lab"},
    "--partition gpu --mail-type END --account lab": {"partition": "gpu", "account": "lab"},
    "--time=90": {"minutes": 90},
    "-t 1-12": {"minutes": 36 * 60},
    "--time=01:30:01": {"minutes": 91},
    "--time=soon": {"minutes": None},
    "--cpus-per-task=4": {"cores_of_node": 4},
    "-c 4 -n 3": {"cores_of_node": 4},
    "-c 4 -n 8 -N 2": {"cores_of_node": 16, "nodes": 2},
    "--ntasks-per-node=4 --nodes=2 -c 2": {"cores_of_node": 8, "nodes": 2},
    "--ntasks-per-node=4 --ntasks=8": {"cores_of_node": 1, "nodes": 2},  # it may have more nodes, with fewer tasks each
    "-c 16 -n 16 -N 2-4": {"cores_of_node": 64, "nodes": 2},
    "--nodes=2-4": {"nodes": 2},
    "--mem=16G": {"memory_of_node": 16 * 1024},
    "--mem=4000M": {"memory_of_node": 4000},
    "--mem=0": {"memory_of_node": None},
    "--mem-per-cpu=2G -c 4": {"memory_of_node": 8 * 1024, "cores_of_node": 4},
    "--gres=gpu:2": {"gpus": 2, "gpus_of_node": 2, "gres": "gpu:2"},
    "--gres=gpu": {"gpus": 1, "gpus_of_node": 1, "gres": "gpu"},
    "--gres=gpu:a100:2 --nodes=3": {"gpus": 6, "gpus_of_node": 2, "model": "a100", "nodes": 3, "gres": "gpu:a100:2"},
    "--gres=ssd:1,gpu:h100:1": {"gpus": 1, "gpus_of_node": 1, "model": "h100", "gres": "ssd:1,gpu:h100:1"},
    "--gres=ssd:1": {"gres": "ssd:1"},
    "--gpus=8 --nodes=2": {"gpus": 8, "gpus_of_node": 4, "nodes": 2},
    "-G h100:2": {"gpus": 2, "gpus_of_node": 1, "model": "h100", "is_share_known": False},
    "-G 8 --mem-per-gpu=200G": {"gpus": 8, "gpus_of_node": 1, "memory_of_node": 200 * 1024, "is_share_known": False},
    "--gpus=a100:1,h100:1": {"gpus": 2, "gpus_of_node": 1, "is_share_known": False},
    "--gpus-per-task=1 -n 8": {"gpus": 8, "gpus_of_node": 1, "is_share_known": False},
    "--tres-per-task=gres/gpu:1": {"gpus": 1, "gpus_of_node": 1},
    "--gres=gpu:3090:2": {"gpus": 2, "gpus_of_node": 2, "model": "3090", "gres": "gpu:3090:2"},
    "--gres=gpu:1g.10gb:1": {"gpus": 1, "gpus_of_node": 1, "model": "1g.10gb", "gres": "gpu:1g.10gb:1"},
    "--gpus-per-node=2 -N 2": {"gpus": 4, "gpus_of_node": 2, "nodes": 2},
    "--gpus-per-task=1 --ntasks=4 -N1": {"gpus": 4, "gpus_of_node": 4, "cores_of_node": 4},
    "--cpus-per-gpu=6 --gres=gpu:2": {"gpus": 2, "gpus_of_node": 2, "cores_of_node": 12, "gres": "gpu:2"},
    "--constraint=h100": {"constraint": "h100"},
}


@pytest.mark.parametrize("text", TABLE)
def test_what_is_read(text: str) -> None:
    found = request_of(read(text.split()))
    expected = Request(**TABLE[text], given=found.given)  # type: ignore[arg-type]
    assert found == expected


def test_the_environment_counts_where_a_job_says_nothing() -> None:
    request = request_of(Options.of("--partition=shared", "--account=lab") | Options.of("--partition=gpu"))
    assert (request.partition, request.account) == ("gpu", "lab")
