"""Texts that others have written, as a terminal may show them: a file's name or a log cannot move the cursor or hide a line."""

import re
import shlex

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""Control sequences of a terminal (ECMA-48): colours, movements, titles."""


def printable(text: str, keep: str = "") -> str:
    r"""The text with each character that a terminal acts upon, or does not show, written as in Python (`\x1b`, `\n`).

    Args:
        text: any.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def without_colours(line: str) -> str:
    """A line of a log without control sequences; what is left of them is escaped."""
    return printable(_COLOURS.sub("", line), keep="\t")


def quoted(word: str) -> str:
    """A word of a command, as a shell reads it back: bash, where a character cannot be shown."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
