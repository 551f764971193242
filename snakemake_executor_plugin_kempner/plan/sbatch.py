"""The options of sbatch, parsed from words as sbatch itself does, with getopt_long(3). Pure.

The user may write `--arr 0-2`, `-Qa0-2`, `-p gpu`; the rest of this package sees `--array=0-2`.
Source: sbatch(1) and `sbatch --x`, which lists the candidates; 22.05 and 24.11 together.
"""

from collections.abc import Iterator, Sequence
from enum import Enum

from ..options import Option, Options


class Takes(Enum):
    """Whether an option has an argument."""

    NOTHING = "no argument"
    A_VALUE = "an argument, in the same word or in the next"
    PERHAPS = "an argument only in the same word"


_WITH_VALUE = {
    "account": "A", "acctg-freq": "", "array": "a", "autocomplete": "", "batch": "", "bb": "", "bbf": "", "begin": "b", "chdir": "D",
    "cluster": "", "cluster-constraint": "", "clusters": "M", "comment": "", "constraint": "C", "container": "",
    "container-id": "", "context": "", "core-spec": "S", "cores-per-socket": "", "cpu-freq": "", "cpus-per-gpu": "",
    "cpus-per-task": "c", "deadline": "", "delay-boot": "", "dependency": "d", "distribution": "m", "error": "e",
    "exclude": "x", "export": "", "export-file": "", "extra": "", "extra-node-info": "B", "gid": "", "gpu-bind": "",
    "gpu-freq": "", "gpus": "G", "gpus-per-node": "", "gpus-per-socket": "", "gpus-per-task": "", "gres": "",
    "gres-flags": "", "hint": "", "input": "i", "job-name": "J", "kill-on-invalid-dep": "", "licenses": "L",
    "mail-type": "", "mail-user": "", "mcs-label": "", "mem": "", "mem-bind": "", "mem-per-cpu": "", "mem-per-gpu": "",
    "mincpus": "", "network": "", "nodefile": "F", "nodelist": "w", "nodes": "N", "ntasks": "n", "ntasks-per-core": "",
    "ntasks-per-gpu": "", "ntasks-per-node": "", "ntasks-per-socket": "", "ntasks-per-tres": "", "open-mode": "",
    "output": "o", "partition": "p", "power": "", "prefer": "", "priority": "", "profile": "", "qos": "q",
    "reservation": "", "segment": "", "signal": "", "sockets-per-node": "", "switches": "", "tasks-per-node": "",
    "thread-spec": "", "threads-per-core": "", "time": "t", "time-min": "", "tmp": "", "tres-bind": "",
    "tres-per-task": "", "uid": "", "wait-all-nodes": "", "wckey": "", "wrap": "",
}  # fmt: skip
_WITHOUT = {
    "contiguous": "", "help": "h", "hold": "H", "ignore-pbs": "", "no-requeue": "", "overcommit": "O",
    "oversubscribe": "s", "parsable": "", "quiet": "Q", "reboot": "", "requeue": "", "spread-job": "", "stepmgr": "",
    "test-only": "", "usage": "", "use-min-nodes": "", "verbose": "v", "version": "V", "wait": "W",
}  # fmt: skip
_PERHAPS = {
    "exclusive": "", "get-user-env": "", "nice": "", "no-kill": "k", "oom-kill-step": "", "propagate": "",
    "resv-ports": "",
}  # fmt: skip
_TABLES = ((_WITH_VALUE, Takes.A_VALUE), (_WITHOUT, Takes.NOTHING), (_PERHAPS, Takes.PERHAPS))

OPTIONS = {name: takes for table, takes in _TABLES for name in table}
"""Each long option of sbatch."""
_SHORT = {letter: name for table, _ in _TABLES for name, letter in table.items() if letter}
_SAME = {"cluster": "clusters", "tasks-per-node": "ntasks-per-node"}
"""Spellings that sbatch does not document."""


class UnreadableError(ValueError):
    """Words that sbatch would refuse, or read differently from what the user meant; the message says which."""


def read(words: Sequence[str]) -> Options:
    """The options in these words, each by its full name.

    Long options that sbatch does not have may come from a plugin of the site, so they pass as they are.

    Raises:
        UnreadableError: a word is no option, or is an option that sbatch would refuse.
    """
    return Options.merged(_read(iter(words)))


def _read(left: Iterator[str]) -> Iterator[Option]:
    before: Option | None = None
    for word in left:
        if word == "--" or len(word) < 2 or word[0] != "-":
            raise UnreadableError(_no_option(word, before))
        for before in [_long(word, left)] if word.startswith("--") else _bundle(word, left):
            yield before


def _no_option(word: str, before: Option | None) -> str:
    name, value = before or ("", None)
    if name and value is None and name not in OPTIONS and word != "--":
        return f"has {word!r} behind --{name}: write --{name}={word}"
    return f"has the word {word!r}, which sbatch would take for the script of the job"


def _long(word: str, left: Iterator[str]) -> Option:
    written, equals, text = word[2:].partition("=")
    name = _full_name(written)
    takes = OPTIONS.get(name)
    if takes is None or takes is Takes.PERHAPS:
        return name, text if equals else None
    if takes is Takes.NOTHING:
        if equals:
            raise UnreadableError(f"gives --{name} a value, which it does not take")
        return name, None
    return name, text if equals else _next(name, left)


def _full_name(written: str) -> str:
    candidates = [written] if written in OPTIONS else [name for name in OPTIONS if name.startswith(written)]
    names = sorted({_SAME.get(name, name) for name in candidates})
    if len(names) > 1:
        raise UnreadableError(f"abbreviates too much: --{written} may be {' or '.join(f'--{name}' for name in names)}")
    return names[0] if names else written


def _bundle(word: str, left: Iterator[str]) -> Iterator[Option]:
    """`-Ha0-2` is --hold and --array=0-2."""
    letters = word[1:]
    while letters:
        name = _SHORT.get(letters[0])
        if name is None:
            raise UnreadableError(f"has -{letters[0]} (in {word!r}), which sbatch does not know")
        letters = letters[1:]
        if OPTIONS[name] is Takes.A_VALUE:
            yield name, letters or _next(name, left)
            return
        if OPTIONS[name] is Takes.PERHAPS and letters:
            yield name, letters
            return
        yield name, None


def _next(name: str, left: Iterator[str]) -> str:
    value = next(left, None)
    if value is None:
        raise UnreadableError(f"gives --{name} no value")
    return value
