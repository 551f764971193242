"""Snakemake's own test suite for executors, with a look at what its workflows have made."""

from pathlib import Path

import pytest
import snakemake.common.tests

from snakemake_executor_plugin_kempner import ExecutorSettings
from snakemake_executor_plugin_kempner.sandbox import Sandbox

MADE = {
    "simple": ("test1.out", "test2.out", "test3.out", "res/somedir1.out", "res/somedir2/subdir.out"),
    "groups": ("test1.1.out", "test1.2.out", "test1.3.out", "test2.1.out", "test2.2.out", "test2.3.out", "test3.out"),
}
"""Files by workflow; all of them are empty, for the first task of each makes an empty file and the rest copy it."""


class TestUpstreamWorkflows(snakemake.common.tests.TestWorkflowsLocalStorageBase):
    """The suite runs the workflows inside this very process, which therefore needs the sandbox's environment."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def _inside_the_sandbox(self, slurm: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)

    def get_executor(self) -> str:
        return "kempner"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings()

    def run_workflow(self, test_name: str, tmp_path: Path, deployment_method: frozenset = frozenset()) -> None:
        super().run_workflow(test_name, tmp_path, deployment_method)
        made = {path: (tmp_path / test_name / path).read_text() for path in MADE[test_name]}
        assert made == dict.fromkeys(MADE[test_name], "")
