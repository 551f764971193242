"""A random workflow for each seed: a pure value that can be printed as a Snakefile, with the command that runs it.

Only what a local run leaves for certain is drawn: tasks write what they read, whatever order they run in.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

INSTANCES = ("1", "2", "3")
"""Values of the wildcard `n` of a rule that has one."""


class Kind(Enum):
    """What the output of a rule is."""

    FILE = "{}"
    TEMP = "temp({})"
    TEMP_FOLDER = "temp(directory({}))"
    TOUCH = "touch({})"
    FOLDER = "directory({})"
    PROTECTED = "protected({})"
    UPDATE = "update({})"

    @property
    def is_folder(self) -> bool:
        return self in (Kind.FOLDER, Kind.TEMP_FOLDER)


class Trouble(Enum):
    """How the command of a rule ends; of a rule with a wildcard, that of its second task."""

    NONE = "true"
    FIRST = "[ {resources.how} -gt 1 ]"
    """The first attempt fails."""
    ALWAYS = "false"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule; its name is that of its output too."""

    name: str
    reads: tuple[str, ...] = ()
    """Rules of which it reads the outputs."""
    wild: bool = False
    kind: Kind = Kind.FILE
    trouble: Trouble = Trouble.NONE
    checkpoint: bool = False
    local: bool = False
    group: str = ""
    log: bool = False
    after: str = ""
    """A declared dependency: `afterany:x`."""
    norun: bool = False
    """It has no command."""
    ancient: bool = False
    """What it reads has no time."""
    unread: str = ""
    """A second output that nobody reads: empty, or how it is flagged."""
    seconds: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.name}-{{wildcards.n}}" if self.wild else self.name


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Rules, each after those that it reads, and how they are run."""

    seed: int
    rules: tuple[Rule, ...]
    options: tuple[str, ...] = ()
    """Of Snakemake, with any executor."""
    kempner_options: tuple[str, ...] = ()
    fails: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fails", any(rule.trouble is Trouble.ALWAYS for rule in self.rules))

    @cached_property
    def by_name(self) -> Mapping[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def targets(self) -> tuple[Rule, ...]:
        """Rules that nobody reads."""
        read = {name for rule in self.rules for name in rule.reads}
        return tuple(rule for rule in self.rules if rule.name not in read)

    def above(self, *names: str) -> set[str]:
        """Rules that must have ended well before those start."""
        direct = {name for one in names for name in self.by_name[one].reads}
        return direct | (self.above(*direct) if direct else set())

    @property
    def files(self) -> Mapping[str, str]:
        """What lies there before the first run."""
        updated = {f"{rule.name}.txt": "old\n" for rule in self.rules if rule.kind is Kind.UPDATE}
        return {"Snakefile": self.snakefile, **updated}

    # --- as text ----------------------------------------------------------------------------------------------------

    @property
    def snakefile(self) -> str:
        rules = [*self.rules]
        random.Random(self.seed).shuffle(rules)
        wanted = ", ".join(file for rule in self.targets for file in _outputs(rule, "all"))
        all_of_them = f"rule all:\n    input: {wanted}\n"
        return "\n".join((_HEAD, all_of_them, *("\n".join(self._lines(rule)) + "\n" for rule in rules)))

    def _lines(self, rule: Rule) -> Iterator[str]:
        flagged = rule.kind.value.format(repr(_output(rule)))
        second = rule.unread.format(repr(_output(rule, ".second"))) if rule.unread else ""
        yield f"{'checkpoint' if rule.checkpoint else 'rule'} {rule.name}:"
        if rule.reads:
            yield f"    input: {self._input(rule)}"
        yield f"    output: {', '.join(filter(None, (flagged, second)))}"
        if rule.log:
            yield f"    log: {_output(rule, '.log')!r}"
        if rule.group:
            yield f"    group: {rule.group!r}"
        if rule.local:
            yield "    localrule: True"
        yield f"    retries: {int(rule.trouble is Trouble.FIRST)}"
        yield "    resources:"
        yield "        how=lambda wildcards, attempt: attempt,"
        if rule.after:
            yield f"        slurm_dependency={rule.after!r},"
        if not rule.norun:
            yield f"    shell: '''{' && '.join(self._commands(rule))}'''"

    def _input(self, rule: Rule) -> str:
        files = ", ".join(file for name in rule.reads for file in _outputs(self.by_name[name], rule))
        decided = [name for name in rule.reads if self.by_name[name].checkpoint]
        if not decided:
            return f"ancient([{files}])" if rule.ancient else files
        waits = ", ".join(f"checkpoints.{name}.get().output" for name in decided)
        # A list that is known only when the checkpoints have ended; `n` is that of this task.
        expanded = files.replace("{n}", "{wildcards.n}")
        known = ", ".join(f"f{file}" if "{wildcards" in file else file for file in expanded.split(", "))
        return f"lambda wildcards: [({waits}), {known}][1:]"

    def _commands(self, rule: Rule) -> Iterator[str]:
        yield f"echo {rule.label} >>runs"
        yield f"sleep {rule.seconds}"
        if rule.log:
            yield "echo said >{log}"
        if rule.kind.is_folder:
            yield "mkdir -p {output[0]}"
        if rule.kind is not Kind.TOUCH:
            place = "{output[0]}/file" if rule.kind.is_folder else "{output[0]}"
            read = "$(cat $(find {input} -type f | sort) /dev/null | cksum)" if rule.reads else "made"
            yield f"echo {rule.label} {read} >>{place}"
        if rule.unread:
            yield "echo second >{output[1]}"
        if rule.trouble is not Trouble.NONE:
            only = "[ {wildcards.n} != 2 ] || " if rule.wild else ""
            yield f"{{{{ {only}{rule.trouble.value}; }}}}"


_HEAD = """\
onsuccess:
    shell("echo onsuccess >>hooks")
