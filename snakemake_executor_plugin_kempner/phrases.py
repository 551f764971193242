"""Commands, paths and numbers as messages show them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .printable import printable, quoted


def command_line(command: Sequence[str]) -> str:
    """A command as the user would type it."""
    if not command:
        return "the same command"
    program = os.path.basename(command[0])
    return " ".join(map(quoted, ["snakemake" if program == "__main__.py" else program, *command[1:]]))


def short_path(path: Path, seen_from: Path | None = None) -> str:
    """The path relative to a folder, by default the working directory, if it is below."""
    try:
        return printable(str(path.relative_to(seen_from or Path.cwd())))
    except ValueError:
        return printable(str(path))


def count_of(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`, `2 retries`, `2 job arrays`."""
    plural = re.sub(r"(?<![aeiou])y$", "ie", noun) + "s"
    return f"{number} {noun if number == 1 else plural}"


def listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
