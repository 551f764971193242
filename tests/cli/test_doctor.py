"""What is not as it should be is found, with what to type."""

from pathlib import Path

import pytest

from snakemake_executor_plugin_kempner.cli import doctor
from snakemake_executor_plugin_kempner.cli.doctor import Verdict, file_system_of

MOUNTS = "/dev/sda1 / ext4 rw 0 0\nfs:/home /home nfs4 rw 0 0\nlu /n/holy\\040lab lustre rw 0 0\n"


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/tmp/x", "ext4"), ("/home/a", "nfs4"), ("/homestead", "ext4"), ("/n/holy lab/a", "lustre"), ("/", "ext4")],
)
def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind


PROFILES = {
    "": [Verdict.WARNING],
    "executor: kempner\n": [Verdict.WARNING, Verdict.WARNING],
    "rerun-incomplete: true\nnolock: false\n": [Verdict.WARNING],
    "rerun-incomplete: true\nnolock: true\n": [Verdict.OK],
    "a: [": [Verdict.ERROR],
    "just text": [Verdict.WARNING, Verdict.WARNING],
}


@pytest.mark.parametrize("content", PROFILES)
def test_the_two_lines_of_a_profile_are_looked_for(tmp_path: Path, content: str) -> None:
    if content:
        (tmp_path / "profiles/default").mkdir(parents=True)
        (tmp_path / "profiles/default/config.yaml").write_text(content)
    found = list(doctor._profile(tmp_path, ""))
    assert [one.verdict for one in found] == PROFILES[content]
    assert all(one.to_type for one in found if one.verdict is Verdict.WARNING)


@pytest.mark.parametrize(
    ("content", "cluster"),
    [
        ("default-resources:\n  clusters: fasse\n", "fasse"),
        ("default-resources: [mem_mb=100, slurm_cluster=fasse]\n", "fasse"),
        ("default-resources:\n  mem_mb: 100\n", ""),
        ("default-resources:\n", ""),
        ("a: [", ""),
    ],
)
def test_the_cluster_of_the_profile_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, cluster: str
) -> None:
    (tmp_path / "profiles/default").mkdir(parents=True)
    (tmp_path / "profiles/default/config.yaml").write_text(content)
    asked: list[str] = []
    made = doctor.SlurmCommands
    monkeypatch.setattr(doctor, "SlurmCommands", lambda **more: asked.append(more["cluster"]) or made(**more))
    monkeypatch.setenv("PATH", str(tmp_path))
    list(doctor.findings(tmp_path))
    monkeypatch.setenv("SLURM_CLUSTERS", "cannon")
    list(doctor.findings(tmp_path))
    assert asked == [cluster, "cannon"]


def test_where_slurm_is_missing_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {one.about: one for one in doctor.findings(tmp_path)}
    assert found["Slurm"].verdict is Verdict.ERROR
    assert "sbatch, squeue, scancel, scontrol not found on PATH" in found["Slurm"].what
    assert found["runs"].verdict is Verdict.OK
