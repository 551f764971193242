"""Snakemake's profile of a folder, read without Snakemake."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import KempnerError
from ..plan.resources import CLUSTER_NAMES

_FOLDERS = ("profiles/default", "workflow/profiles/default")


def profile_file(folder: Path, named: str) -> Path | None:
    places = [Path(named)] if named and named != "none" else []
    places += [above / place for above in (folder, *folder.parents[:1]) for place in _FOLDERS]
    places = [folder / place for place in places]
    for place in places:
        found = sorted(place.glob("config*.y*ml")) if place.is_dir() else []
        if found:
            return found[-1]
    return None


def read_profile(path: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only where there is a profile

    try:
        known = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise KempnerError(f"{path} cannot be read: {' '.join(str(problem).split())}") from problem
    return known if isinstance(known, dict) else {}


def cluster_of_profile(folder: Path) -> str:
    """The cluster that the profile's default resources name; empty for that of this machine."""
    path = profile_file(folder, os.environ.get("SNAKEMAKE_PROFILE", ""))
    with suppress(KempnerError):  # reported by `kempner doctor`
        asked = read_profile(path).get("default-resources", {}) if path else {}
        pairs = asked.items() if isinstance(asked, dict) else (str(text).partition("=")[::2] for text in asked or ())
        return next((str(value) for name, value in pairs if name in CLUSTER_NAMES - {"slurm_extra"}), "")
    return ""
