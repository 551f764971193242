"""The text of a job script. A person who opens it sees which task it is and what will run."""

import shlex

from .model import Policy
from .step import StepSpec

_END = "END-OF-STEP"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def task_script(policy: Policy, step: StepSpec) -> str:
    """The script of an attempt: the step reads what to do from its standard input, as JSON.

    JSON keeps every newline and quote of a wildcard inside one line of text, so no value can end the
    here-document, and a long list of files does not meet the kernel's limit for arguments.
    """
    lines = [
        "#!/bin/bash",
        f"# {_one_line(step.task)} · attempt {step.attempt}",
    ]
    if policy.precommand:
        lines.append(f"{policy.precommand} || exit $?")
    lines += [
        f"exec {shlex.quote(policy.python)} -m snakemake_executor_plugin_kempner.step <<'{_END}'",
        step.to_json(),
        _END,
        "",
    ]
    return "\n".join(lines)


def guard_script(python: str, folder: str) -> str:
    """The script of a guard of the run in the folder."""
    command = f"{shlex.quote(python)} -m snakemake_executor_plugin_kempner.run.guard {shlex.quote(folder)}"
    return f"#!/bin/bash\n# guard: acts on the first failure of the run\nexec {command}\n"


def continuation_script(python: str, folder: str, kind: str) -> str:
    """The script of a job that goes on with the run in the folder, as a continuation or as its closing job."""
    command = f"{shlex.quote(python)} -m snakemake_executor_plugin_kempner.closing {kind} {shlex.quote(folder)}"
    return f"#!/bin/bash\n# {kind}: goes on with the run without its head process\nexec {command}\n"


def gate_script(means: str) -> str:
    return f"#!/bin/bash\n# gate: {_one_line(means)}\nexit 0\n"
