"""The fake scheduler keeps the contract, as either version of Slurm that it stands for."""

from collections.abc import Callable

import pytest
from array_contract import ArrayContract, ByHand
from contract import SlurmContract, World
from fakes import FakeSlurm


class FakeWorld:
    def __init__(self, slurm: FakeSlurm) -> None:
        self.slurm = slurm
        self.drops_unknown_ids = not slurm.refuses_unknown_ids

    def wait(self, is_so: Callable[[], bool]) -> None:
        for _ in range(60):
            if is_so():
                return
            self.slurm.tick()
        raise AssertionError("it never came true")

    def start_now(self, job_id: str) -> None:
        self.slurm.start_now(job_id)

    def cancel_by_hand(self, job_id: str) -> None:
        self.slurm.vanish(job_id)

    def cancel_what_waits_by_hand(self, job_id: str) -> None:
        self.slurm.vanish(job_id, by_filter=True)


class TestFakeSlurm(SlurmContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> World:
        return FakeWorld(FakeSlurm(partitions={"main"}))


class TestFakeSlurmThatRefusesUnknownIdsAndKeepsAccounts(SlurmContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> World:
        return FakeWorld(FakeSlurm(partitions={"main"}, refuses_unknown_ids=True, keeps_accounts=True))


class TestArraysOfFakeSlurm(ArrayContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> ByHand:
        return FakeWorld(FakeSlurm(keeps_accounts=True))


class TestArraysOfFakeSlurmThatRefusesUnknownIds(ArrayContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> ByHand:
        return FakeWorld(FakeSlurm(keeps_accounts=True, refuses_unknown_ids=True))
