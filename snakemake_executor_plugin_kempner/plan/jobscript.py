"""The text of a job script. A person who opens it sees which task it is and what will run."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .dependency import Ref
from .manifest import manifest, split
from .model import Call, Policy, Submission
from .step import StepSpec
from .task import Turn

_END = "END-OF-STEP"
_LIGHT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from kempner_light.work import main; sys.exit(main())"
"""Starts the copy of `step/light` in the folder that is the first argument."""


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def call_script(call: Call, policy: Policy, job_id: Callable[[Ref], str]) -> tuple[str, bytes | None]:
    """The script of a call, and the manifest of an array, or of a task whose script would be too long.

    Args:
        call: what is submitted.
        policy: of the run.
        job_id: ids of what was submitted before.
    """
    if call.first.step is None:
        return call.first.script, None
    specs = [spec.to_dict() for submission in call.submissions if (spec := _spec(submission, call, policy, job_id))]
    whose = f"{len(specs)} tasks of {call.first.rule}" if call.is_array else call.first.label
    what, beside = f"{whose} · {call.first.turn}", manifest_path(call, policy)
    common, own = split(specs) if call.is_array else (specs[0], [{}])
    is_light = call.first.step.light is not None
    script = _task_script(what, policy, common, *([beside] if call.is_array else []), is_light=is_light)
    if len(script) > policy.largest_script:
        common, own = {}, specs
        script = _task_script(what, policy, common, beside, is_light=is_light)
    if own == [{}]:
        return script, None
    return script, manifest(dict(zip(call.indices or (0,), own, strict=True)))


def manifest_path(call: Call, policy: Policy) -> str:
    """Where the manifest of an array lies."""
    return f"{policy.folder}/arrays/{call.job_name}"


def _spec(submission: Submission, call: Call, policy: Policy, job_id: Callable[[Ref], str]) -> StepSpec | None:
    """The step, with the values that are known only at submission."""
    return submission.step and replace(
        submission.step,
        earlier_attempts=tuple(map(job_id, submission.earlier)),
        earlier_tries=_tries(submission),
        stops=policy.folder if submission.stops else "",
        releases=call.has_reserve,
        elsewhere=policy.folder if policy.retries_elsewhere and submission.ref.attempt < submission.attempts else "",
        log_name=submission.log if call.is_array else "",
        log=call.log if call.opens_own_log else "",
    )


def _tries(submission: Submission) -> tuple[int, ...]:
    if submission.segments == 1:
        return ()
    return tuple(Turn.of(ref.attempt, submission.segments).attempt for ref in submission.earlier)


def _task_script(what: str, policy: Policy, spec: Mapping[str, Any], *arguments: str, is_light: bool) -> str:
    """The script of an attempt: the step, or the program of light jobs, reads what to do from its standard input, as JSON.

    JSON keeps every newline and quote of a wildcard inside one line of text, so no value can end the
    here-document, and a long list of files does not meet the kernel's limit for arguments.
    """
    lines = ["#!/bin/bash", f"# {_one_line(what)}"]
    if policy.precommand:
        lines.append(f"{policy.precommand} || exit $?")
    program = ["-m", "snakemake_executor_plugin_kempner.step"]
    if is_light:
        program = ["-I", "-S", "-X", "utf8", "-c", _LIGHT, policy.light_program]
    command = shlex.join([policy.python, *program, *arguments])
    lines += [f"exec {command} <<'{_END}'", json.dumps(spec, indent=1), _END, ""]
    return "\n".join(lines)


def spec_in(script: str) -> dict[str, Any]:
    """What the step of a script reads, without what lies in a manifest.

    Raises:
        ValueError: it is no script of a task.
    """
    spec = json.loads(script.partition(f"<<'{_END}'\n")[2].rpartition(f"\n{_END}\n")[0])
    return dict(spec)


def guard_script(python: str, folder: str) -> str:
    """The script of the guard of the run in the folder."""
    command = f"{shlex.quote(python)} -m snakemake_executor_plugin_kempner.run.guard {shlex.quote(folder)}"
    return f"#!/bin/bash\n# guard: acts on the first failure of the run\nexec {command}\n"


def release_script(python: str, folder: str, array: str) -> str:
    """The script of the release job of an array of the run in the folder."""
    command = shlex.join([python, "-m", "snakemake_executor_plugin_kempner.run.release", folder, array])
    return f"#!/bin/bash\n# release: starts further attempts of tasks that have failed\nexec {command}\n"


def continuation_script(python: str, folder: str, kind: str) -> str:
    """The script of the continuation or closing job of the run in the folder."""
    command = f"{shlex.quote(python)} -m snakemake_executor_plugin_kempner.continuing {kind} {shlex.quote(folder)}"
    return f"#!/bin/bash\n# {kind}: goes on with the run without its head process\nexec {command}\n"


def gate_script(means: str) -> str:
    return f"#!/bin/bash\n# gate: {_one_line(means)}\nexit 0\n"
