"""A job that Slurm puts back into the queue goes on as the same job, and what it has noted down is still there."""

import time
from pathlib import Path
from typing import Protocol

import pytest
from behaviour import assert_nothing_is_left, moments, states, submitted, with_behaviour
from head import Head, start_again
from snakefiles import rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

GPU_NODE = Node(name="n1", cpus=8, memory_mb=16_000, gpu="a100", gpus=1)


class StartSlurm(Protocol):
    def __call__(self, *, nodes: tuple[Node, ...]) -> Sandbox: ...


def shown(slurm: Sandbox, job_id: str, what: str) -> str:
    return slurm.run("squeue", "-h", "-t", "all", "-o", what, "-j", job_id).strip()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- put back -------------------------------------------------------------------------------------------------------

PUT_BACK = """
rule all:
    input:
        "report.txt",
        "tell.txt",
        "watch.txt",

rule train:
    output:
        "train.txt",
    shell:
        "trap 'echo $SLURM_JOB_ID >> asked-to-end; exit 143' TERM;"
        " echo $SLURM_JOB_ID >> train.runs;"
        " until [ -e go ]; do sleep 0.1; done; touch {output}"

rule report:
    input:
        "train.txt",
    output:
        "report.txt",
    shell:
        "./behave report && touch {output}"

rule tell:
    output:
        "tell.txt",
    resources:
        slurm_dependency="afternotok:train",
    shell:
        "./behave tell && touch {output}"

rule watch:
    output:
        "watch.txt",
    resources:
        slurm_dependency="after:train",
    shell:
        "./behave watch && touch {output}"
"""


@pytest.mark.parametrize("dies", [False, True], ids=["head lives", "head is dead"])
def test_what_waits_for_a_job_that_is_put_back_goes_on_waiting(slurm: Sandbox, tmp_path: Path, *, dies: bool) -> None:
    """Without --keep-going, too: the end of its first run is no failure."""
    folder = with_behaviour(tmp_path / "run", PUT_BACK)
    with Head(slurm, folder) as head:
        head.until(
            lambda: "Queued" in head.said and lines(folder / "train.runs") and "watch" in moments(folder, "ended")
        )
        train = submitted(folder)["train"].job_id
        head.until(lambda: "(Rule: watch)" in head.said and "train runs on" in head.said)
        if dies:
            head.kill()
        slurm.run("scontrol", "requeue", train)
        head.until(lambda: shown(slurm, train, "%T") == "PENDING")
        time.sleep(3)  # for Slurm to start what would not wait
        now = states(slurm, folder)
        assert (now["report"], now["tell"]) == ("PENDING", "PENDING")
        if not dies:
            head.until(lambda: f"train (Slurm job {train}) was requeued" in head.said)
        (folder / "go").touch()
        start_again(slurm, head, train)
        if not dies:
            assert head.end() == 0, head.said
            assert "failed" not in head.said
            assert "tell was not needed" in head.said
        assert_nothing_is_left(slurm, folder)
        assert states(slurm, folder) == {
            "train": "COMPLETED",
            "report": "COMPLETED",
            "watch": "COMPLETED",
            "tell": "CANCELLED",
        }
    assert set(lines(folder / "asked-to-end")) == {train}  # by Slurm, and by the step that passes on what it is told
    assert lines(folder / "train.runs") == [train, train]


# --- a training that resumes ----------------------------------------------------------------------------------------

TRAINING = snakefile(
    wanted("report.txt"),
    rule(
        "train",
        output="model.txt",
        shell="./train {output}",
        retries=1,
        resources={"slurm_partition": "kempner_requeue", "gpu": 1},
    ),
    rule("report", "model.txt", shell="cp {input} {output}", resources={"slurm_partition": "shared"}),
)

TRAIN = """\
#!/bin/bash
# Six steps, each noted when it is done. It hangs in the third and the fifth until it is killed there.
steps=$KEMPNER_CHECKPOINT_DIR/steps
trap 'echo $SLURM_JOB_ID >> asked-to-end; exit 143' TERM
echo "$SLURM_JOB_ID $KEMPNER_CHECKPOINT_DIR" >> runs
echo $$ > train.pid
touch "$steps"
for ((step = $(wc -l < "$steps") + 1; step <= 6; step++)); do
    if [ $step = 3 ] || [ $step = 5 ]; then
        echo $step > hangs-in
        until [ -e killed-in-$step ]; do sleep 0.1; done
    fi
    echo $step >> "$steps"
done
cp "$steps" "$1"
"""


def test_a_training_that_is_preempted_and_then_killed_makes_each_step_once(
    private_slurm: StartSlurm, tmp_path: Path
) -> None:
    """The folder of its notes is the same after it was put back and in its next attempt, and is gone at the end."""
    slurm = private_slurm(nodes=(GPU_NODE,))
    folder = with_behaviour(tmp_path / "run", TRAINING)
    script = folder / "train"
    script.write_text(TRAIN)
    script.chmod(0o755)
    with Head(slurm, folder) as head:
        head.until(lambda: "train runs on" in head.said and lines(folder / "hangs-in") == ["3"])
        first, second = (submitted(folder)[name].job_id for name in ("train", "train#2"))

        urgent = ("sbatch", "--parsable", "-p", "kempner", "--gres=gpu:1", "--mem=50", "-o", "/dev/null", "-D", "/")
        slurm.run(*urgent, stdin="#!/bin/bash\nsleep 1\n")
        head.until(lambda: shown(slurm, first, "%T") == "PENDING")
        (folder / "killed-in-3").touch()
        head.until(lambda: f"train (Slurm job {first}) was requeued" in head.said)
        assert "failed" not in head.said
        start_again(slurm, head, first)

        head.until(lambda: lines(folder / "hangs-in") == ["5"])
        (folder / "killed-in-5").touch()
        slurm.run("kill", "-KILL", *lines(folder / "train.pid"))
        assert head.end() == 0, head.said
        assert_nothing_is_left(slurm, folder)

    jobs, notes = zip(*(line.split() for line in lines(folder / "runs")), strict=True)
    assert jobs == (first, first, second)
    assert len(set(notes)) == 1
    assert (folder / "report.txt").read_text() == "1\n2\n3\n4\n5\n6\n"
    assert set(lines(folder / "asked-to-end")) == {first}
    assert not Path(notes[0]).exists()
    assert "Attempt 1 of train failed" in head.said
