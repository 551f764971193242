"""Each feature of Snakemake gives on Slurm what it gives with Snakemake's own local executor.

A row of the table is one small workflow in `tests/workflows`. It runs here and on Slurm, and both runs must leave
the same files, the same provenance and the same exit codes; after the one on Slurm there is nothing to be done.
Set `MATRIX_EXECUTOR=local` to try the table itself, without Slurm, and `MATRIX_COLUMNS=all` for every way of running every
case: watched, detached, with the head killed, and with the head killed and the command given again.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from columns import COLUMNS, Call
from comparison import Outcome, Tree, differences, fresh_copy, run_forked, run_snakemake, snapshot
from head import PATIENCE, PAUSE

from snakemake_executor_plugin_kempner.sandbox import Sandbox

WORKFLOWS = Path(__file__).parent.parent / "workflows"
ALWAYS_VARYING = ("benchmarks/*",)
TAIL = 6000

_IN_STORAGE = ("--default-storage-provider", "fs", "--default-storage-prefix", "store")
_SHARED = {
    "fetched by each job": ("--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache"),
    "nothing shared": ("--shared-fs-usage", "none"),
    "local copies shared": (
        *("--shared-fs-usage", "persistence", "software-deployment", "sources"),
        *("source-cache", "storage-local-copies"),
    ),
}
"""What of the files all nodes see, as far as Snakemake knows."""

GATHERED = "".join(f"split/{item}.txt\n{item}\n" for item in ("1-of-2", "2-of-2"))

pytestmark = pytest.mark.cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One call of Snakemake."""

    args: tuple[str, ...] = ()
    exit_code: int = 0
    says: str = ""
    """Words that its output must hold."""
    local: bool = False
    """Prepares the stage: always with the local executor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One feature, and what its user relies on whatever runs the tasks."""

    name: str
    workflow: str = ""
    """The folder in `tests/workflows`, if it is not called like the feature."""
    folder: str = "run"
    """The name of the folder in which it runs."""
    args: tuple[str, ...] = ()
    """Arguments of every step."""
    steps: tuple[Step, ...] = (Step(),)
    text: Mapping[str, str] = field(default_factory=dict)
    """Files that must be there with this content."""
    gone: tuple[str, ...] = ()
    """Paths that must not be there at the end."""
    protected: tuple[str, ...] = ()
    """Files that nobody may write."""
    same: tuple[str, ...] = ()
    """Files that agree with each other, such as the job ids of one group."""
    varying: tuple[str, ...] = ()
    """Patterns of paths whose content may differ from run to run."""
    settles: bool = True
    """Another run finds nothing to be done."""
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Modules without which the feature cannot be tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """Who runs the tasks: its arguments, and the environment in which it finds them."""

    name: str
    args: tuple[str, ...]
    environment: Mapping[str, str]
    waiting: Callable[[], str] = str
    """Lists what waits in the queue, a line for each submission, ending with its folder."""
    snakemake: Call = run_snakemake

    def run(self, case: Case, folder: Path, *args: str) -> Outcome:
        """Call Snakemake in a folder."""
        return self.snakemake(folder, *self._call(case, args))

    def ask(self, case: Case, folder: Path, *args: str) -> Outcome:
        """The same where nothing is to be run."""
        return run_forked(folder, *self._call(case, args))

    def _call(self, case: Case, args: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
        # Snakemake waits for ever when a service() comes later than that.
        common = ("--latency-wait", "30", "--scheduler", "greedy", "--nocolor")
        return (*self.args, *common, *case.args, *args), {**self.environment, **case.environment}


CASES = (
    Case(
        name="temp",
        text={"left.txt": "shared\ninside\n", "right.txt": "shared\nshared\ninside\n"},
        gone=("passing", "filled"),
    ),
    Case(name="temp that nobody reads", workflow="temp_unread", text={"kept.txt": "kept\n"}, gone=("scratch.txt",)),
    Case(name="protected", text={"precious.txt": "precious\n"}, protected=("precious.txt",)),
    Case(name="touch", text={"work.done": "", "after.txt": "worked\n"}),
    Case(name="ensure", args=("kept",), text={"exact.txt": "exact\n", "full.txt": "full\n"}),
    Case(
        name="ensure that is broken",
        workflow="ensure",
        args=("after_broken",),
        steps=(Step(exit_code=1, says="empty.txt"),),
        gone=("empty.txt", "after_broken.txt"),
        settles=False,
    ),
    Case(name="benchmark", text={"measured.txt": "measured\n", "measure.runs": "again\nagain\n"}),
    Case(name="log", args=("good",), text={"logs/good.log": "fine\n"}),
    Case(
        name="log of a failure",
        workflow="log",
        args=("bad",),
        steps=(Step(exit_code=1, says="logs/bad.log"),),
        text={"logs/bad.log": "trouble\n"},
        gone=("bad.txt",),
        settles=False,
    ),
    Case(name="shadow", text={"kept.txt": "source\n"}, gone=("litter.tmp",)),
    Case(name="update", steps=(Step(args=("--forceall",)),), text={"journal.txt": "old\nnew\n"}),
    Case(
        name="update that fails",
        workflow="update",
        steps=(Step(args=("--forceall", "--config", "fail=1"), exit_code=1),),
        text={"journal.txt": "old\n"},
        settles=False,
    ),
    Case(
        name="keep-going",
        workflow="keep_going",
        args=("--keep-going",),
        steps=(Step(exit_code=1),),
        text={"after_good.txt": "good\n", "bad.runs": "tried\n"},
        gone=("bad.txt", "after_bad.txt", "after_bad.runs"),
        settles=False,
    ),
    Case(
        name="no keep-going",
        workflow="failing_chain",
        steps=(Step(exit_code=1, says="rule second"),),
        text={"first.txt": "first\n"},
        gone=("second.txt", "third.txt", "third.runs"),
        settles=False,
    ),
    Case(
        name="no keep-incomplete",
        workflow="keep_incomplete",
        steps=(Step(exit_code=1),),
        gone=("partial.txt", "partial"),
        settles=False,
    ),
    Case(
        name="keep-incomplete",
        workflow="keep_incomplete",
        args=("--keep-incomplete",),
        steps=(Step(exit_code=1),),
        text={"partial.txt": "half\n", "partial/half.txt": "half\n"},
        settles=False,
    ),
    Case(name="onsuccess", workflow="hooks", text={"hooks.txt": "start\nwork\nsuccess\n"}),
    Case(
        name="onerror",
        workflow="hooks",
        steps=(Step(args=("--config", "fail=1"), exit_code=1),),
        text={"hooks.txt": "start\nwork\nerror\n"},
        settles=False,
    ),
    Case(
        name="checkpoints",
        text={"gathered.txt": "A\nB\n", "split.runs": "split\n", "gather.runs": "gather\n"},
    ),
    Case(
        name="nested checkpoint",
        workflow="nested_checkpoint",
        text={"gathered.txt": "alpha one\n", "outer.runs": "outer\n", "inner.runs": "inner\n"},
    ),
    Case(
        name="handover",
        args=("--cores", "4", "--resources", "lab=3", "seats=7"),
        text={"all.txt": "3 7\n", "own.txt": "2\n", "plain.txt": "3 7\n1\n"},
    ),
    Case(name="localrules", text={"after.txt": "before\ntask none\ntask none\n"}),
    Case(
        name="retries",
        args=("after_second_try",),
        text={
            "after_second_try.txt": "done\nplain\n",
            "after_second_try.runs": "ran\n",
            "second_try.runs": "100 10\n200 20\n",
        },
    ),
    Case(
        name="retries that are used up",
        workflow="retries",
        args=("after_never",),
        steps=(Step(exit_code=1),),
        text={"never.runs": "tried\ntried\n"},
        gone=("never.txt", "after_never.txt", "after_never.runs"),
        settles=False,
    ),
    Case(
        name="localrule that fails",
        workflow="failing_localrule",
        steps=(Step(exit_code=1),),
        text={"before.txt": "before\n"},
        gone=("middle.txt", "after.txt", "after.runs"),
        settles=False,
    ),
    Case(
        name="checkpoint that fails",
        workflow="failing_checkpoint",
        steps=(Step(exit_code=1),),
        gone=("parts", "gathered.txt", "gather.runs"),
        settles=False,
    ),
    Case(name="modules", text={"answered.txt": "good day\nanswer\n"}, gone=("never.txt",)),
    Case(
        name="group",
        text={"second.txt": "first\n"},
        same=("first.id", "second.id"),
        varying=("*.id",),
    ),
    Case(
        name="group-components",
        workflow="group_components",
        args=("--group-components", "bundle=2"),
        text={"a.txt": "a\n", "b.txt": "b\n"},
        same=("a.id", "b.id"),
        varying=("*.id",),
    ),
    Case(
        name="directory",
        text={"listed.txt": "./deep/two.txt\n./one.txt\n"},
    ),
    Case(
        name="storage by the head",
        workflow="storage",
        text={"store/answer.txt": "question\nanswer\n"},
        needs=("snakemake_storage_plugin_fs",),
    ),
    *(
        Case(
            name=f"default storage, {name}",
            workflow="default_storage",
            args=(*_IN_STORAGE, *usage),
            text={"store/answer.txt": "question\nthought\nanswer\n"},
            gone=("store/thought.txt", "answer.txt"),
            needs=("snakemake_storage_plugin_fs",),
        )
        for name, usage in _SHARED.items()
    ),
    *(
        Case(
            name=f"default storage, grouped, {name}",
            workflow="default_storage",
            args=(*_IN_STORAGE, *usage, "--groups", "ask=both", "think=both", "answer=both"),
            text={"store/answer.txt": "question\nthought\nanswer\n"},
            gone=("store/thought.txt", "answer.txt"),
            needs=("snakemake_storage_plugin_fs",),
        )
        for name, usage in _SHARED.items()
    ),
    Case(name="script", text={"seen-one.txt": "source\none\n7\n1\n3\nfrom the file\nsee\n"}),
    Case(name="run", text={"joined.txt": "a-b!\nshell\n"}),
    Case(name="notebook", text={"noted.txt": "noted\n"}, needs=("nbconvert", "ipykernel")),
    Case(name="wrapper", text={"wrapped.txt": "wrapped\n"}),
    Case(name="pipe", text={"counted.txt": "3\n"}, gone=("numbers.fifo",)),
    Case(name="service", text={"answer.txt": "at your service\n"}, gone=("serving.txt",)),
    Case(name="priority", args=("--prioritize", "late.txt"), text={"late.txt": "late\n", "early.txt": "early\n"}),
    Case(
        name="wildcard constraints",
        workflow="wildcard_constraints",
        text={"a-1.txt": "number 1 of a\n", "a-b.txt": "letter b of a\n"},
    ),
    Case(
        name="input and params functions",
        workflow="functions",
        text={"set.txt": "csv\nidx\nset: set.csv set.idx -> set.txt\n"},
    ),
    Case(
        name="config",
        args=("--config", "title=a title's words"),
        text={"titled.txt": "a title's words by from the file\n"},
        gone=("never.txt",),
    ),
    Case(
        name="ancient",
        steps=(Step(), Step(args=("renew", "--forcerun", "renew")), Step(says="Nothing to be done")),
        text={"read.txt": "source\n", "read.runs": "read\n"},
    ),
    Case(name="scattergather", text={"gathered.txt": GATHERED}),
    Case(name="from_queue", text={"gathered.txt": "a\nb\n"}),
    Case(
        name="resources from the size of an input",
        workflow="input_size",
        text={"measured.txt": "2 102\n"},
    ),
    Case(name="resources from a missing input", workflow="input_content", text={"sized.txt": "120\n"}),
    Case(name="threads from workflow.cores", workflow="cores", args=("--cores", "4"), text={"threads.txt": "2\n"}),
    Case(
        name="directory elsewhere",
        workflow="directory_elsewhere",
        args=("--directory", "elsewhere"),
        text={"elsewhere/out/made.txt": "source\nset\n"},
        gone=("out",),
    ),
    Case(name="workdir", text={"elsewhere/made.txt": "source\n"}, gone=("made.txt",)),
    Case(name="workflow in a subfolder", workflow="subfolder", text={"results/written.txt": "structured\n"}),
    Case(
        name="odd characters",
        workflow="odd_characters",
        folder="it's ä folder, 100% = full",
        text={f"made/{name}.txt": f"{name}\n" for name in ('it\'s a "quote"', "näïve=1,2;$HOME & %a")},
    ),
    Case(
        name="envvars",
        environment={"MATRIX_GREETING": "good day, it's me"},
        text={"greeted.txt": "good day, it's me\n"},
    ),
    Case(
        name="forceall",
        steps=(Step(), Step(args=("--forceall",)), Step(args=("--dry-run",), says="Nothing to be done")),
        text={"runs.txt": "first\nsecond\nfirst\nsecond\n"},
    ),
    Case(
        name="until",
        workflow="part_of_a_chain",
        args=("--until", "second"),
        steps=(Step(), Step()),
        text={"second.txt": "first\n", "first.runs": "first\n"},
        gone=("third.txt",),
        settles=False,
    ),
    Case(
        name="omit-from",
        workflow="part_of_a_chain",
        args=("--omit-from", "second"),
        text={"first.txt": "first\n"},
        gone=("second.txt", "third.txt"),
    ),
    Case(
        name="rerun-incomplete",
        workflow="rerun_incomplete",
        steps=(
            Step(local=True, exit_code=-9),
            Step(local=True, args=("--unlock",)),
            Step(exit_code=1, says="IncompleteFilesException"),
            Step(args=("--rerun-incomplete",)),
        ),
        text={"whole.txt": "whole\n"},
    ),
    Case(
        name="an output that was not made",
        workflow="missing_output",
        args=("--latency-wait", "1"),
        steps=(Step(exit_code=1, says="forgotten.txt"),),
        gone=("made.txt", "forgotten.txt", "after.txt", "after.runs"),
        settles=False,
    ),
    Case(
        name="an input that vanished",
        workflow="vanished_input",
        args=("--latency-wait", "1"),
        steps=(Step(exit_code=1, says="source.txt"),),
        text={"eaten.txt": "eaten\n"},
        gone=("needed.txt", "after.txt", "after.runs"),
        settles=False,
    ),
)


SAMPLE: Mapping[str, frozenset[str]] = {
    "watched": frozenset(case.name for case in CASES),
    "detached": frozenset({
        "temp", "temp that nobody reads", "protected", "ensure that is broken", "log of a failure", "update that fails",
        "keep-going", "no keep-going", "keep-incomplete", "onsuccess", "checkpoints", "retries", "group",
        "resources from the size of an input", "directory elsewhere", "workdir", "odd characters", "until",
        "an input that vanished", "default storage, fetched by each job", "handover",
    }),
    "head killed": frozenset({"temp", "checkpoints", "onsuccess", "wrapper"}),
    "head killed, command given again": frozenset({"temp", "checkpoints", "group"}),
}  # fmt: skip
"""Features in which a head has a part, so that it makes a difference that none is there; see also test_detached.py."""
NEED_A_HEAD = ("from_queue", "nothing shared", "local copies shared", "by the head", "localrules")
"""Parts of the names of cases that only a head process can do, which is said before anything is submitted."""

OF_ONE_HEAD = ("rerun-incomplete", "localrules", "update", "forceall")
"""A flag with which the command given again succeeds, a rule that shows who has run it, and --forceall: forced once more."""


def _is_tried(case: Case, column: str) -> bool:
    if column in ("detached", "head killed") and any(part in case.name for part in NEED_A_HEAD):
        return False
    if column == "head killed, command given again":
        if case.name in OF_ONE_HEAD or case.steps[-1].exit_code:
            return False  # the command given again tries once more what has failed
        if "nothing shared" in case.name:
            return False  # what ends without a head is recorded by nobody, which the head has said
    return os.environ.get("MATRIX_COLUMNS") == "all" or case.name in SAMPLE[column]


TRIED = [
    pytest.param(case, column, id=f"{case.name}-{column}")
    for case in CASES
    for column in COLUMNS
    if _is_tried(case, column)
]


@pytest.fixture(scope="session")
def ends_of_local_runs() -> dict[str, Tree]:
    """What a local run of each case has left, once for all columns."""
    return {}


@pytest.mark.parametrize(("case", "column"), TRIED)
def test_a_feature_gives_what_it_gives_locally(
    case: Case,
    column: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    ends_of_local_runs: dict[str, Tree],
) -> None:
    for module in case.needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{case.name} needs {module}, which is not installed")
    if case.name not in ends_of_local_runs:
        ends_of_local_runs[case.name] = play(case, local(), tmp_path / "local" / case.folder)
    executor, folder = _executor(column, request), tmp_path / "tried" / case.folder
    sentences = differences(ends_of_local_runs[case.name], play(case, executor, folder))
    assert not sentences, f"{case.name}, {column}, differs from a local run:\n" + "\n".join(sentences)
    if case.settles:
        _checked(executor.ask(case, folder, "--dry-run"), 0, "Nothing to be done")


def _executor(column: str, request: pytest.FixtureRequest) -> Executor:
    """The executor under test: `kempner`, unless the environment names another."""
    name = os.environ.get("MATRIX_EXECUTOR", "kempner")
    if name == "local":
        return local()
    slurm: Sandbox = request.getfixturevalue("slurm")
    return Executor(
        name=name,
        args=("--executor", name, "--jobs", "20"),
        environment=slurm.environment,
        waiting=lambda: slurm.run("squeue", "--noheader", "--states=PENDING", "--format=%i %j %R %Z"),
        snakemake=COLUMNS[column](slurm),
    )


def local() -> Executor:
    outside_slurm = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    args = ("--executor", "local", "--cores", "4")
    return Executor(name="local", args=args, environment=outside_slurm, snakemake=run_forked)


def play(case: Case, executor: Executor, folder: Path) -> Tree:
    """Run all steps of a case, check what its user relies on, and see what is left on disk."""
    fresh_copy(WORKFLOWS / (case.workflow or case.name), folder)
    said = ""
    for step in case.steps:
        outcome = (local() if step.local else executor).run(case, folder, *step.args)
        said = _checked(outcome, step.exit_code, step.says)
    tree = snapshot(folder, varying=(*ALWAYS_VARYING, *case.varying))
    broken = [*_broken_promises(case, tree), *_disagreements(case, folder), *_orphans(executor, folder)]
    assert not broken, f"With {executor.name}:\n" + "\n".join(broken) + f"\nIt said:\n{said}"
    return tree


def _checked(outcome: Outcome, exit_code: int, words: str) -> str:
    said = outcome.output[-TAIL:]
    assert outcome.exit_code == exit_code, f"exit code {outcome.exit_code}, not {exit_code}. It said:\n{said}"
    assert words in outcome.output, f"{words!r} was not said, but:\n{said}"
    return said


def _broken_promises(case: Case, tree: Tree) -> list[str]:
    return [
        *(f"{path} is missing" for path in case.text if path not in tree),
        *(
            f"{path} holds {tree[path].content!r}, not {text!r}"
            for path, text in case.text.items()
            if path in tree and tree[path].content != text
        ),
        *(f"{path} is still there" for path in case.gone if path in tree),
        *(f"{path} can be written" for path in case.protected if path in tree and not tree[path].protected),
    ]


def _disagreements(case: Case, folder: Path) -> list[str]:
    contents = {path: (folder / path).read_text() for path in case.same}
    return [] if len(set(contents.values())) <= 1 else [f"not the same: {contents}"]


def _orphans(executor: Executor, folder: Path) -> list[str]:
    """Nothing of a run that is over may wait in the queue for long."""
    deadline = time.monotonic() + PATIENCE
    while left := [line for line in executor.waiting().splitlines() if str(folder) in line]:
        if time.monotonic() > deadline:
            return [f"still in the queue: {line}" for line in left]
        time.sleep(PAUSE)
    return []
