"""Words are read as sbatch reads them; `tests/cluster/test_option_table.py` holds the table against the real sbatch."""

import re

import pytest

from snakemake_executor_plugin_kempner.plan.resources import sbatch_options
from snakemake_executor_plugin_kempner.plan.sbatch import UnreadableError, read

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
