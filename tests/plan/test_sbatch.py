"""Words are read as sbatch reads them; `tests/cluster/test_option_table.py` holds the table against the real sbatch."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.resources import sbatch_options
from snakemake_executor_plugin_kempner.plan.sbatch import OPTIONS, Takes, UnreadableError, read
from snakemake_executor_plugin_kempner.plan.slurm_extra import SET_BY_PLUGIN

READ = {
    "": "",
    "--partition=gpu": "--partition=gpu",
    "--partition gpu": "--partition=gpu",
    "--part gpu": "--partition=gpu",
    "-p gpu": "--partition=gpu",
    "-pgpu": "--partition=gpu",
    "-Hp gpu": "--hold --partition=gpu",
    "-HOpgpu": "--hold --overcommit --partition=gpu",
    "-p -x": "--partition=-x",
    "--arr=0-2": "--array=0-2",
    "--dep=singleton": "--dependency=singleton",
    "--outp=x": "--output=x",
    "-Qa0-2": "--quiet --array=0-2",
    "-a 0-2": "--array=0-2",
    "-d 5": "--dependency=5",
    "--nice": "--nice",
    "--nice=5": "--nice=5",
    "--nice --requeue": "--nice --requeue",
    "-koff": "--no-kill=off",
    "-k -H": "--no-kill --hold",
    "--mem 4G": "--mem=4G",
    "--mem=": "--mem=",
    "--time=5": "--time=5",
    "--cluster=a": "--clusters=a",
    "--tasks-per-node=2": "--ntasks-per-node=2",
    "--constraint=a=b": "--constraint=a=b",
    "--of-the-site=1 --flag-of-the-site": "--of-the-site=1 --flag-of-the-site",
}

UNREADABLE = {
    "script.sh": "the word 'script.sh', which sbatch would take for the script",
    "--hold script.sh": "the word 'script.sh'",
    "--nice 5": "the word '5'",
    "--partition=gpu -- --array=1": "the word '--'",
    "-": "the word '-'",
    ":": "the word ':'",
    "--cont=x": "--container",
    "--wa": "--wait or --wait-all-nodes",
    "--cl=x": "--cluster-constraint",
    "--hold=yes": "--hold a value",
    "--partition": "--partition no value",
    "-p": "--partition no value",
    "-z": "-z",
    "-H5": "-5",
    "--of-the-site 1": "write --of-the-site=1",
}


@pytest.mark.parametrize("text", READ)
def test_options_in_whatever_spelling_have_one_afterwards(text: str) -> None:
    assert str(read(text.split())) == READ[text]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_sbatch_would_refuse_or_take_for_a_script_is_a_fault(text: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(UNREADABLE[text])):
        read(text.split())


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("--arr=0-2", "--array"), ("--dep=singleton", "--dependency"), ("--outp=x", "--output"), ("-Ha0-2", "--array"),
        ("-a 0-2", "--array"), ("-d 5", "--dependency"), ("--array 0-2", "--array"), ("-W", "--wait"), ("-HW", "--wait"),
        ("-h", "--help"), ("--vers", "--version"), ("-Q", "--quiet"), ("--test", "--test-only"), ("-e x", "--error"),
        ("--wrap=true", "--wrap"), ("-D /", "--chdir"), ("--k=no", "--kill-on-invalid-dep"), ("--export NONE", "--export"),
    ],
)  # fmt: skip
def test_what_the_plugin_sets_itself_is_found_in_every_spelling(text: str, option: str) -> None:
    (fault,) = sbatch_options("align", {"slurm_extra": text}, 1).faults
    assert f"slurm_extra sets {option}, " in str(fault)


@pytest.mark.parametrize("text", UNREADABLE)
def test_the_fault_names_the_task_and_says_what_to_write(text: str) -> None:
    (fault,) = sbatch_options("align", {"slurm_extra": text}, 1).faults
    assert str(fault).startswith("align: slurm_extra ")
    assert "--name=value" in str(fault)


def test_a_value_with_a_space_is_not_split_again() -> None:
    options = sbatch_options("align", {"slurm_extra": "--licenses='a b'"}, 1)
    assert options.sbatch.argv[-1] == "--licenses=a b"


# --- whatever is written --------------------------------------------------------------------------------------------

SHORT = {"partition": "p", "account": "A", "gpus": "G", "hold": "H", "overcommit": "O", "no-kill": "k", "time": "t"}
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[tuple[str, str | None], list[str]]:
    """An option with its value, and the words in which a person may write it."""
    name = draw(st.sampled_from([*sorted(OPTIONS.keys() - {"cluster", "tasks-per-node"}), *SHORT]))
    takes = OPTIONS[name]
    value = None if takes is Takes.NOTHING or (takes is Takes.PERHAPS and draw(st.booleans())) else draw(VALUES)
    if name in SHORT and draw(st.booleans()):
        letter = f"-{SHORT[name]}"
        if value is None:
            return (name, None), [letter]
        if value and (takes is Takes.PERHAPS or draw(st.booleans())):
            return (name, value), [letter + value]
        if takes is Takes.A_VALUE:
            return (name, value), [letter, value]
    least = next(length for length in range(1, len(name) + 1) if _is_clear(name[:length], name))
    written = f"--{name[: draw(st.integers(least, len(name)))]}"
    if value is None:
        return (name, None), [written]
    if takes is Takes.A_VALUE and draw(st.booleans()):
        return (name, value), [written, value]
    return (name, value), [f"{written}={value}"]


def _is_clear(prefix: str, name: str) -> bool:
    return prefix == name or [other for other in OPTIONS if other.startswith(prefix)] == [name]


@given(st.lists(spelled(), max_size=6))
def test_whatever_options_are_written_in_whatever_spelling_are_read(
    written: list[tuple[tuple[str, str | None], list[str]]],
) -> None:
    words = [word for _, spelling in written for word in spelling]
    assert read(words) == Options.merged(option for option, _ in written)


@given(st.lists(spelled(), max_size=4), st.booleans())
def test_no_spelling_sets_what_the_plugin_sets(
    written: list[tuple[tuple[str, str | None], list[str]]], is_quoted: bool
) -> None:
    text = shlex.join(word for _, spelling in written for word in spelling)
    declared = sbatch_options("align", {"slurm_extra": shlex.quote(text) if is_quoted else text}, 1)
    owned = {option for (option, _), _ in written} & set(SET_BY_PLUGIN)
    assert not owned or declared.faults
    assert declared.faults or not set(SET_BY_PLUGIN) & declared.sbatch.values.keys()


@given(VALUES)
def test_any_text_gives_options_or_a_fault_that_names_the_task(text: str) -> None:
    declared = sbatch_options("align", {"slurm_extra": text}, 1)
    assert all(str(fault).startswith("align: slurm_extra") for fault in declared.faults)
