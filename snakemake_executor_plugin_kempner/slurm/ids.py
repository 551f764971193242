"""Job ids as Slurm writes them: `123`, an element of a job array `123_4`, and several of them `123_[0-3,7,10-20:5%2]`. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping

from ..errors import SlurmError

_SEVERAL = re.compile(r"(\d+)_\[([^\]%]*)(?:%\d+)?\]?")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::([1-9]\d*))?)?")


def element_id(array_id: str, index: int) -> str:
    return f"{array_id}_{index}"


def array_id(job_id: str) -> str:
    """The id that sbatch answered: of the array for an element, the job's own for any other."""
    return job_id.partition("_")[0]


def is_element(job_id: str) -> bool:
    return "_" in job_id


def own_job_id(environment: Mapping[str, str]) -> str:
    """Id of the job whose environment this is, `123_4` inside an array; empty outside of a job."""
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else environment.get("SLURM_JOB_ID", "")


def expand(text: str) -> tuple[str, ...]:
    """Each id by itself; what stands for one job already is returned as it is.

    Raises:
        SlurmError: the list was abridged or is none; some ids would be lost.
    """
    if "_[" not in text:
        return (text,)
    match = _SEVERAL.fullmatch(text)
    ranges = [_RANGE.fullmatch(part) for part in match[2].split(",")] if match else [None]
    ids: list[str] = []
    for one in ranges:
        if match is None or one is None:
            raise SlurmError(f"Slurm wrote {text!r} where a list of the elements of an array was expected")
        first, last = int(one[1]), int(one[2] or one[1])
        ids += (element_id(match[1], index) for index in range(first, last + 1, int(one[3] or 1)))
    return tuple(ids)


def in_order(job_ids: Iterable[str]) -> list[str]:
    """Distinct ids, the elements of an array next to each other and by their numbers."""
    return sorted(set(job_ids), key=lambda one: (array_id(one), len(one), one))


def abridge(job_ids: Iterable[str]) -> list[str]:
    """The same ids with the elements of each array in one text, as `expand` understands it."""
    several: dict[str, list[int]] = {}
    texts: list[str] = []
    for one in in_order(job_ids):
        array, _, index = one.partition("_")
        if index.isdecimal():
            several.setdefault(array, []).append(int(index))
        else:
            texts.append(one)
    return texts + [f"{array}_[{','.join(_ranges(indices))}]" for array, indices in several.items()]


def _ranges(indices: list[int]) -> Iterator[str]:
    first = indices[0]
    for last, following in zip(indices, [*indices[1:], None], strict=True):
        if following != last + 1:
            yield str(first) if first == last else f"{first}-{last}"
            first = following if following is not None else first
