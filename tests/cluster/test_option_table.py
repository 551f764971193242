"""The table of options is that of the real sbatch, which says by itself what it knows."""

import re
import string
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.sbatch import OPTIONS, Takes, UnreadableError, read
from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxError


def _refusal(slurm: Sandbox, *words: str) -> str:
    """What sbatch complains of; nothing is submitted, because there is no script."""
    done = subprocess.run(
        ["sbatch", *words], env=slurm.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stderr


def test_every_long_option_of_sbatch_is_in_the_table_with_what_it_takes(slurm: Sandbox) -> None:
    listed = {
        name
        for letter in string.ascii_lowercase
        for name in re.findall(r"'--([a-z][\w-]+)'", _refusal(slurm, f"--{letter}"))
    }
    assert len(listed) > 90
    assert listed <= OPTIONS.keys()
    for name in sorted(listed):
        needs = "requires an argument" in _refusal(slurm, f"--{name}")
        refuses = "allow an argument" in _refusal(slurm, f"--{name}=")
        assert OPTIONS[name] is (Takes.A_VALUE if needs else Takes.NOTHING if refuses else Takes.PERHAPS), name


def _is_read(letter: str) -> bool:
    try:
        return bool(list(read([f"-{letter}1"])))
    except UnreadableError as error:
        return "does not know" not in str(error) or f"-{letter} " not in str(error)


def test_every_short_option_of_sbatch_is_read(slurm: Sandbox) -> None:
    letters = string.ascii_letters
    known = {letter for letter in letters if "invalid option" not in _refusal(slurm, f"-{letter}")}
    assert {letter for letter in letters if _is_read(letter)} == known


def _requested(slurm: Sandbox, *options: str) -> tuple[str, ...]:
    """What a job has of what these options decide."""
    job_id = slurm.run("sbatch", "--parsable", "--hold", "--output=/dev/null", *options, "--wrap=true").strip()
    shown = slurm.run("scontrol", "--oneliner", "show", "job", job_id)
    slurm.run("scancel", job_id)
    return tuple(re.findall(r" (?:Requeue|OverSubscribe)=(\S+)", shown))


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except SandboxError as error:
        if "mutually exclusive" not in str(error):
            raise


@pytest.mark.parametrize("pair", [("--requeue", "--no-requeue"), ("--exclusive", "--oversubscribe")], ids=" ".join)
def test_of_options_that_undo_each_other_sbatch_takes_the_last(slurm: Sandbox, pair: tuple[str, str]) -> None:
    answers = set()
    for both in (pair, pair[::-1]):
        assert Options.of(*both) == Options.of(both[1])
        answers.add(_requested(slurm, both[1]))
        # 24.11 refuses both of the second pair together; it is never given them.
        with _refused() if pair[0] == "--exclusive" else nullcontext():
            assert _requested(slurm, *both) == _requested(slurm, both[1])
    assert len(answers) == 2, "they decide nothing"
