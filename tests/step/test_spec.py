"""What a job script carries comes back as it was."""

import json
from dataclasses import replace

import pytest
from builders import a_step
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.step import VERSION, StepSpec

text = st.text()
texts = st.lists(text, max_size=4).map(tuple)
specs = st.builds(
    StepSpec,
    task=text,
    attempt=st.integers(1, 99),
    folder=text,
    records=text,
    targets=st.lists(st.tuples(text, st.dictionaries(text, text, max_size=3)), max_size=3).map(tuple),
    arguments=texts,
    config=st.dictionaries(text, text | st.integers() | st.lists(text, max_size=2), max_size=3),
    wait_for=texts,
    outputs=texts,
    earlier_attempts=texts,
    checkpoints=text,
    latency_wait=st.integers(0, 10_000),
)


@settings(max_examples=50)
@given(specs)
def test_a_spec_comes_back_from_its_json(spec: StepSpec) -> None:
    assert StepSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@settings(max_examples=30)
@given(specs)
def test_its_json_is_plain_ascii_so_no_locale_can_spoil_it(spec: StepSpec) -> None:
    assert json.dumps(spec.to_dict()).isascii()


@pytest.mark.parametrize("version", [0, VERSION + 1, None, "1"])
def test_another_version_is_refused_by_name(version: object) -> None:
    data = {**a_step().to_dict(), "version": version}
    with pytest.raises(ValueError, match="job and plugin do not match"):
        StepSpec.from_dict(data)


def test_the_bytes_of_a_file_name_that_is_no_text_survive() -> None:
    spec = replace(a_step(), outputs=("data\udcff.txt",))
    assert StepSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
