"""What does not fit into the queue follows later: nothing is dropped, nothing comes before what it needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import POLICY, a_task, chain, diamond, edge, sweep
from fakes import End, Trouble, takes
from hypothesis import given
from hypothesis import strategies as st
from playing import Play, task_of
from test_laws import law

from snakemake_executor_plugin_kempner.errors import PlanError, SlurmError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType
from snakemake_executor_plugin_kempner.plan.model import Kind, Plan, Policy
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task
from snakemake_executor_plugin_kempner.run import waves
from snakemake_executor_plugin_kempner.run.outcome import Outcome
from snakemake_executor_plugin_kempner.run.waves import Wave

ALONE = replace(POLICY, keep_going=True, array_from=0)
"""Without a guard, so that the numbers are those of tasks."""
DETACHED = replace(ALONE, detached=True)
SUCCEEDED = Outcome.SUCCEEDED


def wave(tasks: Sequence[Task], policy: Policy, deferred: Sequence[Deferred], room: int | None) -> Wave:
    return waves.wave(tasks, policy, deferred, lambda _plan: room)


def kinds(plan: Plan) -> list[Kind]:
    return [one.kind for one in plan.submissions if one.kind is not Kind.TASK]


def independent(count: int) -> tuple[Task, ...]:
    return tuple(a_task("part", wildcards={"i": str(number)}) for number in range(count))


# --- what fits ------------------------------------------------------------------------------------------------------


def test_everything_fits_where_there_is_no_limit() -> None:
    assert wave(sweep(100), ALONE, (), None).later == ()
    assert wave(sweep(5), ALONE, (), 12).later == ()


def test_as_many_as_fit_go_first_in_order() -> None:
    tasks = sweep(5)
    now = wave(tasks, ALONE, (), 4)
    assert [one.ref.task for one in now.plan.submissions] == [task.key for task in tasks[:4]]
    assert now.later == tasks[4:]


def test_attempts_gates_and_guards_need_room_too() -> None:
    tasks = [a_task("part", wildcards={"i": str(number)}, attempts=2) for number in range(10)]
    now = wave(tasks, replace(ALONE, keep_going=False), (), 10)
    assert 6 <= len(now.plan.submissions) <= 10
    assert kinds(now.plan)[-1] is Kind.GUARD


def test_a_run_that_nobody_watches_keeps_room_for_what_goes_on_with_it() -> None:
    now = wave(independent(120), DETACHED, (), 20)
    assert len(now.plan.submissions) <= 20
    assert kinds(now.plan) == [Kind.GATE, Kind.CONTINUATION, Kind.CLOSING]
    (gate,) = (one for one in now.plan.submissions if one.kind is Kind.GATE)
    assert {term.type for term in gate.waits_for.terms} == {DependencyType.AFTERANY}
    assert len(gate.waits_for.terms) == (len(now.plan.tasks) + 1) // 2


def test_further_attempts_of_a_sweep_are_arrays_although_the_rest_waits_for_room() -> None:
    tasks = [a_task("part", wildcards={"i": str(number)}, attempts=3) for number in range(300)]
    now = wave(tasks, replace(DETACHED, array_from=2), (), 500)
    assert len(now.plan.tasks) > 100
    assert len(now.plan.calls) <= 8


def test_a_checkpoint_that_has_no_room_yet_is_not_waited_for() -> None:
    tasks = independent(20)
    deferred = [Deferred("a checkpoint", frozenset({tasks[-1].key})), Deferred("another", frozenset({tasks[0].key}))]
    now = wave(tasks, DETACHED, deferred, 10)
    (continuation,) = (one for one in now.plan.submissions if one.kind is Kind.CONTINUATION)
    assert {term.on.task for term in continuation.waits_for.terms} & {tasks[0].key}
    assert tasks[-1].key not in str(continuation.waits_for)


def test_a_failure_handler_goes_with_what_it_is_for() -> None:
    parts = independent(6)
    tell = [a_task("tell", edge("afternotok", one.key), wildcards=one.wildcards) for one in parts]
    tell = [replace(one, edges=tuple(replace(e, declared=True) for e in one.edges)) for one in tell]
    for room in range(2, 12):
        now = wave([*parts, *tell], ALONE, (), room)
        numbers = {rule: {t.key[-3:] for t in now.later if t.name == rule} for rule in ("part", "tell")}
        assert numbers["part"] == numbers["tell"]


@pytest.mark.parametrize("room", [0, -3])
def test_without_any_room_nothing_is_submitted_now(room: int) -> None:
    assert wave(chain(), ALONE, (), room) == Wave(plan=Plan(calls=(), policy=ALONE), later=chain())


def test_the_faults_of_what_has_no_room_yet_are_found_now() -> None:
    with pytest.raises(PlanError, match="runtime"):
        wave([*independent(9), a_task("bad", resources={"runtime": -1})], ALONE, (), 3)


def test_a_queue_that_is_too_small_for_anything_is_a_fault(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True, keep_going=False)
    play.live.policy = replace(play.policy, largest_queue=3, array_from=0)
    with pytest.raises(PlanError, match="needs 4 jobs in the queue at once, and Slurm lets you have 3"):
        play.submit(*independent(10))
    assert not play.slurm.left


def test_a_run_that_nobody_watches_waits_for_the_room_to_begin_with(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", detached=True)
    for number in range(5):
        play.slurm.submit(Options.of(f"--job-name=other-{number}", "--time=999"), "sleep 50")
    play.live.policy = replace(play.policy, largest_queue=5, array_from=0)
    play.submit(*independent(10))
    assert play.clock.now() >= 50
    assert len(play.slurm.left) <= 5


# --- until the end --------------------------------------------------------------------------------------------------


def play_through(play: Play, limit: int) -> int:
    """The most jobs that were in the queue at once."""
    most = 0
    for _ in range(5000):
        play.look()
        play.live.submit_later()
        most = max(most, len(play.slurm.left))
        if not play.live.jobs and not play.live.later:
            return most
        play.clock.sleep(1)
    raise AssertionError(f"still open: {play.live.jobs}, {len(play.live.later)} later, limit {limit}")


@pytest.mark.parametrize("limit", [3, 4, 7, 20])
@pytest.mark.parametrize("tasks", [chain(), diamond(9), sweep(12)], ids=["chain", "diamond", "sweep"])
def test_the_run_comes_to_its_end_and_never_has_more_in_the_queue(
    tmp_path: Path, tasks: tuple[Task, ...], limit: int
) -> None:
    play = Play(tmp_path / "run1", {"align": takes(3)})
    play.live.policy = replace(play.policy, largest_queue=limit)
    play.submit(*tasks)
    assert play_through(play, limit) <= limit
    assert play.ended() == {task.key: SUCCEEDED for task in tasks}


@law
@given(st.sets(st.integers(0, 29), max_size=8), st.integers(2, 12))
def test_what_fails_leaves_room_for_the_others(
    tmp_path_factory: pytest.TempPathFactory, failing: set[int], limit: int
) -> None:
    def ends(job: object) -> End:
        return End(word="FAILED", exit_code=1) if any(f"part[i={n}]" in job.script for n in failing) else End()  # type: ignore[attr-defined]

    play = Play(tmp_path_factory.mktemp("wave") / "run1", ends)
    play.live.policy = replace(play.policy, largest_queue=limit, array_from=0)
    parts = independent(30)
    last = a_task("report", *(edge("afterany", one.key) for one in parts))
    play.submit(*parts, last)
    play_through(play, limit)
    failed = {f"part[i={number}]" for number in failing}
    assert {key for key, outcome in play.ended().items() if outcome is Outcome.FAILED} == failed
    assert {key for key, outcome in play.ended().items() if outcome is SUCCEEDED} == {
        *(one.key for one in parts if one.key not in failed),
        "report",
    }


def test_jobs_of_other_runs_take_room_too(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1")
    for number in range(5):
        play.slurm.submit(Options.of(f"--job-name=other-{number}", "--time=999"), "sleep 50")
    play.live.policy = replace(play.policy, largest_queue=8, array_from=0)
    play.submit(*independent(10))
    assert len(play.live.jobs) == 3
    assert len(play.live.later) == 7


def test_what_a_stop_finds_without_room_is_not_submitted_any_more(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1")
    play.live.policy = replace(play.policy, largest_queue=3, array_from=0)
    play.submit(*independent(10))
    play.live.stop()
    assert not play.live.later
    assert play.live.submit_later() is None


@pytest.mark.parametrize("array_from", [0, 2])
@pytest.mark.parametrize("detached", [False, True])
def test_a_limit_that_only_sbatch_knows_is_learned_when_it_refuses(
    tmp_path: Path, array_from: int, *, detached: bool
) -> None:
    play = Play(tmp_path / "run1", {"part": takes(3)}, detached=detached, max_submitted=9)
    play.live.policy = replace(play.policy, array_from=array_from)
    tasks = independent(30)
    play.submit(*tasks)
    if detached:  # what a continuation would do is for the tests on a real Slurm
        assert play.slurm.named("continuation")
        assert play.slurm.named("closing")
        return
    play_through(play, 9)
    assert play.ended() == {task.key: SUCCEEDED for task in tasks}
    assert all(job.runs == 1 for job in play.slurm.named("part"))


# --- what goes wrong meanwhile --------------------------------------------------------------------------------------


def starts_and_ends(play: Play) -> list[tuple[str, str]]:
    return [
        (change.word, task_of(change.job)) for change in play.slurm.changes if change.word in ("RUNNING", "COMPLETED")
    ]


def test_what_sbatch_has_no_room_for_is_waited_for_by_what_follows(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"a": takes(50), "b": takes(50)}, max_submitted=12)
    play.live.policy = replace(play.policy, largest_queue=14)
    numbers = [{"i": str(number)} for number in range(8)]
    chains = [a_task("a", wildcards=one) for one in numbers]
    chains += [a_task("b", one.key, wildcards=one.wildcards) for one in chains]
    chains += [a_task("c", one.key, wildcards=one.wildcards) for one in chains[8:]]
    play.submit(*chains)
    play_through(play, 14)
    done: set[str] = set()
    needs = {task.key: {one.on for one in task.edges} for task in chains}
    for word, key in starts_and_ends(play):
        assert word == "COMPLETED" or needs[key] <= done, f"{key} has started too early"
        done |= {key} if word == "COMPLETED" else set()
    assert play.ended() == {task.key: SUCCEEDED for task in chains}


def test_what_goes_with_its_handler_changes_places_with_others(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"a": End(word="FAILED", exit_code=1)})
    play.live.policy = replace(play.policy, largest_queue=4, array_from=0)
    tasks = [a_task("a"), *independent(6), a_task("mend", replace(edge("afternotok", "a"), declared=True))]
    play.submit(*tasks)
    assert play.slurm.named("mend")
    play_through(play, 4)
    assert play.ended() == {task.key: SUCCEEDED for task in tasks} | {"a": Outcome.FAILED}
    assert all(job.runs == 1 for job in play.slurm.jobs.values())


def test_what_could_not_be_submitted_later_is_tried_again(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1")
    play.live.policy = replace(play.policy, largest_queue=4)
    tasks = independent(10)
    play.submit(*tasks)
    play.watch()
    play.slurm.trouble("submit", Trouble.REFUSED)
    with pytest.raises(SlurmError, match="Slurm refused"):
        play.live.submit_later()
    assert len(play.live.later) == 6
    play_through(play, 4)
    assert play.ended() == {task.key: SUCCEEDED for task in tasks}
    assert not play.slurm.doubles


def test_a_refusal_because_of_others_is_not_the_last_word(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", max_submitted=0)
    tasks = independent(8)
    play.submit(*tasks)
    for _ in range(20):
        play.look()
        play.live.submit_later()
        play.clock.sleep(15)
    play.slurm.max_submitted = None
    play_through(play, 8)
    assert play.ended() == {task.key: SUCCEEDED for task in tasks}


def test_a_run_uses_what_room_others_leave_it(tmp_path: Path) -> None:
    play = Play(tmp_path / "run1", {"other": takes(1e6), "part": takes(10)})
    for number in range(80):
        play.slurm.submit(Options.of(f"--job-name=other.{number}"), "")
    play.live.policy = replace(play.policy, largest_queue=100)
    tasks = independent(60)
    play.submit(*tasks)
    assert play_through(play, 100) <= 100
    assert play.ended() == {task.key: SUCCEEDED for task in tasks}


def test_a_long_chain_of_tasks_that_follow_however_the_one_before_ends(tmp_path: Path) -> None:
    tasks = [a_task("part", wildcards={"i": "0"})]
    for number in range(1, 1500):
        before = replace(edge("afterany", tasks[-1].key), declared=True)
        tasks.append(a_task("part", before, wildcards={"i": str(number)}))
    now = wave(tasks, replace(ALONE, array_from=0), (), 100)
    assert now.later == tuple(tasks[len(now.plan.calls) :])
