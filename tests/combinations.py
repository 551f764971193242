"""Small workflows of one or a few rules for each feature of Snakemake and for combinations of them, as text.

What a local run leaves is what they have to leave on Slurm. Commands write down what they read and that they have run,
so that a task that runs too early, twice or not at all leaves another content.
"""

import os
from functools import partial

from cases import AGAIN, COLUMNS, FORCED, Case, Step
from snakefiles import ATTEMPT, Code, Value, Values, directory, snakefile, temp, wanted
from snakefiles import rule as any_rule

FAILS = "exit 1"
SECOND_TRY = {"end": "[ {resources.n} -gt 1 ]", "retries": 1, "resources": {"n": ATTEMPT}}
"""For a rule whose first attempt fails."""
FAILED = (Step(exit_code=1),)
KEEP_GOING = ("--keep-going",)


def rule(
    name: str, *inputs: Value, output: Values | None = None, end: str = "", do: str | None = None,
    kind: str = "rule", shell: str | None = None, **directives: Values,
) -> str:  # fmt: skip
    """A rule whose outputs hold what it has read and its name.

    Args:
        name: of the rule.
        inputs: files.
        output: files; by default NAME.txt.
        end: last command.
        do: in place of the command that makes the outputs.
        kind: `rule` or `checkpoint`.
        shell: in place of all commands; empty for none.
        directives: other directives, by name.
    """
    made = f"(cat {{input}} /dev/null; echo {name}) | tee {{output}} >/dev/null" if do is None else do
    commands = (f"echo ran >>'{name}{{wildcards}}.runs'", made, end)
    command = "; ".join(filter(None, commands)) if shell is None else shell
    return any_rule(name, *inputs, output=output, shell=command, kind=kind, **directives)


checkpoint = partial(rule, kind="checkpoint")


def of(name: str, *texts: str, args: tuple[str, ...] = (), steps: tuple[Step, ...] = (Step(),), **more: object) -> Case:
    """A case with this Snakefile."""
    if any(word.startswith("--force") for step in steps for word in step.args):
        more = {"not_tried": FORCED} | more
    return Case(name=name, snakefile=snakefile(*texts), args=args, steps=steps, **more)  # type: ignore[arg-type]


def flagged(flag: str, file: str) -> Code:
    return Code(f"{flag}({file!r})")


def chosen(by: str, pattern: str) -> Code:
    """Files that a checkpoint names, a word for each in its output."""
    return Code(f"lambda w: [{pattern!r}.format(n=n) for n in open(checkpoints.{by}.get().output[0]).read().split()]")


def names(*words: str) -> str:
    """Command of a checkpoint that names files."""
    return f"echo {' '.join(words)} >{{output[0]}}"


def again(*args: str, first: tuple[str, ...] = (), says: str = "") -> tuple[Step, ...]:
    """The command twice, with other arguments the second time."""
    return Step(args=first), Step(args=args, says=says)


NOTHING = "Nothing to be done"
LOCAL: Values = Code("True")
ITEMS = ("a", "b", "c")
A, B, C, D = (rule("a"), rule("b", "a.txt"), rule("c", "b.txt"), rule("d", "c.txt"))
CHAIN = (wanted("d.txt"), A, B, C, D)
TEMP_A = rule("a", output=temp("a.txt"))
PART = rule("part", "a.txt", output="part-{n}.txt")
PARTS = tuple(f"part-{n}.txt" for n in ITEMS)
HOOKS = "\n\n".join(f'{name}:\n    shell("echo {name} >>hooks")' for name in ("onstart", "onsuccess", "onerror"))

