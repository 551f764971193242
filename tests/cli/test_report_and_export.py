"""`kempner report`: the table, the CSV and the JSON, on the fake scheduler."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from builders import a_task, sweep
from click.testing import CliRunner, Result
from fakes import OK, OUT_OF_MEMORY, takes
from playing import Play, told_by

from snakemake_executor_plugin_kempner.cli import places
from snakemake_executor_plugin_kempner.cli.main import kempner

HOSTILE = ("=1+1", "+x", "@sum", "-2", 'say "no"', "two\nlines", "a,b;c", "\x1b[2J", "</script><b>", "\t=1")


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(play: Play, monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0) -> Result:
    monkeypatch.setattr(places, "SlurmCommands", lambda **_options: play.slurm)
    with told_by(play.clock):
        result = CliRunner().invoke(kempner, list(words), prog_name="kempner")
    assert result.exit_code == code, result.output
    return result


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def begun(workdir: Path, ends: object = None) -> Play:
    return Play(workdir / ".snakemake/kempner/run1", ends)  # type: ignore[arg-type]


def test_the_report_shows_use_waiting_and_gpu_hours_by_rule(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir, {"train": takes(720)})
    play.submit(*sweep(3))
    play.run_headless()
    said = typed(play, monkeypatch, "report").stdout
    assert "What the jobs of run run1 used:" in said
    lines = {line.split()[0]: line.split() for line in said.partition("Waiting in the queue")[2].splitlines() if line}
    assert lines["train"][1] == "3"
    assert lines["train"][-1] == "0.6"  # three GPUs for twelve minutes
    assert lines["all"][-1] == "0.6"


def test_the_csv_has_a_row_for_each_attempt_with_its_times(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir, {"fetch": takes(60), "train": [OUT_OF_MEMORY, OK]})
    memory = [{"mem_mb": 1000, "runtime": 10}, {"mem_mb": 4000, "runtime": 20}]
    play.submit(a_task("fetch"), a_task("train", "fetch", attempts=2, resources=memory), a_task("report", "train"))
    play.run_headless()
    found = rows(typed(play, monkeypatch, "report", "--csv").stdout)
    assert [(row["task"], row["attempt"], row["state"], row["outcome"]) for row in found] == [
        ("fetch", "1", "COMPLETED", "done"),
        ("train", "1", "OUT_OF_MEMORY", "failed"),
        ("train", "2", "COMPLETED", "done"),
        ("report", "1", "COMPLETED", "done"),
    ]
    assert [row["requested_memory_mb"] for row in found[1:3]] == ["1000", "4000"]
    fetch, first, second, report = found
    assert fetch["submit"] <= fetch["eligible"] <= fetch["start"] < fetch["end"]
    assert first["eligible"] >= fetch["end"] > first["submit"]  # it could not start before its input was there
    assert second["eligible"] >= first["start"]
    assert report["eligible"] >= second["end"]


def test_a_run_that_was_taken_over_is_part_of_the_report(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir, {"fetch": takes(60), "train": takes(600)})
    tasks = a_task("fetch"), a_task("train", "fetch"), a_task("report", "train")
    play.clock.sleep(5)
    play.submit(*tasks)
    play.clock.sleep(120)
    play.resume()
    play.submit(tasks[2])
    play.run_headless()
    found = rows(typed(play, monkeypatch, "report", "--csv").stdout)
    assert {row["task"] for row in found} == {"fetch", "train", "report"}
    train = next(row for row in found if row["task"] == "train")
    assert train["submit"] < train["start"]  # not the time at which the second run took it over
    said = typed(play, monkeypatch, "report").stdout
    assert "Run run2 goes on with run1, whose jobs are counted here." in said
    assert re.search("^fetch .*COMPLETED", said.partition("Waiting in the queue")[0], re.MULTILINE)


def test_what_has_not_started_has_no_start_and_is_not_eligible(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir, {"fetch": takes(600)})
    play.submit(a_task("fetch"), a_task("train", "fetch"))
    play.clock.sleep(20)
    fetch, train = rows(typed(play, monkeypatch, "report", "--csv").stdout)
    assert (fetch["outcome"], fetch["end"]) == ("running", "")
    assert (train["outcome"], train["eligible"], train["start"], train["log"]) == ("waiting", "", "", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_cell_of_the_csv_is_a_formula_or_moves_a_cursor(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    play = begun(
        workdir,
    )
    play.submit(a_task(name, wildcards={"x": name}))
    play.run_headless()
    said = typed(play, monkeypatch, "report", "--csv").stdout
    assert all(line.isprintable() for line in said.splitlines())
    for cells in csv.reader(io.StringIO(said)):
        assert not [text for text in cells if text.startswith(("=", "+", "-", "@"))]
    typed(play, monkeypatch, "report", "--csv", "-o", "report.csv")
    assert (workdir / "report.csv").read_text() == said


def test_programs_read_the_report_as_json(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir)
    play.submit(a_task("fetch"))
    play.run_headless()
    (row,) = json.loads(typed(play, monkeypatch, "report", "--json").stdout)
    assert (row["label"], row["state"]) == ("fetch", "done")
    typed(play, monkeypatch, "report", "--json", "--csv", code=2)
    said = typed(play, monkeypatch, "report", "--csv", "-o", "no/such/folder/r.csv", code=1)
    assert "r.csv cannot be written: No such file or directory" in said.output


def test_how_often_slurm_has_requeued_a_job_is_told(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = begun(workdir)
    play.submit(a_task("fetch"))
    play.run_headless()
    (record,) = play.folder.glob("ended/*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "restarts": 2}))
    (row,) = rows(typed(play, monkeypatch, "report", "--csv").stdout)
    assert row["requeues"] == "2"


def test_the_page_lies_in_the_folder_of_the_run(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, cache_of_the_library: Path
) -> None:
    pytest.importorskip("vl_convert")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_of_the_library))
    play = begun(workdir)
    play.submit(*sweep(3))
    play.run_headless()
    assert typed(play, monkeypatch, "report", "--html").stdout == ".snakemake/kempner/run1/report.html\n"
    assert "<title>Run run1 " in (play.folder / "report.html").read_text()
    typed(play, monkeypatch, "report", "run1", "--html", "-o", "elsewhere.html")
    assert (workdir / "elsewhere.html").exists()


def test_a_page_without_its_library_is_an_error_that_says_what_to_type(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    play = begun(workdir)
    play.submit(a_task("fetch"))
    play.run_headless()
    said = typed(play, monkeypatch, "report", "--html", code=1).output
    assert "pip install 'snakemake-executor-plugin-kempner[report]'" in said


@pytest.mark.parametrize(
    ("words", "begins"), [([], "#!/bin/bash"), (["--form", "dot"], "digraph"), (["--form", "mermaid"], "flowchart")]
)
def test_a_run_is_exported_to_standard_output(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], begins: str
) -> None:
    play = begun(workdir)
    play.submit(*sweep(3))
    play.run_headless()
    assert typed(play, monkeypatch, "export", *words).stdout.startswith(begins)
    typed(play, monkeypatch, "export", *words, "-o", "plan.sh")
    assert (workdir / "plan.sh").stat().st_mode & 0o077 == (0 if begins == "#!/bin/bash" else 0o044)
    assert "says no form" in typed(play, monkeypatch, "export", "-o", "plan.txt", code=1).output
