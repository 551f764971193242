"""Words of bash that mean exactly the given text, whatever is in it, and do no harm to a terminal that shows them. Pure."""

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w/.,:@%+=-]+", re.ASCII)


def word(text: str) -> str:
    """A word on a single line."""
    if _PLAIN.fullmatch(text) and not text.startswith("~"):
        return text
    return f"'{_closed(text)}'" if text.isprintable() else _escaped(text)


def words(texts: Iterable[str]) -> str:
    return " ".join(map(word, texts))


def readable(text: str) -> str:
    """A word that keeps its line breaks."""
    if all(char.isprintable() or char in "\n\t" for char in text):
        return f"'{_closed(text)}'"
    return _escaped(text)


def _closed(text: str) -> str:
    return text.replace("'", "'\\''")


def _escaped(text: str) -> str:
    r"""`$'…'`, with each byte of an unprintable character as `\xHH`."""
    return "$'" + "".join(map(_character, text)) + "'"


def _character(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", errors="surrogateescape"))
