"""Run a workflow in a fresh copy of its folder and say how two resulting folders differ.

Knows Snakemake's command line and what it leaves on disk, nothing about Slurm.
"""

import base64
import difflib
import hashlib
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeAlias

SECONDS_PER_RUN = 300
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli"])
SNAKEMAKE = (sys.executable, str(Path(__file__).parent / "light_snakemake.py"))
"""Snakemake's command, in half of the time to start: without its database, as in a job."""
LONGEST_TEXT_SHOWN = 4000
WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

MUST_BE_EMPTY = ("incomplete", "locks", "shadow")
"""Folders in `.snakemake` where a finished run leaves no file."""

PROVENANCE = ("rule", "input", "log", "shellcmd", "params", "code", "incomplete")
"""The parts of a metadata record that do not depend on when or where a task ran."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one call of Snakemake answered."""

    exit_code: int
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that a run left behind."""

    kind: str
    """`file`, `folder`, `link`, or, inside `.snakemake`, `provenance` or `leftover`."""
    content: str = ""
    """Text if it is short enough to be shown, else a checksum; the target of a link."""
    protected: bool = False
    """Nobody may write it."""

    def __str__(self) -> str:
        """Name the kind, and the protection if there is one."""
        return f"protected {self.kind}" if self.protected else self.kind


Tree: TypeAlias = Mapping[str, Entry]
"""What a run left behind, by path relative to the folder of the run."""


def run_snakemake(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
    """Run the Snakemake of this Python in a folder and keep all that it says."""
    try:
        process = subprocess.run(
            [*SNAKEMAKE, *arguments],
            cwd=folder,
            env=_with_this_python_first(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS_PER_RUN,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        said = expired.output or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        message = f"snakemake did not end within {SECONDS_PER_RUN} s. It said:\n{text}"
        raise AssertionError(message) from None
    return Outcome(exit_code=process.returncode, output=process.stdout)


def run_forked(folder: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> Outcome:
    """The same in a fork of a process that has imported Snakemake already, in half of the time.

    For what a run is compared with and for questions about what it has left, not for the runs that are tested.
    """
    with tempfile.NamedTemporaryFile() as said:
        words = (folder, list(arguments), _with_this_python_first(environment), said.name)
        process = FORKS.Process(target=_become_snakemake, args=words)
        process.start()
        process.join(SECONDS_PER_RUN)
        code = process.exitcode
        process.kill()
        process.join()
        output = said.read().decode(errors="replace")
    assert code is not None, f"snakemake did not end within {SECONDS_PER_RUN} s. It said:\n{output}"
    return Outcome(exit_code=code, output=output)


def _become_snakemake(folder: Path, arguments: list[str], environment: Mapping[str, str], log: str) -> None:
    from snakemake import cli

    said = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(said, standard)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["snakemake", *arguments]
    cli.main(arguments)


def _with_this_python_first(environment: Mapping[str, str]) -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    return {**environment, "PATH": os.pathsep.join((here, environment.get("PATH", os.defpath)))}


def fresh_copy(workflow: Path, target: Path) -> Path:
    """Copy a workflow, without what earlier runs by hand may have left beside it."""
    shutil.copytree(workflow, target, ignore=shutil.ignore_patterns(".snakemake", "__pycache__"))
    return target


def snapshot(folder: Path, *, varying: Sequence[str] = ()) -> Tree:
    """List what is in the folder of a run; only the presence of `varying` paths counts."""
    entries = {**_files(folder), **_records(folder)}
    return {path: _blank(entry) if _matches(path, varying) else entry for path, entry in sorted(entries.items())}


def differences(expected: Tree, found: Tree) -> list[str]:
    """Say each difference between two trees in words; no words, no difference."""
    return [
        sentence
        for path in sorted({*expected, *found})
        for sentence in _difference(path, expected.get(path), found.get(path))
    ]


def _difference(path: str, expected: Entry | None, found: Entry | None) -> Iterator[str]:
    if expected is None:
        yield f"unexpected {found}: {path}"
    elif found is None:
        yield f"missing {expected}: {path}"
    elif str(expected) != str(found):
        yield f"{path} is a {found}, not a {expected}"
    elif expected.content != found.content:
        yield f"{path} has another content:\n{_diff(expected.content, found.content)}"


def _diff(expected: str, found: str) -> str:
    lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), "expected", "found", lineterm="")
    return "\n".join(f"    {line}" for line in lines)


def _files(folder: Path) -> dict[str, Entry]:
    return {
        path.relative_to(folder).as_posix(): _entry(path)
        for path in folder.rglob("*")
        if ".snakemake" not in path.relative_to(folder).parts and "__pycache__" not in path.parts
    }


def _entry(path: Path) -> Entry:
    if path.is_symlink():
        return Entry(kind="link", content=str(path.readlink()))
    protected = not path.stat().st_mode & WRITE_BITS
    if path.is_dir():
        return Entry(kind="folder", protected=protected)
    if not path.is_file():
        return Entry(kind="special file")
    return Entry(kind="file", content=_content(path.read_bytes()), protected=protected)


def _content(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or len(text) > LONGEST_TEXT_SHOWN:
        return f"sha256 {hashlib.sha256(content).hexdigest()}"
    return text


def _records(folder: Path) -> dict[str, Entry]:
    """Read what Snakemake noted itself, wherever `--directory` has put it."""
    entries: dict[str, Entry] = {}
    for notes in folder.rglob(".snakemake"):
        for path in _files_below(notes / "metadata"):
            name = _recorded_name(path.relative_to(notes / "metadata"))
            if (notes.parent / name).exists():  # records of removed files are never read again
                entries[f"metadata of {name}"] = Entry(kind="provenance", content=_provenance(path, folder))
        for area in MUST_BE_EMPTY:
            for path in _files_below(notes / area):
                entries[path.relative_to(folder).as_posix()] = Entry(kind="leftover")
    return entries


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _recorded_name(path: Path) -> str:
    """Undo the encoding of Snakemake's record names: base64, long ones cut into `@` folders."""
    encoded = "".join(part.removeprefix("@") for part in path.parts)
    return base64.urlsafe_b64decode(encoded).decode()


def _provenance(path: Path, folder: Path) -> str:
    record = json.loads(path.read_text())
    lines = (f"{part}: {json.dumps(record.get(part), ensure_ascii=False)}" for part in PROVENANCE)
    return "\n".join(lines).replace(str(folder), "<folder>")


def _blank(entry: Entry) -> Entry:
    return Entry(kind=entry.kind, protected=entry.protected)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)
