"""What a person sees who watches a run on a terminal."""

import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from comparison import SECONDS_PER_RUN, SNAKEMAKE
from detached import page, until
from head import arguments, cancel_all, go, written
from test_command_line import SWEEP

from snakemake_executor_plugin_kempner.sandbox import Sandbox

pytestmark = pytest.mark.cluster


class Terminal:
    """A head on a terminal of its own."""

    def __init__(self, slurm: Sandbox, folder: Path, *more: str, **extra: str) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, **slurm.environment, "TERM": "xterm", "COLUMNS": "150", "LINES": "40", **extra}
        self._said = b""
        self.process = subprocess.Popen(
            [*SNAKEMAKE, *arguments(*more)], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()

    def _read(self, ours: int) -> None:
        while True:
            try:
                self._said += os.read(ours, 65_536)
            except OSError:  # the other side is closed
                return

    @property
    def said(self) -> str:
        """As it came, without colours."""
        return re.sub(r"\x1b\[[\d;]*m", "", self._said.decode(errors="replace")).replace("\r\n", "\n")


@contextmanager
def terminal(slurm: Sandbox, folder: Path, *more: str, **extra: str) -> Iterator[Terminal]:
    head = Terminal(slurm, folder, *more, **extra)
    try:
        yield head
    finally:
        head.process.kill()
        head.process.wait()
        cancel_all(slurm, folder)


UP = "\x1b[1A"
"""The cursor goes up a line, to draw over what is there."""


def test_on_a_terminal_a_view_shows_the_rules_what_runs_and_what_comes_next(slurm: Sandbox, folder: Path) -> None:
    written(folder, SWEEP)
    with terminal(slurm, folder, "--keep-going", "--default-resources", "mem_mb=600") as head:
        until(lambda: " under way: 0 of 14 tasks done, 1 running, 13 waiting" in head.said, shown=lambda: head.said)
        assert re.search(r"^preprocess +1 +· +1 +· +·", head.said, re.MULTILINE)
        assert "  runs    preprocess\n" in head.said
        assert "  next    train[lr=0.1,seed=0-5]: waiting for preprocess\n" in head.said
        until(lambda: re.search(r"preprocess runs on n\d \(Slurm job \d+\)\.", head.said), shown=lambda: head.said)
        go(folder)
        assert head.process.wait(SECONDS_PER_RUN) == 1, head.said
        until(lambda: "At least one job did not complete" in head.said)
    assert head.said.count("  cause: ValueError: loss is NaN at epoch 0\n") == 1
    assert page(folder) in head.said
    after = head.said[head.said.index(page(folder)) :]
    assert UP not in after
    assert "─────" not in after


@pytest.mark.parametrize(
    ("options", "extra"),
    [(("--quiet", "all"), {}), (("--quiet", "rules"), {}), ((), {"TERM": "dumb"}), (("--kempner-detach",), {})],
    ids=["--quiet all", "--quiet rules", "dumb terminal", "detached"],
)
def test_no_view_is_drawn_where_it_is_not_wanted(
    slurm: Sandbox, folder: Path, options: tuple[str, ...], extra: dict[str, str]
) -> None:
    written(folder, "rule one:\n    output: 'one.txt'\n    shell: 'sleep 3; touch {output}'\n")
    with terminal(slurm, folder, *options, **extra) as head:
        assert head.process.wait(SECONDS_PER_RUN) == 0, head.said
    assert UP not in head.said
    assert "under way" not in head.said


def test_beside_a_logger_plugin_that_draws_no_view_is_drawn(slurm: Sandbox, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("snakemake_logger_plugin_rich")
    written(folder, SWEEP)
    go(folder)
    with terminal(slurm, folder, "--keep-going", "--logger", "rich", HOME=str(tmp_path)) as head:
        assert head.process.wait(SECONDS_PER_RUN) == 1, head.said
    assert "under way" not in head.said
    assert "  cause: ValueError: loss is NaN at epoch 0\n" in head.said
