"""What this package believes of a scheduler, as one class of tests: for the fake one always, for the real one if present.

Everything is submitted at once and waited for once (`Scene`); then each test looks at its own part. A job waits for
another in each of the ways that a job can end, and the table below says what becomes of it.
"""

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Protocol

import pytest

from snakemake_executor_plugin_kempner.errors import SlurmRefused
from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.slurm.client import Slurm
from snakemake_executor_plugin_kempner.slurm.ids import element_id
from snakemake_executor_plugin_kempner.slurm.parse import Record
from snakemake_executor_plugin_kempner.slurm.states import JobState

KILL = "--kill-on-invalid-dep=yes"
UNKNOWN_ID = "4000000"
LONG = "sleep 600"

PARENTS = {
    "succeeds": "sleep 1; exit 0",
    "fails": "sleep 1; exit 3",
    "is killed": "sleep 1; kill -KILL $$",
    "is cancelled while it runs": LONG,
    "is cancelled while it waits": "exit 0",
    "is taken out with its parent": "exit 0",
}
RUNS, NEVER, REMOVED = "runs", "never starts", "is removed"

NOT_OK = [parent for parent in PARENTS if parent != "succeeds"]
FATES = {
    ("afterok", "succeeds"): RUNS,
    ("afternotok", "succeeds"): NEVER,
    **{("afterok", parent): NEVER for parent in NOT_OK},
    **{("afternotok", parent): RUNS for parent in NOT_OK},
    **{("afterany", parent): RUNS for parent in PARENTS},
    **{("after", parent): RUNS for parent in PARENTS},
}
"""What becomes of a job that waits in this way for a parent that ends in that way."""

EXPRESSIONS = {
    "all of two that succeed": ("afterok:{succeeds}:{also succeeds}", RUNS),
    "all of one that fails and one that still runs": ("afterok:{fails}:{runs on}", REMOVED),
    "all of different types": ("afterok:{succeeds},afternotok:{fails}", RUNS),
    "any of one that fails and one that succeeds": ("afterok:{fails}?afterok:{succeeds}", RUNS),
    "any of one that succeeds and one that still runs": ("afterok:{succeeds}?afterok:{runs on}", RUNS),
    "any of two that fail": ("afterok:{fails}?afterok:{is killed}", REMOVED),
    "any of one that fails and one that still runs": ("afterok:{fails}?afterok:{runs on}", "waits"),
    "a mix is silently any of all": ("afterok:{fails},afterok:{succeeds}?afterok:{is killed}", RUNS),
    "a bare number means afterany": ("{fails}", RUNS),
    "a bare number means afterany, not afternotok": ("{succeeds}", RUNS),
    "the third attempt after one success": ("afternotok:{succeeds},afternotok:{is taken out with its parent}", REMOVED),
    "after a start": ("after:{runs on}", RUNS),
    "some minutes after a start": ("after:{runs on}+5", "waits"),
    "a list with minutes": ("after:{runs on}+5:{succeeds}", "waits"),
}
"""Each with --kill-on-invalid-dep=yes."""


DEPENDS = {
    "put off": "afterany:{succeeds}:{runs on}",
    "put forward": "afterany:{succeeds}:{fails}",
    "waits for all of two that run": "afterany:{runs on}:{spared because it runs}",
    "waits for what fails": "afterok:{fails}",
}
"""What waiting jobs are to wait for instead of what they were submitted with."""


PUT_BACK = "sleep $((600 * (SLURM_RESTART_COUNT == 0)))"
"""A job that ends when it has been put back into the queue and runs again."""

BEHIND_PUT_BACK = {
    "afterok:{put back}": RUNS,
    "afternotok:{put back}": REMOVED,
    "afterany:{put back}": RUNS,
    "afterok:{put back}:{array}_1": RUNS,
    "afterany:{array}": "waits",
    "afternotok:{array}_1": REMOVED,
}
"""What becomes of jobs that wait, with --kill-on-invalid-dep=yes, when one and the element 1 have run a second time."""


