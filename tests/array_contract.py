"""What this package believes of job arrays: for the fake scheduler always, for the real one if present.

As in `contract.py`, everything is submitted at once and waited for once; the tables say what becomes of each element.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Protocol

import pytest
from contract import KILL, LONG, NEVER, REMOVED, RUNS, UNKNOWN_ID, World, fate

from snakemake_executor_plugin_kempner.errors import SlurmRefused
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.slurm.ids import array_id, element_id
from snakemake_executor_plugin_kempner.slurm.parse import Record, record_of
from snakemake_executor_plugin_kempner.slurm.states import JobState

WAITS = "waits"
REFUSED = "is refused"
UNKNOWN = f"{REFUSED}, or runs"
"""By the version of Slurm: it waits for an element that never was."""
INDEX = "SLURM_ARRAY_TASK_ID"


class ByHand(World, Protocol):
    """A world in which a person types commands, too."""

    def cancel_by_hand(self, job_id: str) -> None:
        """`scancel ID`"""

    def cancel_what_waits_by_hand(self, job_id: str) -> None:
        """`scancel --state=PENDING ID`; `scancel --user` and `scancel --name` do the same to what waits."""


PARENTS = {
    "mixed": ("0-3%2", f"sleep 1; exit $((3 * ({INDEX} == 1)))"),
    "good": ("0-2", "sleep 1; exit 0"),
    "half done": ("0-2", f"sleep $((600 * ({INDEX} == 2))); exit $(({INDEX} == 1))"),
    "throttled": ("0,3,7%1", LONG),
    "slow at first": ("0-19", f"sleep $((600 * ({INDEX} < 12)))"),
}
"""Arrays that start together. Of `mixed` and `half done` the element 1 fails; of `half done` the element 2 runs on."""

HELD = {
    "cancelled": "0-2",
    "its elements cancelled": "0-3",
    "all of its elements cancelled": "0-1",
    "first one, then the others": "0-4",
    "first one, then the whole": "0-4",
    "the last cancelled": "0-100:2",
    "one cancelled by hand": "0-2",
    "emptied by hand": "0-2",
    "steps": "0-100:2%3",
    "scattered": ",".join(str(index * index) for index in range(32)),
}

RESERVES = {
    "reserve": ("afternotok:{mixed}", {0: RUNS, 1: RUNS, 2: REMOVED, 3: WAITS}),
    "reserve of what succeeds": ("afternotok:{good}", dict.fromkeys(range(4), REMOVED)),
}
"""Arrays that never start by themselves, with --kill-on-invalid-dep=yes: what they wait for, and what becomes of the elements."""
RELEASED = {0: None, 1: "afternotok:{mixed}_1", 2: "afternotok:{mixed}_2"}
"""Elements of `reserve` that are released: as they are, behind an element that fails, behind one that does not."""

CHILDREN = {
    "afterok:{mixed}": REMOVED,
    "afterok:{good}": RUNS,
    "afterok:{half done}": WAITS,
    "afterok:{cancelled}": REMOVED,
    "afternotok:{mixed}": RUNS,
    "afternotok:{good}": REMOVED,
    "afternotok:{half done}": WAITS,
    "afternotok:{cancelled}": RUNS,
    "afterany:{mixed}": RUNS,
    "afterany:{half done}": WAITS,
    "afterany:{cancelled}": RUNS,
    "after:{half done}": RUNS,
    "after:{throttled}": WAITS,
    "after:{cancelled}": WAITS,  # what never started, when all was cancelled at once
    "after:{cancelled}_1": RUNS,
    "afterok:{mixed}_0": RUNS,
    "afterok:{mixed}_1": REMOVED,
    "afternotok:{mixed}_0": REMOVED,
    "afternotok:{mixed}_1": RUNS,
    "afterok:{mixed}_[2-3]": RUNS,
    "afterok:{mixed}_[0,1],afterok:{half done}_2": REMOVED,
    "afterok:{half done}_0:{mixed}_3": RUNS,
    "afterok:{half done}_2": WAITS,
    "afterok:{cancelled}_1": REMOVED,
    "afterok:{its elements cancelled}_1": REMOVED,
    "afterok:{all of its elements cancelled}_1": REMOVED,
    "afterok:{one cancelled by hand}": WAITS,
    "afterok:{one cancelled by hand}_1": RUNS,  # nothing is left of it, and what Slurm does not know counts as met
    "afterok:{emptied by hand}": REMOVED,
    "afterok:{emptied by hand}_1": RUNS,
    "after:{emptied by hand}": RUNS,
    "afterok:{good}_9": UNKNOWN,
    "aftercorr:{mixed}": REMOVED,
    "aftercorr:{good}": RUNS,
}
"""What becomes of one job, with --kill-on-invalid-dep=yes, that waits for arrays or elements of them."""

ARRAYS = {
    "aftercorr:{mixed}": [RUNS, REMOVED, RUNS, RUNS, REMOVED],
    "aftercorr:{good}": [RUNS, RUNS, RUNS, RUNS],  # without a partner, as if it waited for the array
    "aftercorr:{half done}": [RUNS, REMOVED, WAITS, WAITS],
    "aftercorr:{slow at first}": [*[WAITS] * 12, *[RUNS] * 8],  # Slurm by itself would look at ten of them
    "aftercorr:{cancelled}": [REMOVED, REMOVED],
    "aftercorr:{its elements cancelled}": [WAITS, REMOVED],
    "aftercorr:{one cancelled by hand}": [WAITS, WAITS],
    "aftercorr:{emptied by hand}": [REMOVED, REMOVED],
    "aftercorr:{mixed},aftercorr:{half done}": [RUNS, REMOVED, WAITS],
    "aftercorr:{mixed},afterok:{runs on}": [WAITS, REMOVED],
    "aftercorr:{mixed},afterok:{good}": [RUNS, REMOVED],
    "aftercorr:{fails}": [REMOVED, REMOVED],
    "afterok:{fails}": [REMOVED, REMOVED],
    "afterok:{mixed}": [REMOVED, REMOVED],
    "afterok:{good}_1": [RUNS, RUNS],
    "aftercorr:{mixed}?aftercorr:{reserve}": [RUNS, RUNS, RUNS, RUNS],
    "aftercorr:{half done}?aftercorr:{reserve}": [RUNS, RUNS, WAITS, WAITS],
    "aftercorr:{mixed}?aftercorr:{its elements cancelled}": [RUNS, REMOVED, RUNS],
}
"""What becomes of the elements 0, 1, … of an array, with --kill-on-invalid-dep=yes."""


class ArrayScene:
    def __init__(self, world: ByHand) -> None:
        self.world, self.slurm = world, world.slurm
        self.prefix = f"arrays-{uuid.uuid4().hex[:8]}"
        self.ids: dict[str, str] = {}
        unknown = RUNS if world.drops_unknown_ids else REFUSED
        self.children = {text: unknown if end == UNKNOWN else end for text, end in CHILDREN.items()}
        self._submit()
        self._play()

    def submit(self, key: str, script: str, *options: str) -> str:
        name = f"--job-name={self.prefix}.{len(self.ids)}"
        common = ("--output=/dev/null", "--chdir=/", "--ntasks=1", name)
        self.ids[key] = self.slurm.submit(Options.of(*common, *options), f"#!/bin/bash\n{script}\n")
        return self.ids[key]

    def _submit(self) -> None:
        start = self.submit("start", LONG)
        for key, (indices, script) in PARENTS.items():
            self.submit(key, script, f"--array={indices}", f"--dependency=afterany:{start}")
        for key, indices in HELD.items():
            self.submit(key, "exit 0", f"--array={indices}", "--hold", f"--comment={self.prefix}.{key}")
        self.submit("fails", "exit 1", f"--dependency=afterany:{start}")
        self.submit("runs on", LONG)
        self.submit("waiting ones cancelled", LONG, "--array=0-2%1")
        self.submit("waiting elements cancelled", LONG, "--array=0-4%1")
        for key, (text, _) in RESERVES.items():
            options = ("--array=0-3", "--begin=2037-01-01", f"--dependency={text.format_map(self.ids)}", KILL)
            self.submit(key, "exit 0", *options)
        for text, expected in self.children.items():
            if expected != REFUSED:
                self.submit(f"child {text}", "exit 0", f"--dependency={text.format_map(self.ids)}", KILL)
        for text, fates in ARRAYS.items():
            options = (f"--array=0-{len(fates) - 1}", f"--dependency={text.format_map(self.ids)}", KILL)
            self.submit(f"array {text}", "exit 0", *options)
        self.submit("stays", "exit 0", "--array=0-2", f"--dependency=afterok:{self.ids['fails']}")
        self.submit("put off", "exit 0", "--array=0-1", f"--dependency=afterany:{start}")
        self.submit("one never starts", "exit 0", "--array=0-2", f"--dependency=afterany:{self.ids['runs on']}")
        self.submit("one put off", "exit 0", "--array=0-2", f"--dependency=afterany:{start}")

    def _play(self) -> None:
        ids = self.ids
        late = f"afterany:{ids['runs on']}"
        self.slurm.depend(ids["put off"], late)
        self.slurm.depend(element_id(ids["one put off"], 1), late)
        for index, text in RELEASED.items():
            self.slurm.release(element_id(ids["reserve"], index), text and text.format_map(ids))
        self.slurm.cancel([ids["cancelled"]])
        self.slurm.cancel([element_id(ids["its elements cancelled"], index) for index in (1, 3)])
        self.slurm.cancel([element_id(ids["all of its elements cancelled"], index) for index in (0, 1)])
        others = ("first one, then the others", "first one, then the whole")
        self.slurm.cancel([element_id(ids[key], 4) for key in others])
        self.slurm.cancel([element_id(ids[others[0]], index) for index in range(4)])
        self.slurm.cancel([ids[others[1]]], pending_only=True)
        self.slurm.cancel([element_id(ids["the last cancelled"], 100)], pending_only=True)
        self.slurm.depend(element_id(ids["one never starts"], 1), f"afterok:{ids['fails']}")
        self.world.cancel_by_hand(element_id(ids["one cancelled by hand"], 1))
        self.world.cancel_what_waits_by_hand(ids["emptied by hand"])
        half = ("waiting ones cancelled", "waiting elements cancelled")
        self.world.wait(lambda: all(self._look()[element_id(ids[key], 0)].state is JobState.RUNNING for key in half))
        some = [element_id(ids["waiting elements cancelled"], index) for index in (0, 2, 3)]
        self.slurm.cancel([ids["waiting ones cancelled"], *some], pending_only=True)
        self.slurm.cancel([ids["start"]])
        self.world.wait(lambda: not self._open(self._look()))
        self.records  # noqa: B018 - looked at once, before anything else ends

    def _open(self, seen: Mapping[str, Record]) -> list[str]:
        """What is to come to an end, whichever it is, and has not."""
        ends = [self.ids[f"child {text}"] for text, end in self.children.items() if end not in (WAITS, REFUSED)]
        for text, fates in ARRAYS.items():
            array = self.ids[f"array {text}"]
            ends += [element_id(array, index) for index, expected in enumerate(fates) if expected != WAITS]
        for key, (_, fates_by_index) in RESERVES.items():
            ends += [element_id(self.ids[key], index) for index, end in fates_by_index.items() if end != WAITS]
        ends += [element_id(self.ids["stays"], index) for index in range(3)]
        ends += [element_id(self.ids["one put off"], index) for index in (0, 2)]
        ends += [element_id(self.ids["one never starts"], 1)]
        left = [one for one in ends if not (seen[one].state.is_final or seen[one].never)]
        running = element_id(self.ids["throttled"], 0)
        return left if seen[running].state is JobState.RUNNING else [*left, running]

    def _look(self) -> dict[str, Record]:
        return {record.job_id: record for record in self.slurm.queue()}

    @cached_property
    def records(self) -> dict[str, Record]:
        return self._look()

    def of(self, key: str) -> dict[int, Record]:
        """Records of the elements of an array, by their numbers."""
        whole = self.ids[key]
        return {
            int(one.partition("_")[2]): record
            for one, record in sorted(self.records.items())
            if array_id(one) == whole and one != whole
        }

    def states(self, key: str) -> dict[int, JobState]:
        return {index: record.state for index, record in sorted(self.of(key).items())}

    def clear(self) -> None:
        self.slurm.cancel(list(self.ids.values()))


C, R, W = JobState.CANCELLED, JobState.RUNNING, JobState.WAITING


class ArrayContract(ABC):
    @pytest.fixture(scope="class")
    @classmethod
    @abstractmethod
    def world(cls) -> ByHand: ...

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, world: ByHand) -> Iterator[ArrayScene]:
        scene = ArrayScene(world)
        yield scene
        scene.clear()

    def test_submitting_gives_the_id_of_the_array(self, scene: ArrayScene) -> None:
        assert all(job_id.isdigit() for job_id in scene.ids.values())
        assert len(set(scene.ids.values())) == len(scene.ids)

    # --- what is told -----------------------------------------------------------------------------------------------

    def test_each_element_has_an_end_of_its_own(self, scene: ArrayScene) -> None:
        assert {index: record.exit_code for index, record in scene.of("mixed").items()} == {0: 0, 1: 3, 2: 0, 3: 0}
        assert scene.of("mixed")[1].state is JobState.FAILED

    @pytest.mark.parametrize(
        ("key", "indices"), [("steps", range(0, 101, 2)), ("scattered", [index * index for index in range(32)])]
    )
    def test_no_element_is_left_out_however_many_there_are(
        self, scene: ArrayScene, key: str, indices: Collection[int]
    ) -> None:
        assert set(scene.of(key)) == set(indices)
        assert {record.reason for record in scene.of(key).values()} == {"JobHeldUser"}
        assert {element_id(scene.ids[key], index) for index in indices} <= scene.slurm.names().keys()

    def test_no_more_elements_run_at_once_than_they_are_allowed_to(self, scene: ArrayScene) -> None:
        assert scene.states("throttled") == {0: R, 3: W, 7: W}
        assert {scene.of("throttled")[index].reason for index in (3, 7)} == {"JobArrayTaskLimit"}

    def test_names_are_told_by_element_and_found_once(self, scene: ArrayScene) -> None:
        comment = f"{scene.prefix}.its elements cancelled"
        array = scene.ids["its elements cancelled"]
        names = scene.slurm.names()
        told = [names[element_id(array, index)] for index in range(4)]
        assert {one[1] for one in told} == {comment}
        assert scene.slurm.find(comment) == scene.slurm.find(told[0][0]) == (array,)
        assert array not in names

    def test_an_array_runs_while_an_element_has_not_ended(self, scene: ArrayScene) -> None:
        half_done = scene.ids["half done"]
        assert scene.slurm.runs(half_done)
        assert scene.slurm.runs(element_id(half_done, 2))
        assert not scene.slurm.runs(element_id(half_done, 1))
        assert not scene.slurm.runs(scene.ids["mixed"])

    # --- dependencies -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("text", CHILDREN)
    def test_what_becomes_of_a_job_that_waits(self, scene: ArrayScene, text: str) -> None:
        if scene.children[text] == REFUSED:
            with pytest.raises(SlurmRefused, match="Job dependency problem"):
                scene.submit("refused", "exit 0", f"--dependency={text.format_map(scene.ids)}", KILL)
        else:
            assert fate(scene.records[scene.ids[f"child {text}"]]) == scene.children[text]

    @pytest.mark.parametrize("text", ARRAYS)
    def test_what_becomes_of_an_array_that_waits(self, scene: ArrayScene, text: str) -> None:
        told = scene.of(f"array {text}")
        assert {index: fate(record) for index, record in told.items()} == dict(enumerate(ARRAYS[text]))

    @pytest.mark.parametrize("key", RESERVES)
    def test_an_element_that_never_starts_by_itself_starts_when_it_is_released(
        self, scene: ArrayScene, key: str
    ) -> None:
        told = scene.of(key)
        assert {index: fate(record) for index, record in told.items()} == RESERVES[key][1]

    def test_what_runs_or_has_ended_cannot_be_released(self, scene: ArrayScene) -> None:
        for job_id in (element_id(scene.ids["good"], 1), element_id(scene.ids["half done"], 2)):
            with pytest.raises(SlurmRefused):
                scene.slurm.release(job_id)

    def test_elements_that_will_never_start_say_so(self, scene: ArrayScene) -> None:
        assert [fate(record) for record in scene.of("stays").values()] == [NEVER] * 3

    def test_an_array_and_one_element_can_be_given_another_dependency(self, scene: ArrayScene) -> None:
        assert scene.states("put off") == {0: W, 1: W}
        assert {index: fate(one) for index, one in scene.of("one put off").items()} == {0: RUNS, 1: WAITS, 2: RUNS}

    def test_each_element_waits_for_its_own_reason(self, scene: ArrayScene) -> None:
        told = scene.of("one never starts")
        assert {index: fate(record) for index, record in told.items()} == {0: WAITS, 1: NEVER, 2: WAITS}
        assert (told[0].reason, told[1].reason) == ("Dependency", "DependencyNeverSatisfied")

    def test_elements_that_have_started_cannot_be_made_to_depend(self, scene: ArrayScene) -> None:
        late = f"afterany:{scene.ids['runs on']}"
        for job_id in (scene.ids["good"], element_id(scene.ids["good"], 1), element_id(scene.ids["half done"], 2)):
            with pytest.raises(SlurmRefused):
                scene.slurm.depend(job_id, late)
        with pytest.raises(SlurmRefused):  # some have started; the others wait for that now
            scene.slurm.depend(scene.ids["throttled"], late)

    # --- cancelling -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("key", "states"),
        [
            ("cancelled", {0: C, 1: C, 2: C}),
            ("its elements cancelled", {0: W, 1: C, 2: W, 3: C}),
            ("all of its elements cancelled", {0: C, 1: C}),
            ("first one, then the others", dict.fromkeys(range(5), C)),
            ("first one, then the whole", dict.fromkeys(range(5), C)),
            ("the last cancelled", {index: C if index == 100 else W for index in range(0, 101, 2)}),
            ("waiting ones cancelled", {0: R, 1: C, 2: C}),
            ("waiting elements cancelled", {0: R, 1: W, 2: C, 3: C, 4: W}),
        ],
    )
    def test_what_is_cancelled_and_nothing_else_is_seen_as_cancelled(
        self, scene: ArrayScene, key: str, states: dict[int, JobState]
    ) -> None:
        assert scene.states(key) == states
        assert not any(record.never for record in scene.of(key).values())

    def test_an_element_that_was_cancelled_by_hand_while_it_waited_is_not_told_of(self, scene: ArrayScene) -> None:
        assert scene.states("one cancelled by hand") == {0: W, 2: W}
        assert record_of(element_id(scene.ids["one cancelled by hand"], 1), scene.records) is None

    def test_an_array_whose_elements_have_vanished_says_that_they_were_cancelled(self, scene: ArrayScene) -> None:
        array = scene.ids["emptied by hand"]
        assert scene.states("emptied by hand") == {}
        told = record_of(element_id(array, 1), scene.records)
        assert told is not None
        assert (told.job_id, told.state) == (element_id(array, 1), C)
        assert array in scene.slurm.names()

    def test_cancelling_elements_that_have_ended_or_were_never_there_is_no_error(self, scene: ArrayScene) -> None:
        none = [UNKNOWN_ID, f"{UNKNOWN_ID}_3", *(element_id(scene.ids["good"], index) for index in (0, 1, 9))]
        scene.slurm.cancel(none, pending_only=True)
        scene.slurm.cancel(none)
        scene.slurm.cancel([element_id(scene.ids["steps"], 1)], pending_only=True)
        assert fate(scene.of("good")[0]) == RUNS
        now = {record.job_id: record.state for record in scene.slurm.queue()}
        assert now[element_id(scene.ids["steps"], 100)] is W

    # --- accounting -------------------------------------------------------------------------------------------------

    def test_accounting_tells_of_those_elements_that_were_asked_for(self, scene: ArrayScene) -> None:
        """Later than the queue, perhaps: it may still hold for running what has ended, but names no other end."""
        asked = {element_id(scene.ids["mixed"], index) for index in (0, 1)}
        for key in ("cancelled", "emptied by hand", "all of its elements cancelled", "array afterok:{fails}"):
            asked.add(element_id(scene.ids[key], 1))

        def is_told() -> bool:
            found = scene.slurm.accounting(asked)
            return not found or (len(found) == len(asked) and all(record.state.is_final for record in found))

        scene.world.wait(is_told)
        told = {record.job_id: record for record in scene.slurm.accounting(asked)}
        if not told:  # no accounting here
            return
        assert told.keys() == asked
        for job_id, record in told.items():
            seen = record_of(job_id, scene.records)
            assert seen is not None
            assert (record.state, record.exit_code) == (seen.state, seen.exit_code)