onerror:
    shell("echo onerror >>hooks")
"""


def _output(rule: Rule, suffix: str = ".txt") -> str:
    return f"{rule.name}-{{n}}{suffix}" if rule.wild else f"{rule.name}{suffix}"


def _outputs(rule: Rule, reader: Rule | str) -> list[str]:
    """First outputs of a rule as its reader names them, quoted: those of the same `n`, or all."""
    if not rule.wild:
        return [repr(_output(rule))]
    if isinstance(reader, Rule) and reader.wild:
        return [repr(_output(rule))]
    return [repr(_output(rule).format(n=n)) for n in INSTANCES]


# --- drawn by chance ------------------------------------------------------------------------------------------------


def random_workflow(seed: int, *, known_faults: bool = False) -> Workflow:
    """The workflow of a seed.

    Args:
        seed: the same seed gives the same workflow.
        known_faults: draw what is known to differ, too.
    """
    chance = random.Random(seed)
    rules: list[Rule] = []
    for number in range(chance.randint(4, 7)):
        before = [rule.name for rule in rules]
        reads = tuple(chance.sample(before, min(len(before), chance.choice((0, 1, 1, 2)))))
        rules.append(Rule(name=f"r{number}", reads=reads, wild=chance.random() < 0.2))
    workflow = Workflow(seed=seed, rules=tuple(rules))
    for draw in (_checkpoints, _kinds, _extras, _groups, _norun, _troubles, _declared):
        workflow = replace(workflow, rules=tuple(draw(workflow, chance, known_faults)))
    options = [option for option in ("--keep-going", "--notemp", "--keep-incomplete") if chance.random() < 0.2]
    if workflow.fails and chance.random() < 0.5:
        options.append("--keep-going")
    arrays = ("--kempner-array-from", str(chance.choice((0, 2, 5))))
    jobs = ("--jobs", str(chance.choice((1, 2, 3)))) if chance.random() < 0.4 else ()
    return replace(workflow, options=tuple(dict.fromkeys(options)), kempner_options=(*arrays, *jobs))


def _checkpoints(workflow: Workflow, chance: random.Random, _known: bool) -> Iterator[Rule]:
    read = {name for rule in workflow.rules for name in rule.reads}
    for rule in workflow.rules:
        yield replace(rule, checkpoint=not rule.wild and rule.name in read and chance.random() < 0.12)


def _behind_checkpoints(workflow: Workflow) -> set[str]:
    return {
        rule.name
        for rule in workflow.rules
        if any(workflow.by_name[one].checkpoint for one in workflow.above(rule.name))
    }


def _kinds(workflow: Workflow, chance: random.Random, known: bool) -> Iterator[Rule]:
    behind = _behind_checkpoints(workflow)
    for rule in workflow.rules:
        readers = [one.name for one in workflow.rules if rule.name in one.reads]
        kinds = [Kind.FILE, Kind.FILE, Kind.TOUCH, Kind.FOLDER, Kind.PROTECTED]
        if readers and (known or not behind.intersection(readers)):
            kinds += [Kind.TEMP, Kind.TEMP, Kind.TEMP_FOLDER]
        if rule.reads and not rule.wild:
            kinds.append(Kind.UPDATE)
        yield replace(rule, kind=Kind.FILE if rule.checkpoint else chance.choice(kinds))


def _extras(workflow: Workflow, chance: random.Random, _known: bool) -> Iterator[Rule]:
    for rule in workflow.rules:
        unread = chance.choice(("", "", "", "{}", "temp({})", "touch({})"))
        local, log, seconds = chance.random() < 0.12, chance.random() < 0.2, chance.choice((0.0, 0.0, 0.5, 2.0))
        yield replace(rule, unread=unread, local=local, log=log, seconds=seconds, ancient=chance.random() < 0.1)


def _groups(workflow: Workflow, chance: random.Random, known: bool) -> Iterator[Rule]:
    """At most one group of two: a rule and the only one that it reads."""
    plain = [rule for rule in workflow.rules if not (rule.local or rule.checkpoint)]
    pairs = [
        {rule.name, *rule.reads}
        for rule in plain
        if len(rule.reads) == 1
        and (above := workflow.by_name[rule.reads[0]]) in plain
        and rule.wild == above.wild
        and (known or not any("temp" in one.unread for one in (rule, above)))
    ]
    group = chance.choice(pairs) if pairs and chance.random() < 0.4 else set()
    for rule in workflow.rules:
        yield replace(rule, group="pair" if rule.name in group else "")


def _norun(workflow: Workflow, chance: random.Random, known: bool) -> Iterator[Rule]:
    for rule in workflow.rules:
        empty = (
            rule.kind is Kind.TOUCH and bool(rule.reads) and not (rule.group or rule.log or rule.unread or rule.after)
        )
        yield replace(rule, norun=known and empty and chance.random() < 0.5)


def _troubles(workflow: Workflow, chance: random.Random, _known: bool) -> Iterator[Rule]:
    failing = chance.choice(workflow.rules).name if chance.random() < 0.35 else ""
    for rule in workflow.rules:
        trouble = Trouble.ALWAYS if rule.name == failing else chance.choice((Trouble.NONE,) * 4 + (Trouble.FIRST,))
        yield rule if rule.group or rule.norun else replace(rule, trouble=trouble)


def _declared(workflow: Workflow, chance: random.Random, _known: bool) -> Iterator[Rule]:
    earlier: list[str] = []
    for rule in workflow.rules:
        after = f"{chance.choice(('after', 'afterany'))}:{chance.choice(earlier)}" if earlier else ""
        may = not (rule.local or rule.group or rule.checkpoint or rule.norun) and chance.random() < 0.2
        yield replace(rule, after=after if may else "")
        if not (rule.local or rule.group or rule.norun or rule.name in _behind_checkpoints(workflow)):
            earlier.append(rule.name)
