"""Makes foreign text (file names, logs) safe for terminals and shells: it can do nothing there."""

import re
import shlex

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""Control sequences of a terminal (ECMA-48): colours, movements, titles."""


def printable(text: str, keep: str = "") -> str:
    r"""The text with control and other unprintable characters escaped as in Python (`\x1b`, `\n`).

    Args:
        text: any text.
        keep: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def without_colours(line: str) -> str:
    """A line of a log without control sequences; incomplete sequences are escaped."""
    return printable(_COLOURS.sub("", line), keep="\t")


def quoted(word: str) -> str:
    """A word of a command, quoted for a shell; with bash's $'…' if it has unprintable characters."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
