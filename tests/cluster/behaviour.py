"""Workflows whose commands are the script `behave`, and what has become of their jobs.

The script notes in the file `times` when it starts and ends: what has run, how often and in which order is read from
there, not from what the head says of it.
"""

import json
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from head import PATIENCE, PAUSE, written

from snakemake_executor_plugin_kempner.sandbox import Sandbox

BEHAVE = """\
#!/bin/bash
# behave NAME [HOW]: note the start, behave as told, note the end.
name=$1 how=${2:-succeeds}
echo "$name started $(date +%s.%N)" >> times
case $how in
    succeeds) code=0 ;;
    fails) code=1 ;;
    fails:*)
        for _ in {1..3000}; do [ -e "${how#fails:}" ] && break; sleep 0.1; done
        code=1 ;;
    hangs) exec sleep 600 ;;
    waits:*)
        for _ in {1..3000}; do [ -e "${how#waits:}" ] && break; sleep 0.1; done
        [ -e "${how#waits:}" ]; code=$? ;;
esac
echo "$name ended $(date +%s.%N)" >> times
exit $code
"""


def with_behaviour(folder: Path, snakefile: str) -> Path:
    """A folder with this Snakefile and the script `behave`."""
    written(folder, snakefile)
    script = folder / "behave"
    script.write_text(BEHAVE)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


# --- what a run has submitted, and what of it has run ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """A submission as the ledger has it."""

    name: str
    """`train[seed=1]`; from the second attempt on `train[seed=1]#2`, of a gate `train[seed=1]#gate`."""
    job_id: str
    dependency: str
    """Of sbatch, with names in place of job ids."""
    options: Mapping[str, str]


def submitted(folder: Path) -> dict[str, Submitted]:
    """Everything that the runs in a folder have submitted, by name, except guards and closing jobs."""
    entries = [
        json.loads(line)
        for ledger in sorted((folder / ".snakemake" / "kempner").glob("[0-9a-f]*/ledger.jsonl"))
        for line in ledger.read_text().splitlines()
    ]
    intents = {entry["intent"]: entry for entry in entries if "intent" in entry}
    answers = [(entry["job_id"], intents[entry["submitted"]]) for entry in entries if "submitted" in entry]
    names = {job_id: _name(intent) for job_id, intent in answers}
    found = {}
    for job_id, intent in answers:
        options = dict(option.partition("=")[::2] for option in intent["options"])
        dependency = re.sub(r"(?<=:)\d+(?:_\d+)?", lambda match: names[match[0]], options.get("--dependency", ""))
        if intent["kind"] not in ("guard", "closing"):
            found[names[job_id]] = Submitted(name=names[job_id], job_id=job_id, dependency=dependency, options=options)
    return found


def _name(intent: Mapping[str, str | int]) -> str:
    if intent["kind"] == "gate":
        return f"{intent['label']}#gate"
    return f"{intent['label']}#{intent['attempt']}" if int(intent["attempt"]) > 1 else str(intent["label"])


def moments(folder: Path, what: str) -> dict[str, list[float]]:
    """When the commands `started` or `ended`, by name, once for each time that they did."""
    path = folder / "times"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    found: dict[str, list[float]] = {}
    for name, moment, seconds in lines:
        if moment == what:
            found.setdefault(name, []).append(float(seconds))
    return found


def ran(folder: Path) -> set[str]:
    """Names of the commands that have started; each has started once."""
    starts = moments(folder, "started")
    assert all(len(times) == 1 for times in starts.values()), f"something has run more than once: {starts}"
    return set(starts)


def states(slurm: Sandbox, folder: Path) -> dict[str, str]:
    """Slurm's word for each submission that it still remembers, by name."""
    lines = slurm.run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
    words = dict(line.split() for line in lines)
    return {name: words[one.job_id] for name, one in submitted(folder).items() if one.job_id in words}


def left(slurm: Sandbox, folder: Path) -> list[str]:
    """Jobs of the folder's runs that are in the queue: waiting, running, or just leaving it."""
    lines = slurm.run("squeue", "--me", "-h", "-r", "-o", "%i %j %T %r %E|%Z").splitlines()
    return [line.rpartition("|")[0] for line in lines if line.rpartition("|")[2] == str(folder)]


def assert_nothing_is_left(slurm: Sandbox, folder: Path, *, within: float = PATIENCE, but: str = "no job") -> None:
    """Every job of the folder's runs leaves the queue, whoever has to see to it, but those of that name."""
    deadline = time.monotonic() + within
    while jobs := [job for job in left(slurm, folder) if f" {but}." not in job]:
        shown = "\n".join(jobs)
        assert time.monotonic() < deadline, f"still in the queue after {within} s:\n{shown}\n{_notes(folder)}"
        time.sleep(PAUSE)


def _notes(folder: Path) -> str:
    logs = sorted((folder / ".snakemake" / "kempner").glob("[0-9a-f]*/logs/guards/*.log"))
    guards = "".join(log.read_text() for log in logs) or "nothing\n"
    times = folder / "times"
    return f"The guards said:\n{guards}Started and ended:\n{times.read_text() if times.exists() else 'nothing'}"
