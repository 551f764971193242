"""A training that takes longer than a job may goes on in the next job until it is done, and each of its steps is made once."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from behaviour import assert_nothing_is_left, states, submitted
from head import Head, run, run_detached, start_again, written
from snakefiles import Value, rule, snakefile, wanted

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox

GPU_NODE = Node(name="n1", cpus=8, memory_mb=16_000, gpu="a100", gpus=1)
STEPS = 40

TRAIN = """\
#!/bin/bash
# train OUTPUT SECONDS: forty steps, each noted when it is made. In those of the file `hangs` it waits to be killed.
trap 'exit 75' USR1
echo $$ > train.pid
steps=$KEMPNER_CHECKPOINT_DIR/steps
echo "$SLURM_JOB_ID" >> runs
touch "$steps" hangs
for ((step = $(wc -l < "$steps") + 1; step <= 40; step++)); do
    if grep -qx $step hangs; then
        sed -i "/^$step$/d" hangs
        echo $step >> hung
        sleep 600 & wait
    fi
    sleep $2
    echo $step >> "$steps"
done
cp "$steps" "$1"
"""


class StartSlurm(Protocol):
    def __call__(self, *, nodes: tuple[Node, ...]) -> Sandbox: ...


def training(
    folder: Path,
    *,
    seconds: float = 0,
    before: str = "",
    hangs: tuple[int, ...] = (),
    retries: int = 0,
    **resources: Value,
) -> Path:
    text = snakefile(
        wanted("report.txt"),
        rule(
            "train",
            output="model.txt",
            shell=f"{before}./train {{output}} {seconds}",
            retries=retries,
            resources=resources,
        ),
        rule("report", "model.txt", shell="cp {input} {output}"),
    )
    written(folder, text)
    (folder / "train").write_text(TRAIN)
    (folder / "train").chmod(0o755)
    (folder / "hangs").write_text("".join(f"{step}\n" for step in hangs))
    return folder


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def hung(folder: Path, *steps: int) -> Callable[[], bool]:
    return lambda: lines(folder / "hung") == [str(step) for step in steps]


def assert_each_step_was_made_once(folder: Path) -> None:
    assert lines(folder / "report.txt") == [str(step) for step in range(1, STEPS + 1)]
    records = [path for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    assert len(records) == 2  # of both rules
    assert not [path for path in (folder / ".snakemake/kempner/checkpoints").iterdir() if any(path.iterdir())]


def ends_of_segments(slurm: Sandbox, folder: Path) -> list[str]:
    return [state for name, state in states(slurm, folder).items() if name.startswith("train") and "gate" not in name]


@pytest.mark.slow
def test_a_training_that_its_time_limit_kills_goes_on_in_the_next_job_and_nobody_watches(
    slurm: Sandbox, tmp_path: Path
) -> None:
    """It ignores the signal that announces the end, and is killed in the middle of a step."""
    folder = training(tmp_path / "run", seconds=2.6, before="trap '' TERM; ", slurm_segments=4, runtime=1)
    left = run_detached(slurm, folder)
    assert left.exit_code == 0, left.output
    assert_nothing_is_left(slurm, folder)
    ends = ends_of_segments(slurm, folder)
    assert ends[0] == "TIMEOUT"
    assert ends.count("COMPLETED") == 1
    assert ends[-1] == "CANCELLED"
    assert len(lines(folder / "runs")) == ends.index("COMPLETED") + 1
    assert_each_step_was_made_once(folder)


@pytest.mark.thorough
@pytest.mark.parametrize("light", [0, 1], ids=["full job", "light job"])
def test_a_training_that_knows_no_signal_is_cut_short_a_little_before_its_limit(
    slurm: Sandbox, tmp_path: Path, light: int
) -> None:
    folder = training(tmp_path / "run", seconds=2, slurm_segments=6, runtime=1, slurm_light=light)
    done = run(slurm, folder)
    assert done.exit_code == 0, done.output
    assert "Segment 1 of 6 of train is to be continued (exit code 75)" in done.output
    assert "TIMEOUT" not in ends_of_segments(slurm, folder)
    assert_nothing_is_left(slurm, folder)
    assert_each_step_was_made_once(folder)


@pytest.mark.parametrize(
    ("light", "dies"),
    [(1, False), pytest.param(0, True, marks=pytest.mark.thorough)],
    ids=["light jobs, watched", "full jobs, the head is dead"],
)
def test_a_training_that_is_told_to_stop_put_back_and_stops_by_itself_makes_each_step_once(
    slurm: Sandbox, tmp_path: Path, light: int, *, dies: bool
) -> None:
    folder = training(
        tmp_path / "run", hangs=(10, 20, 30), slurm_segments=6, slurm_light=light, requeue=1,
    )  # fmt: skip
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued" in head.said and hung(folder, 10)())
        first, second, third = (submitted(folder)[name].job_id for name in ("train", "train#2", "train#3"))
        if dies:
            head.kill()
        slurm.run("scancel", "--batch", "--signal=TERM", first)
        head.until(hung(folder, 10, 20))
        slurm.run("scontrol", "requeue", second)
        start_again(slurm, head, second)
        head.until(hung(folder, 10, 20, 30))
        slurm.run("kill", "-USR1", *lines(folder / "train.pid"))
        if not dies:
            assert head.end() == 0, head.said
            assert "train failed" not in head.said
            assert "Error" not in head.said
            assert (
                f"Segment 1 of 6 of train is to be continued (exit code 75); segment 2 of 6 is Slurm job {second}"
                in head.said
            )
        assert_nothing_is_left(slurm, folder)
    assert lines(folder / "runs") == [first, second, second, third]
    assert ends_of_segments(slurm, folder) == ["FAILED", "FAILED", "COMPLETED", *["CANCELLED"] * 3]
    assert_each_step_was_made_once(folder)


@pytest.mark.parametrize(
    "dies", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["watched", "the head is dead"]
)
def test_a_training_whose_node_is_given_to_another_job_goes_on_in_the_next_segment(
    private_slurm: StartSlurm, tmp_path: Path, *, dies: bool
) -> None:
    """In a partition that preempts its jobs, of a job that may not be put back into the queue."""
    slurm = private_slurm(nodes=(GPU_NODE,))
    folder = training(
        tmp_path / "run", hangs=(10,), slurm_segments=3, slurm_partition="kempner_requeue", gpu=1,
        slurm_extra="--no-requeue",
    )  # fmt: skip
    with Head(slurm, folder) as head:
        head.until(lambda: "Queued" in head.said and hung(folder, 10)())
        if dies:
            head.kill()
        urgent = ("sbatch", "--parsable", "-p", "kempner", "--gres=gpu:1", "--mem=50", "-o", "/dev/null", "-D", "/")
        slurm.run(*urgent, stdin="#!/bin/bash\nsleep 1\n")
        if not dies:
            assert head.end() == 0, head.said
        assert_nothing_is_left(slurm, folder)
    assert ends_of_segments(slurm, folder) == ["PREEMPTED", "COMPLETED", "CANCELLED"]
    assert_each_step_was_made_once(folder)


@pytest.mark.parametrize(
    "how", [(), pytest.param(("--kempner-detach",), marks=pytest.mark.thorough)], ids=["watched", "detached"]
)
def test_a_segment_that_fails_is_followed_by_the_next_attempt_and_not_by_a_segment(
    slurm: Sandbox, tmp_path: Path, how: tuple[str, ...]
) -> None:
    before = "[ -e second ] || {{ echo first > second; exit 3; }}; "
    folder = training(tmp_path / "run", before=before, slurm_segments=5, retries=1)
    done = (run_detached if how else run)(slurm, folder)
    assert done.exit_code == 0, done.output
    assert_nothing_is_left(slurm, folder)
    assert ends_of_segments(slurm, folder) == ["FAILED", *["CANCELLED"] * 4, "COMPLETED", *["CANCELLED"] * 4]
    assert lines(folder / "runs") == [submitted(folder)["train#6"].job_id]
    assert_each_step_was_made_once(folder)


def test_a_training_that_its_segments_do_not_suffice_for_says_how_to_go_on_and_goes_on(
    slurm: Sandbox, tmp_path: Path
) -> None:
    folder = training(tmp_path / "run", before="sleep 1; [ -e enough ] || exit 75; ", slurm_segments=2)
    done = run(slurm, folder)
    assert done.exit_code == 1
    assert "It is not finished after 2 segments. Its work is kept in .snakemake/kempner/checkpoints/" in done.output
    assert "give the same command again to go on from there" in done.output
    assert_nothing_is_left(slurm, folder)
    (folder / "enough").touch()
    again = run(slurm, folder)
    assert again.exit_code == 0, again.output
    assert_each_step_was_made_once(folder)