class World(Protocol):
    """A scheduler and the time in which it works."""

    @property
    def slurm(self) -> Slurm: ...

    @property
    def drops_unknown_ids(self) -> bool: ...

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Until it is so; fails when it takes too long."""

    def start_now(self, job_id: str) -> None:
        """Let a job that was put back into the queue start as soon as it may."""


class Scene:
    """All jobs of the contract, submitted at once and waited for once."""

    def __init__(self, world: World) -> None:
        self.world, self.slurm = world, world.slurm
        self.prefix = f"contract-{uuid.uuid4().hex[:8]}"
        self.ids: dict[object, str] = {}
        self._submit_parents()
        self._submit_children()
        self._submit_the_rest()
        self._play()

    def submit(self, key: object, script: str, *options: str, name: str = "") -> str:
        job_name = f"--job-name={self.prefix}.{name or len(self.ids)}"
        common = ("--output=/dev/null", "--chdir=/", "--ntasks=1", job_name)
        self.ids[key] = self.slurm.submit(Options.of(*common, *options), f"#!/bin/bash\n{script}\n")
        return self.ids[key]

    def _submit_parents(self) -> None:
        """They start together when all is submitted: a job that is submitted behind an end may get another reason."""
        self.submit("start", LONG)
        for parent, script in PARENTS.items():
            options = [f"--dependency=afterany:{self.ids['start']}"]
            if parent == "is cancelled while it waits":
                options = ["--hold"]
            if parent == "is taken out with its parent":
                options = [KILL, f"--dependency=afterok:{self.ids['fails']}"]
            self.submit(parent, script, *options)
        self.submit("also succeeds", "exit 0", f"--dependency=afterany:{self.ids['start']}")
        self.submit("runs on", LONG)

    def _submit_children(self) -> None:
        for kind, parent in FATES:
            on = f"--dependency={kind}:{self.ids[parent]}"
            self.submit((kind, parent), "exit 0", on)
            self.submit((kind, parent, KILL), "exit 0", on, KILL)
        for what, (expression, _) in EXPRESSIONS.items():
            text = expression.format_map({str(key): job_id for key, job_id in self.ids.items()})
            self.submit(what, "exit 0", f"--dependency={text}", KILL)

    def _submit_the_rest(self) -> None:
        never = self.submit("child", "exit 0", f"--dependency=afterok:{self.ids['fails']}")
        self.submit("grandchild", "exit 0", f"--dependency=afterok:{never}")
        self.submit("grandchild of one to be cancelled", "exit 0", f"--dependency=afterok:{never}")
        for link in range(4):
            parent = self.ids[("link", link - 1) if link else "fails"]
            self.submit(("link", link), "exit 0", f"--dependency=afterok:{parent}", KILL)
        self.submit("first of the name", LONG, name="single")
        self.submit("second of the name", "exit 0", "--dependency=singleton", name="single")
        self.submit("other of the name", "exit 0", name="single")
        self.submit("fails under its name", "exit 1", name="another")
        self.submit("next of that name", "exit 0", "--dependency=singleton", name="another")
        self.submit("with a comment", "exit 0", f"--comment={self.prefix}.comment")
        self.submit("to be cancelled when it will never run", "exit 0", f"--dependency=afterok:{self.ids['fails']}")
        self.submit("spared because it runs", LONG)
        self.submit("cancelled because it waits", "exit 0", "--hold")
        self.submit("put off", "exit 0", f"--dependency=afterany:{self.ids['runs on']}")
        self.submit("put forward", "exit 0", f"--dependency=afterok:{self.ids['runs on']}:{self.ids['start']}")
        self.submit("waits for all of two that run", "exit 0", f"--dependency=afterany:{self.ids['runs on']}")
        self.submit("waits for what fails", "exit 0", f"--dependency=afterany:{self.ids['runs on']}", KILL)

    def _play(self) -> None:
        for key, text in DEPENDS.items():
            self.slurm.depend(self.ids[key], text.format_map({str(name): one for name, one in self.ids.items()}))
        self.slurm.cancel([self.ids["start"]])
        long = [
            self.ids[key]
            for key in ("is cancelled while it runs", "runs on", "first of the name", "spared because it runs")
        ]
        self.wait(lambda seen: all(seen[job_id].state is JobState.RUNNING for job_id in long))
        self.slurm.cancel([self.ids["is cancelled while it runs"], self.ids["is cancelled while it waits"]])
        spared = (self.ids["spared because it runs"], self.ids["cancelled because it waits"])
        self.slurm.cancel(spared, pending_only=True)
        hopeless = self.ids["to be cancelled when it will never run"]
        self.wait(lambda seen: seen[hopeless].never)
        self.slurm.cancel([hopeless])
        self.wait(lambda seen: not self._unsettled(seen))
        self.records  # noqa: B018 - looked at once, before anything else ends

    def wait(self, is_so: Callable[[dict[str, Record]], bool]) -> None:
        self.world.wait(lambda: is_so(self._look()))

    def _look(self) -> dict[str, Record]:
        return {record.job_id: record for record in self.slurm.queue()}

    def _unsettled(self, seen: dict[str, Record]) -> Collection[object]:
        """What has not come to the state in which it stays; whether that is the right one is for the tests to say."""
        stays = {"runs on", "first of the name", "second of the name", "spared because it runs"}
        stays |= {"put off", "waits for all of two that run", "grandchild", "grandchild of one to be cancelled"}
        stays |= {what for what, (_, fate) in EXPRESSIONS.items() if fate == "waits"}
        return [key for key, job_id in self.ids.items() if key not in stays and not _is_settled(seen[job_id])]

    @cached_property
    def records(self) -> dict[str, Record]:
        return self._look()

    def __getitem__(self, key: object) -> Record:
        return self.records[self.ids[key]]

    @property
    def mine(self) -> set[str]:
        return set(self.ids.values())

    def fate(self, key: object) -> str:
        return fate(self[key])

    def clear(self) -> None:
        self.slurm.cancel(list(self.ids.values()))


class PutBack:
    """Jobs that are put back into the queue while they run, and what waits for them; looked at before and after."""

    def __init__(self, world: World) -> None:
        self.world, self.slurm = world, world.slurm
        self.prefix = f"requeued-{uuid.uuid4().hex[:8]}"
        self.ids: dict[str, str] = {}
        for key, script, *options in (
            ("put back", PUT_BACK),
            ("array", PUT_BACK, "--array=0-2"),
            ("half waits", LONG, "--array=0-1%1"),
            ("has ended", "exit 0"),
            ("waits", "exit 0", "--hold"),
            ("bound", LONG, "--no-requeue"),
        ):
            self._submit(key, script, *options)
        self._submit("has started", "exit 0", f"--dependency=after:{self.ids['put back']}")
        for text in BEHIND_PUT_BACK:
            self._submit(text, "exit 0", KILL, f"--dependency={text.format_map(self.ids)}")
        self._submit("each", "exit 0", KILL, "--array=0-2", f"--dependency=aftercorr:{self.ids['array']}")
        array = self.ids["array"]
        running = [element_id(array, index) for index in range(3)] + [element_id(self.ids["half waits"], 0)]
        running += [self.ids["put back"], self.ids["bound"]]
        ended = (self.ids["has ended"], self.ids["has started"])
        self.wait(lambda seen: all(seen[job_id].state is JobState.RUNNING for job_id in running))
        self.wait(lambda seen: all(seen[job_id].state is JobState.SUCCEEDED for job_id in ended))
        put_back = [self.ids["put back"], element_id(array, 1), self.ids["has ended"]]
        for job_id in put_back:
            self.slurm.requeue(job_id)
        self.wait(lambda seen: all(seen[job_id].state is JobState.WAITING for job_id in put_back))
        # Slurm gives the reason when its scheduler looks at them next.
        self.wait(lambda seen: all(seen[self.ids[key]].reason == "BeginTime" for key in ("put back", "has ended")))
        self.before = self._look()
        self.accounted = {record.job_id: record for record in self.slurm.accounting(put_back)}
        for job_id in put_back[:2]:
            world.start_now(job_id)
        behind = [self.ids[text] for text, expected in BEHIND_PUT_BACK.items() if expected != "waits"]
        behind += [*put_back[:2], element_id(self.ids["each"], 1)]
        self.wait(lambda seen: all(seen[job_id].state.is_final for job_id in behind))
        self.after = self._look()

    def _submit(self, key: str, script: str, *options: str) -> None:
        name = f"--job-name={self.prefix}.{len(self.ids)}"
        common = ("--output=/dev/null", "--chdir=/", "--ntasks=1", name)
        self.ids[key] = self.slurm.submit(Options.of(*common, *options), f"#!/bin/bash\n{script}\n")

    def wait(self, is_so: Callable[[dict[str, Record]], bool]) -> None:
        self.world.wait(lambda: is_so(self._look()))

    def _look(self) -> dict[str, Record]:
        return {record.job_id: record for record in self.slurm.queue()}

    def elements(self, key: str, records: dict[str, Record]) -> list[JobState]:
        return [records[element_id(self.ids[key], index)].state for index in range(3)]

    def clear(self) -> None:
        self.slurm.cancel(list(self.ids.values()))


def _is_settled(record: Record) -> bool:
    return record.state.is_final or record.never


def fate(record: Record) -> str:
    match record.state:
        case JobState.SUCCEEDED:
            return RUNS
        case JobState.CANCELLED if record.never:
            return REMOVED
        case JobState.WAITING if record.never:
            return NEVER
        case JobState.WAITING:
            return "waits"
    return f"is {record.word}, {record.reason}"


R, W = JobState.RUNNING, JobState.WAITING


class SlurmContract(ABC):
    @pytest.fixture(scope="class")
    @classmethod
    @abstractmethod
    def world(cls) -> World: ...

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, world: World) -> Iterator[Scene]:
        scene = Scene(world)
        yield scene
        scene.clear()

    @pytest.fixture(scope="class")
    @classmethod
    def put_back(cls, world: World) -> Iterator[PutBack]:
        put_back = PutBack(world)
        yield put_back
        put_back.clear()

    def test_the_cluster_has_a_name_that_stays(self, scene: Scene) -> None:
        assert re.fullmatch(r"cluster \S+ \(/.*\)", scene.slurm.cluster())
        assert scene.slurm.cluster() == scene.slurm.cluster()

    # --- submitting -------------------------------------------------------------------------------------------------

    def test_submitting_gives_each_job_an_id_of_its_own(self, scene: Scene) -> None:
        assert all(job_id.isdigit() for job_id in scene.ids.values())
        assert len(set(scene.ids.values())) == len(scene.ids)

    @pytest.mark.parametrize(
        ("option", "answer"),
        [
            ("--partition=no-such-partition", "nvalid partition"),
            ("--dependency=afterwards:1", "Job dependency problem"),
            ("--dependency=afterok:align", "Job dependency problem"),
        ],
    )
    def test_what_waiting_does_not_change_is_refused_and_leaves_no_job(
        self, scene: Scene, option: str, answer: str
    ) -> None:
        name = f"{scene.prefix}.refused"
        with pytest.raises(SlurmRefused, match=answer):
            scene.slurm.submit(Options.of(option, "--output=/dev/null", f"--job-name={name}"), "#!/bin/bash\n")
        assert scene.slurm.find(name) == ()

    def test_a_job_is_found_by_its_exact_name_whether_it_runs_or_has_ended(self, scene: Scene) -> None:
        keys = ("first of the name", "second of the name", "other of the name")
        assert set(scene.slurm.find(f"{scene.prefix}.single")) == {scene.ids[key] for key in keys}
        assert scene.slurm.find(f"{scene.prefix}.singl") == ()

    def test_a_job_is_found_by_its_comment(self, scene: Scene) -> None:
        assert scene.slurm.find(f"{scene.prefix}.comment") == (scene.ids["with a comment"],)

    def test_names_are_told_by_job_id_with_the_comment(self, scene: Scene) -> None:
        names = scene.slurm.names()
        name, comment = names[scene.ids["with a comment"]]
        assert name.startswith(scene.prefix)
        assert comment == f"{scene.prefix}.comment"
        assert names[scene.ids["first of the name"]] == (f"{scene.prefix}.single", "(null)")

    def test_a_listing_says_what_the_queue_and_the_names_say(self, scene: Scene) -> None:
        slurm = scene.world.slurm
        queue = {one.job_id: one for one in slurm.queue()}
        listed, names = {one.job_id: one for one in slurm.listing()}, slurm.names()
        ended = {job_id for job_id, record in queue.items() if record.state.is_final}
        assert ended
        assert {one: listed[one].record for one in ended} == {one: queue[one] for one in ended}
        assert {one: (listed[one].name, listed[one].comment) for one in ended} == {one: names[one] for one in ended}
        assert all(one.starts for one in listed.values() if one.record.state is JobState.RUNNING)

    def test_where_a_job_works_is_told_until_it_has_ended(self, scene: Scene) -> None:
        folders = scene.slurm.workdirs()
        assert folders[scene.ids["runs on"]] == "/"
        assert folders[scene.ids["put off"]] == "/"
        assert not {scene.ids["succeeds"], scene.ids["is cancelled while it waits"]} & folders.keys()

    # --- the queue --------------------------------------------------------------------------------------------------

    def test_the_queue_shows_the_exit_code_of_a_job_that_has_ended(self, scene: Scene) -> None:
        assert scene["succeeds"].exit_code == 0
        assert scene["fails"].exit_code == 3
        assert (scene["fails"].state, scene["fails"].word) == (JobState.FAILED, "FAILED")

    def test_the_queue_shows_the_signal_that_ended_a_job(self, scene: Scene) -> None:
        assert (scene["is killed"].state, scene["is killed"].signal) == (JobState.FAILED, 9)

    def test_the_queue_shows_where_a_job_runs_and_no_exit_code_before_its_end(self, scene: Scene) -> None:
        running = scene["runs on"]
        assert running.state is JobState.RUNNING
        assert running.node
        assert (running.exit_code, running.signal) == (None, None)

    def test_the_queue_shows_why_a_job_waits(self, scene: Scene) -> None:
        waiting = scene["second of the name"]
        assert (waiting.state, waiting.reason, waiting.node) == (JobState.WAITING, "Dependency", "")

    # --- dependencies -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kill", [False, True], ids=["stays", "kill"])
    @pytest.mark.parametrize(("kind", "parent"), FATES, ids=lambda text: text.replace(" ", "_"))
    def test_what_becomes_of_a_job_whose_parent(self, scene: Scene, kind: str, parent: str, kill: bool) -> None:
        expected = FATES[kind, parent]
        if kill:
            assert scene.fate((kind, parent, KILL)) == (REMOVED if expected == NEVER else expected)
        else:
            assert scene.fate((kind, parent)) == expected

    @pytest.mark.parametrize("what", EXPRESSIONS)
    def test_what_an_expression_means(self, scene: Scene, what: str) -> None:
        assert scene.fate(what) == EXPRESSIONS[what][1]

    def test_a_job_behind_one_that_never_starts_waits_without_saying_so(self, scene: Scene) -> None:
        assert scene.fate("child") == NEVER
        assert (scene.fate("grandchild"), scene["grandchild"].reason) == ("waits", "Dependency")

    def test_a_chain_is_removed_to_its_end(self, scene: Scene) -> None:
        assert [scene.fate(("link", link)) for link in range(4)] == [REMOVED] * 4

    def test_a_singleton_waits_for_earlier_jobs_of_its_name(self, scene: Scene) -> None:
        assert scene.fate("second of the name") == "waits"
        assert scene.fate("other of the name") == RUNS
        assert (scene["fails under its name"].state, scene.fate("next of that name")) == (JobState.FAILED, RUNS)

    def test_an_id_that_slurm_does_not_know_counts_as_met_or_is_refused(self, scene: Scene) -> None:
        options = ("--hold", f"--dependency=afterok:{UNKNOWN_ID}")
        if not scene.world.drops_unknown_ids:
            with pytest.raises(SlurmRefused, match="Job dependency problem"):
                scene.submit("unknown", "exit 0", *options)
            return
        held = scene.submit("unknown", "exit 0", *options)
        scene.wait(lambda seen: seen[held].reason == "JobHeldUser")

    # --- cancelling -------------------------------------------------------------------------------------------------

    def test_cancelled_jobs_are_cancelled_not_failed(self, scene: Scene) -> None:
        for key in ("is cancelled while it runs", "is cancelled while it waits"):
            assert (scene[key].state, scene[key].never) == (JobState.CANCELLED, False)

    def test_a_job_that_would_never_start_keeps_its_reason_when_it_is_cancelled(self, scene: Scene) -> None:
        assert scene.fate("to be cancelled when it will never run") == REMOVED

    def test_cancelling_what_waits_spares_what_runs(self, scene: Scene) -> None:
        assert scene["spared because it runs"].state is JobState.RUNNING
        assert scene["cancelled because it waits"].state is JobState.CANCELLED

    def test_cancelling_what_has_ended_or_was_never_there_is_no_error(self, scene: Scene) -> None:
        scene.slurm.cancel([scene.ids["succeeds"], UNKNOWN_ID])
        assert scene.fate("succeeds") == RUNS

    # --- back into the queue ----------------------------------------------------------------------------------------

    def test_a_requeued_job_waits_for_its_next_start_under_the_same_id(self, put_back: PutBack) -> None:
        record = put_back.before[put_back.ids["put back"]]
        assert (record.reason, record.node, record.exit_code) == ("BeginTime", "", None)
        assert not record.stuck
        assert put_back.slurm.find(f"{put_back.prefix}.0") == (put_back.ids["put back"],)

    def test_what_has_ended_is_requeued_too_while_it_is_known(self, put_back: PutBack) -> None:
        record = put_back.before[put_back.ids["has ended"]]
        assert (record.state, record.reason, record.node) == (JobState.WAITING, "BeginTime", "")

    def test_a_requeued_element_leaves_the_others_alone(self, put_back: PutBack) -> None:
        assert put_back.elements("array", put_back.before) == [R, W, R]
        assert put_back.elements("array", put_back.after) == [R, JobState.SUCCEEDED, R]

    @pytest.mark.parametrize("text", BEHIND_PUT_BACK)
    def test_what_waits_for_a_requeued_job_is_decided_by_its_last_run(self, put_back: PutBack, text: str) -> None:
        assert fate(put_back.before[put_back.ids[text]]) == "waits"
        assert fate(put_back.after[put_back.ids[text]]) == BEHIND_PUT_BACK[text]

    def test_each_element_behind_requeued_ones_waits_for_its_own(self, put_back: PutBack) -> None:
        assert put_back.elements("each", put_back.before) == [W, W, W]
        assert put_back.elements("each", put_back.after) == [W, JobState.SUCCEEDED, W]

    def test_accounting_does_not_hold_a_requeued_job_for_ended(self, put_back: PutBack) -> None:
        for job_id in (put_back.ids["put back"], element_id(put_back.ids["array"], 1)):
            assert job_id not in put_back.accounted or not put_back.accounted[job_id].state.is_final

    @pytest.mark.parametrize("key", ["waits", "bound"])
    def test_a_job_that_waits_or_is_bound_to_its_start_cannot_be_requeued(self, put_back: PutBack, key: str) -> None:
        with pytest.raises(SlurmRefused):
            put_back.slurm.requeue(put_back.ids[key])
        assert put_back.slurm.runs(put_back.ids[key])

    def test_a_job_that_slurm_does_not_know_cannot_be_requeued(self, put_back: PutBack) -> None:
        with pytest.raises(SlurmRefused):
            put_back.slurm.requeue(UNKNOWN_ID)

    def test_an_array_is_requeued_as_far_as_it_runs(self, put_back: PutBack) -> None:
        array = put_back.ids["half waits"]
        with pytest.raises(SlurmRefused):
            put_back.slurm.requeue(array)
        put_back.wait(lambda seen: seen[element_id(array, 0)].state is W)

    # --- another dependency -------------------------------------------------------------------------------------------

    def test_a_job_that_is_to_depend_on_something_else_waits_for_that_as_a_whole(self, scene: Scene) -> None:
        assert scene.fate("put off") == "waits"
        assert scene.fate("waits for all of two that run") == "waits"
        assert scene.fate("put forward") == RUNS  # what it was submitted with can never hold

    def test_a_dependency_that_was_given_later_can_take_a_job_out_of_the_queue(self, scene: Scene) -> None:
        assert scene.fate("waits for what fails") == REMOVED

    @pytest.mark.parametrize("key", ["runs on", "succeeds", "is cancelled while it waits"])
    def test_a_job_that_runs_or_has_ended_cannot_be_made_to_depend(self, scene: Scene, key: str) -> None:
        with pytest.raises(SlurmRefused):
            scene.slurm.depend(scene.ids[key], f"afterany:{scene.ids['spared because it runs']}")

    @pytest.mark.parametrize("text", ["afterwards:1", "afterok:align"])
    def test_a_dependency_without_a_meaning_is_refused_and_the_old_one_holds(self, scene: Scene, text: str) -> None:
        with pytest.raises(SlurmRefused):
            scene.slurm.depend(scene.ids["put off"], text)
        assert {record.job_id: record for record in scene.slurm.queue()}[scene.ids["put off"]].reason == "Dependency"

    def test_a_job_is_not_kept_off_a_node_that_slurm_does_not_know(self, scene: Scene) -> None:
        assert scene.slurm.keep_off(scene.ids["put off"], "no-such-node", NO_OPTIONS) is False

    def test_a_job_that_slurm_does_not_know_cannot_be_kept_off_a_node(self, scene: Scene) -> None:
        with pytest.raises(SlurmRefused):
            scene.slurm.keep_off(UNKNOWN_ID, "n1", NO_OPTIONS)

    def test_a_job_that_slurm_does_not_know_cannot_be_made_to_depend(self, scene: Scene) -> None:
        with pytest.raises(SlurmRefused):
            scene.slurm.depend(UNKNOWN_ID, f"afterany:{scene.ids['runs on']}")

    def test_asked_for_by_its_id_a_job_is_what_the_queue_says(self, scene: Scene) -> None:
        queue = {
            record.job_id: record
            for record in scene.slurm.queue()
            if record.state.is_final and record.job_id in scene.mine
        }
        shown = {one.record.job_id: one for one in scene.slurm.show([*queue, UNKNOWN_ID])}
        assert {job_id: one.record for job_id, one in shown.items()} == queue
        names = scene.slurm.names()
        assert all(shown[job_id].name == names[job_id][0] for job_id in queue)

    # --- accounting -------------------------------------------------------------------------------------------------

    def test_accounting_agrees_with_the_queue_or_is_empty(self, scene: Scene) -> None:
        """Later than the queue, perhaps: it may still hold for running what has ended, but names no other end."""
        ended = {job_id: one for job_id, one in scene.records.items() if one.state.is_final and job_id in scene.mine}
        scene.world.wait(lambda: all(record.state.is_final for record in scene.slurm.accounting(list(ended))))
        by_hand = scene.ids["to be cancelled when it will never run"]  # for accounting, somebody has cancelled it
        for record in scene.slurm.accounting(list(ended)):
            assert record.state is ended[record.job_id].state
            assert record.never == ended[record.job_id].never or record.job_id == by_hand

    def test_accounting_tells_what_jobs_have_used_or_nothing(self, scene: Scene) -> None:
        ids = {key: scene.ids[key] for key in ("succeeds", "fails", "is cancelled while it waits", "put off")}
        asked = [*ids.values(), UNKNOWN_ID]

        def is_told() -> bool:
            told = {record.job_id: record for record in scene.slurm.consumption(asked)}
            return not told or all(told[ids[key]].state.is_final for key in ids if key != "put off")

        scene.world.wait(is_told)
        told = {record.job_id: record for record in scene.slurm.consumption(asked)}
        if not told:  # no accounting here
            assert scene.slurm.usage(ids["succeeds"]).elapsed == ""
            return
        assert told.keys() == set(ids.values())
        assert {told[one].state for one in ids.values()} == {scene[key].state for key in ids}
        for key in ("succeeds", "fails"):
            one = told[ids[key]]
            assert one.node
            assert one.cores
            assert one.elapsed_s in range(1, 100)
            assert re.fullmatch(r"00:0[01]:\d\d", scene.slurm.usage(ids[key]).elapsed)
        for key in ("is cancelled while it waits", "put off"):
            one = told[ids[key]]
            assert (one.node, one.elapsed_s, one.cpu_s, one.peak_memory_mb) == ("", None, None, None)
        assert scene.slurm.usage(UNKNOWN_ID).elapsed == ""

    def test_a_job_runs_until_it_has_ended(self, scene: Scene) -> None:
        assert {key: scene.slurm.runs(scene.ids[key]) for key in ("runs on", "put off", "succeeds", "fails")} == {
            "runs on": True, "put off": True, "succeeds": False, "fails": False,
        }  # fmt: skip
        assert not scene.slurm.runs(UNKNOWN_ID)
