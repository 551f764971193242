"""The copy of the program of light jobs in the folder of a run: it stays as it is when the package is replaced."""

import hashlib
import os
import py_compile
import shutil
import tempfile
from pathlib import Path

from ..errors import LedgerError
from ..layout import LIGHT

_ORIGINAL = Path(__file__).parent.parent / "step" / "light"
_PACKAGE = "kempner_light"
"""What the copy is imported as."""


def keep_program(folder: Path) -> str:
    """Copy the program into the folder of a run, unless it is there; returns the folder that jobs import it from.

    It is compiled, for each job to do without: that takes as long as everything else that a job does.

    Raises:
        LedgerError: the copy cannot be made.
    """
    sources = sorted(_ORIGINAL.glob("*.py"))
    digest = hashlib.sha1(b"\0".join(path.read_bytes() for path in sources), usedforsecurity=False).hexdigest()[:12]
    place = folder / LIGHT / digest
    if place.exists():
        return str(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=place.parent))
        (made / _PACKAGE).mkdir()
        for path in sources:
            py_compile.compile(str(shutil.copy(path, made / _PACKAGE)), doraise=True)
        made.chmod(0o755)
        os.replace(made, place)
    except OSError as error:
        if place.exists():  # another process of this run was faster
            return str(place)
        raise LedgerError(f"The program of light jobs cannot be copied to {place}: {error.strerror}") from error
    return str(place)
