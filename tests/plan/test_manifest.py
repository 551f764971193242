"""Each element of an array finds what it is, and reads no more than that."""

import io

import pytest
from builders import POLICY, a_step, a_task
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.plan.jobscript import call_script
from snakemake_executor_plugin_kempner.plan.manifest import line_of, manifest, split
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.step import StepSpec
from snakemake_executor_plugin_kempner.step.light.job import read_line

values = st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=3)


@given(st.dictionaries(st.integers(0, 300), st.dictionaries(st.text(), values, max_size=3), min_size=1))
def test_an_element_finds_its_own_line(lines: dict[int, dict[str, object]]) -> None:
    text = manifest(dict(sorted(lines.items())))
    file = io.BytesIO(text)
    assert {index: read_line(file, index) for index in lines} == lines
    assert {index: line_of(text, index) for index in lines} == lines


def test_an_index_without_a_task_is_an_error() -> None:
    with pytest.raises(ValueError, match="no element 1"):
        read_line(io.BytesIO(manifest({0: {}, 2: {}})), 1)
    with pytest.raises(ValueError, match="no line for index 1"):
        line_of(manifest({0: {}, 2: {}}), 1)


@given(st.lists(st.fixed_dictionaries({"a": st.integers(0, 1), "b": st.text(max_size=1)}), min_size=1))
def test_what_all_have_in_common_and_what_is_left_make_the_whole(specs: list[dict[str, object]]) -> None:
    common, own = split(specs)
    assert [common | one for one in own] == specs
    assert all(len({str(one.get(name)) for one in specs}) > 1 for one in own for name in one)


def test_an_array_and_its_elements_have_their_steps() -> None:
    tasks = [a_task("align", wildcards={"sample": sample}) for sample in "abcde"]
    plan = make_plan(tasks, POLICY)
    call = plan.calls[0]
    script, text = call_script(call, POLICY, str)
    assert text is not None
    assert f"{POLICY.folder}/arrays/{call.job_name}" in script
    assert a_step().folder in script
    elements = [read_line(io.BytesIO(text), index) for index in call.indices]
    assert [one["task"] for one in elements] == [task.key for task in tasks]
    assert all(one["log_name"].endswith(".attempt1.%j.log") for one in elements)
    assert StepSpec.__dataclass_fields__.keys() > elements[0].keys()
