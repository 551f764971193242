"""Job ids as Slurm writes them: `123`, an array element `123_4`, several elements `123_[0-3,7,10-20:5%2]`. Pure."""

import re
from collections.abc import Iterable, Mapping

from ..errors import SlurmError
from ..notation import if_readable, numbers, ranges

_NO_INDEX = "4294967294"
"""NO_VAL of Slurm: 24.11 shows it for an array of which no element waits any more, until it forgets the array."""
_SEVERAL = re.compile(r"([0-9]{1,18})_\[([^\]%]*)(?:%[0-9]+)?\]?")


def element_id(array_id: str, index: int) -> str:
    return f"{array_id}_{index}"


def array_id(job_id: str) -> str:
    """The id that sbatch has printed: that of the array for an element, else the job's own."""
    return job_id.partition("_")[0]


def is_element(job_id: str) -> bool:
    return "_" in job_id


def own_job_id(environment: Mapping[str, str]) -> str:
    """Id of the job that has this environment, `123_4` inside an array; empty outside of a job."""
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else environment.get("SLURM_JOB_ID", "")


def expand(text: str) -> tuple[str, ...]:
    """`123_[0-2]` → the id of each element; the id of a single job is returned unchanged.

    An array that Slurm shows without any element has its own id: it is there, and says nothing about an element.

    Raises:
        SlurmError: the list of elements is cut off or malformed, so some ids would be lost.
    """
    if "_[" not in text:
        return (text,)
    match = _SEVERAL.fullmatch(text)
    if match is not None and match[2] == _NO_INDEX:
        return (match[1],)
    indices = if_readable(numbers, match[2]) if match else None
    if match is None or indices is None:
        raise SlurmError(f"Slurm wrote {text!r} where a list of the elements of an array was expected")
    return tuple(element_id(match[1], index) for index in indices)


def in_order(job_ids: Iterable[str]) -> list[str]:
    """The distinct ids, by number; elements of an array by their index."""
    return sorted(set(job_ids), key=lambda job_id: (len(array_id(job_id)), array_id(job_id), len(job_id), job_id))


def abridge(job_ids: Iterable[str]) -> list[str]:
    """The same ids, with the elements of each array in a single text that `expand` reads."""
    several: dict[str, list[int]] = {}
    texts: list[str] = []
    for job_id in in_order(job_ids):
        array, _, index = job_id.partition("_")
        if index.isdecimal():
            several.setdefault(array, []).append(int(index))
        else:
            texts.append(job_id)
    return texts + [f"{array}_[{ranges(indices)}]" for array, indices in several.items()]


def for_people(job_ids: Iterable[str]) -> str:
    """`101-108, 110, 111_[0-99]`."""
    texts = abridge(job_ids)
    alone = ranges(int(text) for text in texts if text.isdecimal())
    return ", ".join([*filter(None, alone.split(",")), *(text for text in texts if "_" in text)])
