"""Whole plans and scripts, as text that a person reads."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from builders import POLICY, a_plan, a_step, a_task, chain, diamond, edge, retry_with_gate, sweep
from describe import describe
from test_jobscript import task_script

from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.concurrency import JOBS
from snakemake_executor_plugin_kempner.plan.jobscript import call_script, continuation_script, gate_script
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Deferred, Task

Golden = Callable[[str, str], None]


def _of_sweep(rule: str, seed: int, *resources: dict[str, int | str], after: str = "") -> Task:
    needs = (after,) if after else ()
    return a_task(rule, *needs, wildcards={"seed": str(seed)}, attempts=len(resources), resources=resources)


PLANS: dict[str, tuple[Task, ...]] = {
    "chain": chain(),
    "diamond": diamond(3),
    "sweep": sweep(5),
    "retry_with_gate": retry_with_gate(),
    "retry_alone": (a_task("train", attempts=2), a_task("report", "train")),
    "sweep_with_retries": (
        *(_of_sweep("train", seed, {"mem_mb": 1000}, {"mem_mb": 2000}) for seed in range(5)),
        *(_of_sweep("score", seed, {}, after=f"train[seed={seed}]") for seed in range(5)),
        a_task("report", *(f"train[seed={seed}]" for seed in range(5))),
    ),
    "handlers": (
        a_task("train", attempts=2, resources={"gpu": 1, "slurm_partition": "kempner"}),
        a_task("monitor", edge("after", "train", 5)),
        a_task("tell", edge("afternotok", "train")),
        a_task("clean", edge("afterany", "train")),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_golden_plan(name: str, golden: Golden) -> None:
    golden(f"plan_{name}", describe(a_plan(*PLANS[name])))


def test_golden_plan_of_a_sweep_that_takes_turns(golden: Golden) -> None:
    """The same sweep with `--jobs 3`."""
    tasks = (
        replace(task, attempts=tuple(replace(attempt, units={JOBS: 1}) for attempt in task.attempts))
        for task in PLANS["sweep_with_retries"]
    )
    golden("plan_sweep_that_takes_turns", describe(make_plan(tuple(tasks), replace(POLICY, limits={JOBS: 3}))))


def test_golden_plan_of_a_detached_run(golden: Golden) -> None:
    """A retried task, two that decide together over what follows, and mail."""
    train = {"gpu": 1, "slurm_partition": "kempner", "slurm_extra": "--mail-type=ALL --mail-user=me@lab.edu"}
    tasks = (
        a_task("train", attempts=2, resources=train),
        a_task("split"),
        a_task("report", "train"),
    )
    policy = replace(POLICY, detached=True, closing_options=Options.of("--time=10"))
    deferred = (Deferred("a checkpoint", frozenset({"split"})), Deferred("its input", frozenset({"split", "train"})))
    golden("plan_detached", describe(make_plan(tasks, policy, deferred)))


def test_golden_scripts(golden: Golden) -> None:
    step = a_step(
        wait_for=("raw/a.txt",),
        outputs=("aligned/a.txt",),
        arguments=("--cores", "1", "--snakefile", "/flow/Snakefile"),
    )
    golden("script_of_a_task", task_script(POLICY, step))
    sweep_of = make_plan(sweep(5), POLICY)
    script, manifest = call_script(sweep_of.calls[1], POLICY, str)
    golden("script_of_an_array", script + (manifest or b"").decode())
    golden("script_of_a_gate", gate_script("one attempt of train has succeeded"))
    golden("script_of_a_closing_job", continuation_script(POLICY.python, POLICY.folder, "closing"))
