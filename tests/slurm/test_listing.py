"""What squeue lists for people who look, and its reasons in words."""

import time

import pytest

from snakemake_executor_plugin_kempner.slurm.listing import parse_listing
from snakemake_executor_plugin_kempner.slurm.reasons import in_words
from snakemake_executor_plugin_kempner.slurm.states import JobState

RECORDED = """\
14_[0-2]|PENDING|Dependency|0||N/A|0:00|1-02:00:00|train|train.run1.2
16|PENDING|Resources|0||2026-11-28T21:38:56|0:00|5:00|big|(null)
12|RUNNING|None|0|n1|2026-11-28T21:28:55|1:02:03|UNLIMITED|pre|fix.a|a.run1.1
11|FAILED|NonZeroExitCode|768|n1|2026-11-28T21:28:55|0:03|10:00|a|a.run1.1
"""
"""squeue 22.05; a job's name may hold a bar, where the user's prefix has one."""


def test_each_element_and_job_has_its_record_its_names_and_its_times() -> None:
    jobs = {job.job_id: job for job in parse_listing(RECORDED)}
    assert list(jobs) == ["14_0", "14_1", "14_2", "16", "12", "11"]
    assert (jobs["14_1"].record.reason, jobs["14_1"].comment, jobs["14_1"].limit_s) == (
        "Dependency",
        "train.run1.2",
        93_600,
    )
    assert (jobs["14_1"].starts, jobs["16"].starts) == (None, time.mktime((2026, 11, 28, 21, 38, 56, 0, 0, -1)))
    assert (jobs["12"].used_s, jobs["12"].limit_s, jobs["12"].name, jobs["12"].comment) == (
        3723,
        None,
        "pre|fix.a",
        "a.run1.1",
    )
    assert (jobs["11"].record.state, jobs["11"].record.exit_code) == (JobState.FAILED, 3)


@pytest.mark.parametrize("text", ["", "\n", "slurm_load_jobs error", "1|2|3"])
def test_what_is_no_list_is_no_job(text: str) -> None:
    assert parse_listing(text) == ()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "jobs with a higher priority come first (Priority)"),
        ("QOSMaxGRESPerUser", "the limit on GPUs is reached for you or your group (QOSMaxGRESPerUser)"),
        ("AssocGrpCpuLimit", "the limit on cores is reached for you or your group (AssocGrpCpuLimit)"),
        ("AssocMaxJobsLimit", "the limit on jobs is reached for you or your group (AssocMaxJobsLimit)"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n1",
            "the nodes that it needs are down, drained or reserved (ReqNodeNotAvail, UnavailableNodes:n1)",
        ),
        ("launch failed requeued held", "it is held until somebody releases it (launch failed requeued held)"),
        ("SomethingNew", "SomethingNew"),
        ("", "Slurm has not looked at it yet"),
        ("None", "Slurm has not looked at it yet"),
    ],
)
def test_a_reason_is_said_in_words_with_slurms_name_for_it(reason: str, words: str) -> None:
    assert in_words(reason) == words
