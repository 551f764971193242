r"""Slurm reads `\` and `%` in the paths of logs: whatever a folder is called, jobs run, and their logs are where it is said."""

from pathlib import Path

import pytest
from head import run, run_detached, written
from snakefiles import Code, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

SWEEP = snakefile(
    wanted("end.txt"),
    rule(
        "point",
        output="point/{n}.txt",
        shell='echo said by {wildcards.n}; touch "$KEMPNER_CHECKPOINT_DIR/kept"; echo > {output}',
    ),
    rule("end", Code('expand("point/{n}.txt", n=range(6))'), shell="echo the last words; exit 7"),
)
NAMES = {
    "a backslash": "back\\slash",
    "a backslash at the end": "back\\",
    "the id of a job": "per%jcent %A %a %% %",
    "both, a space and quotes": 'it\'s \\%j\\ "so"',
    "a line break": "line\nbreak",
}


@pytest.mark.parametrize("what", NAMES)
def test_logs_are_where_it_is_said_whatever_the_folder_is_called(slurm: Sandbox, tmp_path: Path, what: str) -> None:
    folder = written(tmp_path / NAMES[what], SWEEP)
    outcome = run(slurm, folder)
    assert outcome.exit_code == 1, outcome.output
    assert "the last words" in outcome.output
    assert len(list(folder.glob("point/*.txt"))) == 6, outcome.output
    (logs,) = folder.glob(".snakemake/kempner/[0-9a-f]*/logs")
    by_wildcard = sorted(logs.glob("point/n=*.log"))
    assert len(by_wildcard) == 6, outcome.output
    assert [f"said by {number}" in one.read_text() for number, one in enumerate(by_wildcard)] == [True] * 6
    assert not any("%" in one.name for one in by_wildcard)


@pytest.mark.parametrize("what", ["a backslash", "the id of a job"])
def test_nobody_has_to_be_there_in_such_a_folder(slurm: Sandbox, tmp_path: Path, what: str) -> None:
    folder = written(tmp_path / NAMES[what], SWEEP.replace("; exit 7", "; echo > {output}"))
    outcome = run_detached(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert "7 of 7 tasks done" in outcome.output


@pytest.mark.parametrize("what", NAMES)
def test_a_folder_for_logs_may_be_called_anything(slurm: Sandbox, tmp_path: Path, what: str) -> None:
    folder = written(tmp_path / "flow", SWEEP)
    outcome = run(slurm, folder, "--kempner-logdir", NAMES[what])
    assert "the last words" in outcome.output, outcome.output
    assert len(list((folder / NAMES[what]).glob("*/point/n=*.log"))) == 6