TEMPORARY = (
    of("temp × retries", wanted("b.txt"), rule("b", "a.txt", **SECOND_TRY), TEMP_A),
    of("temp × retries of its own rule", wanted("b.txt"), B, rule("a", output=temp("a.txt"), **SECOND_TRY)),
    of(
        "temp × a reader that fails × keep-going",
        wanted("b.txt", "c.txt"), TEMP_A, B, rule("c", "a.txt", end=FAILS),
        args=KEEP_GOING, steps=FAILED,
    ),
    of(
        "temp × local rules in turn with Slurm jobs",
        wanted("d.txt"), TEMP_A, rule("b", "a.txt", output=temp("b.txt"), localrule=LOCAL),
        rule("c", "b.txt", output=temp("c.txt")), rule("d", "c.txt", localrule=LOCAL),
    ),
    of(
        "temp × a local reader and a Slurm reader",
        wanted("b.txt", "c.txt"), TEMP_A, rule("b", "a.txt", localrule=LOCAL), rule("c", "a.txt"),
    ),
    of("--notemp × group", wanted("c.txt"), TEMP_A, rule("b", "a.txt", output=temp("b.txt"), group="g"),
       rule("c", "b.txt", group="g"), args=("--notemp",)),
    of("--all-temp × group", wanted("c.txt"), A, rule("b", "a.txt", group="g"), rule("c", "b.txt", group="g"),
       args=("--all-temp",)),
    of(
        "--omit-flags × benchmark",
        wanted("c.txt"), TEMP_A, rule("b", "a.txt", output=flagged("protected", "b.txt"), benchmark="benchmarks/b.txt"),
        rule("c", "b.txt", output=flagged("protected", "c.txt")),
        args=("--omit-flags", "temp", "protected"),
    ),
    of("temp × forcerun of its reader", wanted("c.txt"), TEMP_A, B, C, steps=again("--forcerun", "b")),
    of("temp × forcerun behind its reader", wanted("c.txt"), TEMP_A, B, C, steps=again("--forcerun", "c")),
    of("temp × until", wanted("c.txt"), TEMP_A, rule("b", "a.txt", output=temp("b.txt")), C, args=("--until", "b"),
       settles=False),
    of("temp × omit-from", wanted("b.txt", "c.txt"), TEMP_A, B, rule("c", "a.txt"), args=("--omit-from", "c"),
       settles=False, not_tried={AGAIN: "a second local run makes once more what the omitted rule reads"}),
    of(
        "temp × params that change",
        wanted("c.txt"), TEMP_A, rule("b", "a.txt", params=Code("config.get('kind', 1)"), do="echo {params} >{output}"), C,
        steps=again("--config", "kind=2"), after=("--config", "kind=2"),
    ),
    of(
        "temp × an output that is lost",
        wanted("c.txt", "lost.txt"), TEMP_A, B, C, rule("lost", "a.txt"),
        steps=(Step(removes=("lost.txt",)), Step()),
    ),
    of("temp × ancient", wanted("c.txt"), TEMP_A, rule("b", flagged("ancient", "a.txt")), C,
       steps=(Step(), Step(says=NOTHING))),
    of(
        "temp × multiext × partly read",
        wanted("b.txt"), rule("b", "a.x"),
        rule("a", output=Code("temp(multiext('a', '.x', '.y', '.z'))")),
    ),
    of(
        "temp × directory × wildcards",
        wanted("b.txt", *(f"read-{n}.txt" for n in ITEMS)),
        rule("a", output=Code("temp(directory('a-{n}'))"), do="mkdir {output}; echo {wildcards.n} >{output}/file"),
        rule("read", "a-{n}", output="read-{n}.txt", do="cat {input}/file >{output}"),
        rule("b", "a-a", "a-b", do="cat a-a/file a-b/file >{output}"),
    ),
    of("temp × touch × no command", wanted("c.txt"), rule("b", "a.txt", output=Code("temp(touch('b.txt'))"), shell=""),
       A, rule("c", "a.txt", "b.txt")),
    of("temp × pipe", wanted("c.txt"), TEMP_A, rule("b", "a.txt", output=flagged("pipe", "b.txt")), C),
    of("temp × scattergather × --set-scatter",
       "scattergather:\n    split=2",
       wanted("all.txt"),
       rule("split", output=Code("temp(scatter.split('s/{scatteritem}.txt'))")),
       rule("part", "s/{scatteritem}.txt", output=temp("p/{scatteritem}.txt")),
       rule("join", Code("gather.split('p/{scatteritem}.txt')"), output="all.txt"),
       args=("--set-scatter", "split=3")),
    of("temp × a rule without outputs", rule("tell", "b.txt", output=()), TEMP_A,
       rule("b", "a.txt", output=temp("b.txt")), settles=False,
       not_tried={AGAIN: "a rule without outputs runs whenever it is asked for"}),
    of("temp × shadow", wanted("b.txt"), rule("a", output=temp("a.txt"), shadow="full"),
       rule("b", "a.txt", do="cp a.txt litter; cp litter {output}", shadow="shallow")),
    of("temp × target", wanted("b.txt"), TEMP_A, B, args=("a.txt", "b.txt")),
    of("temp × params function that reads it", wanted("b.txt"), TEMP_A,
       rule("b", "a.txt", params=Code("lambda w, input: open(input[0]).read().strip()"), do="echo {params} >{output}"),
       settles=False),
    of("temp(group_jobs=True)", wanted("b.txt"), rule("a", output=Code("temp('a.txt', group_jobs=True)")), B),
    of("temp × update", wanted("b.txt"), TEMP_A, rule("b", "a.txt", output=flagged("update", "b.txt"),
       do="cat {input} >>{output}"), files={"b.txt": "old\n"}),
)  # fmt: skip

