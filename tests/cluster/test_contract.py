"""The real Slurm keeps the contract that the fake one is built on."""

import time
from collections.abc import Callable

import pytest
from array_contract import ArrayContract, ByHand
from contract import SlurmContract, World

from snakemake_executor_plugin_kempner.sandbox import Sandbox
from snakemake_executor_plugin_kempner.slurm.client import SlurmCommands

pytestmark = pytest.mark.cluster


class RealWorld:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.slurm = SlurmCommands(extra_environment={"SLURM_CONF": str(sandbox.conf)})
        version = sandbox.run("sbatch", "--version").split()[1]
        self.drops_unknown_ids = int(version.split(".")[0]) < 24

    def wait(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 180  # a busy machine takes a while to run a hundred jobs
        while not is_so():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.3)

    def start_now(self, job_id: str) -> None:
        time.sleep(2.1)  # slurmd refuses a start within the second in which it has ended the first run
        self._sandbox.run("scontrol", "update", f"JobId={job_id}", "StartTime=now")

    def cancel_by_hand(self, job_id: str) -> None:
        self._sandbox.run("scancel", job_id)

    def cancel_what_waits_by_hand(self, job_id: str) -> None:
        self._sandbox.run("scancel", "--state=PENDING", job_id)


class TestRealSlurm(SlurmContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, slurm: Sandbox) -> World:
        return RealWorld(slurm)


class TestRealSlurmWithAccounting(SlurmContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, slurm_with_accounting: Sandbox) -> World:
        return RealWorld(slurm_with_accounting)


class TestArraysOfRealSlurm(ArrayContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, slurm_with_accounting: Sandbox) -> ByHand:
        return RealWorld(slurm_with_accounting)
