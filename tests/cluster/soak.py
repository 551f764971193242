"""Run random workflows here and on Slurm, and say where the ends differ: `python tests/cluster/soak.py --minutes 60`.

A difference is shown with the command that repeats it, and its folder stays. A run on Slurm must leave what a local run leaves:
files, their content, what was removed, provenance, exit code, hooks, how often each command has run, and what a dry run would
run next. When a task fails without --keep-going, what else has run depends on the order; then only the following is compared:
the exit code, the hooks, that what leads to the failed task has run once and nothing behind it has, and each file that is there.
"""

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from comparison import Outcome, Tree, differences, run_forked, snapshot
from head import Head, arguments, asked, cancel_all, closed, ended, run, run_detached
from soak_workflows import Kind, Trouble, Workflow, random_workflow

from snakemake_executor_plugin_kempner.layout import CLOSED
from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxOptions

OWN = ("runs", "hooks")
"""Files in which the commands of a workflow note what has run, in an order that is nobody's promise."""
LONGEST_LIFE = 15.0
"""Seconds after which a head that is to be killed is killed, at the latest."""
Run = Callable[[Sandbox, Path, Workflow], Outcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """What a run has left."""

    exit_code: int
    tree: Tree
    ran: tuple[str, ...]
    hooks: tuple[str, ...]
    next: frozenset[str]
    """Rules that a dry run would run now."""
    said: str


# --- the ways to run a workflow -------------------------------------------------------------------------------------


def options_of(workflow: Workflow) -> tuple[str, ...]:
    return (*workflow.options, *workflow.kempner_options)


def _watched(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    return run(slurm, folder, *options_of(workflow))


def _detached(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    return run_detached(slurm, folder, *options_of(workflow))


def _killed(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    """The head is killed at some moment after it has queued the first jobs, and nothing is typed any more."""
    first = killed_head(slurm, folder, workflow)
    return first if first.exit_code >= 0 else _end_by_itself(slurm, folder, first)


def _again(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    """The head is killed at some moment, and the command is given once more, unless the closing job has been faster."""
    first = killed_head(slurm, folder, workflow)
    if first.exit_code >= 0:
        return first
    asked(slurm, folder, "--unlock")
    kept = workflow.fails and "--keep-incomplete" in workflow.options  # Snakemake takes what has failed for done then
    if kept or any(folder.glob(f".snakemake/kempner/[0-9a-f]*/{CLOSED}")):  # what had failed would be tried once more
        return _end_by_itself(slurm, folder, first)
    second = run(slurm, folder, "--rerun-incomplete", *options_of(workflow))
    return _end_by_itself(slurm, folder, first) if "Nothing to be done" in second.output else second


def _end_by_itself(slurm: Sandbox, folder: Path, first: Outcome) -> Outcome:
    found = re.search(r"\(run (\w+)\)", first.output)
    if found is None:
        return first
    return closed(slurm, folder, Outcome(exit_code=0, output=f"{first.output}\nRun {found[1]} is in Slurm's hands"))


def killed_head(slurm: Sandbox, folder: Path, workflow: Workflow) -> Outcome:
    """Its exit code is negative unless it has ended before."""
    head = Head(slurm, folder, *options_of(workflow))
    head.until(lambda: "Queued" in head.said or not head.lives)
    time.sleep(random.Random(workflow.seed).uniform(0, LONGEST_LIFE))
    if head.lives:
        head.kill()
    code = head.end()
    if code < 0 and "Complete log" in head.said:  # killed in its last moment, after it had ended the run
        code = int("\nWorkflowError" in head.said)  # the log of a job is shown indented
    return Outcome(exit_code=code, output=head.said)


MODES: Mapping[str, Run] = {"watched": _watched, "detached": _detached, "killed": _killed, "again": _again}


def local_end(slurm: Sandbox, folder: Path, workflow: Workflow) -> End:
    """What a local run leaves; of one that stops at a failure, what it would leave if it went on."""
    options = tuple(dict.fromkeys((*workflow.options, "--keep-going")))
    outcome = run_forked(folder, ("--cores", "2", "--nocolor", *options), slurm.environment)
    return end_of(folder, outcome, run_forked(folder, ("--cores", "2", "--dry-run"), slurm.environment))


def end_on_slurm(slurm: Sandbox, folder: Path, workflow: Workflow, mode: str) -> End:
    """What a run on Slurm leaves when the last of its jobs has ended."""
    try:
        outcome = MODES[mode](slurm, folder, workflow)
        ended(slurm, folder)
    finally:
        cancel_all(slurm, folder)
    return end_of(folder, outcome, asked(slurm, folder, "--dry-run", "--nolock"))


def end_of(folder: Path, outcome: Outcome, dry_run: Outcome) -> End:
    return End(
        exit_code=outcome.exit_code,
        tree={path: entry for path, entry in snapshot(folder).items() if path not in OWN},
        ran=_lines(folder / "runs"),
        hooks=_lines(folder / "hooks"),
        next=frozenset(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", dry_run.output, re.MULTILINE)),
        said=outcome.output,
    )


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(sorted(path.read_text().splitlines())) if path.exists() else ()


# --- the comparison -------------------------------------------------------------------------------------------------


def compare(workflow: Workflow, local: End, found: End) -> Iterator[str]:
    """Each difference that is a fault, in words."""
    if found.exit_code != local.exit_code:
        yield f"exit code {found.exit_code}, not {local.exit_code}"
    if found.hooks != local.hooks:
        yield f"hooks: {', '.join(found.hooks) or 'none'}, not {', '.join(local.hooks) or 'none'}"
    if workflow.fails and "--keep-going" not in workflow.options:
        yield from _compare_stopped(workflow, local, found)
        return
    if found.ran != local.ran:
        yield f"commands that have run: {_difference(found.ran, local.ran)}"
    yield from differences(local.tree, found.tree)
    if found.next != local.next:
        yield f"a dry run would run {sorted(found.next)}, not {sorted(local.next)}"


def _compare_stopped(workflow: Workflow, local: End, found: End) -> Iterator[str]:
    failing = [rule.name for rule in workflow.rules if rule.trouble is Trouble.ALWAYS]
    leading = workflow.above(*failing)
    ran = [name for name in found.ran if name.partition("-")[0] in leading]
    wanted = [name for name in local.ran if name.partition("-")[0] in leading]
    if ran != wanted:
        yield f"commands that lead to the failure: {_difference(ran, wanted)}"
    if extra := _difference(found.ran, local.ran, only="+"):
        yield f"commands that have run: {extra}"
    updated = {f"{rule.name}.txt" for rule in workflow.rules if rule.kind is Kind.UPDATE}  # perhaps not updated yet
    recorded = {f"metadata of {name}" for name in updated}  # of a failed attempt, where no other has followed
    both = sorted((local.tree.keys() & found.tree.keys()) - updated - recorded)
    yield from differences(
        {path: local.tree[path] for path in both},
        {path: found.tree[path] for path in both},
    )


def _difference(found: Iterable[str], wanted: Iterable[str], only: str = "+-") -> str:
    more, less = Counter(found) - Counter(wanted), Counter(wanted) - Counter(found)
    words = [f"+{name}" for name in sorted(more.elements())] + [f"-{name}" for name in sorted(less.elements())]
    return " ".join(word for word in words if word[0] in only)


# --- seeds ----------------------------------------------------------------------------------------------------------


def try_seed(slurm: Sandbox, workflow: Workflow, modes: tuple[str, ...], place: Path) -> dict[str, list[str]]:
    """What differs, by mode; the folders below the place stay."""
    shutil.rmtree(place, ignore_errors=True)
    ends = {}
    for mode in ("local", *modes):
        folder = place / mode / "run"
        folder.mkdir(parents=True)
        for name, text in workflow.files.items():
            (folder / name).write_text(text)
        if mode == "local":
            local = local_end(slurm, folder, workflow)
            (place / "local" / "said").write_text(local.said)
        else:
            found = end_on_slurm(slurm, folder, workflow, mode)
            (place / mode / "said").write_text(found.said)
            if mode == "again":
                found = tried_once(workflow, local, found)
            if mode in ("killed", "again"):  # a local rule that dies with its head is run once more
                found = replace(found, ran=without_local(workflow, found.ran))
                local = replace(local, ran=without_local(workflow, local.ran))
            ends[mode] = list(compare(workflow, local, found))
    return ends


def main() -> int:
    """Exit code: 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, help="the first seed (default: by the clock)")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="so many seeds (default: 1 with --seed)")
    parser.add_argument("--minutes", type=float, default=0, metavar="M", help="go on for so long")
    parser.add_argument("--modes", default="watched,detached", help=f"of {','.join(MODES)} (default: %(default)s)")
    parser.add_argument("--known-faults", action="store_true", help="draw what is known to differ, too")
    parser.add_argument("--folder", type=Path, help="where the workflows are run (default: a temporary folder)")
    parser.add_argument("--show", action="store_true", help="only print the workflow")
    asked_for = parser.parse_args()
    first = int(time.time()) if asked_for.seed is None else asked_for.seed
    if asked_for.show:
        shown = random_workflow(first, known_faults=asked_for.known_faults)
        print("snakemake", *arguments(*options_of(shown)), f"\n{shown.snakefile}")
        return 0
    folder = (asked_for.folder or Path(tempfile.mkdtemp(prefix="soak-"))).absolute()
    count = asked_for.seeds or (0 if asked_for.minutes else 1)
    end = time.monotonic() + 60 * asked_for.minutes if asked_for.minutes else float("inf")
    options = SandboxOptions(nodes=(Node(name="n1", cpus=16, memory_mb=64_000),), min_job_age=900)
    failed, seed = 0, first
    with Sandbox.start(options=options) as slurm:
        while (not count or seed < first + count) and time.monotonic() < end:
            workflow = random_workflow(seed, known_faults=asked_for.known_faults)
            failed += _report(slurm, workflow, tuple(asked_for.modes.split(",")), folder, asked_for.known_faults)
            seed += 1
    print(f"{seed - first} seeds, {failed} with differences")
    return int(failed > 0)


def tried_once(workflow: Workflow, local: End, found: End) -> End:
    """Without the second trial of what had failed for good before the command was given again, and without its hook."""
    failing = {rule.name for rule in workflow.rules if rule.trouble is Trouble.ALWAYS}
    once, ran = Counter(local.ran), Counter(found.ran)
    for name in ran:
        if name.partition("-")[0] in failing and ran[name] == 2 * once[name]:
            ran[name] = once[name]
    hooks = local.hooks if found.hooks == tuple(sorted(2 * local.hooks)) else found.hooks
    return replace(found, ran=tuple(sorted(ran.elements())), hooks=hooks)


def without_local(workflow: Workflow, ran: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in ran if not workflow.by_name[name.partition("-")[0]].local)


def _report(slurm: Sandbox, workflow: Workflow, modes: tuple[str, ...], folder: Path, known_faults: bool) -> bool:
    place, begin = folder / f"seed-{workflow.seed}", time.monotonic()
    try:
        found = try_seed(slurm, workflow, modes, place)
    except AssertionError as error:  # a run that does not end
        found = {",".join(modes): [str(error)]}
    differing = {mode: sentences for mode, sentences in found.items() if sentences}
    print(f"seed {workflow.seed}: {'DIFFERS' if differing else 'same'} ({time.monotonic() - begin:.0f} s)", flush=True)
    for mode, sentences in differing.items():
        known = " --known-faults" if known_faults else ""
        print(f"  python {sys.argv[0]} --seed {workflow.seed} --modes {mode}{known}    # left in {place / mode}")
        print(*(f"    {line}" for sentence in sentences for line in sentence.splitlines()), sep="\n", flush=True)
    if not differing:
        shutil.rmtree(place)
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
