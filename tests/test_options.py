"""Options of sbatch are a value: each option once, as sbatch counts them, and written in a single place."""

from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options

names = st.sampled_from(["mem", "gres", "comment", "nice", "requeue", "no-requeue", "exclusive", "oversubscribe"])
words = st.lists(st.builds(lambda name, value: f"--{name}{value}", names, st.sampled_from(["", "=", "=a", "=b=--c d"])))


@given(words)
def test_what_is_written_is_read_back(written: list[str]) -> None:
    options = Options.of(*written)
    assert Options.of(*options.argv) == options


@given(words, words)
def test_of_two_settings_the_later_counts_as_for_sbatch(first: list[str], second: list[str]) -> None:
    both = Options.of(*first) | Options.of(*second)
    assert both == Options.of(*first, *second)
    assert {option.removeprefix("--").partition("=")[0] for option in both.argv} == set(both)


def test_options_that_undo_each_other_are_never_both_set() -> None:
    assert Options.of("--requeue", "--no-requeue").argv == ("--no-requeue",)
    assert (Options.of("--exclusive=user") | Options.of("--oversubscribe")).argv == ("--oversubscribe",)


@given(words)
def test_the_order_of_options_makes_no_difference(written: list[str]) -> None:
    options = Options.of(*written)
    other = Options.of(*reversed(options.argv))
    assert options == other
    assert hash(options) == hash(other)


def test_an_option_without_an_argument_is_set_and_has_no_value() -> None:
    options = Options.of("--nice", "--mem=")
    assert options.argv == ("--nice", "--mem=")
    assert ("nice" in options, options.get("nice", "100"), options.get("mem", "1G")) == (True, "100", "")
    assert options.only("nice") == options.without("mem") == Options({"nice": None})
    assert not NO_OPTIONS.argv