CHECKPOINTS = (
    of(
        "checkpoint × temp before and behind it",
        wanted(chosen("c", "last-{n}.txt")), TEMP_A, checkpoint("c", "a.txt", do=names("x", "y")),
        rule("mid", "a.txt", output=temp("mid-{n}.txt")), rule("last", "mid-{n}.txt", output="last-{n}.txt"),
    ),
    of(
        "checkpoint × wildcards × temp",
        "def parts(w):\n"
        "    return [f'p-{s}-{n}.txt' for s in 'ab' for n in open(checkpoints.c.get(s=s).output[0]).read().split()]",
        wanted(Code("parts")), rule("raw", output=temp("raw-{s}.txt")),
        checkpoint("c", "raw-{s}.txt", output="c-{s}.txt", do="echo {wildcards.s}1 {wildcards.s}2 >{output}"),
        rule("p", "raw-{s}.txt", output="p-{s}-{n}.txt"),
    ),
    of(
        "checkpoint × group behind it",
        wanted("all.txt"), checkpoint("c", do=names("x", "y")),
        rule("one", output=temp("one-{n}.txt"), group="g"), rule("two", "one-{n}.txt", output="two-{n}.txt", group="g"),
        rule("all_of_it", chosen("c", "two-{n}.txt"), output="all.txt"),
    ),
    of(
        "checkpoint × group × --group-components",
        wanted("all.txt"), checkpoint("c", do=names("x", "y", "z")), rule("one", output="one-{n}.txt", group="g"),
        rule("join", chosen("c", "one-{n}.txt"), output="all.txt"), args=("--group-components", "g=2"),
    ),
    of(
        "checkpoint × retries",
        wanted("all.txt"), checkpoint("c", do=names("x"), **SECOND_TRY), rule("one", output="one-{n}.txt", **SECOND_TRY),
        rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
    ),
    of(
        "checkpoint × local rules",
        wanted("all.txt"), A, checkpoint("c", "a.txt", do=names("x", "y"), localrule=LOCAL),
        rule("one", output="one-{n}.txt"), rule("join", chosen("c", "one-{n}.txt"), output="all.txt", localrule=LOCAL),
    ),
    of(
        "two checkpoints × a reader of both",
        wanted("all.txt"), checkpoint("c", do=names("x")), checkpoint("d", "a.txt", do=names("y", "z")), A,
        rule("one", output="one-{n}.txt"),
        rule("join", chosen("c", "one-{n}.txt"), chosen("d", "one-{n}.txt"), output="all.txt"),
    ),
    of("checkpoint × that names nothing", wanted("all.txt"), checkpoint("c", do=names()), rule("one", output="one-{n}.txt"),
       rule("join", chosen("c", "one-{n}.txt"), output="all.txt")),
    of(
        "checkpoint × keep-going × a failure behind it",
        HOOKS, wanted(chosen("c", "one-{n}.txt")), checkpoint("c", do=names("x", "y")),
        rule("one", output="one-{n}.txt", end="[ {wildcards.n} != x ]"), args=KEEP_GOING, steps=FAILED,
    ),
    of("checkpoint × forcerun behind it", wanted("all.txt"), checkpoint("c", do=names("x", "y")),
       rule("one", output=temp("one-{n}.txt")), rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
       steps=again("--forcerun", "join")),
    of("checkpoint × forcerun of it", wanted("all.txt"), checkpoint("c", do=names("x", "y")),
       rule("one", output="one-{n}.txt"), rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
       steps=again("--forcerun", "c")),
    of("checkpoint × forceall of what it decides", wanted("all.txt"), checkpoint("c", do=names("x", "y")),
       rule("one", output="one-{n}.txt"), rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
       steps=again("--forceall")),
    of("checkpoint × forcerun of what it decides", wanted("all.txt"), checkpoint("c", do=names("x", "y")),
       rule("one", output="one-{n}.txt"), rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
       steps=again("--forcerun", "c", "one")),
    of("checkpoint × another result the second time", wanted(chosen("c", "one-{n}.txt")),
       checkpoint("c", params=Code("config.get('names', 'x')"), do="echo {params} >{output}"), rule("one", output="one-{n}.txt"),
       steps=again("--config", "names=y"), after=("--config", "names=y")),
    of("checkpoint × until it", wanted("all.txt"), A, checkpoint("c", "a.txt", do=names("x")), rule("one", output="one-{n}.txt"),
       rule("join", chosen("c", "one-{n}.txt"), output="all.txt"), args=("--until", "c"), settles=False),
    of("checkpoint × omit-from behind it", wanted("all.txt", "a.txt"), A, checkpoint("c", "a.txt", do=names("x")),
       rule("one", output="one-{n}.txt"), rule("join", chosen("c", "one-{n}.txt"), output="all.txt"),
       args=("--omit-from", "join"), settles=False),
    of(
        "checkpoint × local rule × checkpoint",
        wanted("all.txt"), checkpoint("c", do=names("x", "y")),
        rule("one", chosen("c", "two-{n}.txt"), output="one.txt", localrule=LOCAL), rule("two", output=temp("two-{n}.txt")),
        checkpoint("d", "one.txt", do=names("z")), rule("join", chosen("d", "two-{n}.txt"), "one.txt", output="all.txt"),
    ),
    of("checkpoint × params of what it says", wanted("b.txt"), checkpoint("c", do=names("said")),
       rule("b", Code("lambda w: checkpoints.c.get().output[0]"),
            params=Code("lambda w: open(checkpoints.c.get().output[0]).read().strip()"), do="echo {params} >{output}"),
       settles=False),
    of("checkpoint × module × prefix", wanted("sub/all.txt"),
       "module m:\n    snakefile: 'm.smk'\n    prefix: 'sub'\n\nuse rule * from m as m_*",
       files={"m.smk": snakefile(checkpoint("c", do=names("x", "y")), rule("one", output=temp("one-{n}.txt")),
                                 rule("join", chosen("c", "one-{n}.txt"), output="all.txt"))}),
    of("checkpoint × folder × wildcards of its files", wanted("all.txt"),
       "def found(w):\n    folder = checkpoints.c.get().output[0]\n"
       "    return expand('one-{n}.txt', n=sorted(glob_wildcards(folder + '/{n}.part').n))",
       checkpoint("c", output=Code("temp(directory('parts'))"), do="mkdir {output}; touch {output}/x.part {output}/y.part"),
       rule("one", "parts/{n}.part", output="one-{n}.txt"), rule("join", Code("found"), output="all.txt")),
)  # fmt: skip

