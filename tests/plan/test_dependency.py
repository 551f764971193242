"""Expressions and their text, and back through the parser of the fake scheduler, which the contract test holds to Slurm."""

import pytest
from fakes import parse_dependency
from hypothesis import given
from hypothesis import strategies as st
from strategies import expressions, terms

from snakemake_executor_plugin_kempner.plan.dependency import AllOf, AnyOf, DependencyType, Ref, Term, all_of, render

IDS = {
    Ref(task, attempt): str(100 + 10 * number + attempt) for number, task in enumerate("abcdef") for attempt in range(4)
}


def term(kind: str, task: str, attempt: int = 1, minutes: int | None = None) -> Term:
    return Term(type=DependencyType(kind), on=Ref(task, attempt), minutes=minutes)


SINGLETON = Term(type=DependencyType.SINGLETON, on=None)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (AllOf((term("afterok", "a"),)), "afterok:101"),
        (AllOf((term("afterok", "a"), term("afterok", "b"))), "afterok:101:111"),
        (AllOf((term("afterok", "a"), term("afternotok", "b"))), "afterok:101,afternotok:111"),
        (
            AllOf((term("afterok", "a"), term("afterany", "b"), term("afterok", "c"))),
            "afterok:101,afterany:111,afterok:121",
        ),
        (AllOf((term("after", "a", minutes=5), term("after", "b"))), "after:101+5:111"),
        (AllOf((term("after", "a", minutes=0),)), "after:101"),
        (AllOf((term("afterok", "a"), SINGLETON)), "afterok:101,singleton"),
        (AllOf((SINGLETON,)), "singleton"),
        (AnyOf((term("afterok", "a", 1), term("afterok", "a", 2))), "afterok:101?afterok:102"),
    ],
)
def test_an_expression_is_written_as_sbatch_reads_it(expression: AllOf | AnyOf, text: str) -> None:
    assert render(expression, IDS.__getitem__) == text


@given(expressions())
def test_the_text_means_what_the_value_means(expression: AllOf | AnyOf) -> None:
    conditions, any_of = parse_dependency(render(expression, IDS.__getitem__))
    read = [(one.type, one.on, one.minutes) for one in conditions]
    assert read == [(str(one.type), IDS[one.on], one.minutes or 0) for one in expression.terms]
    assert any_of == (isinstance(expression, AnyOf) and len(expression.terms) > 1)


@given(expressions())
def test_a_text_has_one_kind_of_separator(expression: AllOf | AnyOf) -> None:
    text = render(expression, IDS.__getitem__)
    assert not ("," in text and "?" in text)


@given(st.lists(terms()))
def test_all_of_keeps_each_term_once_and_in_order(several: list[Term]) -> None:
    expression = all_of(several)
    assert (expression.terms if expression else ()) == tuple(dict.fromkeys(several))


def test_nothing_to_wait_for_is_no_expression() -> None:
    assert all_of([]) is None


def test_a_wide_fan_in_is_written_once_by_type() -> None:
    wide = all_of(Term(type=DependencyType.AFTEROK, on=Ref(str(number), 1)) for number in range(3000))
    text = render(wide, lambda ref: f"47000{ref.task:>04}")
    assert text.count("afterok") == 1
    assert len(text) < 128 * 1024
