"""Options of sbatch as a value. The only place that writes them as text, and that reads what it has written. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

_OPPOSITES = {
    "requeue": "no-requeue", "no-requeue": "requeue", "exclusive": "oversubscribe", "oversubscribe": "exclusive",
}  # fmt: skip
"""Options that undo each other: of both, sbatch takes the last."""

Option = tuple[str, str | None]
"""Long name and value; None for an option without an argument."""


@dataclass(frozen=True)
class Options:
    """Options of sbatch by their long names. Equal values are equal to sbatch: their order does not matter."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    """In the order in which they are written."""

    @classmethod
    @lru_cache(maxsize=1000)  # the elements of an array have the same options
    def of(cls, *words: str) -> "Options":
        """From words as in `argv`."""
        return cls.merged(map(_option, words))

    @classmethod
    def merged(cls, options: Iterable[Option]) -> "Options":
        """As for sbatch, the last setting of an option counts."""
        values: dict[str, str | None] = {}
        for name, value in options:
            values.pop(_OPPOSITES.get(name, ""), None)
            values[name] = value
        return cls(values)

    @cached_property
    def argv(self) -> tuple[str, ...]:
        """As arguments of sbatch."""
        return tuple(f"--{name}" if value is None else f"--{name}={value}" for name, value in self.values.items())

    def get(self, name: str, default: str = "") -> str:
        """The value of an option; `default` if it is not set or has no argument."""
        value = self.values.get(name)
        return default if value is None else value

    def only(self, *names: str) -> "Options":
        return Options({name: value for name, value in self.values.items() if name in names})

    def without(self, *names: str) -> "Options":
        return Options({name: value for name, value in self.values.items() if name not in names})

    def __or__(self, later: "Options") -> "Options":
        """Both; where they differ, `later` counts."""
        undone = {_OPPOSITES[name] for name in _OPPOSITES.keys() & later.values.keys()}
        before = self.without(*undone) if undone else self
        return Options({**before.values, **later.values})

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __bool__(self) -> bool:
        return bool(self.values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __str__(self) -> str:
        return " ".join(self.argv)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(frozenset(self.values.items()))


NO_OPTIONS = Options()


def _option(word: str) -> Option:
    name, equals, value = word.removeprefix("--").partition("=")
    return name, value if equals else None
