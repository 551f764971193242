"""Limits on jobs in the queue, read from what the real Slurm has said, and recognised when sbatch refuses."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.errors import SlurmMissing, SlurmUnreachable
from snakemake_executor_plugin_kempner.options import Options
from snakemake_executor_plugin_kempner.slurm.site_limits import SiteLimits, parse_limits
from snakemake_executor_plugin_kempner.slurm.submit_limits import Limits, LimitScope, lacks_room

RECORDED = sorted(path.parent for path in (Path(__file__).parents[1] / "recorded").glob("*/limits_user.txt"))
CONFIG = "MaxArraySize            = 1001\nMaxJobCount             = 10000\nAccountingStorageEnforce = {}\n"
LAB, OTHER_LAB, SMALL = LimitScope(account="lab"), LimitScope(account="other_lab"), LimitScope(partition="small")


@pytest.fixture(params=RECORDED, ids=lambda folder: folder.name)
def recorded(request: pytest.FixtureRequest) -> Path:
    return request.param


def read(folder: Path) -> Limits:
    user = (folder / "limits_user.txt").read_text().strip()
    return parse_limits(
        (folder / "limits_scontrol.txt").read_text(), (folder / "limits_sacctmgr.txt").read_text(), user
    )


def say(limits: Limits, *places: LimitScope) -> str:
    return str(limits.tightest(places))


def room(limits: Limits, place: LimitScope) -> int:
    bound = limits.tightest([place])
    assert bound
    return bound.left


# --- what was recorded ----------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_configuration(recorded: Path) -> None:
    limits = read(recorded)
    assert (limits.array_size, limits.script_bytes) == (501, 4 * 2**20)
    assert limits.jobs
    assert limits.jobs.limit == 59


def test_the_association_of_the_default_account_holds_with_what_is_in_use(recorded: Path) -> None:
    bound = read(recorded).tightest([LimitScope()])
    assert bound
    assert (bound.limit, bound.used) == (5, 3)  # an array of two, and the one in the other partition
    assert str(bound) == "5 jobs in the queue (MaxSubmitJobs of your association with account lab)"


def test_the_default_qos_of_an_account_is_known(recorded: Path) -> None:
    limits = read(recorded)
    assert say(limits, OTHER_LAB) == "3 jobs in the queue (MaxSubmitJobsPerAccount of QOS long)"
    assert room(limits, OTHER_LAB) == 2  # one is there


def test_the_qos_of_a_partition_goes_before_the_association(recorded: Path) -> None:
    limits = read(recorded)
    assert say(limits, SMALL) == "2 jobs in the queue (MaxSubmitJobsPerUser of QOS few)"
    assert room(limits, SMALL) == 1
    assert room(limits, LimitScope(partition="main,small")) == 1


def test_of_several_places_the_tightest_counts(recorded: Path) -> None:
    assert "QOS few" in say(read(recorded), LAB, SMALL, OTHER_LAB)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("association", "AssocMaxSubmitJobLimit"),
        ("group", "AssocGrpSubmitJobsLimit"),
        ("qos_user", "QOSMaxSubmitJobPerUserLimit"),
        ("qos_account", "MaxSubmitJobsPerAccount"),
        ("qos_group", "QOSGrpSubmitJobsLimit"),
        ("cluster", "MaxJobCount"),
    ],
)
def test_a_refusal_for_want_of_room_is_recognised(recorded: Path, name: str, word: str) -> None:
    assert lacks_room((recorded / f"sbatch_no_room_{name}.txt").read_text()) == word


def test_other_refusals_are_not_for_want_of_room(recorded: Path) -> None:
    texts = {path.stem: path.read_text() for path in recorded.glob("sbatch_refused_*.txt")}
    assert "job submit limit" in texts["sbatch_refused_qos_cpus"]
    assert {name for name, text in texts.items() if lacks_room(text)} == set()


# --- sites of other kinds -------------------------------------------------------------------------------------------


class Told:
    """Answers of scontrol and sacctmgr; an error in their place is thrown."""

    def __init__(self, scontrol: str | Exception, sacctmgr: str | Exception = "") -> None:
        self.answers = {"scontrol": scontrol, "sacctmgr": sacctmgr}
        self.asked: list[str] = []

    def __call__(self, program: str, questions: Sequence[str]) -> str:
        assert questions
        self.asked.append(program)
        answer = self.answers[program]
        if isinstance(answer, Exception):
            raise answer
        return answer


ASSOCIATION = "ClusterName=c Account=lab UserName=me(7) Partition={} ParentAccount= DefAssoc=Yes GrpSubmitJobs=N(1) MaxSubmitJobs={}\n"


def test_without_enforcement_nothing_limits_and_the_database_is_not_asked() -> None:
    told = Told(CONFIG.format("associations") + ASSOCIATION.format("", "1(1)"))
    limits = SiteLimits(told, "me").limits()
    assert limits.tightest([LimitScope()]) == limits.jobs
    assert told.asked == ["scontrol"]


def test_without_any_answer_slurms_own_defaults_hold() -> None:
    assert SiteLimits(Told(SlurmMissing("gone")), "me").limits() == Limits()
    assert Limits().tightest([LimitScope()]) is None


def test_without_a_database_the_controller_alone_is_believed() -> None:
    told = Told(CONFIG.format("associations,limits") + ASSOCIATION.format("", "3(1)"), SlurmUnreachable("slow"))
    site = SiteLimits(told, "me")
    assert room(site.limits(), LimitScope()) == 2
    site.limits()
    assert told.asked == ["scontrol", "sacctmgr", "scontrol"]


def test_a_limit_of_a_qos_that_the_user_has_never_used_comes_from_the_database() -> None:
    unused = "QOS=normal(1) GrpSubmitJobs=N(0) Account Limits=No Accounts User Limits=No Users\n"
    others = "QOS=normal(1) GrpSubmitJobs=N(9) Account Limits= x={MaxSubmitJobsPA=N(9)} User Limits= 8={MaxSubmitJobsPU=4(9)}\n"
    config = CONFIG.format("limits") + ASSOCIATION.format("", "")
    assert room(parse_limits(config + unused, "normal||4||\n", "me"), LAB) == 4
    assert room(parse_limits(config + others, "", "me"), LAB) == 4


def test_an_association_for_one_partition_holds_there_only() -> None:
    both = ASSOCIATION.format("", "8(1)") + ASSOCIATION.format("small", "2(1)")
    limits = parse_limits(CONFIG.format("limits") + both, "", "me")
    assert room(limits, SMALL) == 1
    assert room(limits, LimitScope(partition="main")) == 7


def test_an_account_shares_the_room_of_those_above_it() -> None:
    accounts = (
        "ClusterName=c Account=root UserName= ParentAccount= GrpSubmitJobs=6(5) MaxSubmitJobs=\n"
        "ClusterName=c Account=lab UserName= ParentAccount=root(1) GrpSubmitJobs=9(1) MaxSubmitJobs=\n"
    )
    limits = parse_limits(CONFIG.format("limits") + accounts + ASSOCIATION.format("", ""), "", "me")
    assert room(limits, LimitScope()) == 1
    assert say(limits, LimitScope()) == "6 jobs in the queue (GrpSubmitJobs of account root)"


def test_a_qos_goes_before_that_of_the_partition_when_it_says_so() -> None:
    config = CONFIG.format("limits") + ASSOCIATION.format("", "") + "PartitionName=small Default=NO QoS=few\n"
    place = LimitScope(partition="small", qos="long")
    rows = "few||2||\nlong||5||{}\n"
    assert room(parse_limits(config, rows.format(""), "me"), place) == 2
    assert room(parse_limits(config, rows.format("DenyOnLimit,OverPartQOS"), "me"), place) == 5


def test_the_size_of_scripts_is_among_the_schedulers_parameters() -> None:
    config = "SchedulerParameters     = bf_interval=1,max_script_size=1000,defer\n"
    assert parse_limits(config, "", "me").script_bytes == 1000


def test_a_place_comes_from_options_or_from_what_sbatch_takes_from_its_environment() -> None:
    options = Options.of("--mem=5M", "--requeue", "--partition=a,b", "--account=lab")
    environment = {"SBATCH_PARTITION": "c", "SBATCH_QOS": "long"}
    assert LimitScope.of(options, environment) == LimitScope(account="lab", partition="a,b", qos="long")


@pytest.mark.parametrize(
    ("told", "memory"),
    [("300 sec", 240), ("3600 sec", 3540), ("60 sec", 30), ("2 sec", 1), ("0 sec", math.inf), ("", 240)],
)
def test_how_long_slurm_remembers_a_job_is_read_with_a_margin(told: str, memory: float) -> None:
    """slurm.conf(5), MinJobAge: zero is never."""
    assert parse_limits(f"MinJobAge               = {told}\n" if told else "", "", "me").memory == memory
