"""What a task runs in an exported script, from the JSON form of its step. Pure."""

import json
import os.path
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan.step import without_options
from .words import word

STRICT = ("bash", "-euo", "pipefail")
"""How Snakemake runs a command unless a workflow says otherwise."""
_PREFIX = "set -euo pipefail;"
_UNSPELLABLE = ",'\""
"""What a wildcard cannot have in --target-jobs: Snakemake splits there, or strips it off (`snakemake.common.parse_key_value_arg`)."""
_OWN = ("--runtime-source-cache-path",)
"""Arguments that name a folder of the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The command of a task, and the files that the script looks after; a Snakemake looks after its files itself."""

    command: str
    """For `shell`."""
    shell: tuple[str, ...] = STRICT
    folder: str = ""
    """Where it runs, if not in the folder of the workflow."""
    key: str = ""
    """Tells tasks of the same name apart; empty where their outputs do."""
    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    threads: int = 1


def work_of(spec: Mapping[str, Any], key: str, workdir: str, python: str) -> Work:
    """What a task runs.

    Args:
        spec: `StepSpec.to_dict`.
        key: of the task.
        workdir: where the script runs.
        python: interpreter for what needs Snakemake.
    """
    light, folder = spec["light"], os.path.relpath(spec["folder"], workdir)
    if light is None:
        return Work(command=" ".join(map(word, _snakemake(spec, python))), key=key)
    rule = spec["light_rule"]
    is_strict = (rule["shell"], rule["prefix"].strip(), rule["suffix"]) == (STRICT[0], _PREFIX, "")
    flags: Mapping[str, Sequence[str]] = light["outputs"]
    return Work(
        command=light["command"] if is_strict else " ".join((rule["prefix"], light["command"], rule["suffix"])).strip(),
        shell=STRICT if is_strict else (rule["shell"],),
        folder="" if folder == "." else folder,
        outputs=tuple(flags),
        logs=tuple(light["logs"]),
        touched=tuple(path for path, own in flags.items() if "touch" in own),
        protected=tuple(path for path, own in flags.items() if "protected" in own),
        threads=light["threads"],
    )


def _snakemake(spec: Mapping[str, Any], python: str) -> Iterator[str]:
    """The command line of a Snakemake that makes the task and nothing else."""
    yield from (python, "-m", "snakemake")
    targets = [(rule, dict(wildcards)) for rule, wildcards in spec["targets"]]
    values = [value for _, wildcards in targets for value in wildcards.values()]
    if any(sign in value for value in values for sign in _UNSPELLABLE) and spec["outputs"]:
        yield from spec["outputs"]
    else:
        yield "--target-jobs"
        for rule, wildcards in targets:
            yield f"{rule}:{','.join(f'{name}={value}' for name, value in wildcards.items())}"
    yield from without_options(spec["arguments"], _OWN)
    if spec["config"]:
        yield "--config"
        yield from (f"{name}={json.dumps(value)}" for name, value in spec["config"].items())


def precommand_and_python(script: str) -> tuple[str, str]:
    """The shell command that each job runs first, and the interpreter, from the script of a job."""
    lines = script.splitlines()
    place = next((number for number, line in enumerate(lines) if line.startswith("exec ")), len(lines))
    first = "\n".join(lines[2:place]).removesuffix(" || exit $?")
    return first, shlex.split(lines[place].partition("<<")[0])[1] if place < len(lines) else ""
