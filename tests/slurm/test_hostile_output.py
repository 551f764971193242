"""What Slurm's programs print, as recorded and then damaged: read, or refused with SlurmError, and never a success out of garbage."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_kempner.errors import SlurmError
from snakemake_executor_plugin_kempner.site.live import live_site
from snakemake_executor_plugin_kempner.slurm.consumption import parse_consumption
from snakemake_executor_plugin_kempner.slurm.listing import parse_listing
from snakemake_executor_plugin_kempner.slurm.parse import (
    parse_cluster,
    parse_job_id,
    parse_sacct,
    parse_shown,
    parse_squeue,
    parse_usage,
)
from snakemake_executor_plugin_kempner.slurm.site_limits import SiteLimits, parse_limits
from snakemake_executor_plugin_kempner.slurm.states import JobState

RECORDED = Path(__file__).parent.parent / "recorded"
VERSIONS = sorted(path.name for path in RECORDED.iterdir() if (path / "squeue.txt").exists())
SHOWN = (
    "JobId=7 ArrayJobId=5 ArrayTaskId=1-3%2 JobName=align.run1.1 UserId=me(1000) GroupId=me(1000) MCS_label=N/A"
    " Priority=1 Nice=0 Account=(null) QOS=(null) JobState=PENDING Reason=Dependency Dependency=afterok:6"
    " Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0 RunTime=00:00:00 NodeList=(null) Comment=x\n"
    "JobId=9 JobName=sort UserId=me(1000) JobState=COMPLETED Reason=None Dependency=(null) ExitCode=0:0 NodeList=n1\n"
)
CONFIG = "ClusterName             = odyssey\nStateSaveLocation       = /var/spool/slurmctld\n"
LISTED = (
    "7_[1-3]|PENDING|Dependency|0|None|2026-01-02T03:04:05|0:00|1-00:00:00|align|align.run1.1\n"
    "9|COMPLETED|None|0|n1|2026-01-02T03:04:05|2:03|UNLIMITED|a|b|c\n"
)


def recorded(name: str) -> list[str]:
    return [(RECORDED / version / name).read_text() for version in VERSIONS]


READERS: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "squeue": (parse_squeue, recorded("squeue.txt")),
    "sacct": (parse_sacct, recorded("sacct.txt")),
    "scontrol show job": (lambda text: parse_shown(text, 1000), [SHOWN]),
    "squeue, for people": (parse_listing, [LISTED]),
    "sacct, for messages": (parse_usage, ["00:01:02|12K\n00:01:02|93.20M\n"]),
    "sacct, for efficiency": (parse_consumption, recorded("sacct_consumption.txt")),
    "sbatch": (parse_job_id, [*recorded("sbatch.txt"), "123;odyssey\n"]),
    "scontrol show config": (parse_cluster, [CONFIG]),
    "limits": (lambda text: parse_limits(text, text, "root"), recorded("limits_scontrol.txt")),
    "limits in the database": (lambda text: parse_limits("", text, "root"), recorded("limits_sacctmgr.txt")),
    "limits, asked for": (lambda text: SiteLimits(lambda *_: text, "root").limits(), recorded("limits_scontrol.txt")),
    "site": (lambda text: live_site(lambda *_: text, "root", {}), recorded("limits_scontrol.txt")),
}
"""What reads the answer of a program, and answers as they are."""
ODD = st.sampled_from([
    "²", "٣", "9" * 5000, "-1", "0-4000000000", "[", "[0-3", "%", "|", "\0", "\r", "\x1b[2J", "\u2028", "\udcff", "=", "1e999",
    "COMPLETED", "(null)", "N/A", "Unknown", "99999-99:99:99", "0x7", "1_2_3", "1_[1-2", "nan", "UNLIMITED", ";", ",",
])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """The text with some of its characters and lines changed, doubled, moved or gone."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 1, 3, 30])))
        match draw(st.sampled_from(["odd", "any", "cut", "doubled"])):
            case "odd":
                text = text[:start] + draw(ODD) + text[end:]
            case "any":
                text = text[:start] + draw(st.text(max_size=5)) + text[end:]
            case "cut":
                text = text[:start] if draw(st.booleans()) else text[:start] + text[end:]
            case "doubled":
                text = text[:end] + text[start:]
    return text


@pytest.mark.parametrize("program", READERS)
@given(data=st.data())
def test_a_damaged_answer_is_read_or_refused(program: str, data: st.DataObject) -> None:
    read, answers = READERS[program]
    text = data.draw(damaged(data.draw(st.sampled_from(answers))))
    try:
        read(text)
    except SlurmError:
        return


@pytest.mark.parametrize("program", ["squeue", "sacct"])
@given(data=st.data())
def test_an_answer_that_is_cut_off_or_has_foreign_lines_makes_no_job_a_success(
    program: str, data: st.DataObject
) -> None:
    read, answers = READERS[program]
    text = data.draw(st.sampled_from(answers))
    true = {record.job_id for record in read(text) if record.state is JobState.SUCCEEDED}  # type: ignore[attr-defined]
    lines = text[: data.draw(st.integers(0, len(text)))].splitlines()
    for line in data.draw(st.lists(st.text(max_size=40) | ODD, max_size=3)):
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    try:
        records = read("\n".join(lines))
    except SlurmError:
        return
    assert {record.job_id for record in records if record.state is JobState.SUCCEEDED} <= true  # type: ignore[attr-defined]


@pytest.mark.parametrize("answer", ["²", "٣", "sbatch: 7", "7 8", "7.5", "-7", "7_1", "\x007"])
def test_what_is_no_job_id_is_not_taken_for_a_job_id(answer: str) -> None:
    with pytest.raises(SlurmError, match="where a job id was expected"):
        parse_job_id(answer)


@pytest.mark.parametrize("status", ["²", "9" * 5000, "٣:0", f"{'9' * 5000}:0"])
def test_an_exit_code_that_is_no_number_is_not_known(status: str) -> None:
    for read in (parse_squeue, parse_sacct):
        (record,) = read(f"7|FAILED|None|{status}|n1\n")
        assert record.exit_code is None


def test_more_elements_than_any_array_has_are_refused() -> None:
    with pytest.raises(SlurmError, match="list of the elements of an array"):
        parse_squeue("7_[0-99999999999]|PENDING|None|0|\n")
