"""What is said before anything is submitted: every error and every warning in its words, all of a plan's at once."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from builders import POLICY, a_task, edge
from kempner_site import SITE

from snakemake_executor_plugin_kempner.errors import PlanError
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.plan.model import Policy
from snakemake_executor_plugin_kempner.plan.planner import make_plan
from snakemake_executor_plugin_kempner.plan.task import Task
from snakemake_executor_plugin_kempner.site.checks import CHECKS
from snakemake_executor_plugin_kempner.site.model import NodeShape, Partition, Site
from snakemake_executor_plugin_kempner.site.modes import Checks

Declared = dict[str, int | str]
Golden = Callable[[str, str], None]

AT_KEMPNER = replace(POLICY, workdir="/n/holylabs/doe_lab/flow", site=SITE)
GPU: Declared = {"gpu": 1, "slurm_partition": "kempner", "runtime": 60}

ERRORS: dict[str, Declared] = {
    "a partition that does not exist": GPU | {"slurm_partition": "kempner_b200"},
    "several partitions": GPU | {"slurm_partition": "kempner,kempner_h100", "slurm_account": "kempner_doe_lab"},
    "a GPU that is nowhere": {"gpu": 1, "gpu_model": "b200", "runtime": 60},
    "a GPU of any model": {"gpu": 1, "runtime": 60},
    "a GPU where there is none": {"gpu": 1, "slurm_partition": "shared", "runtime": 60},
    "a GPU that is elsewhere": GPU | {"gpu_model": "h100"},
    "a rule without GPU where only GPUs are": {"slurm_partition": "kempner", "runtime": 60},
    "an account of another partition": GPU | {"slurm_account": "doe_lab"},
    "an account of somebody else": GPU | {"slurm_account": "kempner_roe_lab"},
    "too long": GPU | {"runtime": 5000},
    "too many GPUs of a node": GPU | {"gpu": 5},
    "more GPUs than anybody may use": GPU | {"gpu": 4, "nodes": 5},
    "too many cores": GPU | {"cpus_per_task": 65},
    "too much memory": GPU | {"mem_mb": 1_200_000},
}
WARNINGS: dict[str, Declared] = {
    "more than the share of a GPU": GPU | {"cpus_per_task": 32, "mem_mb": 480_000},
    "no runtime": {"gpu": 1, "slurm_partition": "kempner"},
    "the longest runtime": GPU | {"runtime": 2880},
}


def train(declared: Mapping[str, int | str], number: int = 1, name: str = "train") -> list[Task]:
    return [a_task(name, wildcards={"seed": str(seed)}, resources=dict(declared)) for seed in range(number)]


def faults(tasks: list[Task], policy: Policy = AT_KEMPNER) -> list[str]:
    try:
        make_plan(tasks, policy)
    except PlanError as error:
        return list(map(str, error.faults))
    return []


def notices(tasks: list[Task], policy: Policy = AT_KEMPNER) -> list[str]:
    return list(make_plan(tasks, policy).notices)


def of_site(**changes: object) -> Policy:
    return replace(AT_KEMPNER, site=replace(SITE, **changes))


PLANS: dict[str, tuple[list[Task], Policy]] = {
    **{name: (train(declared), AT_KEMPNER) for name, declared in (ERRORS | WARNINGS).items()},
    "many of a rule": (train(GPU | {"runtime": 5000}, 8), AT_KEMPNER),
    "no account, and several to choose from": (
        train(GPU),
        of_site(own_accounts=("doe_lab", "kempner_doe_lab", "kempner_grads")),
    ),
    "no account that would do": (train(GPU), of_site(own_accounts=("doe_lab",))),
    "no account, and nothing is known of yours": (train(GPU), of_site(own_accounts=None, default_account="")),
    "more nodes than there are": (
        train(GPU | {"nodes": 3}),
        of_site(partitions={**SITE.partitions, "kempner": replace(SITE.partitions["kempner"], whole_nodes_of=2)}),
    ),
    "a model that several partitions have": (
        train({"gpu": 1, "gpu_model": "h100", "runtime": 60}),
        of_site(partitions={**SITE.partitions, "more": replace(SITE.partitions["kempner_h100"], name="more")}),
    ),
    "a limit that a QOS may lift": (train(GPU | {"runtime": 5000, "qos": "long"}), AT_KEMPNER),
    "undergraduates": (train(GPU | {"gpu": 4, "nodes": 2}), of_site(own_accounts=("kempner_undergrads",))),
    "several rules without a runtime": (
        [task for name in ("split", "train", "join", "plot", "tell", "tidy") for task in train({}, name=name)],
        AT_KEMPNER,
    ),
    "short ones by the thousand": (train({"runtime": 5}, 1200), AT_KEMPNER),
    "wider than what one may use": (train(GPU, 40), AT_KEMPNER),
    "in a folder that nodes do not see": (train({"runtime": 60}), replace(AT_KEMPNER, workdir="/tmp/flow")),
    "at home": (
        train({"runtime": 60}),
        replace(AT_KEMPNER, workdir="/n/home01/doe/flow", site=replace(SITE, home="/n/home01/doe")),
    ),
    "environments on a login node": (
        train({"runtime": 60}),
        replace(AT_KEMPNER, environments=("conda",), site=replace(SITE, is_login_node=True)),
    ),
    "checkpoints that a requeue would remove": (
        [
            replace(
                a_task("train", resources={"gpu": 1, "slurm_partition": "kempner_requeue", "runtime": 60}),
                folders=("checkpoints",),
            )
        ],
        AT_KEMPNER,
    ),
}


def test_golden_findings(golden: Golden) -> None:
    lines: list[str] = []
    for name, (tasks, policy) in PLANS.items():
        said = faults(tasks, policy)
        lines += [name, *(f"  error: {one}" for one in said)]
        lines += [f"  {one}" for one in ([] if said else notices(tasks, policy))]
        lines.append("")
    golden("findings", "\n".join(lines))


@pytest.mark.parametrize("name", ERRORS)
def test_what_can_never_start_is_an_error_and_nothing_is_submitted(name: str) -> None:
    (only,) = faults(train(ERRORS[name]))
    assert only.startswith("train[seed=0]: ")


@pytest.mark.parametrize("name", WARNINGS)
def test_what_wastes_is_said_and_submitted(name: str) -> None:
    assert not faults(train(WARNINGS[name]))
    assert any(one.startswith("train[seed=0]: ") for one in notices(train(WARNINGS[name])))


def test_each_check_is_shown() -> None:
    """Without any one of them, something else would be said of what is above."""
    assert len(CHECKS) <= len(ERRORS) + len(WARNINGS)


def test_a_plan_with_ten_faults_lists_ten() -> None:
    ten = [
        task for name, declared in list(ERRORS.items())[:10] for task in train(declared, name=name.replace(" ", "_"))
    ]
    assert len(faults(ten)) == 10


def test_only_what_is_wrong_itself_is_named_once_for_a_rule() -> None:
    (only,) = faults([*train(GPU | {"runtime": 5000}, 8), *train(GPU, name="eval")])
    assert only.startswith("train (8 tasks): ")


def test_a_chain_of_trainings_is_not_wide() -> None:
    first, *others = train(GPU, 40)
    chain = [
        first,
        *(
            replace(one, edges=(edge("afterok", before.key),))
            for before, one in zip([first, *others], others, strict=False)
        ),
    ]
    assert not any("at a time" in one for one in notices(chain))
    assert any("40 GPUs are requested at once" in one for one in notices([first, *others]))


def test_rules_that_run_side_by_side_are_counted_together() -> None:
    (only,) = [one for one in notices([*train(GPU, 10), *train(GPU, 10, name="tune")]) if "at a time" in one]
    assert only.startswith("train, tune: 20 GPUs are requested at once")


@pytest.mark.parametrize("limit", [{"_nodes": 10}, {"gpu": 8}], ids=["--jobs", "--resources gpu"])
def test_what_the_command_line_lets_run_at_once_counts(limit: Mapping[str, int]) -> None:
    policy = replace(AT_KEMPNER, limits=limit)
    assert not any("at a time" in one for one in notices(train(GPU, 40), policy))


H100: Declared = {"gpu": 1, "gpu_model": "h100", "runtime": 600}


def with_more(*more: Partition, **changes: object) -> Policy:
    return of_site(partitions={**SITE.partitions, **{one.name: one for one in more}}, **changes)


@pytest.mark.parametrize(
    ("declared", "policy"),
    [
        (GPU | {"gpu": 0, "slurm_extra": "--gpus=8"}, AT_KEMPNER),
        (GPU | {"gpu": 0, "slurm_extra": "--gpus=8 --mem-per-gpu=200G"}, AT_KEMPNER),
        (GPU | {"gpu": 0, "tasks": 8, "slurm_extra": "--gpus-per-task=1"}, AT_KEMPNER),
        (GPU | {"tasks": 16, "cpus_per_task": 16, "slurm_extra": "-N 2-4"}, AT_KEMPNER),
        (GPU | {"gpu": 0, "slurm_extra": "--tres-per-task=gres/gpu:1"}, AT_KEMPNER),
        (GPU | {"slurm_account": "KEMPNER_DOE_LAB"}, AT_KEMPNER),
        (GPU | {"slurm_account": "doe_students"}, of_site(own_accounts=("doe_students",), parents={"doe_students": "kempner_doe_lab"})),
        (GPU | {"slurm_account": "kempner_guests"}, of_site(enforces_accounts=False)),
        (GPU | {"runtime": 5000, "qos": "long"}, AT_KEMPNER),
        (GPU | {"gpu": 4, "nodes": 5, "reservation": "workshop"}, with_more(replace(SITE.partitions["kempner"], whole_nodes_of=None))),
        ({"runtime": 6000}, of_site(is_routed=True)),
        ({"gpu": 1, "runtime": 60}, of_site(is_routed=True)),
        ({"runtime": 60, "slurm_account": "someone"}, of_site(is_routed=True)),
        (H100, with_more(replace(SITE.partitions["kempner_h100"], name="theirs", accounts=("their_lab",), policy=""))),
        (H100, with_more(replace(SITE.partitions["kempner_h100"], name="gpu", accounts=(), policy=""))),
        (H100, with_more(replace(SITE.partitions["kempner_h100"], name="interactive", only_by_name=True))),
    ],
)  # fmt: skip
def test_what_may_start_is_not_refused(declared: Declared, policy: Policy) -> None:
    assert not faults(train(declared), policy)


def test_a_model_that_several_partitions_have_is_for_you_to_place() -> None:
    (only,) = faults(train(H100), with_more(replace(SITE.partitions["kempner_h100"], name="more_h100")))
    assert only.endswith("(set slurm_partition=kempner_h100 or more_h100)")


def test_no_share_is_given_where_the_number_of_gpus_on_a_node_is_open() -> None:
    said = notices(train(GPU | {"gpu": 0, "slurm_extra": "--gpus=8"}))
    assert not any("--cpus-per-task" in one or "--mem=" in one for one in said)


def test_errors_can_be_made_warnings_and_all_of_it_left_out() -> None:
    tasks = train(ERRORS["too long"])
    assert any("is above the limit" in one for one in notices(tasks, replace(AT_KEMPNER, checks=Checks.WARN)))
    assert not any("is above the limit" in one for one in notices(tasks, replace(AT_KEMPNER, checks=Checks.OFF)))


@pytest.mark.parametrize("name", [*ERRORS, *WARNINGS])
def test_where_nothing_is_known_nothing_is_said(name: str) -> None:
    for site in (None, Site()):
        policy = replace(AT_KEMPNER, site=site)
        tasks = train((ERRORS | WARNINGS)[name])
        assert not faults(tasks, policy)
        assert not [one for one in notices(tasks, policy) if not one.startswith("Memory")]


def test_an_attempt_of_its_own_is_checked_too() -> None:
    (task,) = train(GPU)
    second = replace(task.attempts[0], number=2, resources={**GPU, "runtime": 5000})
    (only,) = faults([replace(task, attempts=(*task.attempts, second))])
    assert only.startswith("train[seed=0], attempt 2: runtime=5000")


def test_an_attempt_may_move_from_a_gpu_to_a_cpu_partition() -> None:
    (task,) = train(GPU)
    second = replace(task.attempts[0], number=2, resources={"slurm_partition": "shared", "runtime": 600})
    assert not faults([replace(task, attempts=(*task.attempts, second))])


# --- GPU models -----------------------------------------------------------------------------------------------------

DEFAULT_HAS_GPUS = replace(
    SITE,
    partitions={name: replace(one, is_default=name == "kempner") for name, one in SITE.partitions.items()},
)


@pytest.mark.parametrize("site", [SITE, DEFAULT_HAS_GPUS], ids=["default without GPUs", "default with GPUs"])
@pytest.mark.parametrize("partition", [{}, {"slurm_partition": "kempner"}], ids=["no partition", "a partition"])
@pytest.mark.parametrize(
    ("model", "meant"),
    [("foo", ""), ("A10", "a100"), ("a10", "a100"), ("nvidia_h200", "h200"), ("rtx6000", "rtx6000pro")],
)
def test_a_model_that_is_nowhere_is_a_fault_with_what_is_meant(
    site: Site, partition: Declared, model: str, meant: str
) -> None:
    policy = replace(AT_KEMPNER, site=site)
    asked = {"gpu": 1, "gpu_model": model, "runtime": 60, "slurm_account": "kempner_doe_lab", **partition}
    (fault,) = faults(train(asked), policy)
    assert model in fault
    assert f"({f'did you mean {meant}? ' if meant else ''}there are a100, h100, h200, rtx6000pro)" in fault


@pytest.mark.parametrize("partition", [{}, {"slurm_partition": "gpu"}], ids=["no partition", "a partition"])
def test_a_model_where_gpus_have_none_is_a_fault_too(partition: Declared) -> None:
    plain = Partition(name="gpu", nodes=(NodeShape(cores=8, gpus=4),), is_default=True)
    site = Site(name="Slurm", partitions={"gpu": plain}, is_complete=True)
    (fault,) = faults(train({"gpu_model": "foo", "runtime": 60, **partition}), replace(AT_KEMPNER, site=site))
    assert "foo GPU" in fault
    assert "(GPUs have no model there: set only gpu=N)" in fault


@pytest.mark.parametrize("change", [{"is_complete": False}, {"is_routed": True}])
def test_where_not_all_is_known_a_model_may_be_there(change: dict[str, bool]) -> None:
    plain = Partition(name="gpu", nodes=(NodeShape(cores=8, gpus=4),), is_default=True)
    site = replace(Site(partitions={"gpu": plain}, is_complete=True), **change)
    assert not faults(train({"gpu_model": "foo", "runtime": 60}), replace(AT_KEMPNER, site=site))


def test_faults_that_say_the_same_of_many_rules_are_a_line() -> None:
    tasks = [a_task(f"rule_{number}", resources={"gpu": -1}) for number in range(219)]
    with pytest.raises(PlanError) as caught:
        make_plan(tasks, AT_KEMPNER)
    head, line = str(caught.value).splitlines()
    assert head == "1 fault found before anything was submitted:"
    assert line.startswith("  - rule_0, rule_1, rule_2, rule_3, rule_4 and 214 more: resource gpu=-1 takes ")
    assert len(caught.value.by_task) == 219


# --- names that were mistyped ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [("slurm_partiton", "slurm_partition"), ("gpumodel", "gpu_model"), ("run_time", "runtime"), ("Mem_mb", "mem_mb")],
)
def test_a_resource_that_means_nothing_is_told_with_the_one_that_was_meant(name: str, meant: str) -> None:
    said = notices(train(GPU | {name: "x"}, 3))
    assert f"Resource {name} of train means nothing to Slurm: did you mean {meant}?" in said


@pytest.mark.parametrize("name", ["load", "io", "licence", "gpu_mem", "mem_gb", "slurm_dependency", "tmpdir", "_cores"])
def test_a_resource_of_the_workflows_own_is_left_alone(name: str) -> None:
    assert not [said for said in notices(train(GPU | {name: 1})) if "did you mean" in said]


def test_a_resource_that_is_limited_is_the_workflows_own() -> None:
    limited = replace(AT_KEMPNER, limits={"node": 4})
    assert not [said for said in notices(train(GPU | {"node": 1}), limited) if "did you mean" in said]


def test_a_gpu_model_is_spelt_as_the_site_does() -> None:
    (call,) = make_plan(
        train({"gpu": 1, "gpu_model": "H100", "runtime": 60}), replace(AT_KEMPNER, keep_going=True)
    ).calls
    asked = call.first.options.only("gres", "partition")
    assert asked == Options.of("--gres=gpu:h100:1", "--partition=kempner_h100")


def test_a_partition_that_does_not_exist_is_told_with_the_one_that_was_meant() -> None:
    (fault,) = faults(train(GPU | {"slurm_partition": "kempner_h10"}))
    assert "partition kempner_h10 does not exist (did you mean kempner_h100? there are " in fault
