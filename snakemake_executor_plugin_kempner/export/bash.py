"""A plan as a bash script of `sbatch` lines that needs nothing of this package. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import KempnerError
from ..notation import ranges
from ..plan.dependency import AnyOf, DependencyType, Expression, Ref, render
from ..plan.model import Call, Kind
from ..plan.slurm_extra import SET_BY_PLUGIN
from ..printable import printable
from .released import released
from .words import readable, word, words
from .work import STRICT, Work

LOGS = "slurm-logs"
"""Folder of the jobs' logs, in the folder of the workflow."""
AROUND = f"{LOGS}/around.sh"
_AROUND = r"""# What surrounds the command of each task, as Snakemake does it. The job sets: task, outputs, logs, command, …
unset "${!SLURM_ARRAY_@}" # a program may behave differently in an array
for name in OMP_NUM GOTO_NUM OPENBLAS_NUM MKL_NUM VECLIB_MAXIMUM NUMEXPR_NUM; do
    export ${name}_THREADS=${threads:-1}
done
KEMPNER_CHECKPOINT_DIR=$PWD/slurm-logs/checkpoints/$(printf '%s\n' "$task" "${outputs[@]}" "$key" | cksum | tr ' ' -)
export KEMPNER_CHECKPOINT_DIR
mkdir -p -- "$KEMPNER_CHECKPOINT_DIR"
cd -- "${folder:-.}" || exit
[ -n "${shell-}" ] || shell=(bash -euo pipefail)
rm -rf -- "${outputs[@]}" "${logs[@]}"
for file in "${outputs[@]}" "${logs[@]}"; do mkdir -p -- "$(dirname -- "$file")"; done
"${shell[@]}" -c "$command" < /dev/null || { code=$?; rm -rf -- "${outputs[@]}"; exit $code; }
for file in "${touched[@]}"; do touch -- "$file"; done
for file in "${outputs[@]}"; do
    [ -e "$file" ] || { echo "$task has not made $file" >&2; exit 1; }
done
for file in "${protected[@]}"; do chmod -R a-w -- "$file"; done
rm -rf -- "$KEMPNER_CHECKPOINT_DIR"
"""
_EXPORTED = frozenset({Kind.TASK, Kind.GATE})
_KILL = "kill-on-invalid-dep"
_ID = re.compile(r":(\d+)(_\d+)?")
_RESERVED = re.compile(r"[A-Z_0-9]+|BASH.*|folder|histchars|auto_resume")
"""Names that bash, or the script itself, uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What a script is made of."""

    run: str
    calls: tuple[Call, ...]
    """In an order in which every dependency comes first. Helper jobs other than gates are left out."""
    works: Mapping[Ref, Work]
    workdir: str
    precommand: str = ""
    command: str = ""
    """The snakemake command, as the user has typed it."""
    later: Sequence[str] = ()
    """Reasons why tasks are not part of it."""


def bash_script(script: Script) -> str:
    """The text of the script.

    Raises:
        KempnerError: a task waits for a job that is not part of the plan.
    """
    calls = _needed(released(script.calls))
    namer = _Names()
    for call in calls:
        namer.add(call)
    lines = [*_head(script, calls)]
    for call in calls:
        lines += ["", *_call(call, script, namer)]
    tasks = sum(len(call.submissions) for call in calls if call.first.kind is Kind.TASK)
    squeue = f"squeue{_where(calls)} --me"
    return "\n".join([*lines, "", f'echo "{tasks} tasks are queued as {len(calls)} calls of sbatch: {squeue}"', ""])


def _where(calls: Sequence[Call]) -> str:
    """What names the cluster of the run to a command of Slurm, if it is not that of this machine."""
    name = next((name for call in calls if (name := call.first.options.get("clusters"))), "")
    return f" --clusters={word(name)}" if name else ""


