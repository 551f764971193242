"""The cluster of a run is read from its rules before anything is planned."""

import reading

from snakemake_executor_plugin_kempner.adapt.cluster import cluster_of_rules

SNAKEFILE = """
localrules: gather
rule gather:
    input: "plot", "one.train"
    output: "gathered"
rule plot:
    input: "one.train"
    output: "plot"
    resources: {plot}
    shell: "touch {{output}}"
rule train:
    output: "{{name}}.train"
    resources: {train}
    shell: "touch {{output}}"
rule other:
    output: "other"
    resources: clusters="elsewhere"
    shell: "touch {{output}}"
"""


def named(
    read: reading.Read, *, plot: str = "", train: str = "", defaults: tuple[str, ...] = ()
) -> tuple[str, tuple[str, ...]]:
    _, dag = read(SNAKEFILE.format(plot=plot, train=train), defaults)
    return cluster_of_rules(dag.workflow)


def test_rules_may_name_it_as_sbatch_takes_it(read: reading.Read) -> None:
    assert named(read, train='clusters="fasse"', plot="slurm_extra=\"'-M fasse'\"") == ("fasse", ("plot", "train"))


def test_default_resources_name_it_for_all_rules(read: reading.Read) -> None:
    assert named(read, defaults=("clusters=fasse",)) == ("fasse", ("plot", "train"))


def test_a_function_is_called_for_a_job(read: reading.Read) -> None:
    assert named(read, train='clusters=lambda wildcards: "fasse" if wildcards.name == "one" else "x"')[0] == "fasse"


def test_a_function_of_an_input_that_is_not_there_yet_names_none(read: reading.Read) -> None:
    assert named(read, plot="clusters=lambda wildcards, input: open(input[0]).read()") == ("", ())


def test_only_rules_with_something_to_do_count(read: reading.Read) -> None:
    assert named(read) == ("", ())


def test_of_several_the_one_that_most_rules_name_is_asked(read: reading.Read) -> None:
    found = named(read, train='clusters="cannon"', plot='clusters="cannon"', defaults=("clusters=fasse",))
    assert found == ("cannon", ("plot", "train"))
