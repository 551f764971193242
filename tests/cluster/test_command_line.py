"""`kempner` on the real Slurm: what it says while a run goes on, after its end and after the death of its head; and steering."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from head import PATIENCE, Head, go, of_rule, queued, run_detached, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

pytestmark = pytest.mark.cluster

SWEEP = """
rule all:
    input: "report.txt"

rule preprocess:
    output: "data.txt"
    shell: "until [ -e go ]; do sleep 0.2; done; echo data > {output}"

rule train:
    input: "data.txt"
    output: "model-{lr}-{seed}.txt"
    log: "logs/train-{lr}-{seed}.log"
    shell:
        '''
        ( echo epoch 1
          case {wildcards.seed} in
            0|1|2) python3 -c "raise ValueError('loss is NaN at epoch {wildcards.seed}')" ;;
            3) exit 137 ;;
            4) no-such-program ;;
          esac ) > {log} 2>&1
        touch {output}
        '''

rule evaluate:
    input: "model-{lr}-{seed}.txt"
    output: "eval-{lr}-{seed}.txt"
    shell: "touch {output}"

rule report:
    input: expand("eval-0.1-{seed}.txt", seed=range(6))
    output: "report.txt"
    shell: "touch {output}"
"""
BROKEN = "\nthis is no Snakefile ("


def kempner(slurm: Sandbox, folder: Path, *words: str, code: int = 0) -> str:
    """What the command says, whose exit status must be that."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake_executor_plugin_kempner", *words],
        cwd=folder, env={**os.environ, **slurm.environment}, capture_output=True, text=True, check=False, timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def states(slurm: Sandbox, folder: Path) -> dict[str, dict[str, int]]:
    """Number of tasks in each state, by rule."""
    found = json.loads(kempner(slurm, folder, "status", "--json"))
    return {row["rule"]: row["numbers"] for row in found["rows"]}


FAILED = {
    "preprocess": {"done": 1},
    "train": {"done": 1, "failed": 5},
    "evaluate": {"done": 1, "never": 5},
    "report": {"never": 1},
}


def assert_causes_are_named(slurm: Sandbox, folder: Path) -> None:
    assert states(slurm, folder) == FAILED
    shown = kempner(slurm, folder)
    assert "has failed: 3 of 14 tasks done, 5 failed, 6 never" in shown
    assert "3 × ValueError: loss is NaN at epoch …  train[lr=0.1,seed=0-2]; 4 tasks cannot run" in shown
    assert "1 × killed by SIGKILL" in shown
    assert "1 × no-such-program: command not found  train[lr=0.1,seed=4]" in shown
    why = kempner(slurm, folder, "why", "failed")
    assert "ValueError: loss is NaN at epoch 0" in why
    assert "2 more tasks: train[lr=0.1,seed=1-2]" in why
    assert "signal 9" in why
    assert "exit code 127: a program is missing on " in why
    assert "log: logs/train-0.1-0.log" in why


