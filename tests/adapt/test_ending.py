"""What the closing job needs Snakemake for when all tasks have succeeded; without any of it, it runs none."""

import pytest
from reading import Read
from snakefiles import hook, rule, snakefile, temp, wanted

from snakemake_executor_plugin_kempner.adapt.ending import left_for_the_end

COMMAND = ("/bin/snakemake", "--executor", "kempner", "--jobs", "20", "--kempner-detach")
PLAIN = (wanted("b.txt"), rule("a", shell="x"), rule("b", "a.txt", shell="x"))


def left(read: Read, text: str, *options: str, no_hooks: bool = False) -> list[str]:
    _, dag = read(text, execution={"no_hooks": no_hooks})
    return [*left_for_the_end(dag.workflow, (*COMMAND, *options))]


def test_where_all_is_done_by_the_tasks_nothing_is_left(read: Read) -> None:
    assert left(read, snakefile(*PLAIN)) == []
    assert left(read, snakefile(hook("onerror"), hook("onstart"), *PLAIN)) == []


def test_a_hook_is_run_unless_hooks_are_off(read: Read) -> None:
    text = snakefile(hook("onsuccess"), *PLAIN)
    assert left(read, text) == ["onsuccess"]
    assert left(read, text, no_hooks=True) == []


def test_temporary_files_may_be_left(read: Read) -> None:
    text = snakefile(wanted("b.txt"), rule("a", output=temp("a.txt"), shell="x"), rule("b", "a.txt", shell="x"))
    assert left(read, text) == ["temporary files"]


def test_behind_a_checkpoint_more_may_follow(read: Read) -> None:
    text = "rule all:\n    input: 'a.txt'\ncheckpoint a:\n    output: 'a.txt'\n    shell: 'x'\n"
    assert left(read, text) == ["checkpoints"]


@pytest.mark.parametrize(
    ("option", "reason"), [("--report-after-run", "--report-after-run"), ("--logger=nothing", "--logger")]
)
def test_what_the_command_line_or_a_profile_wants_at_the_end_is_left(
    read: Read, monkeypatch: pytest.MonkeyPatch, option: str, reason: str
) -> None:
    from snakemake import cli

    parse = cli.parse_args

    def parsed(argv: list[str]) -> object:
        name, _, value = argv.pop().removeprefix("--").partition("=")
        parser, arguments = parse(argv)
        setattr(arguments, name.replace("-", "_"), [value] if value else True)
        return parser, arguments

    monkeypatch.setattr(cli, "parse_args", parsed)
    assert left(read, snakefile(*PLAIN), option) == [reason]
