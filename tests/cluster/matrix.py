"""Runs a case with an executor, checks what its user relies on, and tells what it has left."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cases import Case, Step
from columns import Call
from comparison import Entry, Outcome, Tree, fresh_copy, run_forked, run_snakemake, snapshot
from head import PATIENCE, PAUSE

WORKFLOWS = Path(__file__).parent.parent / "workflows"
ALWAYS_VARYING = ("benchmarks/*", "*/benchmarks/*")
TAIL = 6000
NEXT_RUN = "the next run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """Who runs the tasks: its arguments, and the environment in which it finds them."""

    name: str
    args: tuple[str, ...]
    environment: Mapping[str, str]
    waiting: Callable[[], str] = str
    """Lists what waits in the queue, a line for each submission, ending with its folder."""
    snakemake: Call = run_snakemake

    def run(self, case: Case, folder: Path, *args: str) -> Outcome:
        """Call Snakemake in a folder."""
        return self.snakemake(folder, *self._call(case, args))

    def ask(self, case: Case, folder: Path, *args: str) -> Outcome:
        """The same where nothing is to be run."""
        return run_forked(folder, *self._call(case, args))

    def _call(self, case: Case, args: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
        # Snakemake waits for ever when a service() comes later than that.
        common = ("--latency-wait", "30", "--scheduler", "greedy", "--nocolor")
        return (*self.args, *common, *case.args, *args), {**self.environment, **case.environment}


def local() -> Executor:
    outside_slurm = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    args = ("--executor", "local", "--cores", "4")
    return Executor(name="local", args=args, environment=outside_slurm, snakemake=run_forked)


def play(case: Case, executor: Executor, folder: Path) -> Tree:
    """Run all steps of a case, check what its user relies on, and see what is left on disk and to be done."""
    laid_out(case, folder)
    said = ""
    for step in case.steps:
        outcome = (local() if step.local else executor).run(case, folder, *step.args)
        said = checked(outcome, step.exit_code, step.says)
        _change(step, folder)
    tree = snapshot(folder, varying=(*ALWAYS_VARYING, *case.varying))
    broken = [*_broken_promises(case, tree), *_disagreements(case, folder), *_orphans(executor, folder)]
    if case.settles and not case.fails and (case.snakefile or executor.name != "local"):
        checked(executor.ask(case, folder, *case.after, "--dry-run"), 0, "Nothing to be done")
    if case.snakefile and (case.fails or not case.settles):
        tree = {**tree, NEXT_RUN: _left_to_do(executor.ask(case, folder, *case.after, "--dry-run", "--quiet", "none"))}
    assert not broken, f"With {executor.name}:\n" + "\n".join(broken) + f"\nIt said:\n{said}"
    return tree


def laid_out(case: Case, folder: Path) -> None:
    """The workflow of a case in a folder of its own."""
    if not case.snakefile:
        fresh_copy(WORKFLOWS / (case.workflow or case.name), folder)
    for name, text in {**case.files, **({"Snakefile": case.snakefile} if case.snakefile else {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def checked(outcome: Outcome, exit_code: int, words: str) -> str:
    said = outcome.output[-TAIL:]
    assert outcome.exit_code == exit_code, f"exit code {outcome.exit_code}, not {exit_code}. It said:\n{said}"
    assert words in outcome.output, f"{words!r} was not said, but:\n{said}"
    return said


def _change(step: Step, folder: Path) -> None:
    for name in step.removes:
        (folder / name).unlink()
    for name in step.touches:
        os.utime(folder / name)
    for name, (old, new) in step.edits.items():
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))


def _left_to_do(dry_run: Outcome) -> Entry:
    """How many jobs of each rule the next run has, as a dry run tells."""
    table = dry_run.output.partition("Job stats:")[2].partition("\n\n")[0].splitlines()
    jobs = sorted(" ".join(line.split()) for line in table if line.split() and line.split()[-1].isdigit())
    return Entry(kind="plan", content=f"exit code {dry_run.exit_code}\n" + "\n".join(jobs))


def _broken_promises(case: Case, tree: Tree) -> list[str]:
    return [
        *(f"{path} is missing" for path in case.text if path not in tree),
        *(
            f"{path} holds {tree[path].content!r}, not {text!r}"
            for path, text in case.text.items()
            if path in tree and tree[path].content != text
        ),
        *(f"{path} is still there" for path in case.gone if path in tree),
        *(f"{path} can be written" for path in case.protected if path in tree and not tree[path].protected),
    ]


def _disagreements(case: Case, folder: Path) -> list[str]:
    contents = {path: (folder / path).read_text() for path in case.same}
    return [] if len(set(contents.values())) <= 1 else [f"not the same: {contents}"]


def _orphans(executor: Executor, folder: Path) -> list[str]:
    """Nothing of a run that is over may wait in the queue for long."""
    deadline = time.monotonic() + PATIENCE
    while left := [line for line in executor.waiting().splitlines() if str(folder) in line]:
        if time.monotonic() > deadline:
            return [f"still in the queue: {line}" for line in left]
        time.sleep(PAUSE)
    return []