GROUPS = (
    of("group × retries", wanted("b.txt"), rule("a", group="g", **SECOND_TRY), rule("b", "a.txt", group="g", retries=1)),
    of("group × failure × keep-going", wanted("b.txt", "d.txt"), rule("a", output=temp("a.txt")),
       rule("b", "a.txt", group="g", end=FAILS), rule("c", "b.txt", group="g"), rule("d", "a.txt"),
       args=KEEP_GOING, steps=FAILED),
    of("group between local rules", wanted("d.txt"), rule("a", localrule=LOCAL), rule("b", "a.txt", group="g"),
       rule("c", "b.txt", group="g"), rule("d", "c.txt", localrule=LOCAL)),
    of("group × shadow × log × benchmark", wanted("b.txt"),
       rule("a", output=temp("a.txt"), group="g", shadow="minimal", log="logs/a.log", end="echo said >{log}"),
       rule("b", "a.txt", group="g", benchmark="benchmarks/b.txt")),
    of("group × run", wanted("b.txt"), rule("a", group="g"),
       "rule b:\n    input: 'a.txt'\n    output: 'b.txt'\n    group: 'g'\n"
       "    run: open(output[0], 'w').write(open(input[0]).read() + 'run\\n')"),
    of("--groups × --group-components × a common reader", wanted("all.txt"), rule("a", output="a-{n}.txt"),
       rule("b", "a-{n}.txt", output="b-{n}.txt"), rule("join", *(f"b-{n}.txt" for n in ITEMS), output="all.txt"),
       args=("--groups", "a=g", "b=g", "--group-components", "g=2")),
    of("group × update × protected", wanted("b.txt", "a.txt"), rule("a", output=flagged("update", "a.txt"), group="g",
       do="echo new >>{output}"), rule("b", "a.txt", output=flagged("protected", "b.txt"), group="g"),
       files={"a.txt": "old\n"}, steps=(Step(args=("--forceall",)),)),
    of("two pipes in a row", wanted("c.txt"), rule("a", output=flagged("pipe", "a.txt")),
       rule("b", "a.txt", output=flagged("pipe", "b.txt")), C),
    of("pipe × failure of the reader", wanted("b.txt"), rule("a", output=flagged("pipe", "a.txt")),
       rule("b", "a.txt", end=FAILS), steps=FAILED),
    of("pipe × temp of its reader × retries", wanted("c.txt"), rule("a", output=flagged("pipe", "a.txt"), retries=1),
       rule("b", "a.txt", output=temp("b.txt"), retries=1), C),
    of("service × two readers × temp", wanted("b.txt", "c.txt"), TEMP_A,
       rule("s", "a.txt", output=flagged("service", "s.txt"),
            shell="echo up >up; mv up {output}; while true; do sleep 0.2; done"),
       rule("b", "s.txt", do="cat {input} >{output}"), rule("c", "s.txt", do="cat {input} >{output}")),
    of("group × a rule without a command in it", wanted("c.txt"), rule("a", group="g"),
       rule("b", "a.txt", output=flagged("touch", "b.ok"), group="g", shell=""), rule("c", "a.txt", "b.ok", group="g")),
    of("group × two rules for a file, of which one lacks its input", wanted("c.txt"), rule("a", output="b.src", group="g"),
       rule("raw", output="x.raw", group="g"), rule("convert", "{n}.raw", output="{n}.txt", group="g"),
       rule("copy", "{n}.src", "x.txt", output="{n}.txt", group="g"), C.replace("rule c:", "rule c:\n    group: 'g'")),
    of("group × a task in it that removes what others have made", wanted("d.txt"), rule("a", output="work/a.txt", group="g"),
       rule("b", "work/a.txt", output=Code("'work/b.txt', 'work/unread.txt'"), do="cat {input} | tee {output}", group="g"),
       rule("c", "work/a.txt", "work/b.txt", output="c.txt", group="g", end="rm -r work"), rule("d", "c.txt")),
)  # fmt: skip

