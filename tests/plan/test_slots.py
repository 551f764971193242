"""What keeps a plan within `--jobs` and `--resources` while nobody watches it.

The law is checked on a tiny Slurm that starts and ends elements in any order, and cancels what it likes.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.pool import STANDING
from snakemake_executor_plugin_kempner.plan.slots import LimitedJob, Placement, Slots, place

JOB = {"jobs": 1}
NOTHING = Placement()
law = settings(max_examples=int(os.environ.get("KEMPNER_EXAMPLES", "40")), deadline=None)


def single(*succeeded: int, needs: Mapping[str, int] = JOB) -> LimitedJob:
    """A job that starts when these have succeeded."""
    return LimitedJob(needs=needs, after=succeeded, succeeded=tuple((one,) for one in succeeded))


def array(width: int, *succeeded: int, each: int | None = None, needs: Mapping[str, int] = JOB) -> LimitedJob:
    return replace(single(*succeeded, needs=needs), width=width, each=each)


def again(before: int, width: int, needs: Mapping[str, int] = JOB) -> LimitedJob:
    """Further attempts of the tasks of an array."""
    return LimitedJob(width=width, needs=needs, instead_of=before)


def chains(count: int, length: int, first: int = 0) -> list[LimitedJob]:
    """Level after level, as plans are."""
    return [
        single(*([number - count] if number >= first + count else []))
        for number in range(first, first + count * length)
    ]


@dataclass
class World:
    """What Slurm does with requests that are placed so: `None` is an element that waits, then its state."""

    requests: Sequence[LimitedJob]
    slots: Slots
    standing: Sequence[Mapping[str, int]] = ()
    capacities: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states: dict[int, list[str | None]] = {
            number: [None] * request.width for number, request in enumerate(self.requests)
        }
        self.states[STANDING] = [None] * len(self.standing)
        self.in_use: Counter[str] = Counter()

    def needs(self, number: int, index: int) -> Mapping[str, int]:
        return self.standing[index] if number == STANDING else self.requests[number].needs

    def has_ended(self, number: int) -> bool:
        if number >= len(self.requests):
            return all(map(self.has_ended, self.slots.gates[number - len(self.requests)]))
        return all(state in ("ok", "failed", "cancelled") for state in self.states[number])

    def has_succeeded(self, number: int) -> bool:
        return all(state == "ok" for state in self.states[number])

    def is_impossible(self, number: int, index: int) -> bool:
        if number == STANDING:
            return False
        request = self.requests[number]
        lost = any(
            all(self.has_ended(one) and not self.has_succeeded(one) for one in some) for some in request.succeeded
        )
        if request.instead_of is not None:
            return lost or self.states[request.instead_of][index] in ("ok", "cancelled")
        if request.each is None or lost:
            return lost
        return all(self.states[number][index] in ("failed", "cancelled") for number in self.attempts(request.each))

    def attempts(self, first: int) -> list[int]:
        """The arrays of the attempts of the same tasks."""
        found = [first]
        for number, request in enumerate(self.requests):
            if request.instead_of == found[-1]:
                found.append(number)
        return found

    def may_start(self, number: int, index: int) -> bool:
        if self.states[number][index] is not None:
            return False
        if number == STANDING:  # keep to the limits among themselves, by the plan that they come from
            running = [
                needs for needs, state in zip(self.standing, self.states[STANDING], strict=True) if state == "runs"
            ]
            return all(
                sum(one.get(name, 0) for one in [*running, self.standing[index]]) <= units
                for name, units in self.capacities.items()
            )
        request, placement = self.requests[number], self.slots.placements[number]
        before = request.instead_of
        follows = before is None or (
            self.states[before][index] == "failed" and (not placement.throttle or self.has_ended(before))
        )
        return (
            follows
            and all(map(self.has_ended, (*request.after, *placement.waits_for)))
            and all(any(map(self.has_succeeded, some)) for some in request.succeeded)
            and (
                request.each is None or any(self.states[array][index] == "ok" for array in self.attempts(request.each))
            )
            and (not placement.throttle or self.states[number].count("runs") < placement.throttle)
        )

    def where(self, state: str | None) -> list[tuple[int, int]]:
        return [
            (number, index) for number, each in self.states.items() for index, one in enumerate(each) if one == state
        ]

    def start(self, number: int, index: int) -> None:
        self.states[number][index] = "runs"
        self.in_use.update(self.needs(number, index))
        for name, units in self.capacities.items():
            assert self.in_use[name] <= units, (
                f"{self.in_use[name]} of {units} {name} at the start of {number}[{index}]"
            )

    def end(self, number: int, index: int, state: str) -> None:
        if self.states[number][index] == "runs":
            self.in_use.subtract(self.needs(number, index))
        self.states[number][index] = state

    def startable(self) -> list[tuple[int, int]]:
        return [one for one in self.where(None) if self.may_start(*one)]


def play(world: World, chance: random.Random, trouble: float) -> None:
    """In any order; with trouble, jobs fail and waiting ones are cancelled, alone or with their array."""
    while waiting := world.where(None) or world.where("runs"):
        starts, ends = world.startable(), world.where("runs")
        pending = world.where(None)
        if pending and chance.random() < trouble:
            number, index = chance.choice(pending)
            for one, other in pending:
                if one == number and (other == index or chance.random() < 0.5):
                    world.end(one, other, "cancelled")
        elif starts and (not ends or chance.random() < 0.7):
            world.start(*chance.choice(starts))
        elif ends:
            world.end(*chance.choice(ends), "failed" if chance.random() < trouble else "ok")
        else:
            lost = [one for one in pending if world.is_impossible(*one)]
            assert lost, f"these wait for ever: {waiting}"
            world.end(*chance.choice(lost), "cancelled")


def makespan(world: World, seconds: Callable[[int], int] = lambda _: 1) -> int:
    """When all have ended, if each element starts as soon as it may and takes so long, by the number of its request."""
    now, ends = 0, Counter[int]()
    running: dict[tuple[int, int], int] = {}
    while world.where(None) or running:
        while starts := world.startable():
            world.start(*starts[0])
            running[starts[0]] = now + seconds(starts[0][0])
        assert running, "all wait for ever"
        now = min(running.values())
        for one in [one for one, end in running.items() if end == now]:
            del running[one]
            world.end(*one, "ok")
    return max(now, *ends, 0)


def world_of(requests: Sequence[LimitedJob], **capacities: int) -> World:
    return World(requests, place(requests, capacities), capacities=capacities)


def placed(requests: Sequence[LimitedJob], **capacities: int) -> list[Placement]:
    """Placements, after a look whether they keep the limits; the law itself is checked at random below."""
    for seed in range(6):
        play(world_of(requests, **capacities), random.Random(seed), trouble=0.1 * (seed % 3))
    return list(place(requests, capacities).placements)


def waits(requests: Sequence[LimitedJob], **capacities: int) -> list[tuple[int, ...]]:
    return [one.waits_for for one in placed(requests, **capacities)]


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_chain_never_waits_for_more_than_itself() -> None:
    assert placed([single(), single(0), single(1), single(2)], jobs=1) == [NOTHING] * 4


def test_where_everything_fits_nothing_is_added() -> None:
    requests = [array(4), single(0), single(0), array(3, 1, 2)]
    assert placed(requests, jobs=9, licence=1) == [NOTHING] * 4


def test_one_slot_is_handed_from_job_to_job() -> None:
    assert waits([single(), single(), single()], jobs=1) == [(), (0,), (0, 1)]


def test_the_example_that_explains_the_module_is_true() -> None:
    a, b, c, d, e = single(), single(), single(0), single(), single()
    assert waits([a, b, c, d, e], jobs=2) == [(), (), (), (1,), (0, 2)]


def test_all_earlier_holders_of_a_slot_are_waited_for_because_one_that_is_cancelled_says_nothing_of_those_before() -> (
    None
):
    requests = [single(), single(), single()]
    world = world_of(requests, jobs=1)
    world.start(0, 0)
    world.end(1, 0, "cancelled")
    assert world.startable() == []


def test_a_diamond_takes_over_the_slots_of_what_it_waits_for() -> None:
    requests = [single(), single(0), single(0), single(1, 2), single(3), single(3)]
    assert placed(requests, jobs=2) == [NOTHING] * 6
    assert waits(requests, jobs=1) == [(), (), (1,), (), (), (4,)]


@pytest.mark.parametrize("jobs", [10, 20])
def test_chains_that_are_fewer_than_the_jobs_add_nothing(jobs: int) -> None:
    assert placed(chains(10, 10), jobs=jobs) == [NOTHING] * 100


def test_chains_that_are_more_than_the_jobs_wait_for_as_many_as_it_takes() -> None:
    requests = chains(4, 3)
    assert [len(one) for one in waits(requests, jobs=2)[:4]] == [0, 0, 1, 1]
    assert makespan(world_of(requests, jobs=2)) == 6


def test_retries_take_over_the_slot_of_the_attempt_before() -> None:
    def attempts(first: int, *before: tuple[int, ...]) -> list[LimitedJob]:
        start = tuple(one for some in before for one in some)
        return [
            LimitedJob(needs=JOB, after=(*start, *range(first, number)), succeeded=before)
            for number in range(first, first + 3)
        ]

    requests = [*attempts(0), *attempts(3, (0, 1, 2)), *attempts(6, (3, 4, 5)), single()]
    assert waits(requests, jobs=1)[:9] == [()] * 9
    assert waits(requests, jobs=1)[9] == tuple(range(9))


def test_what_may_follow_a_job_that_never_started_waits_for_what_that_one_would_have_waited_for() -> None:
    handler = LimitedJob(needs=JOB, after=(1,))
    assert waits([single(), single(), handler], jobs=1) == [(), (0,), (0,)]


def test_where_one_of_two_has_succeeded_only_what_both_waited_for_has_ended_for_certain() -> None:
    one_of_two = LimitedJob(needs=JOB, after=(2, 3), succeeded=((2, 3),))
    assert waits([single(), single(), single(0), single(1), one_of_two], jobs=2)[4] == (0,)
    assert (
        waits([single(), single(0), single(0), replace(one_of_two, after=(1, 2), succeeded=((1, 2),))], jobs=1)[3] == ()
    )


def test_a_job_takes_over_what_few_others_can_have_without_a_wait() -> None:
    requests = [single(needs={"jobs": 2}), single(0), single(1), single(0)]
    assert placed(requests, jobs=2) == [NOTHING] * 4


def test_a_job_waits_for_the_slot_that_is_expected_to_be_free_first() -> None:
    assert waits([single(), single(0), single(1), single(), single()], jobs=2)[4] == (3,)


def test_two_arrays_without_relation_run_one_after_the_other_at_full_width() -> None:
    requests = [array(100), array(100)]
    assert placed(requests, jobs=10) == [Placement(throttle=10), Placement(waits_for=(0,), throttle=10)]
    assert makespan(world_of(requests, jobs=10)) == 20


def test_an_array_that_can_have_half_of_its_width_at_once_does_not_wait_for_more() -> None:
    assert placed([array(4), array(100)], jobs=10) == [NOTHING, Placement(throttle=6)]
    assert placed([array(6), array(100)], jobs=10) == [NOTHING, Placement(waits_for=(0,), throttle=10)]


def test_arrays_that_follow_each_other_element_by_element_share_their_slots() -> None:
    requests = [array(10), *(array(10, each=number) for number in range(9))]
    assert placed(requests, jobs=10) == [NOTHING] * 10
    assert makespan(world_of(requests, jobs=10)) == 10


def test_under_a_throttle_what_follows_element_by_element_runs_array_after_array() -> None:
    requests = [array(10), array(10, each=0), array(10, each=1)]
    assert placed(requests, jobs=5) == [
        Placement(throttle=5),
        Placement(waits_for=(0,), throttle=5),
        Placement(waits_for=(1,), throttle=5),
    ]
    assert makespan(world_of(requests, jobs=5)) == 6


def test_slots_that_somebody_else_has_taken_are_not_shared() -> None:
    requests = [array(4), single(), array(4, each=0), array(4, each=0)]
    assert placed(requests, jobs=5) == [NOTHING, NOTHING, NOTHING, Placement(waits_for=(0, 1, 2))]


def test_what_elements_of_a_throttled_array_hold_is_not_shared_element_by_element() -> None:
    requests = [array(4, needs={"jobs": 2}), array(4, each=0)]
    assert placed(requests, jobs=4) == [Placement(throttle=2), Placement(waits_for=(0,))]


def test_a_further_attempt_takes_the_place_of_the_failed_one_and_hands_it_on() -> None:
    requests = [array(4), again(0, 4), again(1, 4), array(4, each=0), single()]
    assert placed(requests, jobs=4) == [*[NOTHING] * 4, Placement(waits_for=(0, 1, 2, 3))]


def test_under_a_throttle_further_attempts_come_when_all_of_the_array_have_ended() -> None:
    requests = [array(10), again(0, 10), again(1, 10), array(10, each=0)]
    throttled = Placement(throttle=5)
    assert placed(requests, jobs=5) == [*[throttled] * 3, Placement(waits_for=(0, 1, 2), throttle=5)]


def test_a_gate_between_two_arrays_hands_places_on_element_by_element() -> None:
    gate = LimitedJob(width=4, each=0)
    assert placed([array(4), again(0, 4), gate, array(4, each=2)], jobs=4) == [NOTHING] * 4


def test_arrays_that_follow_the_same_one_element_by_element_divide_its_slots() -> None:
    requests = [array(4, needs={"jobs": 3}), array(4, each=0, needs={"jobs": 2}), array(4, each=0), array(4, each=1)]
    assert placed(requests, jobs=12) == [NOTHING] * 4


def test_a_licence_among_other_limits_is_waited_for_by_those_who_need_it() -> None:
    solver = {"jobs": 1, "licence": 1}
    requests = [
        single(needs=solver),
        single(),
        single(needs=solver),
        single(),
        single(needs=solver),
        array(5, needs=solver),
    ]
    assert placed(requests, jobs=100, licence=2) == [
        *[NOTHING] * 4,
        Placement(waits_for=(0,)),
        Placement(waits_for=(0, 2, 4), throttle=2),
    ]


def test_large_amounts_are_divided_as_they_are_needed() -> None:
    needs = [300_000, 200_000, 100_000, 400_000, 500_000]
    requests = [single(needs={"mem_mb": one}) for one in needs]
    assert waits(requests, mem_mb=500_000) == [(), (), (0,), (0, 1), (0, 1, 2, 3)]


def test_what_needs_nothing_of_a_limit_is_left_alone() -> None:
    assert waits([single(), single(needs={}), single(needs={"jobs": 0}), single()], jobs=1) == [(), (), (), (0,)]


def test_what_needs_more_than_there_is_is_a_fault() -> None:
    requests = [single(), array(3, needs={"licence": 3}), single(needs={"jobs": 2, "licence": 2})]
    assert place(requests, {"jobs": 1, "licence": 2}) == Slots(faults=((1, "licence"), (2, "jobs")))
    assert place([single(needs={"licence": 1})], {"licence": 0}).faults == ((0, "licence"),)
    assert place([single(needs={"load": 10**9})], {}).faults == ()


def test_jobs_of_an_earlier_plan_keep_what_they_hold_until_all_of_them_have_ended() -> None:
    three = [single(), single(), single()]
    assert [one.waits_for for one in place(three, {"jobs": 4}, [JOB, JOB]).placements] == [(), (), (STANDING,)]
    assert [one.waits_for for one in place(three, {"jobs": 4}, [JOB] * 9).placements] == [(STANDING,)] * 3
    assert [one.waits_for for one in place(three, {"jobs": 5}, [JOB, JOB]).placements] == [()] * 3
    follows = LimitedJob(needs=JOB, after=(STANDING,))
    assert place([follows, follows], {"jobs": 2}, [JOB] * 9).placements == (NOTHING, NOTHING)


def test_a_gate_stands_for_jobs_that_are_too_many_to_be_named() -> None:
    slots = place([single() for _ in range(500)], {"jobs": 1})
    assert max(len(one.waits_for) for one in slots.placements) <= 100
    assert len(slots.gates) == 4
    world = World([single() for _ in range(500)], slots, capacities={"jobs": 1})
    assert world.startable() == [(0, 0)]
    for number in range(1, 400):
        world.end(number, 0, "cancelled")
    assert world.startable() == [(0, 0)]


def test_what_has_ended_for_a_job_may_run_on_for_the_one_that_takes_over_when_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snakemake_executor_plugin_kempner.plan.slots._FEW", 2)
    requests = [single(), single(), single(), single(0), single(0), single()]
    slots = place(requests, {"jobs": 1})
    assert slots.placements[4:] == (Placement(waits_for=(6,)), Placement(waits_for=(7,)))
    assert slots.gates == ((1, 2, 3), (0, 4, 6))


# --- laws -------------------------------------------------------------------------------------------------------------


@st.composite
def requests_of(draw: st.DrawFn) -> list[LimitedJob]:
    found: list[LimitedJob] = []
    while len(found) <= draw(st.integers(0, 9)):
        number = len(found)
        earlier = st.integers(0, number - 1)
        after = draw(st.lists(earlier, max_size=3, unique=True)) if number else []
        sets = draw(st.lists(st.lists(st.sampled_from(after), min_size=1, max_size=2), max_size=2)) if after else []
        each = draw(st.none() | earlier) if number else None
        width = draw(st.sampled_from([1, 1, 2, 3, 4])) if each is None else found[each].width
        needs = {"jobs": 1, "licence": draw(st.sampled_from([0, 0, 1, 2]))}
        more = [STANDING] if draw(st.sampled_from([False] * 4 + [True])) else []
        found.append(
            LimitedJob(width=width, needs=needs, after=(*more, *after), succeeded=tuple(map(tuple, sets)), each=each)
        )
        further = draw(st.sampled_from([0, 0, 1, 2])) if width > 1 else 0
        found += [again(number + attempt, width, needs) for attempt in range(further)]
    return found


CAPACITIES = st.fixed_dictionaries({"jobs": st.integers(1, 6), "licence": st.integers(2, 4)})
STANDING_ONES = st.lists(st.fixed_dictionaries({"jobs": st.just(1), "licence": st.integers(0, 2)}), max_size=3)


@law
@given(requests_of(), CAPACITIES, STANDING_ONES, st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.3]))
def test_no_limit_is_exceeded_and_nothing_waits_for_ever(
    requests: list[LimitedJob],
    capacities: dict[str, int],
    standing: list[dict[str, int]],
    seed: int,
    trouble: float,
) -> None:
    slots = place(requests, capacities, standing)
    for more in range(5):
        play(World(requests, slots, standing, capacities), random.Random(seed + more), trouble)


@law
@given(requests_of(), CAPACITIES, st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_the_law_holds_through_gates(
    requests: list[LimitedJob], capacities: dict[str, int], seed: int, trouble: float
) -> None:
    module = "snakemake_executor_plugin_kempner.plan.slots"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{module}._FEW", 1)
        patch.setattr(f"{module}._MOST", 2)
        slots = place(requests, capacities)
    for more in range(5):
        play(World(requests, slots, (), capacities), random.Random(seed + more), trouble)


@law
@given(requests_of(), STANDING_ONES)
def test_nothing_is_added_when_everything_fits(requests: list[LimitedJob], standing: list[dict[str, int]]) -> None:
    total = Counter[str]()
    for one in [*standing, *(request.needs for request in requests for _ in range(request.width))]:
        total.update(one)
    assert set(place(requests, total, standing).placements) == {NOTHING}


@law
@given(requests_of(), CAPACITIES)
def test_a_job_waits_only_for_what_comes_before_it(requests: list[LimitedJob], capacities: dict[str, int]) -> None:
    slots = place(requests, capacities)
    for number, placement in enumerate(slots.placements):
        assert all(one < number for one in placement.waits_for)
        assert not set(placement.waits_for) & set(requests[number].after)


@law
@given(st.integers(1, 30), st.integers(1, 8))
def test_independent_jobs_of_one_duration_take_no_longer_than_they_must(count: int, jobs: int) -> None:
    assert makespan(world_of([single() for _ in range(count)], jobs=jobs)) == -(-count // jobs)


@law
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 8))
def test_arrays_waste_at_most_half_of_the_limit(widths: list[int], jobs: int) -> None:
    least = -(-sum(widths) // jobs)
    assert makespan(world_of([array(width) for width in widths], jobs=jobs)) <= 2 * least + len(widths)


@law
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_chains_run_as_if_alone_when_there_is_a_slot_for_each(count: int, length: int, spare: int) -> None:
    assert set(place(chains(count, length), {"jobs": count + spare}).placements) == {NOTHING}


LARGE = 12_000
"""Jobs, so many that each waits for as many others as there are slots, and gates are made."""
SHAPES: dict[str, Callable[[], list[LimitedJob]]] = {
    "independent jobs": lambda: [single() for _ in range(LARGE)],
    "chains": lambda: chains(LARGE // 20, 20),
    "jobs that follow one at random": lambda: [
        single(*([random.Random(n).randrange(n)] if n else [])) for n in range(LARGE)
    ],
    "arrays": lambda: [array(50) for _ in range(LARGE // 10)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_large_plan_takes_few_terms(name: str) -> None:
    slots = place(SHAPES[name](), {"jobs": 100})
    assert max(len(one.waits_for) for one in slots.placements) <= 100
    assert max(map(len, slots.gates), default=0) <= 3000
    assert slots.gates or name == "chains"
