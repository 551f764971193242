"""What tests of runs that nobody watches have in common."""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from behaviour import moments, ran, with_behaviour
from comparison import Outcome
from head import (
    PATIENCE,
    PAUSE,
    of_rule,
    queued,
    run,
)
from snakefiles import hook, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Sandbox

DETACHED = "--kempner-detach"
HOOKS = snakefile(hook("onstart"), hook("onsuccess"), hook("onerror"))


def with_hooks(folder: Path, snakefile: str) -> Path:
    """A folder with this Snakefile, whose hooks are commands like those of the rules."""
    return with_behaviour(folder, HOOKS + textwrap.dedent(snakefile))


def until(is_so: Callable[[], object], *, within: float = PATIENCE, shown: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, f"it never came true: {shown()}"
        time.sleep(PAUSE)


def once(folder: Path) -> dict[str, float]:
    """When each command started, of which none has run twice; hooks count as commands."""
    ran(folder)
    return {name: at for name, (at,) in moments(folder, "started").items()}


def left_behind(slurm: Sandbox, folder: Path, *more: str, **extra: str) -> Outcome:
    """A head that has queued everything and left."""
    outcome = run(slurm, folder, DETACHED, *more, **extra)
    assert outcome.exit_code == 0, outcome.output
    assert "is in Slurm's hands" in outcome.output, outcome.output
    return outcome


def job_of(slurm: Sandbox, folder: Path, rule: str) -> str:
    """Job id of the last submission of a rule, or of a helper by its kind."""
    return of_rule(queued(slurm, folder, helpers=True), rule)[-1].job_id


def closing_log(folder: Path) -> str:
    """What closing jobs and their Snakemake have printed."""
    return _of_runs(folder, "closing-job.log")


def page(folder: Path) -> str:
    """The page about the end of each run of the folder."""
    return _of_runs(folder, "closing.log")


def is_closed(folder: Path) -> bool:
    """Whether a run of the folder is over, by its ledger."""
    return any(
        '"closed": true' in path.read_text() for path in folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
    )


def _of_runs(folder: Path, name: str) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.glob(f".snakemake/kempner/[0-9a-f]*/{name}"))


HELD = snakefile(
    wanted("third-1.txt", "third-2.txt"),
    rule("third", "second.txt", output="third-{n}.txt", does="third-{wildcards.n}", then="cp {input} {output}"),
    rule("second", "first.txt", then="cp {input} {output}"),
    rule("first", shell="touch {output} && ./behave first waits:go && echo first > {output}"),
)

ADOPTED = snakefile(
    wanted("second.txt", "done.txt"),
    rule("second", "first.txt", then="cp {input} {output}"),
    rule("first", shell="touch {output} && ./behave first waits:go && echo first > {output}"),
    rule("done"),
)