OPTIONS = (
    of("--forcerun of a middle rule", *CHAIN, steps=again("--forcerun", "b")),
    of("--force of a target", *CHAIN, steps=again("--force", "d.txt")),
    of("--forcerun × --until", *CHAIN, steps=again("--forcerun", "b", "--until", "c"), settles=False),
    of("--touch", *CHAIN, steps=(Step(touches=("a.txt",)), Step(args=("--touch",)), Step(says=NOTHING))),
    of("--quiet", *CHAIN, args=("--quiet", "all"), settles=False,
       not_tried=dict.fromkeys(COLUMNS[1:], "the tests of this column read what the head says")),
    of("--rerun-triggers mtime × params that change", wanted("a.txt"),
       rule("a", params=Code("config.get('kind', 1)"), do="echo {params} >{output}"),
       args=("--rerun-triggers", "mtime"), steps=again("--config", "kind=2", says=NOTHING)),
    of("an input set that changes", wanted("all.txt"), rule("one", output="one-{n}.txt"),
       rule("join", Code("expand('one-{n}.txt', n=str(config.get('names', 12)))"), output="all.txt"),
       steps=again("--config", "names=123"), after=("--config", "names=123")),
    of("--set-threads × --set-resources × --default-resources", wanted("a.txt", "b.txt"),
       rule("a", threads=2, resources={"mem_mb": 100, "who": "rule"}, do="echo {threads} {resources.mem_mb} {resources.who} >{output}"),
       "rule b:\n    output: 'b.txt'\n    threads: 2\n"
       "    run: open(output[0], 'w').write(f'{threads} {resources.mem_mb} {resources.who}')",
       args=("--set-threads", "b=3", "--set-resources", "a:who=option", "--default-resources", "mem_mb=120", "who=default")),
    of("--replace-workflow-config × script", "configfile: 'own.yaml'", wanted("a.txt", "b.txt"),
       rule("a", params=Code("str(sorted(config.items()))"), do="echo {params:q} >{output}"), rule("b", shell="") + "\n    script: 'b.py'",
       files={"own.yaml": "one: 1\ntwo: 2\n", "other.yaml": "two: 3\n",
              "b.py": "open(snakemake.output[0], 'w').write(str(sorted(snakemake.config.items())))"},
       args=("--replace-workflow-config", "--configfile", "other.yaml")),
    of("two --configfile × nested --config", "configfile: 'own.yaml'", wanted("b.txt"),
       "rule b:\n    output: 'b.txt'\n    run: open(output[0], 'w').write(str(sorted(config.items())))",
       files={"own.yaml": "deep: {a: 1, b: 2}\n", "x.yaml": "deep: {b: 3}\n", "y.yaml": "z: [1, two]\n"},
       args=("--configfile", "x.yaml", "y.yaml", "--config", "more={k: 'v w'}")),
    of("--no-hooks", HOOKS, wanted("a.txt"), A, args=("--no-hooks",)),
    of("--consider-ancient", wanted("b.txt"), A, B, args=("--consider-ancient", "b=0"),
       steps=(Step(touches=("a.txt",)), Step(says=NOTHING))),
    of("--drop-metadata", wanted("b.txt", "c.txt"), A, B, rule("c", "a.txt", shadow="minimal"), args=("--drop-metadata",)),
    of("files and rules as targets", *CHAIN, args=("b.txt", "c"), settles=False),
    of("keep-going × hooks × a diamond", HOOKS, wanted("d.txt"), A, rule("b", "a.txt"), rule("c", "a.txt", end=FAILS),
       rule("d", "b.txt", "c.txt"), args=KEEP_GOING, steps=FAILED),
    of("--retries on the command line", wanted("b.txt", "c.txt"), rule("a", end="[ {resources.n} -gt 1 ]", resources={"n": ATTEMPT}),
       B, rule("c", "a.txt", end="[ {resources.n} -gt 2 ]", retries=2, resources={"n": ATTEMPT}), args=("--retries", "1")),
    of("--shadow-prefix", wanted("a.txt"), rule("a", do="touch litter; pwd | grep -q shadows && echo there >{output}",
       shadow="minimal"), args=("--shadow-prefix", "shadows"), gone=("litter",)),
    of("--keep-incomplete × update", wanted("a.txt"), rule("a", output=flagged("update", "a.txt"), do="echo new >>{output}", end=FAILS),
       files={"a.txt": "old\n"}, args=("--keep-incomplete",), steps=(Step(args=("--forceall",), exit_code=1),), settles=False),
    of("--batch × checkpoint", wanted("all.txt"), checkpoint("c", do=names("x", "y")), rule("one", output=temp("one-{n}.txt")),
       rule("two", *(f"one-{n}.txt" for n in "abcd"), output="two.txt"),
       rule("join", chosen("c", "one-{n}.txt"), "two.txt", output="all.txt"),
       steps=(Step(args=("--batch", "two=1/2")), Step(args=("--batch", "two=2/2")), Step())),
    of("--max-checksum-file-size", wanted("a.txt"), rule("a", "big.txt", do="wc -c <{input} >{output}"), files={"big.txt": 1_100_000 * "x"},
       args=("--max-checksum-file-size", "2MB"), steps=(Step(touches=("big.txt",)), Step(says=NOTHING))),
    of("an output that appears late", wanted("b.txt"), rule("a", do="(sleep 3; echo late >{output}) &"), B),
    of("changed code", *CHAIN, steps=(Step(edits={"Snakefile": ("echo b)", "echo B)")}), Step())),
)  # fmt: skip

