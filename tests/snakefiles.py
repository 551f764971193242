"""Snakefiles of tests, rule by rule: what a test does not care about is filled in.

    snakefile(
        wanted("two.txt"),
        rule("two", "one.txt"),  # makes two.txt from one.txt
        rule("one", does="one waits:go"),
        rule("part", output="{n}.txt", does="part-{wildcards.n}", resources={"mem_mb": Code("100 * attempt")}),
    )

Commands call `./behave`, which notes when they run and behaves as it is told (`cluster/behaviour.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """An expression of Python; a plain text stands for itself."""

    text: str


ATTEMPT = Code("lambda wildcards, attempt: attempt")

Value = str | int | Code
Values = Value | tuple[Value, ...] | Mapping[str, Value]


def snakefile(*rules: str) -> str:
    return "\n\n".join(rules) + "\n"


def wanted(*files: Value) -> str:
    """`rule all`: the files that Snakemake makes by default."""
    return rule("all", *files, output=(), shell="")


def hook(name: str) -> str:
    """A hook that calls `./behave` as the rules do."""
    return f'{name}:\n    shell("./behave {name}")'


def temp(*files: str) -> Code:
    return Code(f"temp({', '.join(map(_text, files))})")


def directory(file: str) -> Code:
    return Code(f"directory({_text(file)})")


def rule(
    name: str, *inputs: Value, output: Values | None = None, does: str = "", then: str = "touch {output}",
    shell: str | None = None, kind: str = "rule", **directives: Values,
) -> str:  # fmt: skip
    """The text of a rule.

    Args:
        name: of the rule.
        inputs: files.
        output: files; by default NAME.txt. An empty tuple for a rule without output.
        does: arguments of `./behave`: the name that it notes (by default that of the rule), and how it behaves.
        then: shell command after `./behave`.
        shell: command in place of both; empty for a rule without a command.
        kind: `rule` or `checkpoint`.
        directives: other directives, by name.
    """
    command = " && ".join(filter(None, (f"./behave {does or name}", then))) if shell is None else shell
    files = f"{name}.txt" if output is None else output
    outputs = (files,) if isinstance(files, str | Code) else files
    told = {"input": inputs, "output": outputs, **directives, "shell": command}
    lines = [f"{kind} {name}:"]
    for directive, values in told.items():
        if values not in ((), "", {}):
            lines += [f"    {directive}:", *(f"        {line}" for line in _lines(values))]
    return "\n".join(lines)


def _lines(values: Values) -> list[str]:
    if isinstance(values, Mapping):
        return [f"{name}={_text(value)}," for name, value in values.items()]
    return [f"{_text(value)}," for value in values] if isinstance(values, tuple) else [_text(values)]


def _text(value: Value) -> str:
    return value.text if isinstance(value, Code) else json.dumps(value, ensure_ascii=False)
