"""The library that draws in the browser, as a text. It is put together once for each version and user, which takes seconds."""

import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from ..errors import KempnerError

EXTRA = "pip install 'snakemake-executor-plugin-kempner[report]'"
_PACKAGE = "vl-convert-python"
_SHOWN = "window.vegaEmbed = vegaEmbed;"
"""What the program of the page uses of it."""


class NoChartsError(KempnerError):
    """The library that draws is not installed."""


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed.

    Raises:
        NoChartsError: they are not installed.
    """
    try:
        from vl_convert import javascript_bundle  # noqa: PLC0415 - an extra, and large
    except ImportError as error:
        raise NoChartsError(f"The page needs a library that draws charts: {EXTRA}") from error
    kept = _cache() / f"vega-{version(_PACKAGE)}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    made = javascript_bundle(_SHOWN)
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        beside.write_text(made, encoding="utf-8")
        beside.replace(kept)
    return made


def _cache() -> Path:
    """A folder of the user's own."""
    place = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(place) / "snakemake-executor-plugin-kempner"
