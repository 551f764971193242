"""Cases of the feature matrix: small workflows, how they are run, and what their users rely on.

Those of this file are folders in `tests/workflows`; `combinations.py` has those that are short enough to be text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

IN_STORAGE = ("--default-storage-provider", "fs", "--default-storage-prefix", "store")
SHARED = {
    "fetched by each job": ("--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache"),
    "nothing shared": ("--shared-fs-usage", "none"),
    "local copies shared": (
        *("--shared-fs-usage", "persistence", "software-deployment", "sources"),
        *("source-cache", "storage-local-copies"),
    ),
}
"""What of the files all nodes see, as far as Snakemake knows."""

COLUMNS = ("watched", "detached", "head killed", "head killed, command given again")
"""Ways of running a case on Slurm (`cluster/columns.py`); each is compared with a local run."""
AGAIN = COLUMNS[-1]
FORCED = {AGAIN: "forced once more"}
NOTHING_SHARED = {AGAIN: "what ends without a head is recorded by nobody, which the head says"}
NEEDS_HEAD = {
    "nothing shared": "--shared-fs-usage without persistence",
    "local copies shared": "is fetched from storage by the head process",
}

GATHERED = "".join(f"split/{item}.txt\n{item}\n" for item in ("1-of-2", "2-of-2"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One call of Snakemake, and what its user does afterwards."""

    args: tuple[str, ...] = ()
    exit_code: int = 0
    says: str = ""
    """Words that its output must hold."""
    local: bool = False
    """Prepares the stage: always with the local executor."""
    removes: tuple[str, ...] = ()
    """Files that are removed afterwards."""
    touches: tuple[str, ...] = ()
    """Files that are newer than all others afterwards."""
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Files in which a text is replaced by another afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A feature or a combination of features, and what its user relies on whatever runs the tasks."""

    name: str
    workflow: str = ""
    """The folder in `tests/workflows`, if it is not called like the feature."""
    snakefile: str = ""
    """In place of a folder."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What lies beside the Snakefile."""
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
    after: tuple[str, ...] = ()
    """Arguments of that run."""
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Modules without which the feature cannot be tried."""
    needs_head: str = ""
    """With what words `--kempner-detach` is refused, because only a head process can do it."""
    not_tried: Mapping[str, str] = field(default_factory=dict)
    """Columns in which it means nothing to try it, each with the reason."""

    @property
    def fails(self) -> bool:
        return self.steps[-1].exit_code != 0


def why_not(case: Case, column: str) -> str:
    """Why a case is not tried in a column; empty if it is."""
    if case.needs_head and column in ("detached", "head killed"):
        return "needs a head process"
    if case.fails and column == AGAIN:
        return "the command given again tries once more what has failed"
    return case.not_tried.get(column, "")


FEATURES = (
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
    Case(
        name="update",
        steps=(Step(args=("--forceall",)),),
        text={"journal.txt": "old\nnew\n"},
        not_tried=FORCED,
    ),
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
    Case(
        name="localrules",
        text={"after.txt": "before\ntask none\ntask none\n"},
        not_tried=dict.fromkeys(COLUMNS[1:], "it writes down that the head process runs it"),
    ),
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
        needs_head="is fetched from storage by the head process",
    ),
    *(
        Case(
            name=f"default storage, {name}",
            workflow="default_storage",
            args=(*IN_STORAGE, *usage),
            text={"store/answer.txt": "question\nthought\nanswer\n"},
            gone=("store/thought.txt", "answer.txt"),
            needs=("snakemake_storage_plugin_fs",),
            needs_head=NEEDS_HEAD.get(name, ""),
            not_tried=NOTHING_SHARED if name == "nothing shared" else {},
        )
        for name, usage in SHARED.items()
    ),
    *(
        Case(
            name=f"default storage, grouped, {name}",
            workflow="default_storage",
            args=(*IN_STORAGE, *usage, "--groups", "ask=both", "think=both", "answer=both"),
            text={"store/answer.txt": "question\nthought\nanswer\n"},
            gone=("store/thought.txt", "answer.txt"),
            needs=("snakemake_storage_plugin_fs",),
            needs_head=NEEDS_HEAD.get(name, ""),
            not_tried=NOTHING_SHARED if name == "nothing shared" else {},
        )
        for name, usage in SHARED.items()
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
        not_tried=FORCED,
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
        not_tried={AGAIN: "the command given again has the option that it shows to be missing"},
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

_BATCHES = tuple(Step(args=("--batch", f"collect={number}/3")) for number in (1, 2, 3))

LEFT_TO_JOBS = (
    Case(
        name="temporary files that are read before and after a checkpoint",
        workflow="temp_checkpoint",
        text={"prepare.runs": "prepared\n", "draft.runs": "drafted\n", "list.runs": "listed\n"},
        gone=(
            "data.txt",
            "draft.txt",
            "late.txt",
            "last.txt",
            "unread.txt",
            "pair-unread.txt",
            "weights/a.txt",
            "list.tmp",
        ),
    ),
    Case(
        name="temporary files of groups",
        workflow="temp_group",
        text={"inside.txt": "inside\nboth\n", "both.txt": "both\n", "again.txt": "again\n"},
        gone=("inside.tmp", "both.tmp", "outside.tmp", "unread.tmp", "unread-folder", "inside-unread.tmp"),
    ),
    Case(
        name="temporary files, when something fails",
        workflow="temp_failure",
        args=("--keep-going", "--latency-wait", "1"),
        steps=(Step(exit_code=1, says="absent.txt"),),
        text={"shared.tmp": "shared\n", "unread.tmp": "shared\n", "grouped.txt": "grouped\n"},
        gone=("read_absent.runs",),
        settles=False,
    ),
    Case(name="one batch of three", workflow="temp_batch", steps=_BATCHES[:1], settles=False),
    Case(name="all batches", workflow="temp_batch", steps=_BATCHES, text={"all.txt": 12 * "shared\n"}),
    Case(
        name="a temporary file that is asked for",
        workflow="temp_batch",
        args=("shared.tmp", "part/a.tmp"),
        text={"shared.tmp": "shared\n", "part/a.tmp": "shared\n"},
    ),
    Case(
        name="a rule that is asked for by name",
        workflow="temp_batch",
        args=("prepare",),
        text={"shared.tmp": "shared\n", "unread.tmp": "shared\n"},
    ),
    Case(
        name="rules without a command",
        workflow="without_command",
        text={"read_gate.txt": "slow\n", "read_side.txt": "side\n", "read_side.runs": "run\n"},
        gone=("local.tmp", "before_grouped.txt"),
    ),
    Case(
        name="many rules without a command",
        workflow="gates",
        text={"ready.txt": "file\n", "late.txt": "made\n"},
        gone=("part/0.tmp", "unread.ok"),
        protected=("gathered.ok",),
    ),
)

IN_WAVES = Case(
    name="temporary files whose readers come in waves",
    workflow="temp_waves",
    text={"prepare.runs": "prepared\n", "used/0.txt": "shared\nshared\ninside\n"},
    gone=("shared.tmp", "folder.tmp", "unread.tmp", "work", "unread"),
)

CASES = (*FEATURES, *LEFT_TO_JOBS)
