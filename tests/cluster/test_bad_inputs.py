"""What a user gets wrong, or the machine: a message that says what to do, a non-zero exit code, an empty queue."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from comparison import Outcome, run_snakemake
from head import (
    SMALL,
    UNTIL_GO,
    Head,
    arguments,
    assert_settled,
    ended,
    ends,
    go,
    of_rule,
    queued,
    run,
    written,
)
from snakefiles import Code, rule, snakefile

from snakemake_executor_plugin_kempner.sandbox import Sandbox

ONE_RULE = """
rule make:
    output:
        "made.txt",
    shell:
        "touch {output}"
"""
AWKWARD = """it's a "quote", = 100%\nand $HOME; a `new` line"""
"""A value that Snakemake itself takes: quotes, spaces, a comma and a line break."""


def one_rule_with(line: str) -> str:
    """A rule with one resource."""
    return ONE_RULE.replace("    shell:", f"    resources:\n        {line},\n    shell:")


def assert_refused(outcome: Outcome, slurm: Sandbox, folder: Path, *words: str) -> None:
    """It failed, said so in these words, and left no job; nor did it show the user a stack of Python calls."""
    assert outcome.exit_code != 0, outcome.output
    missing = [word for word in words if word not in outcome.output]
    assert not missing, f"it did not say {missing}, but:\n{outcome.output}"
    assert "Traceback" not in outcome.output, outcome.output
    assert "COMPLETED" not in ends(slurm, folder).values()


# --- no Slurm -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(Path(sys.executable).with_name("sbatch").exists(), reason="sbatch lies beside this Python")
def test_a_machine_without_slurm_is_told_from_a_login_node(tmp_path: Path) -> None:
    """PATH has no sbatch: the answer names the two ways out, a login node and the sandbox."""
    folder = written(tmp_path / "run", ONE_RULE)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to(str(shutil.which("bash")))
    outcome = _without_slurm(folder, {"PATH": str(programs)})
    _assert_no_slurm(outcome, "'sbatch' was not found")


@pytest.mark.skipif(Path("/etc/slurm/slurm.conf").exists(), reason="this machine has a Slurm of its own")
def test_slurm_without_a_configuration_is_no_slurm(slurm: Sandbox, tmp_path: Path) -> None:
    """The programs are there, but SLURM_CONF is not set and nothing else says where the controller is."""
    folder = written(tmp_path / "run", ONE_RULE)
    environment = {name: value for name, value in slurm.environment.items() if name != "SLURM_CONF"}
    _assert_no_slurm(_without_slurm(folder, environment), "SLURM_CONF")


def test_a_configuration_file_that_is_not_there_is_no_slurm(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ONE_RULE)
    environment = {**slurm.environment, "SLURM_CONF": str(tmp_path / "nowhere.conf")}
    _assert_no_slurm(_without_slurm(folder, environment), "SLURM_CONF")


def _without_slurm(folder: Path, environment: dict[str, str]) -> Outcome:
    return run_snakemake(folder, arguments(), environment)


def _assert_no_slurm(outcome: Outcome, reason: str) -> None:
    assert outcome.exit_code != 0, outcome.output
    for words in ("Slurm is not available here", reason, "login node", "sandbox up"):
        assert words in outcome.output, outcome.output
    assert "Traceback" not in outcome.output, outcome.output


# --- refused before or by sbatch ------------------------------------------------------------------------------------


def test_without_jobs_snakemake_says_what_is_missing(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ONE_RULE)
    outcome = run_snakemake(folder, ("--executor", "kempner", "--nocolor"), slurm.environment)
    assert_refused(outcome, slurm, folder, "--jobs")


def test_threads_that_are_a_share_of_all_cores_need_their_number(slurm: Sandbox, tmp_path: Path) -> None:
    """A cluster has no number of cores of its own; with --cores, a rule that takes them all asks Slurm for so many."""
    folder = written(tmp_path / "run", ONE_RULE.replace("    shell:", "    threads: workflow.cores\n    shell:"))
    assert_refused(run(slurm, folder), slurm, folder, "requires a total number of cores", "--cores N")
    shown = run(slurm, folder, "--cores", "6", "--kempner-preview")
    assert "--cpus-per-task=6" in shown.output
    assert_refused(run(slurm, folder, "--cores", "500"), slurm, folder, "make: 500 cores of one node", "has 64")