def test_on_monday_the_causes_of_a_detached_sweep_are_named(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", SWEEP)
    go(folder)
    run_detached(slurm, folder, "--keep-going", "--default-resources", "mem_mb=600")
    (folder / "Snakefile").write_text(SWEEP + BROKEN)
    assert_causes_are_named(slurm, folder)
    assert kempner(slurm, folder, "logs", "--path", "train[*,seed=0]").splitlines()[0] == str(
        folder / "logs/train-0.1-0.log"
    )
    assert "closing.log" in kempner(slurm, folder)


def test_while_it_runs_and_after_the_death_of_its_head_it_says_the_same(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", SWEEP)
    with Head(slurm, folder, "--keep-going", "--default-resources", "mem_mb=600") as head:
        head.until(lambda: "Queued 14 tasks" in head.said)
        head.until(lambda: of_rule(queued(slurm, folder), "preprocess")[0].state == "RUNNING")
        shown = kempner(slurm, folder)
        assert "under way: 0 of 14 tasks done, 1 running, 13 waiting" in shown
        assert "; the head of run " in shown
        assert "train[lr=0.1,seed=0-5]: waiting for preprocess" in shown
        assert "preprocess (running)" in kempner(slurm, folder, "why", "train[lr=0.1,seed=3]")
        head.kill()
        assert "; nobody watches it" in kempner(slurm, folder)
        go(folder)
        head.until(lambda: "has failed" in kempner(slurm, folder))
        assert_causes_are_named(slurm, folder)


def test_a_part_is_cancelled_with_what_needs_it_and_the_rest_goes_on(slurm: Sandbox, tmp_path: Path) -> None:
    """Also without --keep-going: it is no failure that stops the run. The closing job says what was cancelled."""
    folder = written(
        tmp_path / "run", SWEEP.replace("0|1|2)", "x)").replace("3) exit", "x) exit").replace("4) no", "x) no")
    )
    with Head(slurm, folder, "--kempner-detach", "--default-resources", "mem_mb=600") as head:
        assert head.end() == 0, head.said
        kempner(slurm, folder, "cancel", "train[*,seed=3]", code=1)  # nobody has answered the question
        assert states(slurm, folder)["train"] == {"waiting": 6}
        assert "Cancelled 3 tasks" in kempner(slurm, folder, "cancel", "train[*,seed=3]", "--yes")
        go(folder)
        (log,) = (path.parent for path in folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl"))
        head.until(
            lambda: " has failed: " in (log / "closing.log").read_text() if (log / "closing.log").exists() else False
        )
        assert states(slurm, folder) == {
            "preprocess": {"done": 1},
            "train": {"done": 5, "cancelled": 1},
            "evaluate": {"done": 5, "never": 1},
            "report": {"never": 1},
        }
        said = (log / "closing.log").read_text()
        assert " has failed: 11 of 14 tasks done, 2 never, 1 cancelled\n" in said
        assert "  1 × cancelled: train[lr=0.1,seed=3]\n" in said


def test_a_run_is_cancelled_beside_its_head_and_without_a_snakefile_that_parses(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", SWEEP)
    with Head(slurm, folder, "--default-resources", "mem_mb=600") as head:
        head.until(lambda: "Queued 14 tasks" in head.said)
        (folder / "Snakefile").write_text(SWEEP + BROKEN)
        refused = kempner(slurm, folder, "cancel", "evaluate", "--yes", code=1)
        assert "without --keep-going: it would stop the whole run" in refused
        assert "Cancelled the " in kempner(slurm, folder, "cancel", "--yes")
        assert head.end() == 1, head.said
        assert all(job.is_over for job in queued(slurm, folder, helpers=True))
        assert states(slurm, folder)["train"] == {"never": 6}
        assert "Nothing of that is in the queue" in kempner(slurm, folder, "cancel", "--yes")


HOSTILE = ["it's", 'say "no"', "[red]x[/red]", "a\x1b[31mb", "$(touch caught)", "*", "a,b=c"]
ODD = f"""
NAMES = {HOSTILE!r}

rule all:
    input: [f"{{name}}.txt" for name in NAMES]

rule odd:
    output: "{{name}}.txt"
    run:
        print("[bold]loud[/bold] \\x1b[2J\\x1b]0;title\\x07")
        raise ValueError(f"cannot do {{wildcards.name}}")
"""


def test_no_name_and_no_log_does_harm(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ODD)
    run_detached(slurm, folder, "--keep-going", "--default-resources", "mem_mb=600")
    reports = (["report"], ["report", "--csv"], ["report", "--json"], ["export"], ["export", "--form", "mermaid"])
    for words in ([], ["why", "failed"], ["logs"], ["runs"], ["status", "--json"], ["why", "--json"], *reports):
        said = kempner(slurm, folder, *words)
        assert all(line.replace("\t", "").isprintable() for line in said.split("\n")), words
    assert f"{len(HOSTILE)} failed" in kempner(slurm, folder)
    assert "[red]x[/red]" in kempner(slurm, folder, "why", "odd[name=[red]x[/red]]")
    assert "[bold]loud[/bold]" in kempner(slurm, folder, "logs", "odd[name=it's]")
    typed = next(line for line in kempner(slurm, folder, "why", "odd[name=it's]").splitlines() if "→" in line)
    again = shlex.split(typed.partition("→")[2])
    assert "odd[name=it's]" in kempner(slurm, folder, *again[1:])
    assert not (folder / "caught").exists()
