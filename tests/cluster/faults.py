"""Run random workflows on a Slurm in trouble: `python tests/cluster/faults.py --fault controller-killed --seeds 5 --seed 1`.

The table of faults is in `fault_kinds.py`, the workflows and the comparison are those of the soak. Judged is that nothing is lost
(all that a local run leaves is there), nothing runs twice or early (each command has run as often as locally, and read
whole inputs), nothing is left in the queue, and that exit code, `kempner status` and the page agree with what has happened.

Where a fault ends tasks (`Effect.FAILS`), the run may fail, but not as a success; the same command, given again without
the fault, must then leave what a local run leaves. Where a fault starts a job again (`Effect.REPEATS`), a command may have run more often.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from comparison import Outcome
from fault_kinds import FAULTS, RELEASES, Effect, Fault, Scene, mounted, put_on, start_what_was_put_back, wrappers
from head import PATIENCE, PAUSE, all_over, asked, cancel_all, queued, run
from soak import End, compare, end_of, killed_head, local_end, options_of, tried_once, without_local
from soak_workflows import Kind, Trouble, Workflow, random_workflow

from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxError

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "tests" / "recorded" / "faults.jsonl"
TABLE = ROOT / "docs" / "faults.md"
MARK = "<!-- written by `python tests/cluster/faults.py --table` -->"


@dataclass(frozen=True)
class TroubledSlurm(Sandbox):
    """A Slurm whose programs, as heads and jobs find them, are those of the fault."""

    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.variables}


# --- the ways to run a workflow -------------------------------------------------------------------------------------


def _watched(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    return run(slurm, folder, *options_of(workflow))


def _detached(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    return _by_status(folder, slurm, run(slurm, folder, "--kempner-detach", *options_of(workflow)))


def _killed(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    return _by_status(folder, slurm, killed_head(slurm, folder, workflow))


def _again(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    first = killed_head(slurm, folder, workflow)
    if first.exit_code >= 0:
        return first
    asked(slurm, folder, "--unlock")
    if workflow.fails:  # a task that has failed by now would be tried once more
        return _by_status(folder, slurm, first)
    second = run(slurm, folder, "--rerun-incomplete", *options_of(workflow))
    ended_itself = second.exit_code == 0 and "Nothing to be done" in second.output
    return _by_status(folder, slurm, first) if ended_itself else second


MODES: Mapping[str, Callable[[Sandbox, Path, Workflow], Outcome]] = {
    "watched": _watched,
    "detached": _detached,
    "killed": _killed,
    "again": _again,
}


def _by_status(folder: Path, slurm: Sandbox, left: Outcome) -> Outcome:
    """The end of a run that goes on without its head; a head that did not get so far has said the end itself."""
    if left.exit_code > 0 or ("is in Slurm's hands" not in left.output and left.exit_code == 0):
        return left
    until_closed(slurm, folder)
    said = "".join(path.read_text(errors="replace") for path in folder.rglob(".snakemake/kempner/*/closing*.log"))
    succeeded = status(slurm, folder).startswith("has succeeded")
    return Outcome(exit_code=int(not succeeded), output=f"{left.output}\n{said}")


def until_over(slurm: Sandbox, folder: Path) -> None:
    """Wait until no job of the folder is left, however much of Slurm is away meanwhile.

    Raises:
        AssertionError: some job does not leave.
    """
    deadline, calm = time.monotonic() + PATIENCE, 0
    while calm < 4:
        try:
            calm = calm + 1 if all_over(slurm, folder) else 0
        except SandboxError:
            calm = 0
        if time.monotonic() > deadline:
            left = [job for job in queued(slurm, folder, helpers=True) if not job.is_over]
            raise AssertionError(f"left in the queue: {left}")
        time.sleep(PAUSE)


def until_closed(slurm: Sandbox, folder: Path) -> None:
    """As `until_over` where no head lives: a closing job that was put back ends the run, and is not waited for in vain."""
    until_over(slurm, folder)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            was_put_back = start_what_was_put_back(slurm, folder, of_rule="closing")
        except SandboxError:  # slurmctld is away
            if time.monotonic() > deadline:
                raise
        else:
            break
    if was_put_back:
        until_over(slurm, folder)


def status(slurm: Sandbox, folder: Path) -> str:
    """What `kempner status` says of the last run; nothing where nothing was queued."""
    words = [sys.executable, "-m", "snakemake_executor_plugin_kempner", "status", "--json"]
    done = subprocess.run(words, cwd=folder, env=slurm.environment, capture_output=True, text=True, check=False)
    return str(json.loads(done.stdout)["result"]) if done.returncode == 0 else ""


# --- the judgement --------------------------------------------------------------------------------------------------


def fit(fault: Fault, workflow: Workflow) -> Workflow:
    """The workflow without what would have no certain end under this fault."""
    if fault.effect is Effect.NOTHING:
        return workflow
    rules = (
        replace(
            rule,
            kind=Kind.FILE if rule.kind is Kind.UPDATE else rule.kind,  # updated twice by a job that starts again
            trouble=Trouble.NONE if rule.trouble is Trouble.ALWAYS else rule.trouble,
        )
        for rule in workflow.rules
    )
    # With it, Snakemake takes what a failed task has left for done.
    options = tuple(option for option in workflow.options if option != "--keep-incomplete")
    return replace(workflow, rules=tuple(rules), options=options)


def judge(fault: Fault, mode: str, workflow: Workflow, local: End, found: End) -> Iterator[str]:
    """Each way in which a run that has come to its end is wrong."""
    if mode == "again":
        found = tried_once(workflow, local, found)
    if mode in ("killed", "again"):  # a local rule that dies with its head is run once more
        local = replace(local, ran=without_local(workflow, local.ran))
        found = replace(found, ran=without_local(workflow, found.ran))
    if fault.effect is not Effect.NOTHING:
        lost = Counter(local.ran) - Counter(found.ran)
        if lost:
            yield f"commands that have not run: {' '.join(sorted(lost))}"
        found = replace(found, ran=local.ran)
    yield from compare(workflow, local, found)


def judge_telling(slurm: Sandbox, folder: Path, exit_code: int) -> Iterator[str]:
    """Whether status and page say what the exit code says."""
    told = status(slurm, folder)
    if told and told.startswith("has succeeded") != (exit_code == 0):
        yield f"exit code {exit_code}, but kempner status says: {told}"
    pages = sorted(folder.glob(".snakemake/kempner/[0-9a-f]*/closing.log"), key=lambda path: path.stat().st_mtime)
    if pages and exit_code != 0 and " has succeeded" in pages[-1].read_text(errors="replace").partition("\n")[0]:
        yield f"exit code {exit_code}, but the page says: {pages[-1].read_text(errors='replace')[:200]}"


def given_again(scene: Scene, workflow: Workflow) -> Outcome:
    """The same command after the fault is gone; its user releases what the head says is held."""
    slurm, folder = scene.slurm, scene.folder
    asked(slurm, folder, "--unlock")
    with put_on(RELEASES, replace(scene, over=threading.Event())):
        outcome = run(slurm, folder, "--rerun-incomplete", *options_of(workflow))
        until_over(slurm, folder)
    return outcome


# --- seeds ----------------------------------------------------------------------------------------------------------


def try_seed(slurm: Sandbox, name: str, seed: int, mode: str, place: Path) -> list[str]:
    """What is wrong; the folders below the place stay."""
    fault, workflow = FAULTS[name], fit(FAULTS[name], random_workflow(seed))
    shutil.rmtree(place, ignore_errors=True)
    local_folder, folder = place / "local" / "run", place / mode / "run"
    for each in (local_folder, folder):
        each.mkdir(parents=True)
    _write(workflow, local_folder)
    local = local_end(slurm, local_folder, workflow)
    with mounted(fault, folder):
        _write(workflow, folder)
        wrong = list(_tried(slurm, fault, workflow, local, folder))
    if fault.mounted and wrong:  # of the file system only the copy is left
        wrong.append(f"left in {folder.parent / 'left'}")
    return wrong


def _write(workflow: Workflow, folder: Path) -> None:
    for name, text in workflow.files.items():
        (folder / name).write_text(text)


def _tried(slurm: Sandbox, fault: Fault, workflow: Workflow, local: End, folder: Path) -> Iterator[str]:
    mode = folder.parent.name
    scene = Scene(slurm=slurm, folder=folder, chance=random.Random(workflow.seed))
    troubled = TroubledSlurm(slurm.home, slurm.client, {**fault.variables, **wrappers(fault, scene)})
    try:
        with put_on(fault, scene):
            outcome = MODES[mode](troubled, folder, workflow)
            (folder.parent / "said").write_text(outcome.output)
            until_over(slurm, folder)
        until_closed(slurm, folder)
        yield from judge_telling(slurm, folder, outcome.exit_code)
        if fault.effect is Effect.FAILS and outcome.exit_code != 0:
            outcome = given_again(scene, workflow)
            (folder.parent / "said-again").write_text(outcome.output)
            found = end_of(folder, outcome, asked(slurm, folder, "--dry-run", "--nolock"))
            yield from judge(fault, mode, workflow, local, replace(found, hooks=local.hooks))
            return
        found = end_of(folder, outcome, asked(slurm, folder, "--dry-run", "--nolock"))
        yield from judge(fault, mode, workflow, local, found)
    except AssertionError as error:
        yield str(error)
    finally:
        cancel_all(slurm, folder)


def try_fault(name: str, asked_for: argparse.Namespace, folder: Path, end: float) -> int:
    """How many seeds differ."""
    fault, wrong, seed = FAULTS[name], 0, asked_for.seed
    with Sandbox.start(accounting=fault.accounting, options=fault.slurm()) as slurm:
        while seed < asked_for.seed + asked_for.seeds and time.monotonic() < end:
            mode = asked_for.mode or fault.modes[seed % len(fault.modes)]
            place, begin = folder / f"{name}-{seed}", time.monotonic()
            sentences = try_seed(slurm, name, seed, mode, place)
            print(
                f"{name}, seed {seed}, {mode}: {'WRONG' if sentences else 'right'} ({time.monotonic() - begin:.0f} s)"
            )
            if sentences:
                print(f"  python {sys.argv[0]} --fault {name} --seed {seed} --mode {mode}    # left in {place}")
                print(*(f"    {line}" for sentence in sentences for line in sentence.splitlines()), sep="\n")
            else:
                shutil.rmtree(place)
            sys.stdout.flush()
            if asked_for.record:
                record(slurm, name, seed, mode, is_right=not sentences)
            wrong, seed = wrong + bool(sentences), seed + 1
    return wrong


# --- what was found -------------------------------------------------------------------------------------------------


def record(slurm: Sandbox, fault: str, seed: int, mode: str, *, is_right: bool, beside_others: bool = False) -> None:
    """Note a result for the table. Beside others: while runs of other users share the Slurm (`crowd.py`)."""
    version = slurm.run("sbatch", "--version").split()[-1]
    line = {"fault": fault, "seed": seed, "mode": mode, "slurm": version, "right": is_right}
    with RECORD.open("a") as file:
        file.write(json.dumps(line | ({"beside_others": True} if beside_others else {})) + "\n")


def table(lines: list[Mapping[str, object]]) -> str:
    """What was tried, by fault: alone, and beside runs of other users. Of each seed and mode the last result counts."""
    last = {(line["fault"], line["seed"], line["mode"], _is_beside_others(line)): line for line in lines}
    columns = ("fault", "what it does", "may change", "runs", "wrong", "beside others", "wrong")
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, fault in FAULTS.items():
        found = [line for line in last.values() if line["fault"] == name]
        alone = _counted([line for line in found if not _is_beside_others(line)])
        beside = _counted([line for line in found if _is_beside_others(line)])
        rows.append(f"| {' | '.join((f'`{name}`', fault.does, fault.effect.value, *alone, *beside))} |")
    return "\n".join(rows) + "\n"


def _is_beside_others(line: Mapping[str, object]) -> bool:
    return bool(line.get("beside_others"))


def _counted(lines: list[Mapping[str, object]]) -> tuple[str, str]:
    """How many, and which of them are wrong."""
    wrong = [f"seed {line['seed']}, {line['mode']}" for line in lines if not line["right"]]
    return (str(len(lines)), f"{len(wrong)} ({'; '.join(wrong)})" if wrong else "0") if lines else ("", "")


def write_table() -> None:
    lines = [json.loads(line) for line in RECORD.read_text().splitlines()]
    head, _, _ = TABLE.read_text().partition(MARK)
    TABLE.write_text(f"{head}{MARK}\n\n{table(lines)}")


def main() -> int:
    """Exit code: 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--fault", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS)
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed (default: by the clock)")
    parser.add_argument("--seeds", type=int, metavar="N", help="so many seeds of each fault (default: 1)")
    parser.add_argument("--minutes", type=float, metavar="M", help="go on for so long, fault after fault")
    parser.add_argument("--mode", choices=MODES, help="default: by the seed, of those that the fault is for")
    parser.add_argument("--folder", type=Path, help="where the workflows are run (default: a temporary folder)")
    parser.add_argument("--record", action="store_true", help=f"note the results in {RECORD.relative_to(ROOT)}")
    parser.add_argument("--table", action="store_true", help=f"only write the table of {TABLE.relative_to(ROOT)}")
    asked_for = parser.parse_args()
    if asked_for.table:
        write_table()
        return 0
    end = time.monotonic() + 60 * asked_for.minutes if asked_for.minutes else float("inf")
    asked_for.seeds = asked_for.seeds or 1
    folder = (asked_for.folder or Path(tempfile.mkdtemp(prefix="faults-"))).absolute()
    wrong = 0
    while True:
        wrong += sum(try_fault(name, asked_for, folder, end) for name in asked_for.fault if time.monotonic() < end)
        if not asked_for.minutes or time.monotonic() >= end:
            return int(wrong > 0)
        asked_for.seed += asked_for.seeds


if __name__ == "__main__":
    sys.exit(main())