def test_a_group_that_is_wider_than_a_node_is_refused_with_the_option_that_narrows_it(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """No rule asks for 80 threads: Snakemake adds up what a group can run side by side."""
    rules = "".join(
        f'rule {name}:\n    output: "{name}.txt"\n    group: "both"\n    threads: 40\n    shell: "touch {{output}}"\n'
        for name in ("left", "right")
    )
    join = 'rule join:\n    input: "left.txt", "right.txt"\n    output: "join.txt"\n    group: "both"\n    shell: "touch {output}"\n'
    folder = written(tmp_path / "run", join + rules)
    assert_refused(run(slurm, folder), slurm, folder, "80 cores of one node", "has 64", "--cores 64")
    assert "--cpus-per-task=40" in run(slurm, folder, "--cores", "64", "--kempner-preview").output


def test_a_run_that_nobody_watches_has_to_record_what_it_has_made(slurm: Sandbox, tmp_path: Path) -> None:
    folder = written(tmp_path / "run", ONE_RULE)
    storage = ("--default-storage-provider", "fs", "--default-storage-prefix", "store", "--shared-fs-usage", "none")
    outcome = run(slurm, folder, "--kempner-detach", *storage)
    assert_refused(
        outcome, slurm, folder, "--kempner-detach, and --shared-fs-usage without persistence", "add persistence"
    )


UNCHECKED = ("--kempner-checks", "off")
"""Then sbatch is asked at once."""


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ('slurm_partition="no_such"', ("make", "partition no_such does not exist", "there are kempner")),
        ("mem_mb=900_000_000", ("make", "878906 GB of memory of one node", "the default partition has 488 GB [Slurm]")),
        ("cpus_per_task=500", ("make", "500 cores of one node, and a node of the default partition has 64 [Slurm]")),
        ('slurm_partition="kempner", gpu=1, gpu_model="abacus"', ("make", "1 abacus GPU asked for", "which has a100")),
        ('gres="fpga:1"', ("make", "--gres=fpga:1", "does not know the device")),
        ('slurm_extra="--no-such-option"', ("make", "--no-such-option")),
        ('gpu="two"', ("make", "gpu='two'", "takes a number of GPUs")),
        ('runtime="next week"', ("runtime", "next week")),
        ('slurm_extra="--dependency=afterok:1"', ("make", "slurm_extra", "--dependency", "the plugin sets itself")),
    ],
    ids=["partition", "memory", "cores", "model", "device", "option", "gpu", "runtime", "dependency"],
)
def test_a_resource_that_cannot_be_had_is_named(
    slurm: Sandbox, tmp_path: Path, resource: str, words: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "run", one_rule_with(resource))
    assert_refused(run(slurm, folder), slurm, folder, *words)


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ('slurm_partition="no_such"', ("make", "invalid partition", "--partition=no_such", "sinfo")),
        ("mem_mb=900_000_000", ("make", "--mem=900000000M", "no node")),
        ('slurm_partition="kempner", gpu=1, gpu_model="abacus"', ("make", "--gres=gpu:abacus:1", "no node")),
    ],
    ids=["partition", "memory", "model"],
)
def test_what_no_check_has_found_is_refused_by_sbatch_and_named(
    slurm: Sandbox, tmp_path: Path, resource: str, words: tuple[str, ...]
) -> None:
    folder = written(tmp_path / "run", one_rule_with(resource))
    assert_refused(run(slurm, folder, *UNCHECKED), slurm, folder, *words)


def test_a_task_that_no_node_can_ever_run_is_pointed_out(slurm: Sandbox, tmp_path: Path) -> None:
    """Slurm takes such a job into the queue and lets it wait for ever; only its reason tells."""
    folder = written(tmp_path / "run", ONE_RULE.replace("    shell:", "    threads: 500\n    shell:"))
    with Head(slurm, folder, *UNCHECKED) as head:
        head.until(lambda: not head.lives or "PartitionConfig" in head.said)
        assert "PartitionConfig" in head.said or "no node" in head.said, head.said


def test_an_account_that_is_refused_is_named_with_the_way_to_find_the_right_one(
    private_slurm: Callable[..., Sandbox], tmp_path: Path
) -> None:
    slurm = private_slurm(accounting=True, accounting_enforce="associations", nodes=SMALL)
    folder = written(tmp_path / "run", one_rule_with('slurm_account="another_lab"'))
    outcome = run(slurm, folder, *UNCHECKED)
    assert_refused(outcome, slurm, folder, "make", "Invalid account", "--account=another_lab", "slurm_account=NAME")
    assert_refused(run(slurm, folder), slurm, folder, "make", "account another_lab is not one of yours", "yours are")


def test_when_a_later_task_is_refused_those_before_it_leave_the_queue(slurm: Sandbox, tmp_path: Path) -> None:
    """All of a plan or nothing of it."""
    folder = written(
        tmp_path / "run",
        snakefile(
            rule("last", "first.txt", shell="touch {output}", resources={"slurm_partition": "no_such"}),
            rule("first", shell="sleep 60; touch {output}"),
        ),
    )
    with Head(slurm, folder, *UNCHECKED) as head:
        outcome = Outcome(exit_code=head.end(), output=head.said)
        ended(slurm, folder)
    assert_refused(outcome, slurm, folder, "last", "--partition=no_such", "Nothing of this plan was left in the queue")


