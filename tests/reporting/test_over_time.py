"""What happened when: curves, the critical path, and where the nodes of a graph stand."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.task import Edge
from snakemake_executor_plugin_kempner.reporting.attempts import AttemptRow
from snakemake_executor_plugin_kempner.reporting.layers import placed
from snakemake_executor_plugin_kempner.reporting.over_time import MOST_POINTS, critical_path, curve, in_use, waiting
from snakemake_executor_plugin_kempner.site.request import Request
from snakemake_executor_plugin_kempner.state.model import State

ROW = AttemptRow(
    key="a", label="a", rule="a", attempt=1, job_id="1", word="COMPLETED", state=State.DONE, node="n1", submit=0.0,
    eligible=0.0, start=0.0, end=10.0, requeues=0, request=Request(cores_of_node=4, gpus=1), use=None, log="",
)  # fmt: skip


def a_row(
    key: str, start: float | None, end: float | None, *, attempt: int = 1, eligible: float | None = 0.0
) -> AttemptRow:
    return replace(ROW, key=key, label=key, start=start, end=end, attempt=attempt, eligible=eligible)


def test_what_runs_at_the_same_time_is_added_up() -> None:
    rows = [a_row("a", 0, 10), a_row("b", 5, 15), a_row("c", None, None)]
    assert in_use(rows, 20, lambda row: row.cores) == ((0, 4), (5, 8), (10, 4), (15, 0))
    assert in_use([a_row("a", 5, None)], 20, lambda row: row.gpus) == ((5, 1), (20, 0))


def test_a_job_waits_from_when_it_could_start_until_it_does() -> None:
    rows = [a_row("a", 4, 10, eligible=1), a_row("b", None, None, eligible=2), a_row("c", None, None, eligible=None)]
    assert waiting(rows, 6) == ((1, 1), (2, 2), (4, 1), (6, 0))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.integers(1, 9)), max_size=2000))
def test_a_curve_has_few_points_and_keeps_its_highest(spans: list[tuple[float, float, int]]) -> None:
    ends = [(start, start + length, units) for start, length, units in spans]
    points = curve(ends)
    assert len(points) <= MOST_POINTS + 2
    real = [units for start, end, units in ends if end > start]
    if real:
        moments = [moment for start, end, _ in ends if end > start for moment in (start,)]
        highest = max(sum(units for start, end, units in ends if start <= moment < end) for moment in moments)
        assert max(value for _, value in points) == highest
        assert points[-1][1] == 0


def test_the_critical_path_follows_what_ended_last_before_each_start() -> None:
    rows = [
        a_row("data", 0, 5),
        a_row("fast", 5, 7),
        a_row("slow", 5, 30),
        a_row("report", 31, 32),
        a_row("other", 0, 20),
    ]
    edges = {"fast": [Edge(on="data")], "slow": [Edge(on="data")], "report": [Edge(on="fast"), Edge(on="slow")]}
    assert [row.key for row in critical_path(rows, edges, 40)] == ["data", "slow", "report"]


def test_an_attempt_that_failed_before_is_part_of_the_critical_path() -> None:
    rows = [a_row("data", 0, 5), a_row("train", 5, 30), a_row("train", 31, 50, attempt=2)]
    path = critical_path(rows, {"train": [Edge(on="data")]}, 60)
    assert [(row.key, row.attempt) for row in path] == [("data", 1), ("train", 1), ("train", 2)]
    assert critical_path([], {}, 0) == ()


def test_a_node_stands_right_of_all_that_it_needs() -> None:
    places = placed({"report": ["b", "c", "b"], "a": [], "b": ["a"], "c": ["a", "elsewhere"], "alone": []})
    columns = {key: column for key, (column, _) in places.items()}
    assert columns == {"report": 2, "a": 0, "b": 1, "c": 1, "alone": 0}
    assert len(set(places.values())) == len(places)


def test_lines_of_parallel_chains_do_not_cross() -> None:
    chains = {f"{name}{step}": ([f"{name}{step - 1}"] if step else []) for step in range(3) for name in "dbca"}
    places = placed(chains)
    for name in "abcd":
        assert len({places[f"{name}{step}"][1] for step in range(3)}) == 1


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"))))
def test_rules_that_need_each_other_in_a_circle_have_places_too(needs: dict[str, list[str]]) -> None:
    """As with checkpoints and chains: `segment` needs `state`, which needs an earlier `segment`."""
    places = placed(needs)
    assert places.keys() == needs.keys()
    assert len(set(places.values())) == len(places)
