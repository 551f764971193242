from graphlib import CycleError, TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.order import in_order


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, list[int]]:
    """Each after some of the smaller numbers, the keys in any order."""
    keys = draw(st.permutations(range(draw(st.integers(0, 8)))))
    return {key: draw(st.lists(st.sampled_from(range(key)))) if key else [] for key in keys}


@given(before=graphs())
def test_each_comes_once_and_after_those_it_waits_for(before: dict[int, list[int]]) -> None:
    found = in_order(before)
    assert sorted(found) == sorted(before)
    assert all(found.index(other) < found.index(one) for one, others in before.items() for other in others)


@given(before=graphs())
def test_the_order_is_that_of_the_standard_library(before: dict[int, list[int]]) -> None:
    before = {key: before[key] for key in sorted(before)}
    assert in_order(before) == [*TopologicalSorter(before).static_order()]


def test_what_is_only_waited_for_is_not_in_the_order() -> None:
    assert in_order({"b": ["a"], "c": ["b", "a"]}) == ["b", "c"]


def test_a_circle_is_an_error_that_names_it() -> None:
    with pytest.raises(CycleError) as error:
        in_order({"a": [], "b": ["a", "c"], "c": ["b"]})
    assert set(error.value.args[1]) == {"b", "c"}
