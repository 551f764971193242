"""What is asked of Slurm's commands, and what their answers mean. The commands here are small scripts on PATH."""

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.errors import (
    SlurmError,
    SlurmMissing,
    SlurmRefused,
    SlurmUnreachable,
    UnknownCluster,
)
from snakemake_executor_plugin_kempner.options import NO_OPTIONS, Options
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands

RECORDED = Path(__file__).parents[1] / "recorded"


class Stubs:
    """Commands that write down how they were called and answer what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def answer(self, command: str, out: str = "", err: str = "", code: int = 0, script: str = "") -> None:
        for name, text in (("out", out), ("err", err)):
            (self.folder / f"{command}.{name}").write_text(text)
        here = f"{self.folder}/{command}"
        lines = [
            "#!/bin/bash",
            f'printf "%s\\0" "$@" >>"{here}.arguments"; printf "\\n" >>"{here}.arguments"',
            f'cat >"{here}.stdin"; env -0 >"{here}.environment"',
            script,
            f'cat "{here}.out"; cat "{here}.err" >&2; exit {code}',
        ]
        (self.folder / command).write_text("\n".join(lines) + "\n")
        (self.folder / command).chmod(0o755)

    def calls(self, command: str) -> list[list[str]]:
        path = self.folder / f"{command}.arguments"
        return [line.split("\0")[:-1] for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def stdin(self, command: str) -> str:
        return (self.folder / f"{command}.stdin").read_text()

    def environment(self, command: str) -> dict[str, str]:
        text = (self.folder / f"{command}.environment").read_text()
        return dict(one.split("=", 1) for one in text.split("\0") if one)

    def slurm(self, timeout: float = 20, cluster: str = "", **environment: str) -> SlurmCommands:
        path = f"{self.folder}:/usr/bin:/bin"
        return SlurmCommands(extra_environment={"PATH": path, **environment}, timeout=timeout, cluster=cluster)

    def site(self, storage: str = "accounting_storage/slurmdbd") -> None:
        """A machine of the cluster cannon, beside which there is fasse."""
        told = f"AccountingStorageType   = {storage}\nClusterName             = cannon\n"
        self.answer("scontrol", f"{told}StateSaveLocation       = /state\n")
        self.answer("sacctmgr", "cannon\nfasse\n")


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    return Stubs(tmp_path)


# --- what is asked --------------------------------------------------------------------------------------------------


def test_a_script_goes_by_standard_input_and_options_as_they_are(stubs: Stubs) -> None:
    stubs.answer("sbatch", "42\n")
    options = ['--comment=it\'s a "name"\nwith a newline', "--mem=1M"]
    assert stubs.slurm().submit(Options.of(*options), "#!/bin/bash\necho ünï\n") == "42"
    assert stubs.calls("sbatch")[0][:1] == ["--parsable"]
    assert stubs.folder.joinpath("sbatch.arguments").read_text().split("\0")[1:3] == options
    assert stubs.stdin("sbatch") == "#!/bin/bash\necho ünï\n"


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--array=0-99%5", "--dependency=afterok:3,aftercorr:4"], ["JobId=42_[0-98]", "Nice=0"]),
        (["--array=1,5,7", "--dependency=aftercorr:4", "--nice=7"], ["JobId=42_[1,5]", "Nice=7"]),
        (["--array=1,5", "--dependency=aftercorr:4", "--nice"], ["JobId=42_[1]", "Nice=100"]),
        (["--array=0", "--dependency=aftercorr:4"], None),
        (["--array=0-9", "--dependency=afterok:4"], None),
        (["--dependency=aftercorr:4"], None),
    ],
)
def test_slurm_is_made_to_look_at_each_element_that_waits_for_another(
    stubs: Stubs, options: list[str], changed: list[str] | None
) -> None:
    stubs.answer("sbatch", "42\n")
    stubs.answer("scontrol", err="Unable to contact slurm controller (connect failure)", code=1)
    assert stubs.slurm().submit(Options.of(*options), "") == "42"  # it is in the queue, however that ends
    assert stubs.calls("scontrol") == ([["update", *changed]] if changed else [])


def test_the_queue_is_one_call_for_all_of_the_users_jobs(stubs: Stubs) -> None:
    stubs.answer("squeue", "7|RUNNING|None|0|n1\n8|PENDING|Dependency|0|\n")
    assert [record.job_id for record in stubs.slurm().queue()] == ["7", "8"]
    (call,) = stubs.calls("squeue")
    assert {"--me", "--states=all", "--noheader"} <= set(call)


def test_the_queue_names_each_element_of_an_array_and_asks_slurm_to_leave_none_out(stubs: Stubs) -> None:
    stubs.answer("squeue", "7_2|RUNNING|None|0|n1\n7_[3-4,9%1]|PENDING|JobArrayTaskLimit|0|\n")
    assert [record.job_id for record in stubs.slurm().queue()] == ["7_2", "7_3", "7_4", "7_9"]
    assert "--array" not in stubs.calls("squeue")[0]
    assert stubs.environment("squeue")["SLURM_BITSTR_LEN"] == "0"
    stubs.answer("sbatch", "7\n")
    stubs.slurm().submit(NO_OPTIONS, "")
    assert "SLURM_BITSTR_LEN" not in stubs.environment("sbatch")


def test_find_takes_exact_names_only(stubs: Stubs) -> None:
    stubs.answer("squeue", "7|align.run1.1|(null)\n8|align.run1.11|(null)\n9|train|align.run1.1\n10|other|a|b\n")
    stubs.answer("scontrol", "scontrol: show job\nNo jobs in the system\nscontrol: \n")
    assert set(stubs.slurm().find("align.run1.1")) == {"7", "9"}
    assert stubs.slurm().find("align") == ()


# --- a second source ------------------------------------------------------------------------------------------------

_LINE = (
    "JobId={raw} {array}JobName={name} UserId=me({uid}) GroupId=me(1) Priority=1 Nice=0 Account=(null) QOS=(null) JobState={state} "
    "Reason={reason} Dependency=(null) Requeue=1 ExitCode={ended} RunTime=00:00:00 ReqNodeList=(null) ExcNodeList=(null) "
    "NodeList={node} BatchHost=n1 Comment={comment} StdErr=/x Power= "
)


def shown(raw: str, state: str, *, array: str = "", uid: int | None = None, **more: str) -> str:
    uid = os.getuid() if uid is None else uid
    usual = {"name": "align.run1.1", "comment": "align.run1.1", "reason": "None", "ended": "0:0", "node": "(null)"}
    return _LINE.format(raw=raw, state=state, array=array, uid=uid, **{**usual, **more})


def test_each_job_is_asked_for_by_its_id_in_one_call(stubs: Stubs) -> None:
    answers = [
        "scontrol: show job 7", shown("7", "FAILED", reason="NonZeroExitCode", ended="3:0", node="n1"),
        "scontrol: show job 8",
        shown("8", "PENDING", array="ArrayJobId=8 ArrayTaskId=1-2,7%1 ArrayTaskThrottle=1 ", reason="Resources"),
        shown("9", "RUNNING", array="ArrayJobId=8 ArrayTaskId=0 ", node="n2"),
        "scontrol: show job 10", "scontrol: ", "",
    ]  # fmt: skip
    stubs.answer("scontrol", "\n".join(answers), err="slurm_load_jobs error: Invalid job id specified\n", code=1)
    found = {one.record.job_id: one for one in stubs.slurm().show(["7", "8_1", "8_0", "10"])}
    states = {job_id: (one.record.word, one.record.reason, one.record.node) for job_id, one in found.items()}
    waits = ("PENDING", "Resources", "")
    assert states == {
        "7": ("FAILED", "NonZeroExitCode", "n1"), "8_0": ("RUNNING", "", "n2"), "8_1": waits, "8_2": waits, "8_7": waits,
    }  # fmt: skip
    assert found["7"].record.exit_code == 3
    assert found["7"].name == found["7"].comment == "align.run1.1"
    assert len(stubs.calls("scontrol")) == 1
    assert sorted(stubs.stdin("scontrol").split("\n")) == ["", "show job 10", "show job 7", "show job 8"]


def test_a_scontrol_that_does_not_repeat_the_question_and_warns_is_understood(stubs: Stubs) -> None:
    stubs.answer(
        "scontrol", f"scontrol: {shown('7', 'RUNNING')}\nscontrol: scontrol: ", err="scontrol: warning: old setting\n"
    )
    assert [one.record.word for one in stubs.slurm().show(["7"])] == ["RUNNING"]


def test_the_job_of_another_user_with_that_id_is_none_of_ours(stubs: Stubs) -> None:
    stubs.answer("scontrol", f"scontrol: show job 7\n{shown('7', 'RUNNING', uid=os.getuid() + 1)}\nscontrol: \n")
    assert stubs.slurm().show(["7"]) == ()


@pytest.mark.parametrize(
    ("out", "err", "error"),
    [
        ("", "", SlurmError),
        ("scontrol: show job 7\nscontrol: \n", "", SlurmError),
        ("", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", SlurmUnreachable),
        ("", "slurm_load_jobs error: Access/permission denied\n", SlurmRefused),
    ],
)
def test_no_answer_is_not_the_answer_that_a_job_is_unknown(stubs: Stubs, out: str, err: str, error: type) -> None:
    stubs.answer("scontrol", out, err=err, code=0)
    with pytest.raises(error):
        stubs.slurm().show(["7"])


def test_a_job_that_squeue_leaves_out_is_found_all_the_same(stubs: Stubs) -> None:
    stubs.answer("squeue")
    stubs.answer(
        "scontrol", f"scontrol: show job\n{shown('7', 'RUNNING')}\n{shown('8', 'RUNNING', name='x', comment='y')}\n"
    )
    assert stubs.slurm().find("align.run1.1") == ("7",)
    stubs.answer("scontrol", f"scontrol: show job 7\n{shown('7', 'RUNNING')}\n")
    assert stubs.slurm().runs("7")


def test_elements_that_wait_for_different_reasons_are_asked_for_one_by_one(stubs: Stubs) -> None:
    alone = "7_0|PENDING|Dependency|0|\n7_2|PENDING|DependencyNeverSatisfied|0|"
    together = "7_[0-4:2]|PENDING|Dependency,DependencyNeverSatisfied|0|"
    stubs.answer("squeue", script=f"case $* in *--array*) echo '{alone}';; *) echo '{together}';; esac")
    reasons = {record.job_id: record.reason for record in stubs.slurm().queue()}
    assert reasons == {
        "7_0": "Dependency",
        "7_2": "DependencyNeverSatisfied",
        "7_4": "Dependency,DependencyNeverSatisfied",
    }
    assert len(stubs.calls("squeue")) == 2


def test_an_array_is_found_once_and_named_by_its_elements(stubs: Stubs) -> None:
    stubs.answer("squeue", "7_2|align.1|(null)\n7_[3-4,9%1]|align.1|(null)\n8|align.1|(null)\n")
    assert stubs.slurm().find("align.1") == ("7", "8")
    assert list(stubs.slurm().names()) == ["7_2", "7_3", "7_4", "7_9", "8"]


def test_accounting_is_asked_for_arrays_and_tells_of_elements(stubs: Stubs) -> None:
    lines = [
        "7_0|COMPLETED|None|0:0|n1",
        "7_1|REQUEUED|None|0:0|n1",
        "7_[3-9%2]|PENDING|None|0:0|",
        "7_1|FAILED|None|1:0|n1",
    ]
    stubs.answer("sacct", "\n".join([*lines, "8|CANCELLED by 7|None|0:0|"]))
    records = stubs.slurm().accounting(["7_4", "7_1", "7_2", "8_1", "9"])
    assert {one.job_id: one.word for one in records} == {"7_1": "FAILED", "7_4": "PENDING", "8_1": "CANCELLED by 7"}
    assert "--jobs=7,8,9" in stubs.calls("sacct")[0]


def test_consumption_is_asked_for_arrays_and_told_of_elements(stubs: Stubs) -> None:
    line = "{}|{}|n1|5|10|2|1|100M|cpu=2,mem=100M,node=1|00:04.000|||"
    ids = ("7_0", "7_1", "7_0.batch", "8", "7")
    stubs.answer("sacct", "\n".join(line.format(one, "COMPLETED") for one in ids))
    told = stubs.slurm().consumption(["7_0", "7_5", "9"])
    assert [(one.job_id, one.cores) for one in told] == [("7_0", 2), ("7_5", 2)]  # of 7_5 the array's own line tells
    (call,) = stubs.calls("sacct")
    assert {"--jobs=7,9", "--units=M", "--duplicates", "--parsable2"} <= set(call)
    assert "--allocations" not in call


def test_consumption_is_asked_in_chunks_and_not_at_all_without_accounting(stubs: Stubs) -> None:
    stubs.answer("sacct", "")
    assert stubs.slurm().consumption([str(number) for number in range(1200)]) == ()
    assert len(stubs.calls("sacct")) == 3
    stubs.answer("sacct", err="Slurm accounting storage is disabled\n", code=1)
    slurm = stubs.slurm()
    assert slurm.consumption(["1"]) == slurm.consumption(["2"]) == slurm.accounting(["3"]) == ()
    assert len(stubs.calls("sacct")) == 4


def test_accounting_is_asked_in_chunks(stubs: Stubs) -> None:
    stubs.answer("sacct", "1|COMPLETED|None|0:0|n1\n")
    stubs.slurm().accounting([str(number) for number in range(1200)])
    assert len(stubs.calls("sacct")) == 3


def test_nothing_to_ask_asks_nothing(stubs: Stubs) -> None:
    stubs.answer("sacct")
    stubs.answer("scancel")
    stubs.answer("squeue")
    stubs.slurm().accounting([])
    stubs.slurm().cancel([])
    assert stubs.calls("sacct") == stubs.calls("scancel") == stubs.calls("squeue") == []


def test_of_a_requeued_job_the_last_run_counts(stubs: Stubs) -> None:
    stubs.answer("sacct", "7|REQUEUED|None|0:0|n1\n8|FAILED|None|1:0|n1\n7|COMPLETED|None|0:0|n2\n")
    records = {record.job_id: record.word for record in stubs.slurm().accounting(["7", "8"])}
    assert records == {"7": "COMPLETED", "8": "FAILED"}


def test_cancelling_what_waits_says_so_and_goes_in_chunks(stubs: Stubs) -> None:
    stubs.answer("scancel")
    stubs.answer("squeue", "7 7\n")
    stubs.slurm().cancel([str(number) for number in range(600)], pending_only=True)
    assert len(stubs.calls("scancel")) == 2
    assert all("--state=PENDING" in call for call in stubs.calls("scancel"))
    stubs.slurm().cancel(["7"])
    assert stubs.calls("scancel")[-1] == ["--quiet", "7"]


def test_elements_that_wait_together_are_made_jobs_of_their_own_before_some_are_cancelled(stubs: Stubs) -> None:
    stubs.answer("scancel")
    stubs.answer("scontrol", err="7_3: No error\n7_4: Job has already finished", code=1)
    waiting = ["5 5", "7_1 11", "7_2 7", "7_3 7", "7_4 7", "7_5 7", "7_6 7", "8_0 8", "8_1 8", "9_4 9"]
    stubs.answer("squeue", "\n".join(waiting))
    stubs.slurm().cancel(["7_1", "7_3", "7_4", "7_5", "7_8", "8", "9_4"], pending_only=True)
    changed = [call[1] for call in stubs.calls("scontrol")]
    # 7_8 is not told of: it has ended, or squeue has left it out.
    assert changed == ["JobId=7_[3-4]", "JobId=7_[5,8]", "JobId=8_[0]", "JobId=8_[1]", "JobId=9_[4]"]
    assert stubs.calls("scancel") == [["--quiet", "--state=PENDING", "8", "7_[1,3-5,8]", "9_[4]"]]


def test_a_whole_array_is_cancelled_as_it_is(stubs: Stubs) -> None:
    stubs.answer("scancel")
    stubs.slurm().cancel(["7"])
    assert stubs.calls("scancel") == [["--quiet", "7"]]
    assert stubs.calls("squeue") == stubs.calls("scontrol") == []


def test_an_array_whose_elements_cannot_be_told_apart_is_left_alone(stubs: Stubs) -> None:
    stubs.answer("scancel")
    stubs.answer("squeue", "7_2 7\n7_3 7\n7_4 7\n")
    stubs.answer("scontrol", err="7_[3]: Access/permission denied", code=1)
    with pytest.raises(SlurmRefused):
        stubs.slurm().cancel(["7_3"], pending_only=True)
    assert stubs.calls("scancel") == []


def test_a_cluster_without_accounting_is_asked_once(stubs: Stubs) -> None:
    for path in RECORDED.glob("*/sacct_without_accounting.txt"):
        stubs.answer("sacct", err=path.read_text(), code=1)
    slurm = stubs.slurm()
    assert slurm.accounting(["7"]) == ()
    assert slurm.accounting(["7"]) == ()
    assert len(stubs.calls("sacct")) == 1


def test_a_cluster_without_the_program_sacct_has_no_accounting(stubs: Stubs, tmp_path: Path) -> None:
    assert SlurmCommands(extra_environment={"PATH": str(tmp_path)}).accounting(["7"]) == ()


def test_questions_go_to_one_program_and_a_refused_one_takes_no_answer_from_the_others(stubs: Stubs) -> None:
    stubs.answer("scontrol", "MaxArraySize = 1001\n", err="Access/permission denied", code=1)
    assert stubs.slurm().tell("scontrol", ["show config", "show partition"]) == "MaxArraySize = 1001\n"
    assert stubs.stdin("scontrol") == "show config\nshow partition\n"


# --- what answers mean ----------------------------------------------------------------------------------------------

BUSY = [
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode",
    "sbatch: error: Batch job submission failed: Communication connection failure",
    "sbatch: error: Batch job submission failed: Communication shutdown failure",
    "sbatch: error: Batch job submission failed: Transport endpoint is not connected",
    "sbatch: error: slurm_receive_msg: Connection reset by peer",
    "sbatch: error: Batch job submission failed: Connection refused",
    "sbatch: error: Batch job submission failed: Message receive failure",
    "sbatch: error: Batch job submission failed: Message send failure",
    "sbatch: error: Batch job submission failed: Unable to create job record, try again",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    *[path.read_text() for path in sorted(RECORDED.glob("*/*_without_controller.txt"))],
]

REFUSED = [
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, …)",
    "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
    "sbatch: error: Batch job submission failed: User's group not permitted to use this partition",
    "sbatch: error: invalid partition specified: nope\nsbatch: error: Invalid partition name specified",
    "",
    *[path.read_text() for path in sorted(RECORDED.glob("*/sbatch_refused_*.txt"))],
]


@pytest.mark.parametrize("answer", BUSY)
def test_a_controller_that_does_not_answer_is_unreachable(stubs: Stubs, answer: str) -> None:
    stubs.answer("sbatch", err=answer, code=1)
    with pytest.raises(SlurmUnreachable):
        stubs.slurm().submit(NO_OPTIONS, "")


@pytest.mark.parametrize("answer", REFUSED)
def test_what_waiting_does_not_change_is_refused_in_slurms_words(stubs: Stubs, answer: str) -> None:
    stubs.answer("sbatch", err=answer, code=1)
    with pytest.raises(SlurmRefused) as caught:
        stubs.slurm().submit(Options.of("--mem=1M"), "")
    assert caught.value.answer == answer.strip()
    assert (caught.value.code, caught.value.argv) == (1, ("sbatch", "--parsable", "--mem=1M"))


NOT_TAKEN = ("connect failure", "Connection refused", "temporarily unable", "try again", "standby", "unavailable")


@pytest.mark.parametrize("answer", BUSY)
def test_whether_a_request_may_have_been_carried_out_is_said(stubs: Stubs, answer: str) -> None:
    stubs.answer("sbatch", err=answer, code=1)
    with pytest.raises(SlurmUnreachable) as caught:
        stubs.slurm().submit(NO_OPTIONS, "")
    assert caught.value.in_doubt != any(words in answer for words in NOT_TAKEN)


def test_a_program_that_is_not_there_is_a_missing_slurm(tmp_path: Path) -> None:
    slurm = SlurmCommands(extra_environment={"PATH": str(tmp_path)})
    with pytest.raises(SlurmMissing, match="'sbatch' was not found"):
        slurm.submit(NO_OPTIONS, "")


def test_a_program_that_finds_no_configuration_is_a_missing_slurm(stubs: Stubs) -> None:
    err = "squeue: error: resolve_ctls_from_dns_srv: res_nsearch error\nsqueue: error: fetch_config: DNS SRV lookup "
    err += "failed\nsqueue: fatal: Could not establish a configuration source"
    stubs.answer("squeue", err=err, code=1)
    with pytest.raises(SlurmMissing, match="SLURM_CONF"):
        stubs.slurm().queue()


def test_a_command_that_hangs_is_unreachable_after_the_timeout(stubs: Stubs) -> None:
    stubs.answer("sbatch", script="exec sleep 30")
    with pytest.raises(SlurmUnreachable, match="sbatch did not answer within 0 s"):
        stubs.slurm(timeout=0.2).submit(NO_OPTIONS, "")


@pytest.mark.parametrize("ends", ["kill -9 $$", "exit 137"], ids=["itself", "in a wrapper"])
def test_a_command_that_is_killed_may_have_done_its_work(stubs: Stubs, ends: str) -> None:
    stubs.answer("sbatch", script=ends)
    with pytest.raises(SlurmUnreachable, match="sbatch was killed by signal 9") as caught:
        stubs.slurm().submit(NO_OPTIONS, "")
    assert caught.value.in_doubt


def test_an_sbatch_that_says_nothing_has_not_said_that_it_succeeded(stubs: Stubs) -> None:
    stubs.answer("sbatch", "\n")
    with pytest.raises(SlurmRefused) as caught:
        stubs.slurm().submit(NO_OPTIONS, "")
    assert caught.value.answer == ""


def test_a_program_that_cannot_be_started_is_an_error(stubs: Stubs) -> None:
    (stubs.folder / "sbatch").write_bytes(b"\x7fELF no program at all")
    (stubs.folder / "sbatch").chmod(0o755)
    with pytest.raises(SlurmError, match="could not be started"):
        stubs.slurm(PATH=str(stubs.folder)).submit(NO_OPTIONS, "")


def test_scancel_that_cannot_reach_the_controller_is_noticed_although_it_answers_0(stubs: Stubs) -> None:
    stubs.answer("scancel", err="scancel: error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(SlurmUnreachable):
        stubs.slurm().cancel(["7"])


def test_scancel_of_a_job_that_is_gone_is_no_error(stubs: Stubs) -> None:
    stubs.answer("scancel", err="scancel: error: Kill job error on job id 7: Invalid job id specified")
    stubs.slurm().cancel(["7"])
    stubs.answer("scancel", code=1)
    stubs.answer("squeue")
    stubs.slurm().cancel(["7", "7_2"], pending_only=True)


def test_scancel_that_may_not_cancel_is_refused(stubs: Stubs) -> None:
    stubs.answer("scancel", err="scancel: error: Kill job error on job id 7: Access/permission denied", code=1)
    with pytest.raises(SlurmRefused):
        stubs.slurm().cancel(["7"])


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "RUNNING", "PENDING"])
def test_whatever_scancel_says_it_counts_what_has_become_of_the_job(stubs: Stubs, state: str) -> None:
    stubs.answer("scancel", err="scancel: warning: Unable to contact the weather service, try again")
    stubs.answer("squeue", f"7|{state}|None|0|n1\n")
    slurm = stubs.slurm()
    if state in ("RUNNING", "PENDING"):
        with pytest.raises(SlurmError, match="weather service"):
            slurm.cancel(["7"])
    else:
        slurm.cancel(["7"])


def test_bytes_that_are_no_text_do_not_break_the_answer(stubs: Stubs) -> None:
    stubs.answer("squeue", script="printf '7|RUNNING|\\xff\\xfe|0|n1\\n'")
    assert [record.job_id for record in stubs.slurm().queue()] == ["7"]


# --- the environment ------------------------------------------------------------------------------------------------


def test_a_job_gets_this_processs_environment_and_what_is_given_beside(
    stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    monkeypatch.setenv("SECRET_OF_THE_SITE", "a\nb")
    stubs.answer("sbatch", "7\n")
    stubs.slurm(DECLARED="yes").submit(NO_OPTIONS, "")
    environment = stubs.environment("sbatch")
    assert environment["SECRET_OF_THE_SITE"] == "a\nb"
    assert environment["DECLARED"] == "yes"
    assert "SLURM_JOB_ID" not in environment


# --- another cluster of the site ------------------------------------------------------------------------------------


def test_every_question_and_every_job_goes_to_the_cluster_that_is_named(stubs: Stubs) -> None:
    stubs.site()
    for command, out in {"sbatch": "42;fasse\n", "squeue": "", "sacct": "", "scancel": ""}.items():
        stubs.answer(command, out)
    slurm = stubs.slurm(cluster="fasse", SLURM_CLUSTERS="fasse", SBATCH_CLUSTERS="fasse")
    assert slurm.submit(Options.of("--clusters=fasse", "--mem=1M"), "#!/bin/bash\n") == "42"
    slurm.queue()
    slurm.accounting(["42"])
    slurm.cancel(["42"])
    slurm.depend("42", "afterok:7")
    slurm.tell("scontrol", ["show partition"])
    slurm.keep_off("42", "n1", Options.of("--clusters=fasse"))
    for command in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
        first, *calls = stubs.calls(command)
        calls = calls if command == "scontrol" else [first, *calls]  # its first question is which cluster is here
        assert calls
        assert all(call[0] == "--clusters=fasse" and call.count("--clusters=fasse") == 1 for call in calls), command
        assert not {"SLURM_CLUSTERS", "SBATCH_CLUSTERS"} & stubs.environment(command).keys()
    slurm.tell("sacctmgr", ["show qos"])
    assert stubs.calls("sacctmgr")[-1] == ["--noheader", "--parsable2"]
    assert slurm.where == " --clusters=fasse"


@pytest.mark.parametrize("name", ["", "cannon", "Cannon"])
def test_the_cluster_of_this_machine_is_asked_without_slurmdbd(stubs: Stubs, name: str) -> None:
    stubs.site("accounting_storage/none")
    stubs.answer("squeue")
    slurm = stubs.slurm(cluster=name)
    slurm.queue()
    assert not any("clusters" in word for word in stubs.calls("squeue")[0])
    assert stubs.calls("sacctmgr") == []
    assert slurm.where == ""


@pytest.mark.parametrize("name", ["nowhere", "fasse,cannon"])
def test_an_unknown_cluster_is_refused_with_those_that_there_are(stubs: Stubs, name: str) -> None:
    stubs.site()
    with pytest.raises(UnknownCluster, match=f"Cluster {name} cannot be asked from here. Known here: cannon, fasse"):
        stubs.slurm(cluster=name).queue()


def test_without_slurmdbd_only_the_cluster_of_this_machine_is_known(stubs: Stubs) -> None:
    stubs.site("accounting_storage/none")
    with pytest.raises(UnknownCluster, match=r"Known here: cannon\."):
        stubs.slurm(cluster="fasse").queue()


def test_the_other_cluster_is_asked_while_the_controller_of_this_one_is_away(stubs: Stubs) -> None:
    stubs.site()
    stubs.answer("scontrol", err="Unable to contact slurm controller (connect failure)", code=1)
    stubs.answer("squeue")
    stubs.slurm(cluster="fasse").queue()
    assert stubs.calls("squeue")[0][0] == "--clusters=fasse"


@pytest.mark.parametrize(
    "answer",
    [
        "sbatch: error: 'fasse' can't be reached now, or it is an invalid entry for --cluster.",
        "sbatch: error: DBD_GET_CLUSTERS failure: Connection refused\nsbatch: error: Problem talking to database",
    ],
)
def test_where_slurmdbd_or_the_other_controller_is_away_nothing_was_submitted_yet(stubs: Stubs, answer: str) -> None:
    stubs.site()
    stubs.answer("sbatch", err=answer, code=1)
    with pytest.raises(SlurmUnreachable) as caught:
        stubs.slurm(cluster="fasse").submit(NO_OPTIONS, "")
    assert not caught.value.in_doubt


def test_without_slurmdbd_the_cluster_of_this_machine_is_known_again_when_its_controller_is_back(stubs: Stubs) -> None:
    """A run names its cluster, and most runs are on that of this machine."""
    stubs.answer("squeue")
    stubs.answer("scontrol", err="Unable to contact slurm controller (connect failure)", code=1)
    stubs.answer("sacctmgr", err="You are not running a supported accounting_storage plugin", code=1)
    slurm = stubs.slurm(cluster="cannon")
    with pytest.raises(SlurmUnreachable):
        slurm.queue()
    stubs.site("accounting_storage/none")
    assert slurm.queue() == ()
    assert not any("clusters" in word for word in stubs.calls("squeue")[0])


def test_a_cluster_that_could_not_be_looked_up_is_looked_up_again(stubs: Stubs) -> None:
    stubs.site()
    stubs.answer("squeue")
    stubs.answer("sacctmgr", err="sacctmgr: error: Problem talking to the database: Connection refused", code=1)
    slurm = stubs.slurm(cluster="fasse")
    with pytest.raises(SlurmUnreachable):
        slurm.queue()
    stubs.answer("sacctmgr", "cannon\nfasse\n")
    assert slurm.queue() == ()