def test_faults_in_several_rules_are_reported_together_before_anything_is_submitted(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """One round of mending, not one per fault; the task without a fault is not submitted either."""
    folder = written(
        tmp_path / "run",
        snakefile(
            rule("sink", Code('expand("{name}.txt", name=["good", "gpu", "pair", "extra"])'), output=(), shell=""),
            rule("good", shell="touch {output}"),
            rule("by_gpu", output="gpu.txt", shell="touch {output}", resources={"gpu": "two"}),
            rule("by_pair", output="pair.txt", shell="touch {output}", resources={"gpu": 1, "gres": "gpu:1"}),
            rule("by_extra", output="extra.txt", shell="touch {output}", resources={"slurm_extra": "--job-name=mine"}),
        ),
    )
    outcome = run(slurm, folder)
    words = ("3 faults found before anything was submitted", "by_gpu: ", "by_pair: ", "by_extra: ")
    assert_refused(outcome, slurm, folder, *words)
    assert queued(slurm, folder) == []


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_wildcard_may_hold_whatever_snakemake_takes(slurm: Sandbox, tmp_path: Path) -> None:
    """Quotes, a comma, a line break: neither sbatch nor the job's own command line may trip over them."""
    folder = written(
        tmp_path / "run",
        f"""
        NAME = {AWKWARD!r}

        rule all:
            input:
                f"{{NAME}}.second",

        rule second:
            input:
                "{{name}}.first",
            output:
                "{{name}}.second",
            wildcard_constraints:
                name="(.|\\n)+",
            shell:
                "cp {{input:q}} {{output:q}}"

        rule first:
            output:
                "{{name}}.first",
            wildcard_constraints:
                name="(.|\\n)+",
            shell:
                "printf %s {{wildcards.name:q}} > {{output:q}}"
        """,
    )
    local = run_snakemake(folder, ("--cores", "1", "--dry-run"), os.environ)
    assert local.exit_code == 0, f"Snakemake itself refuses it:\n{local.output}"
    outcome = run(slurm, folder)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / f"{AWKWARD}.second").read_text() == AWKWARD
    assert_settled(slurm, folder)


def test_a_rule_may_have_a_name_of_two_hundred_characters(slurm: Sandbox, tmp_path: Path) -> None:
    """Longer than squeue shows, and with its wildcards longer than a file name may be."""
    value = "".join(
        map(str, range(100, 166))
    )  # no part of it repeats itself, which Snakemake takes for an endless loop
    rule = ONE_RULE.replace("make", "r" * 200).replace("made.txt", "{value}")
    folder = written(tmp_path / "run", rule)
    outcome = run(slurm, folder, value)
    assert outcome.exit_code == 0, outcome.output
    assert (folder / value).exists()


# --- a Snakefile that fails in the job only -------------------------------------------------------------------------


def test_an_error_of_the_snakefile_inside_the_job_is_shown_by_the_head(slurm: Sandbox, tmp_path: Path) -> None:
    unless_on_a_node = """
import os
if "SLURM_JOB_ID" in os.environ:
    raise ValueError("this workflow must not be read on a node")
"""
    folder = written(tmp_path / "run", unless_on_a_node + ONE_RULE)
    outcome = run(slurm, folder)
    words = ("make failed", "exit code 1", "this workflow must not be read on a node")
    assert outcome.exit_code == 1, outcome.output
    assert all(word in outcome.output for word in words), outcome.output
    assert ends(slurm, folder) == {"make": "FAILED"}


def test_a_rule_that_the_job_does_not_find_is_named(slurm: Sandbox, tmp_path: Path) -> None:
    """A Snakefile that depends on where it is read, here on the head's own command line."""
    folder = written(
        tmp_path / "run",
        """
        import sys

        rule other:
            output:
                "other.txt",
            shell:
                "touch {output}"

        if "--jobs" in sys.argv:
            rule make:
                output:
                    "made.txt",
                shell:
                    "touch {output}"
        """,
    )
    outcome = run(slurm, folder, "make")
    assert outcome.exit_code == 1, outcome.output
    assert "make failed" in outcome.output, outcome.output
    assert "There is no rule named make" in outcome.output or "make is not in the Snakefile" in outcome.output, (
        outcome.output
    )


# --- disks ----------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A folder on a disk of this size; skips the test where nobody may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "kempner-test", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True, timeout=30).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True, timeout=30)


def fill(disk: Path) -> None:
    """Write to a disk until nothing more fits."""
    with (disk / "filling").open("wb") as filling:
        command = ("head", "-c", "1000000", "/dev/zero")
        subprocess.run(command, stdout=filling, stderr=subprocess.DEVNULL, check=False, timeout=30)


