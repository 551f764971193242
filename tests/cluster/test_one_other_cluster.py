"""A run on another cluster of the site, from a machine whose own is the first: all of it goes there, nothing to the first.

The second cluster gives its jobs the numbers of jobs of the first, which nobody may touch.
"""

import csv
import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from comparison import Outcome
from head import PATIENCE, PAUSE, SMALL, UNTIL_GO, Head, assert_settled, closed, ended, go, queued, run, states, written

from snakemake_executor_plugin_kempner.run.ledger import read_ledger
from snakemake_executor_plugin_kempner.run.ledgers import open_ledgers
from snakemake_executor_plugin_kempner.sandbox import Sandbox, SandboxError, SandboxOptions

SECOND = "second"
THERE = ("--default-resources", f"clusters={SECOND}")
AGAIN = ("--nolock", "--rerun-incomplete")
FIRST_ID = 500


@dataclass(frozen=True, slots=True)
class Site:
    """Two clusters with one slurmdbd; commands are given on a machine of the first."""

    first: Sandbox
    second: Sandbox

    @property
    def here(self) -> dict[str, str]:
        """Makes a command of a helper of the tests, which looks at the second cluster, one of a machine of the first."""
        return {"SLURM_CONF": str(self.first.conf)}

    def run(self, folder: Path, *more: str, **extra: str) -> Outcome:
        return run(self.second, folder, *more, **{**self.here, **extra})

    def head(self, folder: Path, *more: str, **extra: str) -> Head:
        return Head(self.second, folder, *more, **{**self.here, **extra})

    def kempner(self, folder: Path, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake_executor_plugin_kempner", *words], cwd=folder, capture_output=True,
            text=True, env=self.first.environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def on_the_first(self) -> list[str]:
        """What the first cluster knows: its own jobs, as they were."""
        return self.first.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %j %T").splitlines()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    options = SandboxOptions(nodes=SMALL, cluster="first", first_job_id=FIRST_ID)
    with (
        Sandbox.start(accounting=True, options=options) as first,
        Sandbox.start(
            beside=first, options=SandboxOptions(nodes=SMALL, cluster=SECOND, first_job_id=FIRST_ID)
        ) as second,
    ):
        for _ in range(60):
            first.run("sbatch", "--hold", "--wrap=true", "--output=/dev/null", "--job-name=its-own", "--mem=50")
        yield Site(first, second)


@pytest.fixture(autouse=True)
def _nothing_happens_on_the_first(site: Site) -> Iterator[None]:
    before = site.on_the_first()
    assert len(before) > 60
    yield
    assert site.on_the_first() == before


def test_each_cluster_finds_the_other_by_its_name(site: Site) -> None:
    for one, name in ((site.first, SECOND), (site.second, "first")):
        assert one.run("squeue", f"--clusters={name}", "-h", "-t", "all").strip()
    assert site.second.run("sacctmgr", "-n", "-P", "show", "cluster", "format=cluster").split() == ["first", SECOND]
    with pytest.raises(SandboxError, match="both sandboxes are called first"):
        Sandbox.start(beside=site.first, options=SandboxOptions(cluster="first"))


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(PAUSE)


def runs_of(folder: Path) -> Path:
    return folder / ".snakemake/kempner"


WHOLE = """
onsuccess: shell("echo hook >> runs; echo $SLURM_CLUSTER_NAME >> where")

rule all:
    input: "end", "later"

rule start:
    output: "start"
    shell: "echo start >> runs; echo $SLURM_CLUSTER_NAME >> where; touch {output}"

rule part:
    input: "start"
    output: "part.{number}"
    retries: 2
    shell:
        "echo part.{wildcards.number} >> runs; echo $SLURM_CLUSTER_NAME >> where; "
        "[ {wildcards.number} != 3 -o $(grep -c part.3 runs) -eq 2 ]; touch {output}"

rule alone:
    input: "start"
    output: "alone"
    retries: 2
    shell: "echo alone >> runs; echo $SLURM_CLUSTER_NAME >> where; [ $(grep -c alone runs) -eq 3 ]; touch {output}"

localrules: end
rule end:
    input: expand("part.{number}", number=range(6)), "alone"
    output: "end"
    shell: "echo end >> runs; touch {output}"

checkpoint chosen:
    input: "start"
    output: "chosen"
    shell: "echo more > {output}"

rule more:
    output: "{name}.more"
    shell: "echo more >> runs; echo $SLURM_CLUSTER_NAME >> where; touch {output}"

def found(wildcards):
    return checkpoints.chosen.get().output[0].replace("chosen", open("chosen").read().strip() + ".more")

rule later:
    input: found
    output: "later"
    shell: "touch {output}"
"""
CHAIN = f"""
rule late:
    input: "early"
    output: "late"
    shell: "echo late >> runs; touch {{output}}"

rule early:
    output: "early"
    shell: "{UNTIL_GO}; echo early >> runs; touch {{output}}"
"""
RAN = {
    "start": 1,
    "alone": 3,
    "end": 1,
    "more": 1,
    "hook": 1,
    **{f"part.{number}": 1 for number in range(6)},
    "part.3": 2,
}


def test_a_detached_run_goes_there_with_all_that_looks_after_it(site: Site, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", WHOLE)
    left = site.run(folder, "--kempner-detach", SLURM_CLUSTERS=SECOND)
    assert left.exit_code == 0, left.output
    outcome = closed(site.second, folder, left)
    assert outcome.exit_code == 0, outcome.output
    assert Counter((folder / "runs").read_text().split()) == RAN
    assert set((folder / "where").read_text().split()) == {SECOND}
    ledger = read_ledger(runs_of(folder) / "latest")
    assert ledger.header["cluster"].startswith(f"cluster {SECOND} (")
    assert "has succeeded" in site.kempner(folder, "status")
    told = {row["rule"]: row for row in csv.DictReader(io.StringIO(site.kempner(folder, "report", "--csv")))}
    assert told["start"]["cores"], "accounting of the second cluster was not read"
    script = site.kempner(folder, "export")
    assert script.count("$(sbatch --parsable") == script.count(f"--clusters={SECOND} ") - 2
    assert_settled(site.first, folder)


def test_a_watched_run_that_was_killed_goes_on_there(site: Site, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    with site.head(folder, *THERE) as head:
        head.until_queued()
        head.kill()
        with site.head(folder, *AGAIN, *THERE) as again:
            again.until(lambda: "Goes on with run" in again.said)
            go(folder)
            assert again.end() == 0, again.said
    assert Counter((folder / "runs").read_text().split()) == {"early": 1, "late": 1}


@pytest.mark.parametrize("way", ["--kempner-cancel", "kempner cancel", "kempner cancel TASK"])
def test_what_is_cancelled_is_cancelled_there(site: Site, tmp_path: Path, way: str) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    with site.head(folder, *THERE) as head:
        head.until_queued()
        head.kill()
        if way == "--kempner-cancel":
            said = site.run(folder, way).output
        else:
            said = site.kempner(folder, "cancel", "--yes", *(["late"] if way.endswith("TASK") else []))
        assert "Cancelled" in said, said
        if way.endswith("TASK"):
            go(folder)
            assert {job.rule: job.state for job in ended(site.second, folder)} == {
                "early": "COMPLETED",
                "late": "CANCELLED",
            }
        else:
            assert set(states(site.second, folder).values()) == {"CANCELLED"}
            assert [ledger.run for ledger in open_ledgers(runs_of(folder))] == []


def test_a_failure_stops_a_detached_run_there(site: Site, tmp_path: Path) -> None:
    bad = 'rule bad:\n    output: "bad"\n    shell: "until [ -e fail ]; do sleep 0.2; done; false"\n'
    folder = written(tmp_path / "flow", f"{CHAIN}\n{bad}")
    left = site.run(folder, "late", "bad", "--kempner-detach", *THERE)
    (folder / "fail").touch()
    try:
        until(lambda: states(site.second, folder).get("late") == "CANCELLED")
    finally:
        go(folder)
    assert closed(site.second, folder, left).exit_code == 1
    ends = {job.rule: job.state for job in ended(site.second, folder)}
    assert ends == {"early": "COMPLETED", "late": "CANCELLED", "bad": "FAILED"}


def test_what_needs_two_clusters_or_an_unknown_one_is_refused(site: Site, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    unknown = site.run(folder, "--default-resources", "clusters=third")
    assert unknown.exit_code == 1
    assert "Cluster third cannot be asked from here. Known here: first, second" in unknown.output
    two = site.run(folder, "--set-resources", f"late:clusters={SECOND}", "early:clusters=first")
    assert two.exit_code == 1
    assert "dependencies do not cross clusters" in two.output
    none = site.run(folder, "--set-resources", f"late:clusters={SECOND}")
    assert "early: names no cluster, so it would go to first, and this run goes to second" in none.output
    assert "found before anything was submitted" in none.output
    assert queued(site.second, folder, helpers=True) == []


def test_an_open_run_there_is_not_judged_by_a_command_for_the_first(site: Site, tmp_path: Path) -> None:
    folder = written(tmp_path / "flow", CHAIN)
    with site.head(folder, SLURM_CLUSTERS=SECOND) as head:
        head.until_queued()
        head.kill()
        refused = site.run(folder, *AGAIN)
        assert refused.exit_code == 1
        assert f"was started on cluster {SECOND}" in refused.output
        go(folder)
        again = site.run(folder, *AGAIN, SLURM_CLUSTERS=SECOND)
        assert again.exit_code == 0, again.output
