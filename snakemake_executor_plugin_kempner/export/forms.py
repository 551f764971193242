"""A plan in the form that a file's name asks for, and the file."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import KempnerError
from ..plan.model import Kind, Plan
from ..printable import printable
from .bash import Script, bash_script
from .graph import Node, as_dot, as_mermaid, shown
from .work import work_of

FORMS = {".sh": "bash", ".bash": "bash", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}
"""What the end of a file's name asks for."""
GRAPHS = {"dot": as_dot, "mermaid": as_mermaid}


def form_of(path: Path) -> str:
    """The form that the name of a file asks for.

    Raises:
        KempnerError: it asks for none.
    """
    form = FORMS.get(path.suffix)
    if form is None:
        raise KempnerError(f"{printable(path.name)} says no form: let it end with {', '.join(FORMS)}")
    return form


def exported(plan: Plan, form: str, later: Sequence[str], command: str) -> str:
    """The text of a plan.

    Raises:
        KempnerError: as `bash_script`.
    """
    if form in GRAPHS:
        return GRAPHS[form](shown(_nodes(plan)))
    policy = plan.policy
    works = {
        submission.ref: work_of(submission.step.to_dict(), submission.ref.task, policy.workdir, policy.python)
        for submission in plan.submissions
        if submission.step is not None
    }
    return bash_script(
        Script(
            run=policy.run,
            calls=plan.calls,
            works=works,
            workdir=policy.workdir,
            precommand=policy.precommand,
            command=command,
            later=later,
        )
    )


def _nodes(plan: Plan) -> tuple[Node, ...]:
    tasks = {submission.ref.task: submission for submission in plan.submissions if submission.kind is Kind.TASK}
    return tuple(
        Node(key=key, label=submission.label, rule=submission.rule, edges=submission.edges)
        for key, submission in tasks.items()
    )


def write(path: Path, text: str) -> None:
    """Write it; a script may be executed, by its owner alone: commands may hold passwords.

    Raises:
        KempnerError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        if text.startswith("#!"):
            os.chmod(path, 0o700)
    except OSError as error:
        raise KempnerError(f"{printable(str(path))} cannot be written: {error.strerror}") from error
