"""Jobs of the fake Slurm, how they end, and what they wait for."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.slurm.ids import array_id, expand

# --- how a job ends -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How one run of a job ends."""

    word: str = "COMPLETED"
    """The state in Slurm's word; REQUEUED goes back into the queue and runs again."""
    exit_code: int = 0
    signal: int | None = None
    seconds: float = 1.0
    """After its start."""


OK = End()
TIMEOUT = End(word="TIMEOUT", signal=15)
OUT_OF_MEMORY = End(word="OUT_OF_MEMORY", exit_code=0, signal=9)
NODE_FAIL = End(word="NODE_FAIL")
REQUEUED = End(word="REQUEUED")


def failed(exit_code: int = 1, *, seconds: float = 1.0) -> End:
    return End(word="FAILED", exit_code=exit_code, seconds=seconds)


def takes(seconds: float) -> End:
    return End(seconds=seconds)


Ends = Callable[["FakeJob"], End]


def by_script(job: "FakeJob") -> End:
    """Understands `sleep N`, `exit N` and `kill -KILL $$`, one to a line or after a semicolon; the rest takes no time.

    A number may be `$((600 * (SLURM_ARRAY_TASK_ID == 2)))`; SLURM_RESTART_COUNT is known, too.
    """
    seconds = 0.0
    known = {"SLURM_ARRAY_TASK_ID": job.index, "SLURM_RESTART_COUNT": job.runs - 1}
    script = re.sub(r"\$\(\((.*?)\)\)(?!\))", lambda match: str(int(eval(match[1], {}, known))), job.script)
    for command in re.split(r"[;\n]", script):
        match command.split():
            case ["sleep", number]:
                seconds += float(number)
            case ["exit", number]:
                word = "FAILED" if int(number) else "COMPLETED"
                return End(word=word, exit_code=int(number), seconds=seconds)
            case ["kill", "-KILL", "$$"]:
                return End(word="FAILED", signal=9, seconds=seconds)
    return End(seconds=seconds)


def by_rule(ends: Mapping[str, End | Sequence[End]]) -> Ends:
    """Ends by the part of the job's name before the first dot, which is the rule.

    The k-th start of a job of that rule takes the k-th end, the last one holds from then on. Other jobs do as their
    script says.
    """
    starts: Counter[str] = Counter()

    def end(job: FakeJob) -> End:
        if job.rule not in ends:
            return by_script(job)
        known = ends[job.rule]
        sequence = (known,) if isinstance(known, End) else known
        starts[job.rule] += 1
        return sequence[min(starts[job.rule], len(sequence)) - 1]

    return end


# --- dependencies ---------------------------------------------------------------------------------------------------


class Verdict(Enum):
    MET = "met"
    OPEN = "open"
    NEVER = "never"


@dataclass(kw_only=True, slots=True)
class Condition:
    """One term of --dependency. Once decided it stays decided, whatever becomes of the other job."""

    type: str
    on: str = ""
    minutes: int = 0
    verdict: Verdict = Verdict.OPEN


@dataclass(kw_only=True, slots=True)
class FakeJob:
    job_id: str
    """Of an element as everywhere: `5_3`."""
    name: str
    options: Options
    script: str
    index: int | None = None
    """Number of the element; None for what is no array."""
    throttle: int | None = None
    """Elements of the array that run at once."""
    separate: bool = True
    """Elements of an array that wait have one record together, until they start, are changed, or wait for `aftercorr`."""
    vanished: bool = False
    """Cancelled out of the common record: Slurm has never heard of it."""
    conditions: tuple[Condition, ...] = ()
    any_of: bool = False
    kill_on_invalid_dep: bool = False
    held: bool = False
    word: str = "PENDING"
    reason: str = ""
    node: str = ""
    excluded: frozenset[str] = frozenset()
    """Nodes that it keeps off."""
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    begin: float = 0.0
    """Earliest start; infinite with `--begin`."""
    end: End = OK
    """How the present run ends, or the last one has ended."""
    due: float = 0.0
    runs: int = 0

    @property
    def rule(self) -> str:
        return self.name.partition(".")[0]

    @property
    def unique_name(self) -> str:
        """By which a lost answer is found again: the comment, where the name is shared."""
        return self.options.get("comment") or self.name

    @property
    def array_id(self) -> str:
        return array_id(self.job_id)

    @property
    def is_pending(self) -> bool:
        return self.word == "PENDING"

    @property
    def is_running(self) -> bool:
        return self.word == "RUNNING"

    @property
    def is_final(self) -> bool:
        return not (self.is_pending or self.is_running)

    @property
    def limit(self) -> float | None:
        """Seconds that it may take; None for any number."""
        return _seconds(self.options.get("time"))

    @property
    def verdict(self) -> Verdict:
        verdicts = [condition.verdict for condition in self.conditions]
        if not verdicts:
            return Verdict.MET
        enough, hopeless = (any, all) if self.any_of else (all, any)
        if enough(verdict is Verdict.MET for verdict in verdicts):
            return Verdict.MET
        return Verdict.NEVER if hopeless(verdict is Verdict.NEVER for verdict in verdicts) else Verdict.OPEN


_TYPES = ("after", "afterok", "afternotok", "afterany", "aftercorr")


def parse_dependency(text: str) -> tuple[tuple[Condition, ...], bool]:
    """Conditions, and whether one is enough. A mix of `,` and `?` means "any of all", as Slurm silently reads it.

    Raises:
        ValueError: what sbatch refuses.
    """
    conditions: list[Condition] = []
    for term in re.split(r"[,?](?![^\[]*\])", text):
        if term == "singleton":
            conditions.append(Condition(type=term))
        elif term.isdigit():
            conditions.append(Condition(type="afterany", on=term))
        else:
            kind, *on = term.split(":")
            if kind not in _TYPES or not on:
                raise ValueError(term)
            for one in on:
                match = re.fullmatch(r"(\d+(?:_\d+|_\[[\d,-]+\])?)(?:\+(\d+))?", one)
                if match is None or (match[2] and kind != "after"):
                    raise ValueError(term)
                minutes = int(match[2] or 0)
                conditions += [Condition(type=kind, on=each, minutes=minutes) for each in expand(match[1])]
    return tuple(conditions), "?" in text


def _seconds(time: str) -> float | None:
    """`--time` as minutes, `MM:SS`, `HH:MM:SS` or with `D-` before."""
    if not time:
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
