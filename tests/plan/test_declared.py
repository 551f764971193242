"""`slurm_dependency="afternotok:train,after:prepare+5"`: what it may say, and what it means in a workflow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.declared import (
    Candidate,
    Catalogue,
    DeclarationError,
    Resolution,
    parse_declared,
    resolve,
)
from snakemake_executor_plugin_kempner.plan.dependency import DependencyType


def parsed(text: str) -> list[tuple[str, str | None, int | None]]:
    return [(str(one.type), one.rule, one.minutes) for one in parse_declared(text)]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("afterok:train", [("afterok", "train", None)]),
        ("afternotok:train", [("afternotok", "train", None)]),
        ("afterany:a:b", [("afterany", "a", None), ("afterany", "b", None)]),
        ("after:train+10", [("after", "train", 10)]),
        ("after:a+1:b", [("after", "a", 1), ("after", "b", None)]),
        ("singleton", [("singleton", None, None)]),
        ("singleton,afterok:a", [("singleton", None, None), ("afterok", "a", None)]),
        (" afterok : a , afterany:b ", [("afterok", "a", None), ("afterany", "b", None)]),
    ],
)
def test_a_declaration_is_read_as_sbatch_reads_one(text: str, terms: list[tuple[str, str | None, int | None]]) -> None:
    assert parsed(text) == terms


FAULTS = {
    "afterwards:a": ("unknown type 'afterwards'", "afterwards"),
    "": ("a type is missing", ""),
    "afterok:a,": ("a type is missing", ""),
    "afterok": ("afterok needs the name of a rule", "afterok"),
    "afterok:": ("'' is not the name of a rule", ""),
    "afterok:1": ("'1' is not the name of a rule", "1"),
    "afterok:a-b": ("'a-b' is not the name of a rule", "a-b"),
    "afterok:a?afterok:b": ("'?' (any of) cannot be combined", "?"),
    "singleton:a": ("'singleton' takes no rule", "singleton:a"),
    "afterok:a+5": ("only 'after' takes a delay", "a+5"),
    "after:a+x": ("the delay 'x' is not a number of minutes", "a+x"),
    "after:a+": ("the delay '' is not a number of minutes", "a+"),
    "aftercorr:a": ("unknown type 'aftercorr'", "aftercorr"),
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_pointed_at(text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_declared(text)
    what, marked = FAULTS[text]
    head, source, marks = str(caught.value).splitlines()
    assert what in head
    assert source.strip() == text.strip()
    start = marks.index("^")
    assert source[start : start + marks.count("^")].strip() == marked or not marked


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        terms = parse_declared(text)
    except DeclarationError:
        return
    assert terms


@given(st.text(st.sampled_from("after:ok,+?1 singleton"), max_size=40))
def test_what_was_read_can_be_found_in_the_text(text: str) -> None:
    try:
        terms = parse_declared(text)
    except DeclarationError:
        return
    for term in terms:
        assert (term.rule or "singleton") in text[term.start : term.end]


# --- what it means --------------------------------------------------------------------------------------------------

CATALOGUE = Catalogue(
    rules=["train", "fetch", "tell", "plot", "done"],
    candidates={
        "train": [Candidate(wildcards={"seed": "1"}, task="train1"), Candidate(wildcards={"seed": "2"}, task="train2")],
        "fetch": [Candidate(wildcards={}, task="fetch")],
        "tell": [Candidate(wildcards={"seed": "1"}, task="tell1")],
        "done": [Candidate(wildcards={}, task=None)],
    },
)


def meaning(text: str, **wildcards: str) -> Resolution:
    return resolve(text, where="tell", task="tell1", wildcards=wildcards, catalogue=CATALOGUE)


def edges(resolution: Resolution) -> list[tuple[str, str]]:
    assert resolution.faults == ()
    return [(str(edge.type), edge.on) for edge in resolution.edges]


def test_a_rule_means_its_tasks_that_agree_on_shared_wildcards() -> None:
    assert edges(meaning("afternotok:train", seed="1")) == [("afternotok", "train1")]
    assert edges(meaning("afterany:train", seed="3")) == []
    assert edges(meaning("afterany:train", sample="x")) == [("afterany", "train1"), ("afterany", "train2")]
    assert edges(meaning("afterok:fetch", seed="1")) == [("afterok", "fetch")]


WILDCARDS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"))


@given(st.lists(WILDCARDS, max_size=8), st.lists(WILDCARDS, min_size=1, max_size=4))
def test_tasks_agree_as_when_each_is_compared_with_each(
    candidates: list[dict[str, str]], asked: list[dict[str, str]]
) -> None:
    known = [Candidate(wildcards=wildcards, task=f"t{number}") for number, wildcards in enumerate(candidates)]
    catalogue = Catalogue(rules=["train"], candidates={"train": known})
    for wildcards in asked:
        shared = [candidate.wildcards.keys() & wildcards.keys() for candidate in known]
        assert catalogue.agreeing("train", wildcards) == tuple(
            candidate.task
            for candidate, names in zip(known, shared, strict=True)
            if all(candidate.wildcards[name] == wildcards[name] for name in names)
        )


def test_edges_are_marked_as_declared_and_keep_their_delay() -> None:
    (edge,) = meaning("after:fetch+7").edges
    assert (edge.type, edge.minutes, edge.declared) == (DependencyType.AFTER, 7, True)


@pytest.mark.parametrize("rule", ["done", "plot"])
def test_a_rule_that_is_done_or_not_part_of_the_run_counts_as_met(rule: str) -> None:
    for kind in ("after", "afterok", "afterany"):
        resolution = meaning(f"{kind}:{rule}")
        assert (edges(resolution), resolution.not_needed) == ([], "")


@pytest.mark.parametrize("rule", ["done", "plot"])
def test_a_handler_of_a_rule_that_does_not_run_is_not_needed(rule: str) -> None:
    assert meaning(f"afternotok:{rule}").not_needed == f"{rule} does not run, so it cannot fail"


def test_singleton_is_no_edge() -> None:
    resolution = meaning("singleton,afterok:fetch")
    assert resolution.singleton
    assert edges(resolution) == [("afterok", "fetch")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("afterok:nobody", "there is no rule 'nobody' in the workflow"),
        ("afterany:tell", "tell is part of the task itself"),
        ("afternotok:train", "train means 2 tasks here, and it is not said which of them has to fail"),
        ("before:train", "unknown type 'before'"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_that_names_the_task(text: str, what: str) -> None:
    (fault,) = meaning(text).faults
    assert str(fault).startswith("tell: slurm_dependency: ")
    assert what in str(fault)


def test_all_faults_of_a_declaration_are_found_at_once() -> None:
    assert len(meaning("afterok:nobody,afterok:fetch:noone").faults) == 2
