"""Verbs that other programs of this package answer: `sandbox`, `site draft`, `efficiency`."""

from collections.abc import Sequence


def sandbox(words: Sequence[str]) -> int:
    """A private Slurm on this machine."""
    from ..sandbox.__main__ import main  # noqa: PLC0415 - each program loads what it needs

    return main(list(words))


def draft_site(words: Sequence[str]) -> int:
    """A site file from the live Slurm."""
    from ..draft_site import main  # noqa: PLC0415

    return main(list(words))


def efficiency(words: Sequence[str]) -> int:
    """What the jobs of a run have used."""
    from ..efficiency.__main__ import main  # noqa: PLC0415

    return main(list(words))