FAN_OUT = f"""
rule all:
    input:
        expand("{{n}}.txt", n=range(12)),


rule each:
    input:
        "source.txt",
    output:
        "{{n}}.txt",
    shell:
        "touch {{output}}"


rule source:
    output:
        "source.txt",
    shell:
        "{UNTIL_GO}; touch {{output}}"
"""


@pytest.mark.parametrize("kilobytes", [4, 8], ids=["at the start", "in the midst of the submissions"])
def test_a_disk_too_full_for_the_record_leaves_no_job_behind(slurm: Sandbox, tmp_path: Path, kilobytes: int) -> None:
    """A job that cannot be recorded is not submitted, and those before it leave the queue."""
    folder = written(tmp_path / "run", FAN_OUT)
    with small_disk(folder / ".snakemake" / "kempner", kilobytes), Head(slurm, folder) as head:
        outcome = Outcome(exit_code=head.end(), output=head.said)
        ended(slurm, folder)
    assert_refused(outcome, slurm, folder, "No space left on device", str(folder / ".snakemake" / "kempner"))


def test_a_disk_that_fills_up_while_jobs_run_ends_with_a_message(slurm: Sandbox, tmp_path: Path) -> None:
    """The running task fails, because its log cannot be written, and those behind it leave the queue."""
    folder = written(tmp_path / "run", FAN_OUT)
    with small_disk(folder / ".snakemake" / "kempner", 400) as disk, Head(slurm, folder) as head:
        head.until(lambda: [one.state for one in of_rule(queued(slurm, folder), "source")] == ["RUNNING"])
        head.until(lambda: "is Slurm job" in head.said)
        fill(disk)
        go(folder)
        outcome = Outcome(exit_code=head.end(), output=head.said)
        ended(slurm, folder)
    assert_refused(outcome, slurm, folder, "source failed")


def test_a_record_that_cannot_be_written_any_more_does_not_stop_what_runs(slurm: Sandbox, tmp_path: Path) -> None:
    """Nothing is submitted at that point: whoever waits for a long training is told, and goes on waiting."""
    folder = written(tmp_path / "run", FAN_OUT.replace("range(12)", "range(1)"))
    with Head(slurm, folder) as head:
        head.until(lambda: [one.state for one in of_rule(queued(slurm, folder), "source")] == ["RUNNING"])
        head.until(lambda: "is Slurm job" in head.said)
        (ledger,) = folder.glob(".snakemake/kempner/[0-9a-f]*/ledger.jsonl")
        ledger.rename(ledger.with_suffix(".away"))
        ledger.mkdir()  # even root cannot write to it
        go(folder)
        code = head.end()
    assert code == 0, head.said
    assert f"cannot be written to {ledger}" in head.said
    assert "Traceback" not in head.said, head.said
    assert (folder / "0.txt").exists()


def test_an_output_that_does_not_fit_on_the_disk_fails_its_task(slurm: Sandbox, tmp_path: Path) -> None:
    """The words of the job's own log reach the user."""
    folder = written(
        tmp_path / "run",
        snakefile(
            rule("after", "full/big.bin", shell="touch {output}"),
            rule("big", output="full/big.bin", shell="head -c 1000000 /dev/zero > {output}"),
        ),
    )
    with small_disk(folder / "full", 100) as disk:
        (disk / "other").touch()  # Snakemake removes a folder that it has emptied, and cannot remove a mounted one
        outcome = run(slurm, folder)
        assert_refused(outcome, slurm, folder, "big failed", "No space left on device")
        assert ends(slurm, folder) == {"big": "FAILED", "after": "CANCELLED"}


def test_a_workflow_on_a_full_disk_ends_with_a_message(slurm: Sandbox, tmp_path: Path) -> None:
    """Snakemake's own notes do not fit either."""
    with small_disk(tmp_path / "disk", 64) as disk:
        folder = written(disk / "run", ONE_RULE)
        fill(disk)
        outcome = run(slurm, folder)
        assert outcome.exit_code != 0, outcome.output
        assert "No space left on device" in outcome.output, outcome.output
        assert queued(slurm, folder) == []


def test_a_folder_that_cannot_be_made_for_the_logs_is_named(slurm: Sandbox, tmp_path: Path) -> None:
    """Here a plain file is in its place; a folder without write permission is refused alike."""
    folder = written(tmp_path / "run", ONE_RULE)
    (folder / ".snakemake").mkdir()
    (folder / ".snakemake" / "kempner").write_text("")
    outcome = run(slurm, folder)
    assert_refused(outcome, slurm, folder, str(folder / ".snakemake" / "kempner"), "cannot be made", "Not a directory")
    assert queued(slurm, folder) == []
