"""The page about a run, also as Debian's Chromium shows it."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import unquote

import pytest
from made_up import a_run, renamed

from snakemake_executor_plugin_kempner.errors import KempnerError
from snakemake_executor_plugin_kempner.reporting.library import library
from snakemake_executor_plugin_kempner.reporting.page import Subject
from snakemake_executor_plugin_kempner.reporting.writing import write_at_end, write_page
from snakemake_executor_plugin_kempner.state.model import State

CHROMIUM = shutil.which("chromium")
HOSTILE = (
    "</script bold><b>bold</b>",     "</script><script>document.title='caught'</script>", "<img src=x onerror=\"document.title='caught'\">",
    "'\"><b>bold</b>", "{{ 7 * 7 }}", "${7*7}", "javascript:document.title='caught'", "two\nlines", "a\x1b[2Jb",
    "\u202egnp", "datum.x'];document.title='caught'", "a.b[c]\\'", "<!--", "\udcff",
)  # fmt: skip

pytest.importorskip("vl_convert")


@pytest.fixture(scope="module", autouse=True)
def _cache(cache_of_the_library: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache_of_the_library))
        yield


def written(subject: Subject, path: Path) -> Path:
    write_page(subject, path)
    return path


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / ".snakemake/kempner/4f3a91c2"
    folder.mkdir(parents=True)
    return folder


def opened(path: Path, tmp_path: Path) -> tuple[str, list[str]]:
    """The page after its program has run, and what the browser's console says."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'chromium'}",
            "--enable-logging=stderr", "--window-size=1300,6000", "--virtual-time-budget=10000", "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120, errors="replace",
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    shown = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    return shown, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def data_of(text: str) -> dict[str, object]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    known = json.loads(found)
    assert isinstance(known, dict)
    return known


@pytest.mark.parametrize(("tasks", "drawn_by_rule"), [(10, False), (10_000, True)])
def test_the_page_is_small_and_opens_without_a_word_on_the_console(
    tmp_path: Path, tasks: int, drawn_by_rule: bool
) -> None:
    folder = folder_of(tmp_path)
    path = written(a_run(folder, tasks), folder / "report.html")
    assert path.stat().st_size < 5_000_000
    assert path.stat().st_mode & 0o077 == 0  # commands may hold passwords
    text, console = opened(path, tmp_path)
    assert console == []
    assert text.count("<canvas") == 4
    assert "cannot be drawn" not in text
    assert ("How many tasks of each rule" in text) is drawn_by_rule
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert body.count("<tr>") == min(100, len(data_of(path.read_text())["rows"]))  # type: ignore[arg-type]


def test_every_link_to_a_log_leads_to_the_log(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    subject = a_run(folder, 10)
    path = written(subject, folder / "report.html")
    text, _ = opened(path, tmp_path)
    hrefs = [html.unescape(href) for href in re.findall(r'<a href="([^"#][^"]*)"', text)]
    started = [row for row in subject.rows if row.start is not None]
    assert len(hrefs) == len(started)
    assert {(folder / unquote(href)).resolve() for href in hrefs} == {Path(row.log) for row in started}
    sections = set(re.findall(r'<a href="#(\w+)"', text))
    assert sections <= set(re.findall(r'<section id="(\w+)"', text))


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    text = written(a_run(folder, 10), folder / "report.html").read_text()
    assert "default-src 'none'" in text
    text = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=(?![\"']?data:)", text)


@pytest.mark.parametrize("tasks", [4 * len(HOSTILE), 600], ids=["a bar for each", "by rule"])
def test_no_name_and_no_log_line_becomes_part_of_the_page(tmp_path: Path, tasks: int) -> None:
    folder = folder_of(tmp_path)
    subject = a_run(folder, tasks, failures=0.9)
    failed = [task for task in subject.state.tasks if task.state is State.FAILED]
    assert len(failed) > len(HOSTILE) / 2
    for task, name in zip(failed, cycle(HOSTILE), strict=False):
        assert task.last
        task.last.log.write_text(f"ValueError: {name}\n", errors="surrogateescape")
    path = written(renamed(subject, HOSTILE), folder / "report.html")
    text, console = opened(path, tmp_path)
    assert console == []
    assert re.search("<title>Run 4f3a91c2 (failed|succeeded)</title>", text)
    assert "<b>bold</b>" not in text
    assert "<img" not in text
    shown = re.sub(r"<script>.*?</script>", "", path.read_text(), flags=re.DOTALL)  # the data stay
    assert not {char for char in shown if not char.isprintable() and char != "\n"}
    assert text.count("<canvas") == 4


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    from dataclasses import replace

    folder = folder_of(tmp_path)
    made = a_run(folder, 10)
    empty = replace(made, rows=(), use=replace(made.use, jobs=()), state=replace(made.state, tasks=(), closed=False))
    text, console = opened(written(empty, folder / "report.html"), tmp_path)
    assert console == []
    assert "Nothing has run yet" in text


def test_without_the_library_the_error_names_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    folder = folder_of(tmp_path)
    with pytest.raises(KempnerError, match=re.escape("pip install 'snakemake-executor-plugin-kempner[report]'")):
        write_page(a_run(folder, 10), folder / "report.html")
    assert not list(folder.glob("*.html"))


def test_a_report_that_cannot_be_written_at_the_end_is_a_message_and_no_error(tmp_path: Path) -> None:
    said: list[str] = []
    write_at_end(tmp_path / "no run", None, said.append)  # type: ignore[arg-type]
    (line,) = said
    assert line.startswith("The report cannot be written: ")


def test_the_library_is_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    made = library()
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _snippet: "again")
    assert library() == made
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/no/folder")
    assert library() == "again"
