"""Where the nodes of a graph are drawn: in columns, by the longest chain before them. Pure."""

from collections.abc import Mapping, Sequence

from ..plan.order import in_order

_ROUNDS = 4


def placed(needs: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, float]]:
    """Column and row of each node.

    Args:
        needs: what each node waits for, by key. Rules may wait for each other in a circle, although no tasks do.
    """
    known = _without_circles(
        {key: [on for on in dict.fromkeys(others) if on in needs] for key, others in needs.items()}
    )
    columns: dict[str, int] = {}
    for key in in_order(known):
        columns[key] = 1 + max((columns[on] for on in known[key]), default=-1)
    layers: dict[int, list[str]] = {}
    for key in known:
        layers.setdefault(columns[key], []).append(key)
    behind: dict[str, list[str]] = {}
    for key, others in known.items():
        for on in others:
            behind.setdefault(on, []).append(key)
    rows = _centred(layers)
    for number in range(_ROUNDS):
        forth = number % 2 == 0
        near = known if forth else behind
        for column in sorted(layers, reverse=not forth):
            layers[column].sort(key=lambda key: _mean([rows[other] for other in near.get(key, ())], rows[key]))
            rows |= _centred(layers, column)
    return {key: (columns[key], rows[key]) for key in known}


def _without_circles(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same without the lines that close a circle."""
    kept: dict[str, list[str]] = {key: [] for key in needs}
    done: set[str] = set()
    for first in needs:
        path = [(first, iter(needs[first]))] if first not in done else []
        on_path = {first}
        while path:
            key, left = path[-1]
            other = next(left, None)
            if other is None:
                path.pop()
                on_path.discard(key)
                done.add(key)
            elif other not in on_path:
                kept[key].append(other)
                if other not in done:
                    path.append((other, iter(needs[other])))
                    on_path.add(other)
    return kept


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _centred(layers: Mapping[int, Sequence[str]], only: int | None = None) -> dict[str, float]:
    """Rows in which each column is centred on the longest."""
    longest = max(map(len, layers.values()), default=0)
    return {
        key: (longest - len(keys)) / 2 + number
        for column, keys in layers.items()
        if only in (None, column)
        for number, key in enumerate(keys)
    }
