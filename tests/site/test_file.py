"""A site file is read as it is meant, and every fault in it is said at once."""

import os
import threading
from pathlib import Path

import pytest
from kempner_site import live

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.site.draft import draft
from snakemake_executor_plugin_kempner.site.file import applies, packaged, parse_site, read_site
from snakemake_executor_plugin_kempner.site.live import together

WRONG = """
name: my cluster
needs_account: perhaps
colour: red
gpus:
  a100: {cores: many, memory: 240 gigs, price: 1}
partitions:
  gpu:
    nodes: [{gpus: -1}, fast]
    runtime: soon
  cpu: yes
caps:
  - {gpus: 4}
folders: [/tmp]
"""


def test_all_faults_of_a_file_are_said_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        parse_site(WRONG, "site.yaml")
    said = [str(fault) for fault in caught.value.faults]
    for words in (
        "needs_account='perhaps' takes true or false",
        "colour is not known (known are name,",
        "gpus.a100.cores='many' takes a whole number",
        "gpus.a100.memory='240 gigs' takes MB, or a text like \"240G\"",
        "gpus.a100.price is not known",
        "partitions.gpu.nodes[0].gpus='-1' takes a whole number",
        "partitions.gpu.nodes[1] takes keys and values",
        "partitions.gpu.runtime='soon' takes minutes, or a text like",
        "partitions.cpu takes keys and values",
        "caps[0] lacks partitions",
        "folders=['/tmp'] takes folders, and for each of them why",
    ):
        assert any(one.startswith(f"site.yaml: {words}") for one in said), f"{words} is missing in {said}"


def test_what_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("name: [")
    with pytest.raises(PlanError, match="is not YAML"):
        read_site(tmp_path / "site.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"--kempner-site .*gone.yaml: cannot be read"):
        read_site(tmp_path / "gone.yaml")


def bomb(levels: int, what: str) -> str:
    """A few lines of aliases of aliases: ten times as many values with each of them."""
    lines = [f"x0: &x0 [{', '.join(['lol'] * 10)}]"]
    lines += [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join([*lines, what.format(f"*x{levels - 1}")])


@pytest.mark.parametrize(
    "text",
    [
        bomb(9, "name: {}"),
        bomb(60, "partitions: {{gpu: {{accounts: {}}}}}"),
        bomb(9, "applies_to: {}"),
        "partitions: &again {gpu: *again}",
        "applies_to: &again [*again]",
    ],
    ids=["billion", "more than a float counts", "list", "mapping within itself", "list within itself"],
)
def test_aliases_that_stand_for_more_than_anybody_writes_are_a_fault(text: str) -> None:
    with pytest.raises(PlanError, match=r"has more than \d+ values, counting what aliases|recursive node"):
        parse_site(text, "site.yaml")


def test_an_alias_that_spares_writing_something_twice_is_none() -> None:
    text = "partitions: {one: &gpu {nodes: [{cores: 4, memory: 8G}], runtime: 60}, two: *gpu}"
    site, _ = parse_site(text, "site.yaml")
    assert site.partitions["one"].nodes == site.partitions["two"].nodes


def test_a_file_that_is_nested_without_end_or_too_large_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("[" * 50_000)
    with pytest.raises(PlanError, match="nested too deeply"):
        read_site(path)
    path.write_text("#" * 300_000)
    with pytest.raises(PlanError, match="more than 200000 characters"):
        read_site(path)


def test_a_value_of_any_length_is_shown_in_part() -> None:
    with pytest.raises(PlanError) as caught:
        parse_site(f"needs_account: {'x' * 10_000}", "site.yaml")
    assert len(str(caught.value)) < 400


def test_what_goes_on_with_a_run_reads_the_copy_of_a_file_that_could_be_read_once(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=pipe.write_text, args=("name: ours",))
    writer.start()
    first = read_site(pipe, tmp_path / "copy")
    writer.join()
    pipe.unlink()
    assert first == read_site(pipe, tmp_path / "copy") == parse_site("name: ours", "copy")[0]


def test_times_are_not_read_as_sixtieths() -> None:
    """YAML itself would make 43200 of 12:00:00."""
    site, _ = parse_site("partitions: {test: {runtime: 12:00:00}}", "site.yaml")
    assert site.partitions["test"].minutes == 720


def test_the_file_of_kempner_holds_where_a_partition_is_called_so() -> None:
    _, patterns = packaged()
    assert applies(patterns, live().partitions)
    assert not applies(patterns, {"gpu": live().partitions["kempner"]})


def test_the_policy_of_kempner() -> None:
    """Source: Kempner computing handbook."""
    site, _ = packaged()
    shares = {name: (one.cores, one.memory_mb) for name, one in site.gpus.items()}
    assert shares == {
        "a100": (16, 240 * 1024),
        "h100": (24, 360 * 1024),
        "h200": (16, 360 * 1024),
        "rtx6000pro": (16, 180 * 1024),
    }
    days = {name: (one.minutes or 0) // 1440 for name, one in site.partitions.items() if one.nodes}
    assert days == {"kempner": 2, "kempner_h100": 2, "kempner_h200": 2, "kempner_rtx": 2, "kempner_requeue": 7}
    assert {cap.gpus for cap in site.caps if cap.holds("kempner_h100", "kempner_undergrads")} == {4, 16}
    assert not [cap for cap in site.caps if cap.holds("kempner_requeue", "kempner_doe_lab")]


def test_a_draft_reads_back() -> None:
    site, _ = parse_site(draft(live()), "draft")
    assert {name: one.minutes for name, one in site.partitions.items()} == {
        name: one.minutes for name, one in live().partitions.items()
    }
    assert site.gpus["h100"].cores == 24


def test_slurm_is_believed_before_a_file() -> None:
    file, _ = parse_site(
        """
        partitions:
          kempner: {runtime: 9-00:00:00, only_gpu: true, accounts: [kempner_grads], nodes: [{gpu: a100, gpus: 16}]}
          gone: {runtime: 60}
        """,
        "site.yaml",
    )
    both = together(file, live("kempner_doe_lab"))
    kempner = both.partitions["kempner"]
    assert (kempner.minutes, kempner.only_gpu, kempner.accounts) == (2880, True, ("kempner_doe_lab",))
    assert [one.gpus for one in kempner.nodes] == [4]
    assert "gone" not in both.partitions
