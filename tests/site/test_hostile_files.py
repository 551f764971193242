"""Site files that nobody should have written: read, or refused with all that is wrong, and nothing else."""

import contextlib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.site.file import parse_site

PACKAGED = files("snakemake_executor_plugin_kempner.site").joinpath("kempner.yaml").read_text()
LINES = [line for line in PACKAGED.splitlines() if line.strip() and not line.strip().startswith("#")]
KEYS = (
    "name",
    "applies_to",
    "cpu_partition",
    "needs_account",
    "folders",
    "gpus",
    "partitions",
    "caps",
    "nodes",
    "runtime",
    "memory",
    "gpu",
    "cores",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["9" * 5000, "²", "1-00", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


def read_or_refused(text: str) -> None:
    with contextlib.suppress(PlanError):
        parse_site(text, "site.yaml")


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
def test_any_values_are_read_or_refused(content: dict[str, object]) -> None:
    import yaml

    read_or_refused(yaml.safe_dump(content, allow_unicode=True))


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        at = data.draw(st.integers(0, len(line)))
        lines[place] = data.draw(
            st.sampled_from(
                [
                    line[:at],
                    line[at:],
                    line[:at] + "\0" + line[at:],
                    line[:at] + "²",
                    line * 2,
                    "&a [*a]",
                    "? !!python/object:x",
                ]
            )
        )
    read_or_refused("\n".join(lines))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


@pytest.mark.parametrize("count", ["9" * 5000, "²", "-1", "1.5", "0x10", ""])
def test_a_count_that_is_no_number_is_refused_with_its_place(count: str) -> None:
    with pytest.raises(PlanError, match=r"partitions\.big\.nodes\[0\]\.cores"):
        parse_site(f"partitions: {{big: {{nodes: [{{cores: '{count}'}}]}}}}", "site.yaml")