def _needed(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Tasks, and the gates that a task waits for."""
    wanted: set[Ref] = set()
    kept: list[Call] = []
    for call in reversed(calls):
        if call.first.kind is Kind.TASK or (call.first.kind is Kind.GATE and call.first.ref in wanted):
            kept.append(call)
            wanted |= {term.on for term in (call.waits_for.terms if call.waits_for else ()) if term.on}
    return tuple(reversed(kept))


def _head(script: Script, calls: Sequence[Call]) -> Iterator[str]:
    tasks = sum(len(call.submissions) for call in calls if call.first.kind is Kind.TASK)
    yield "#!/bin/bash"
    yield f"# {tasks} tasks as {len(calls)} calls of sbatch, in an order in which every dependency comes first (run {script.run})."
    if script.command:
        yield f"# Made from: {printable(script.command)}"
    yield "#"
    yield "# Queue all of it:  bash THIS_FILE [FOLDER]     FOLDER: of the workflow, if not the one below"
    yield "# Outputs of failed tasks are removed. Temporary files stay, and hooks of the workflow do not run."
    for reason, number in Counter(script.later).items():
        yield f"# NOT part of it: {number} tasks, because {printable(reason)}"
    yield "set -euo pipefail"
    queued = f"Those before it are in the queue: squeue{_where(calls)} --me"
    yield f"trap 'echo \"Stopped: sbatch has refused a job. {queued}\" >&2' ERR"
    yield f"folder={word(script.workdir)}"
    yield 'cd -- "${1:-$folder}"'
    yield f"mkdir -p {LOGS}"
    yield f"cat > {AROUND} <<'AROUND'"
    yield f"{_AROUND}AROUND"


@dataclass(slots=True)
class _Names:
    """The variable that holds each job's id."""

    variables: dict[str, str] = field(default_factory=dict)
    """By the name of the call's job."""
    numbers: dict[Ref, str] = field(default_factory=dict)
    """Stands for each submission while an expression is rendered: the number of its call, and its index."""
    ordered: list[str] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        rule = f"gate_{call.first.label.partition('[')[0]}" if call.first.kind is Kind.GATE else call.first.rule
        name = re.sub(r"\W", "_", rule, flags=re.ASCII)
        if not name or name[0].isdigit() or _RESERVED.fullmatch(name):
            name = f"job_{name}"
        if call.first.ref.attempt > 1:
            name += f"_attempt{call.first.ref.attempt}"
        self.taken[name] += 1
        while self.taken[name] > 1 and f"{name}_{self.taken[name]}" in self.taken:
            self.taken[name] += 1
        own = f"{name}_{self.taken[name]}" if self.taken[name] > 1 else name
        self.taken[own] += own != name
        number = str(len(self.ordered))
        self.ordered.append(own)
        self.variables[call.job_name] = own
        self.numbers |= {
            submission.ref: job_id for submission, job_id in zip(call.submissions, call.job_ids(number), strict=True)
        }

    def dependency(self, expression: Expression, whose: str) -> str:
        """The text of an option, with variables in place of job ids."""

        def known(ref: Ref) -> str:
            if ref not in self.numbers:
                raise KempnerError(
                    f"{whose} waits for a job that an earlier run has in the queue, so the plan is not complete. "
                    "Cancel that run, wait for its end, or export it: kempner export"
                )
            return self.numbers[ref]

        text = _ID.sub(self._variable, render(expression, known))
        return f'--dependency="{text}"' if isinstance(expression, AnyOf) and "?" in text else f"--dependency={text}"

    def _variable(self, found: re.Match[str]) -> str:
        name, element = self.ordered[int(found[1])], found[2]
        return f":${{{name}}}{element}" if element else f":${name}"


def _call(call: Call, script: Script, names: _Names) -> Iterator[str]:
    """A call of sbatch with its job script."""
    first, variable = call.first, names.variables[call.job_name]
    number = f"{len(call.submissions)} tasks" if call.is_array else printable(first.label)
    attempt = f", {first.turn}: runs if those before it have failed" if first.ref.attempt > 1 else ""
    what = f"{printable(first.rule)}: {number}" if call.is_array else number
    if first.kind is Kind.GATE:
        what = f"gate: succeeds as soon as one of these has, for jobs that wait for {printable(first.label)}"
    yield f"# {what}{attempt}"
    options = [*_options(call), *([names.dependency(call.waits_for, first.label)] if call.waits_for else [])]
    if first.kind is Kind.GATE:
        yield f"{variable}=$(sbatch --parsable {' '.join(options)} --wrap=true)"
    else:
        body = list(_job_script(call, script))
        mark = _mark(body)
        yield f"{variable}=$(sbatch --parsable {' '.join(options)} <<'{mark}'"
        yield from body
        yield mark
        yield ")"
    if "clusters" in first.options:
        yield f"{variable}=${{{variable}%%;*}}"


def _options(call: Call) -> Iterator[str]:
    """Options of sbatch without the names and places of the plugin's own."""
    first = call.first
    is_singleton = first.shown_name or any(
        term.type is DependencyType.SINGLETON for term in (call.waits_for.terms if call.waits_for else ())
    )
    name = first.shown_name if is_singleton else first.rule or "gate"
    yield f"--job-name={word(name)}"
    yield f"--output={LOGS}/{'%x-%A_%a' if call.is_array else '%x-%j'}.log"
    if call.is_array:
        yield f"--array={ranges(call.indices, at_once=call.throttle)}"
    yield from map(word, first.options.only(_KILL).argv)
    yield from map(word, first.options.without(*SET_BY_PLUGIN, _KILL).argv)


def _mark(body: Sequence[str]) -> str:
    """The end of a here-document: a word that is no line of it."""
    lines = {line for text in body for line in text.split("\n")}
    mark = "JOB"
    while mark in lines:
        mark += "_"
    return mark


def _job_script(call: Call, script: Script) -> Iterator[str]:
    works = [script.works[submission.ref] for submission in call.submissions]
    yield "#!/bin/bash"
    if script.precommand:
        yield f"{script.precommand} || exit $?"
    yield "unset outputs logs touched protected shell threads folder key"
    if call.is_array:
        yield "case $SLURM_ARRAY_TASK_ID in"
        for index, submission, work in zip(call.indices, call.submissions, works, strict=True):
            yield f"{index})"
            yield from (f"    {line}" for line in _task(submission.label, work))
            yield "    ;;"
        yield "esac"
    else:
        yield from _task(call.first.label, works[0])
    yield f". {AROUND}"


def _task(label: str, work: Work) -> Iterator[str]:
    yield f"task={word(printable(label))}"
    own = {"outputs": work.outputs, "logs": work.logs, "touched": work.touched, "protected": work.protected}
    own |= {"shell": work.shell if work.shell != STRICT else ()}
    yield from (f"{name}=({words(files)})" for name, files in own.items() if files)
    alone = {"threads": str(work.threads) if work.threads != 1 else "", "folder": work.folder, "key": work.key}
    yield from (f"{name}={word(value)}" for name, value in alone.items() if value)
    yield f"command={readable(work.command)}"
