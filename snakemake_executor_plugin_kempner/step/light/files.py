"""Files as Snakemake treats them around a command; each function names the part of Snakemake that it equals."""

from __future__ import annotations

import errno
import os
import stat

from .plain import say

STAMP = ".snakemake_timestamp"
"""In a folder that is an output; its time is that of the output."""


def is_protected(path: str) -> bool:
    """`_IOFile.protected`."""
    return os.path.exists(path) and not os.access(path, os.W_OK) and not os.path.islink(path)


def remove(path: str, *, is_folder: bool = False) -> None:
    """`snakemake.io.remove`."""
    if not os.path.isdir(path) or os.path.islink(path):
        if path != os.devnull and os.path.lexists(path):
            os.remove(path)
    elif is_folder:
        remove_tree(path)
    else:
        try:
            os.removedirs(path)
        except OSError as error:
            say(f"Skipped removing non-empty directory {path}" if error.errno == errno.ENOTEMPTY else str(error))


def touch(path: str, *, is_folder: bool = False) -> None:
    """`_IOFile.touch`."""
    if is_folder and not os.path.islink(path):
        path = os.path.join(path, STAMP)
        if not os.path.exists(path):
            _create(path)
    os.utime(path, follow_symlinks=False)


def touch_or_create(path: str, *, is_folder: bool = False) -> None:
    """`_IOFile.touch_or_create`."""
    try:
        touch(path, is_folder=is_folder)
    except FileNotFoundError:
        if folder := path if is_folder else os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        _create(os.path.join(path, STAMP) if is_folder else path)


def _create(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666))


def protect(path: str) -> None:
    """`_IOFile.protect`."""
    mode = stat.S_IMODE(os.lstat(path).st_mode) & ~0o222
    inside = os.walk(path, topdown=False) if os.path.isdir(path) else ()
    below = (os.path.join(folder, name) for folder, folders, names in inside for name in folders + names)
    for each in (*below, path):
        os.chmod(each, mode, follow_symlinks=os.chmod not in os.supports_follow_symlinks)


def time_of(path: str) -> float:
    """`_IOFile.mtime_uncached`; of a link its own."""
    status = os.lstat(path)
    stamp = os.path.join(path, STAMP)
    if stat.S_ISDIR(status.st_mode) and os.path.exists(stamp):
        status = os.stat(stamp)
    return status.st_mtime


def digest(path: str, algorithm: str) -> str:
    """`_IOFile.checksum`."""
    if algorithm == "sha256":
        try:
            from _sha2 import sha256 as begin  # type: ignore[import-not-found]  # without `hashlib`, which loads OpenSSL
        except ImportError:
            try:
                from _sha256 import sha256 as begin  # type: ignore[import-not-found]
            except ImportError:
                from hashlib import sha256 as begin
    else:
        import hashlib

        begin = getattr(hashlib, algorithm)
    found = begin()
    if os.path.getsize(path):  # else it may be a device without an end
        with open(path, "rb") as file:
            while part := file.read(2**20):
                found.update(part)
    return f"{algorithm}:{found.hexdigest()}"


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def remove_tree(path: str) -> None:
    """Raises OSError: it is gone, or cannot be removed."""
    import shutil

    shutil.rmtree(path)


def discard(path: str) -> None:
    """Remove a folder, as far as that goes; most are empty."""
    try:
        os.rmdir(path)
    except OSError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