LANGUAGE = (
    of("default_target", A, rule("b", "a.txt", default_target=LOCAL), rule("c", "b.txt")),
    of("ruleorder × constraints in a pattern", "ruleorder: second > first", wanted("x-1.txt", "x-y.txt"),
       rule("first", output="{a}-{n}.txt"), rule("second", output="{a}-{n,[0-9]+}.txt")),
    of("lookup × branch × collect", wanted(Code("collect('{n}.txt', n=lookup('names', within=config))"), "b.txt"),
       rule("x", output="{n,[uv]}.txt"),
       rule("b", Code("branch(lookup('is_on', within=config), then='u.txt', otherwise='v.txt')")),
       args=("--config", "names=[u, v]", "is_on=True")),
    of("named multiext × subpath", wanted("b.txt"), rule("a", output=Code("multiext('out/a', x='.x', y='.y')"),
       do="echo x >{output.x}; echo y >{output.y}"),
       rule("b", Code("rules.a.output.y"), params=Code("subpath(input[0], basename=True)"), do="(cat {input}; echo {params}) >{output}")),
    of("use rule … with", wanted("a.txt", "b.txt"), rule("a", params={"word": "first"}, log="logs/a.log", do="echo {params.word} >{output}; echo >{log}"),
       "use rule a as b with:\n    output: 'b.txt'\n    params: word='second'\n    log: 'logs/b.log'"),
    of("module in a module", wanted("outer/b.txt"),
       "module m:\n    snakefile: 'm.smk'\n    prefix: 'outer'\n    config: {'word': 'told'}\n\nuse rule * from m as m_*",
       files={"m.smk": "module k:\n    snakefile: 'k.smk'\n    prefix: 'inner'\n    config: config\n\nuse rule * from k as k_*\n\n"
              + rule("b", "inner/a.txt"),
              "k.smk": rule("a", output=temp("a.txt"), params=Code("config['word']"), do="echo {params} >{output}")}),
    of("rules from a loop × include", "include: 'more.smk'\n\nfor n in 'xy':\n    rule:\n        name: f'made_{n}'\n        output: f'{n}.txt'\n"
       "        params: n\n        shell: f'echo {n} {{params}} >{{output}}'", wanted("x.txt", "y.txt", "more.txt"),
       files={"more.smk": rule("more", "x.txt")}, args=("all",)),
    of("run × attempts × shell", wanted("a.txt"),
       "rule a:\n    output: 'a.txt', temp('b.txt')\n    retries: 1\n    resources: n=lambda wildcards, attempt: attempt\n    run:\n"
       "        shell('echo {resources.n} >>tries')\n        assert resources.n > 1\n"
       "        for file in output: shell('echo made >{file}')"),
    of("scripts in Python and bash", wanted("b.txt"), rule("a", log="a.log", shell="") + "\n    script: 'a.py'",
       rule("b", "a.txt", threads=2, shell="") + "\n    script: 'b.sh'",
       files={"a.py": "open(snakemake.output[0], 'w').write(snakemake.rule)\nopen(snakemake.log[0], 'w').write('logged')\n",
              "b.sh": 'cat "${snakemake_input[0]}" >"${snakemake_output[0]}"; echo "${snakemake[threads]}" >>"${snakemake_output[0]}"\n'}),
    of("pathvars", "pathvars:\n    results='out'", wanted("out/b.txt"), rule("a", output=temp("<results>/a.txt")),
       rule("b", "<results>/a.txt", output="<results>/b.txt")),
    of("ensure × retries", wanted("a.txt"), rule("a", output=Code("ensure('a.txt', non_empty=True)"), retries=1, resources={"n": ATTEMPT},
       do="[ {resources.n} -gt 1 ] && echo full >{output} || touch {output}")),
    of("before_update × update", wanted("db.txt", "before.txt"),
       rule("extend", output=flagged("update", "db.txt"), do="echo new >>{output}"),
       rule("before", flagged("before_update", "db.txt"), do="sleep 1; cp {input} {output}"),
       files={"db.txt": "old\n"}, steps=(Step(args=("--forceall",)),), settles=False),
    of("before_update × update × the reader behind another task", wanted("before.txt", "db.txt"),
       rule("extend", output=flagged("update", "db.txt"), do="echo new >>{output}"),
       rule("before", flagged("before_update", "db.txt"), do="sleep 1; cp {input} {output}"),
       files={"db.txt": "old\n"}, steps=(Step(args=("--forceall",)),), settles=False),
    of("update × readers behind it", wanted("b.txt"), rule("a", output=flagged("update", "a.txt"), do="echo new >>{output}"), B,
       files={"a.txt": "old\n"}, steps=again("--forcerun", "a", first=("--forcerun", "a"))),
    of("a target rule with a command", rule("all", "a.txt", "b.txt", output="all.txt"), A, B),
    of("rules without outputs × failure", rule("check", "a.txt", output=(), end=FAILS), A, steps=FAILED),
    of("links as outputs", wanted("b.txt", "c.txt"), rule("a", output=("a.txt", "link.txt"), do="echo a >a.txt; ln -s a.txt link.txt"),
       rule("b", "link.txt"), rule("c", "folder/a", do="ls {input} >{output}"),
       rule("folder", output=directory("folder/a"), do="mkdir real; ln -s ../real {output}")),
    of("exists × parse_input", wanted("b.txt"), A, rule("b", "a.txt", Code("branch(exists('own.txt'), then='own.txt')"),
       params=Code("parse_input('own.txt', parser=None)"), do="(cat {input}; echo {params}) >{output}"),
       files={"own.txt": "own\n"}),
    of("inputflags", "inputflags:\n    ancient", wanted("b.txt"), A, B, steps=(Step(touches=("a.txt",)), Step(says=NOTHING))),
    of("outputflags", "outputflags:\n    temp", wanted("c.txt"), A, B, C),
    of("shell.prefix × shell.executable", "shell.executable('/bin/sh')\nshell.prefix('set -e; WORD=said; ')", wanted("a.txt"),
       rule("a", do="echo $WORD $0 >{output}")),
    of("a hook that fails", "onsuccess:\n    shell('echo ran >>hooks; exit 1')", wanted("a.txt"), A, steps=FAILED),
    of("onerror × a failure below a local rule", HOOKS, wanted("c.txt"), rule("a", localrule=LOCAL), rule("b", "a.txt", end=FAILS), C,
       steps=FAILED),
    of("local rule × retries", wanted("c.txt"), A, rule("b", "a.txt", localrule=LOCAL, **SECOND_TRY), C),
    of("local rule that fails × keep-going", HOOKS, wanted("c.txt", "d.txt"), A, rule("b", "a.txt", localrule=LOCAL, end=FAILS), C,
       rule("d", "a.txt"), args=KEEP_GOING, steps=FAILED),
    of("a workflow that reads what it makes", wanted("a-x.txt", Code("*[f'b-{n}.txt' for n in glob_wildcards('a-{n}.txt').n]")),
       rule("a", output="a-{n}.txt"), rule("b", "a-{n}.txt", output="b-{n}.txt"), steps=(Step(), Step())),
    of("directory × retries", wanted("b.txt"), rule("a", output=directory("a"), do="mkdir {output}; touch {output}/{resources.n}",
       **SECOND_TRY), rule("b", "a", do="ls {input} >{output}")),
    of("directory × a file in it as input", wanted("b.txt"), rule("a", output=directory("a"), do="mkdir {output}; echo in >{output}/x"),
       rule("b", "a", do="cat a/x >{output}"), steps=again("--forcerun", "b")),
    of("protected × forcerun", wanted("b.txt"), rule("a", output=flagged("protected", "a.txt")), B,
       steps=(Step(), Step(args=("--forcerun", "a"), exit_code=int(os.geteuid() != 0))), settles=False),
    of("protected × temp × directory", wanted("b.txt", "kept"), rule("a", output=(Code("protected(directory('kept'))"), temp("a.txt")),
       do="mkdir {output[0]}; echo in | tee {output[0]}/file >{output[1]}"), B),
    of("message × name × priority", wanted("a.txt"), rule("a", output="{n}.txt", message="makes {output}, {wildcards.n}", priority=5)),
    of("report", "report: 'about.rst'", wanted("a.txt"), rule("a", output=Code("report('a.txt', caption='a.rst', category='all')")),
       files={"a.rst": "said\n", "about.rst": "about\n"}),
    of("resources as texts × tmpdir", wanted("a.txt"), rule("a", resources={"mem": "100MB", "runtime": "2m", "tmpdir": "tmp"},
       do="echo {resources.mem_mb} {resources.runtime} {resources.tmpdir} >{output}")),
    of("envvars × run", "envvars:\n    'MATRIX_WORD'", wanted("a.txt"),
       "rule a:\n    output: 'a.txt'\n    run:\n        import os\n        open(output[0], 'w').write(os.environ['MATRIX_WORD'])",
       environment={"MATRIX_WORD": "a word's worth"}),
    of("storage × checkpoint × temp", "storage s:\n    provider='fs'", wanted(Code("storage.s('store/all.txt')")), TEMP_A,
       checkpoint("c", "a.txt", do=names("x", "y")), rule("one", "a.txt", output=temp("one-{n}.txt")),
       rule("join", chosen("c", "one-{n}.txt"), output=Code("storage.s('store/all.txt')")), needs=("snakemake_storage_plugin_fs",),
       needs_head="is fetched from storage by the head process"),
    of("storage × retries × group", "storage s:\n    provider='fs'", wanted(Code("storage.s('store/b.txt')")),
       rule("a", output=temp("a.txt"), group="g", **SECOND_TRY), rule("b", "a.txt", output=Code("storage.s('store/b.txt')"), group="g", retries=1),
       needs=("snakemake_storage_plugin_fs",), needs_head="is fetched from storage by the head process"),
    of("log × retries", wanted("a.txt"), rule("a", log="logs/a.log", do="echo {resources.n} >>{log}; touch {output}", **SECOND_TRY)),
    of("benchmark × retries × wildcards", wanted("a-x.txt"), rule("a", output="a-{n}.txt", benchmark=Code("repeat('benchmarks/{n}.txt', 2)"), **SECOND_TRY)),
    of("cache", wanted("b.txt"), rule("a", cache=LOCAL, do="echo made >{output}"), B, args=("--cache",),
       files={"cache/about": "cache"},
       environment={"SNAKEMAKE_OUTPUT_CACHE": "cache"}, varying=("cache/*",)),
    of("threads × a function of the input", wanted("b.txt"), A, rule("b", "a.txt", threads=Code("lambda w, input: len(input) + 1"),
       resources={"n": Code("lambda w, threads: threads * 10")}, do="echo {threads} {resources.n} >{output}")),
    of("functions of output and of other params", wanted("a-x.txt"), rule("a", output="a-{n}.txt",
       params={"p": Code("lambda w, output, threads, resources: f'{w.n} {output} {threads} {resources.n}'")},
       resources={"n": 7}, do="echo {params.p:q} >{output}")),
    of("unpack × named inputs that are lists", wanted("b.txt"), rule("a", output="{n,[xyz]}.txt"),
       rule("b", Code("unpack(lambda w: {'one': 'x.txt', 'more': ['y.txt', 'z.txt']})"), do="cat {input.more} {input.one} >{output}")),
)  # fmt: skip

CASES = (*TEMPORARY, *CHECKPOINTS, *GROUPS, *OPTIONS, *LANGUAGE)
