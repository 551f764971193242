"""Where jobs find what the head has read."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from snakemake_executor_plugin_kempner.adapt.sources import Sources, copy_of, keep_sources
from snakemake_executor_plugin_kempner.errors import PlanError

SOURCES = Sources(of_head=("/cache/tmp1",), kept="/runs/run1/sources")


class Workflow:
    """As much of Snakemake's as is read, with a source cache that holds these files."""

    def __init__(self, folder: Path, files: Mapping[str, str], *configfiles: str, shared: bool = True) -> None:
        self.cache = folder / "cache" / "tmp1"
        for path, text in files.items():
            (self.cache / path).parent.mkdir(parents=True, exist_ok=True)
            (self.cache / path).write_text(text)
        self.sourcecache: Any = SimpleNamespace(runtime_cache_path=self.cache, cache_path=folder / "cache")
        usage = {SharedFSUsage.SOURCE_CACHE} if shared else set()
        self.storage_settings = SimpleNamespace(shared_fs_usage=usage)
        self.configfiles, self.workdir_init = configfiles, str(folder)
        self.main_snakefile = str(folder / "Snakefile")


def test_a_source_has_the_path_of_its_copy_for_a_job() -> None:
    files = ("data/a.txt", "/cache/tmp1/file/data/b.txt", "/cache/tmp10/c.txt")
    assert list(SOURCES.as_jobs_see(files)) == [
        "data/a.txt",
        "/runs/run1/sources/file/data/b.txt",
        "/cache/tmp10/c.txt",
    ]


def test_a_source_that_each_job_fetches_itself_is_not_waited_for() -> None:
    sources = Sources(of_head=("/cache/tmp1", "/cache"), kept="")
    assert list(sources.as_jobs_see(("a.txt", "/cache/tmp1/b.txt", "/cache/c.txt"))) == ["a.txt"]


def test_a_text_that_names_a_source_is_the_same_for_every_head() -> None:
    other = Sources(of_head=("/cache/tmp2",), kept="/runs/run2/sources")
    texts = ["--data /cache/tmp1/a.txt", "--data /runs/run1/sources/a.txt"]
    others = ["--data /cache/tmp2/a.txt", "--data /runs/run2/sources/a.txt"]
    assert len({*map(SOURCES.without_place, texts), *map(other.without_place, others)}) == 1


def test_what_the_head_has_fetched_is_kept_and_what_it_fetches_later_comes_to_it(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, {"file/rules/a.smk": "rule a: ..."})
    sources = keep_sources(workflow, tmp_path / "run1")
    assert (tmp_path / "run1/sources/file/rules/a.smk").read_text() == "rule a: ..."
    assert str(workflow.sourcecache._runtime_cache_path) == sources.kept == str(tmp_path / "run1/sources")


def test_a_job_of_the_run_copies_nothing(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, {"file/a.smk": ""}, "gone.yaml")
    workflow.sourcecache.runtime_cache_path = tmp_path / "run1" / "sources"
    assert keep_sources(workflow, tmp_path / "run1").kept == str(tmp_path / "run1/sources")
    assert not (tmp_path / "run1").exists()


@pytest.mark.parametrize("below", ["", "work"])
def test_a_configuration_file_is_kept_whether_it_was_read_before_or_after_the_workdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "work").mkdir()
    (config := tmp_path / below / "config.yaml").write_text("a: 1")
    monkeypatch.chdir(tmp_path / "work")
    keep_sources(Workflow(tmp_path, {"file/a.smk": ""}, "config.yaml"), tmp_path / "run1")
    assert copy_of(tmp_path / "run1" / "sources", config).read_text() == "a: 1"


@pytest.mark.parametrize("shared", [True, False])
def test_all_configuration_files_that_jobs_could_not_read_are_named(tmp_path: Path, shared: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "there.yaml").touch()
    workflow = Workflow(tmp_path, {"file/a.smk": ""}, "pipe", "gone.yaml", "there.yaml", shared=shared)
    with pytest.raises(PlanError) as refused:
        keep_sources(workflow, tmp_path / "run1")
    assert [fault.where for fault in refused.value.faults] == [str(tmp_path / "pipe"), str(tmp_path / "gone.yaml")]
    assert not (tmp_path / "run1").exists()


def test_a_snakefile_that_only_the_head_can_open_is_kept_under_its_name(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, {"file/dev/fd/63": "rule a: ..."})
    workflow.main_snakefile = "/dev/fd/63"
    workflow.sourcecache.get_path = lambda source: f"{workflow.cache}/file{source.get_path_or_uri(secret_free=True)}"
    keep_sources(workflow, tmp_path / "run1")
    assert copy_of(tmp_path / "run1" / "sources", "/dev/fd/63").read_text() == "rule a: ..."
