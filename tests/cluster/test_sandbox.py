"""The sandbox is a real Slurm in the shape that was asked for, can be broken on purpose, and leaves nothing behind."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from snakemake_executor_plugin_kempner.sandbox import (
    AlreadyRunning,
    MissingPrograms,
    Node,
    NotReady,
    NotRunning,
    Sandbox,
    SandboxError,
    SandboxOptions,
    daemons,
    kempner_partitions,
    starting,
)
from snakemake_executor_plugin_kempner.sandbox.__main__ import main

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "snakemake_executor_plugin_kempner.sandbox")
SMALL = SandboxOptions(nodes=(Node(name="n1", cpus=4, memory_mb=8000, gpu="a100", gpus=2),))
ONE_GPU = (Node(name="n1", cpus=8, memory_mb=8000, gpu="a100", gpus=1),)
ACCOUNT = "kempner_sandbox_lab"


def sbatch(slurm: Sandbox, script: str, *options: str) -> str:
    words = ("sbatch", "--parsable", "-D", "/", "-o", "/dev/null", *options)
    return slurm.run(*words, stdin=f"#!/bin/bash\n{script}\n").strip()


def show(slurm: Sandbox, job: str) -> dict[str, str]:
    words = slurm.run("scontrol", "-o", "show", "job", job).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def state_of(slurm: Sandbox, job: str) -> str:
    return show(slurm, job)["JobState"]


def wait_until(is_so: Callable[[], bool], *, timeout: float = 240) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + timeout, "it never came true"
        time.sleep(0.1)
    return time.monotonic() - began


def wait_for_state(slurm: Sandbox, job: str, state: str, *, timeout: float = 240) -> None:
    wait_until(lambda: state_of(slurm, job) == state, timeout=timeout)


def processes_of(slurm: Sandbox) -> list[str]:
    """Name every living process that has this sandbox's SLURM_CONF or holds open a file of its folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"SLURM_CONF={slurm.conf}\0" in (process / "environ").read_text(errors="replace")
            files = [os.readlink(file) for file in (process / "fd").iterdir()]
            command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if command and (marked or any(file.startswith(f"{slurm.folder.resolve()}/") for file in files)):
            found.append(f"{process.name} {command}")
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


class TestItIsSlurm:
    def test_partitions_are_named_as_on_kempner(self, slurm):
        assert slurm.run("sinfo", "-h", "-o", "%P").split() == [
            "kempner",
            "kempner_h100",
            "kempner_requeue",
            "shared*",
            "test",
        ]

    def test_gpus_are_handed_out(self, slurm):
        words = ("srun", "-Q", "-p", "kempner", "--gres=gpu:a100:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
        devices = slurm.run(*words).strip().split(",")
        assert len(set(devices) & set("0123")) == 2

    def test_a_feature_selects_the_gpu_type(self, slurm):
        words = ("srun", "-Q", "-p", "kempner_requeue", "--gres=gpu:1", "-C", "h100", "printenv", "SLURMD_NODENAME")
        assert slurm.run(*words).strip() == "n3"

    def test_more_gpus_than_a_node_has_are_refused(self, slurm):
        with pytest.raises(SandboxError, match="node configuration is not available"):
            sbatch(slurm, "true", "-p", "kempner", "--nodes=1", "--gres=gpu:5")

    def test_a_dependency_is_kept(self, slurm, tmp_path):
        first = sbatch(slurm, f"sleep 0.5; date +%s%N > {tmp_path}/first")
        second = sbatch(slurm, f"date +%s%N > {tmp_path}/second", f"--dependency=afterok:{first}")
        wait_for_state(slurm, second, "COMPLETED")
        assert int((tmp_path / "first").read_text()) < int((tmp_path / "second").read_text())

    def test_many_small_jobs_run_side_by_side(self, slurm):
        array = sbatch(slurm, "sleep 100", "--array=0-19")
        running = ("squeue", "-h", "-r", "-t", "R", "-j", array)
        wait_until(lambda: len(slurm.run(*running).splitlines()) == 20)
        slurm.run("scancel", array)

    def test_what_speaks_to_another_slurm_is_not_handed_on(self, slurm, monkeypatch):
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        monkeypatch.setenv("SBATCH_PARTITION", "elsewhere")
        monkeypatch.setenv("SLURM_CONF", "/elsewhere/slurm.conf")
        theirs = {name: value for name, value in slurm.environment.items() if name.startswith(("SLURM", "SBATCH"))}
        assert theirs == {"SLURM_CONF": str(slurm.conf)}

    def test_all_workers_share_one(self, slurm):
        again = Sandbox.share(slurm.folder)
        assert again.conf == slurm.conf
        assert Sandbox.attach(slurm.folder).conf == slurm.conf

    def test_a_used_folder_is_not_taken_twice(self, slurm):
        with pytest.raises(AlreadyRunning, match=str(slurm.folder)):
            Sandbox.start(slurm.folder)

    def test_nothing_listens_to_the_outside(self, slurm):
        ports = slurm.home.record.ports
        if not ports.only_loopback:
            pytest.skip("this machine's name does not stand for 127.0.0.1")
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {words[1] for words in lines if words[3] == "0A"}
        for port in (ports.controller, *ports.nodes):
            assert f"0100007F:{port:04X}" in listening
            assert f"00000000:{port:04X}" not in listening


class TestOptions:
    def test_shape_of_nodes_and_limits(self, private_slurm):
        slurm = private_slurm(
            nodes=(Node(name="big", cpus=3, memory_mb=123), Node(name="gpu", cpus=2, gpu="h200", gpus=8)),
            max_array_size=77,
            max_job_count=88,
            first_job_id=500,
            kill_wait=9,
            slurm_conf=("MessageTimeout=17",),
        )
        assert slurm.run("sinfo", "-h", "-N", "-o", "%N %c %m %G %f").splitlines()[0] == "big 3 123 (null) (null)"
        assert "gpu:h200:8" in slurm.run("scontrol", "show", "node", "gpu")
        settings = " ".join(slurm.run("scontrol", "show", "config").split())
        for words in ("MaxArraySize = 77", "MaxJobCount = 88", "KillWait = 9 sec", "MessageTimeout = 17 sec"):
            assert words in settings
        assert sbatch(slurm, "true") == "501"

    def test_a_job_above_its_memory_is_killed(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes, enforce_memory=True)
        hungry = "python3 -c 'import time; a = bytearray(300 << 20); time.sleep(100)'"
        killed = sbatch(slurm, hungry, "--mem=50")
        wait_until(lambda: state_of(slurm, killed) not in {"PENDING", "RUNNING", "COMPLETING"})
        assert state_of(slurm, killed) in {"FAILED", "OUT_OF_MEMORY"}
        content = sbatch(slurm, hungry.replace("100)'", "3)'"), "--mem=1000")
        wait_for_state(slurm, content, "COMPLETED")

    def test_memory_is_not_enforced_by_default(self, slurm):
        job = sbatch(slurm, "python3 -c 'import time; a = bytearray(300 << 20); time.sleep(3)'", "--mem=50")
        wait_for_state(slurm, job, "COMPLETED")

    def test_kempner_requeue_is_preempted(self, private_slurm):
        slurm = private_slurm(nodes=ONE_GPU)
        guest = sbatch(slurm, "sleep 100", "-p", "kempner_requeue", "--gres=gpu:1", "--requeue")
        wait_for_state(slurm, guest, "RUNNING")
        owner = sbatch(slurm, "sleep 100", "-p", "kempner", "--gres=gpu:1")
        wait_for_state(slurm, owner, "RUNNING")
        wait_until(lambda: show(slurm, guest)["Restarts"] == "1")

    def test_ended_jobs_vanish(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes, min_job_age=2)
        job = sbatch(slurm, "true")

        def is_forgotten() -> bool:
            try:
                show(slurm, job)
            except SandboxError as error:
                return "Invalid job id" in str(error)
            return False

        assert wait_until(is_forgotten) > 1

    def test_slow_scheduling(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes, fast_scheduling=False)
        assert "SchedulerParameters     = (null)" in slurm.run("scontrol", "show", "config")

    def test_ended_jobs_in_a_text_file(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes, completion_file=True)
        job = sbatch(slurm, "exit 3")
        wait_for_state(slurm, job, "FAILED")
        assert "FAILED" in slurm.run("sacct", "-c", "-n", "-j", job)

    def test_partitions_follow_the_nodes(self):
        names = {
            partition.name: partition.nodes
            for partition in kempner_partitions(
                (Node(name="a", gpu="h200", gpus=4), Node(name="b", gpu="a100", gpus=1))
            )
        }
        assert names == {
            "kempner": ("b",),
            "kempner_h200": ("a",),
            "kempner_requeue": ("a", "b"),
            "shared": ("a", "b"),
            "test": ("a", "b"),
        }


class TestAccounting:
    def test_sacct_knows_ended_jobs(self, slurm_with_accounting):
        slurm = slurm_with_accounting
        job = sbatch(slurm, "exit 3")
        words = ("sacct", "-n", "-X", "-P", "-j", job, "-o", "State,ExitCode,Account,Partition")
        # The end of a short job is recorded seconds before its partition is (measured, 22.05).
        wait_until(lambda: slurm.run(*words).strip() == f"FAILED|3:0|{ACCOUNT}|shared")

    def test_the_user_has_an_account(self, slurm_with_accounting):
        assert ACCOUNT in slurm_with_accounting.run("sshare", "-U")

    def test_limits_and_further_accounts(self, private_slurm):
        slurm = private_slurm(
            accounting=True,
            nodes=SMALL.nodes,
            accounts=("kempner_a_lab", "kempner_b_lab"),
            accounting_enforce="associations,limits",
            sacctmgr=("modify account kempner_b_lab set maxsubmitjobs=1",),
        )
        sbatch(slurm, "sleep 100", "--account=kempner_b_lab")
        with pytest.raises(SandboxError, match="MaxSubmitJob"):
            sbatch(slurm, "true", "--account=kempner_b_lab")
        with pytest.raises(SandboxError, match="Invalid account"):
            sbatch(slurm, "true", "--account=another_lab")
        slurm.stop_accounting()
        with pytest.raises(SandboxError):
            slurm.run("sacct", timeout=20)
        slurm.start_accounting()
        assert "kempner_a_lab" in slurm.run("sacctmgr", "-n", "show", "account")


class TestBreakingIt:
    def test_the_controller_forgets_nothing_over_a_restart(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes)
        job = sbatch(slurm, "sleep 2")
        waiting = sbatch(slurm, "true", f"--dependency=afterok:{job}")
        slurm.stop_controller()
        with pytest.raises(SandboxError, match="Unable to contact"):
            slurm.run("squeue")
        slurm.start_controller()
        wait_for_state(slurm, waiting, "COMPLETED")
        slurm.stop_controller(hard=True)
        slurm.start_controller()
        assert slurm.run("scontrol", "ping")

    def test_a_frozen_controller_does_not_answer(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes)
        slurm.pause_controller()
        with pytest.raises(SandboxError):
            slurm.run("squeue", timeout=2)
        slurm.resume_controller()
        assert slurm.run("squeue", "-h") == ""

    def test_a_crashed_node_fails_its_job(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes, slurmd_timeout=5)
        job = sbatch(slurm, "sleep 300", "--no-requeue")
        wait_for_state(slurm, job, "RUNNING")
        slurm.stop_node("n1")
        wait_for_state(slurm, job, "NODE_FAIL")
        slurm.start_node("n1")
        assert slurm.run("srun", "-Q", "echo", "back") == "back\n"

    def test_only_what_exists_can_be_broken(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes)
        with pytest.raises(SandboxError, match="no n9, only"):
            slurm.stop_node("n9")
        with pytest.raises(SandboxError, match="no slurmdbd, only"):
            slurm.pause_accounting()

    def test_drain_empties_the_queue(self, private_slurm):
        slurm = private_slurm(nodes=SMALL.nodes)
        running = sbatch(slurm, "sleep 100")
        sbatch(slurm, "true", f"--dependency=afterok:{running}", "--array=0-9")
        sbatch(slurm, "true", "--hold")
        slurm.drain()
        assert slurm.run("squeue", "-h") == ""


class TestItEnds:
    def test_stop_leaves_no_process_and_no_file(self, tmp_path):
        slurm = Sandbox.start(options=SMALL)
        pids = tmp_path / "pids"
        stubborn = f"trap '' TERM; echo $$ >> {pids}; sleep 1000"
        job = sbatch(slurm, f'{stubborn} & env -i setsid bash -c "{stubborn}" & wait'.replace("$$", "$BASHPID"))
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        assert state_of(slurm, job) == "RUNNING"
        slurm.stop()
        slurm.stop()
        assert processes_of(slurm) == []
        assert not any(is_alive(int(pid)) for pid in pids.read_text().split())
        assert not slurm.folder.exists()

    def test_a_shell_that_uses_it_survives(self):
        with Sandbox.start(options=SMALL) as slurm:
            shell = subprocess.Popen(["sleep", "100"], env=slurm.environment)
        try:
            assert shell.poll() is None
        finally:
            shell.kill()
            shell.wait()

    def test_two_at_once_are_strangers(self, slurm, private_slurm):
        other = private_slurm(nodes=SMALL.nodes, first_job_id=700_000)
        job = sbatch(other, "sleep 100")
        theirs, ours = other.home.record.ports, slurm.home.record.ports
        assert {theirs.controller, *theirs.nodes}.isdisjoint({ours.controller, *ours.nodes})
        assert job in other.run("squeue", "-h", "-o", "%i").split()
        assert job not in slurm.run("squeue", "-h", "-o", "%i").split()

    def test_the_keeper_ends_it_when_its_owner_is_killed(self, tmp_path):
        slurm, owner = self._sandbox_of_another_process(tmp_path)
        job = sbatch(slurm, "sleep 1000")
        wait_for_state(slurm, job, "RUNNING")
        owner.kill()
        owner.wait()
        wait_until(lambda: not processes_of(slurm))

    @pytest.mark.parametrize("moment", ["kill_jobs", "kill"])
    def test_the_keeper_ends_what_a_process_that_was_killed_had_begun_to_end(self, tmp_path, moment):
        slurm, owner = self._sandbox_of_another_process(
            tmp_path,
            then="from snakemake_executor_plugin_kempner.sandbox import processes; "
            f"exec('while not os.path.exists(\"{tmp_path}/end\"): time.sleep(0.1)'); "
            f"do = processes.{moment}; processes.{moment} = lambda *a: (do(*a), os.kill(os.getpid(), 9)); "
            "sandbox.stop()",
        )
        jobs = [sbatch(slurm, "sleep 1000") for _ in range(4)]
        for job in jobs:
            wait_for_state(slurm, job, "RUNNING")
        (tmp_path / "end").touch()
        assert owner.wait() == -signal.SIGKILL
        wait_until(lambda: not processes_of(slurm))
        wait_until(lambda: not slurm.folder.joinpath("sandbox.json").exists())

    def test_an_owner_that_is_left_keeps_it_alive(self, tmp_path):
        slurm, owner = self._sandbox_of_another_process(tmp_path)
        shared = Sandbox.share(slurm.folder)
        owner.kill()
        owner.wait()
        time.sleep(4)
        assert shared.run("squeue", "-h") == ""
        shared.leave()
        assert processes_of(slurm) == []

    def test_removing_the_folder_ends_it(self, tmp_path):
        slurm = Sandbox.start(tmp_path / "sandbox", options=SMALL)
        time.sleep(1.5)
        shutil.rmtree(slurm.folder, ignore_errors=True)
        wait_until(lambda: not processes_of(slurm))
        wait_until(lambda: not slurm.conf.parent.is_symlink())

    def test_remains_of_a_dead_one_are_cleared(self, tmp_path):
        folder = tmp_path / "sandbox"
        dead = Sandbox.start(folder, options=SMALL, keep=True)
        job = sbatch(dead, "sleep 1000")
        wait_for_state(dead, job, "RUNNING")
        for process in dead.home.record.processes.values():
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not dead.home.record.living)
        with pytest.raises(NotRunning):
            Sandbox.attach(folder)
        with Sandbox.start(folder, options=SMALL) as slurm:
            assert slurm.run("squeue", "-h") == ""

    def test_a_record_of_another_boot_names_no_process(self, tmp_path):
        folder = tmp_path / "sandbox"
        with Sandbox.start(folder, options=SMALL) as slurm:
            record = folder / "sandbox.json"
            kept = record.read_text()
            record.write_text(json.dumps({**json.loads(kept), "boot": "another"}))
            assert slurm.home.record.living == {}
            assert not slurm.home.record.is_elsewhere
            record.write_text(json.dumps({**json.loads(kept), "boot": "another", "host": "another"}))
            with pytest.raises(SandboxError, match="machine another"):
                Sandbox.start(folder)
            record.write_text(kept)

    @staticmethod
    def _sandbox_of_another_process(
        folder: Path, then: str = "time.sleep(1000)"
    ) -> tuple[Sandbox, subprocess.Popen[str]]:
        program = (
            "import os, sys, time; from snakemake_executor_plugin_kempner.sandbox import *; "
            "options = SandboxOptions(nodes=(Node(name='n1', cpus=4, memory_mb=8000),)); "
            f"sandbox = Sandbox.share(sys.argv[1], options=options); print('up', flush=True); {then}"
        )
        owner = subprocess.Popen(
            [sys.executable, "-c", program, str(folder / "sandbox")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert owner.stdout is not None
        with owner.stdout:
            assert owner.stdout.readline() == "up\n"
        return Sandbox.attach(folder / "sandbox"), owner


class TestItFails:
    def test_a_bad_configuration_shows_the_log(self, tmp_path):
        options = SandboxOptions(slurm_conf=("Nonsense=1",))
        with pytest.raises(NotReady, match=r"(?s)slurmctld ended at once.*Nonsense"):
            Sandbox.start(tmp_path / "sandbox", options=options)
        assert not (tmp_path / "sandbox" / "sandbox.json").exists()

    def test_a_missing_program_is_named_with_its_package(self, monkeypatch):
        monkeypatch.setattr(daemons, "SYSTEM_FOLDERS", ())
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(MissingPrograms, match=r"slurmd, .*apt-get install munge slurm-client slurmctld slurmd$"):
            Sandbox.start()

    def test_a_taken_port_is_replaced(self, tmp_path, monkeypatch):
        real = daemons.draw_ports
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            tries = iter([replace(real(1), controller=taken.getsockname()[1])])
            monkeypatch.setattr(daemons, "draw_ports", lambda nodes: next(tries, None) or real(nodes))
            with Sandbox.start(tmp_path / "sandbox", options=SMALL) as slurm:
                assert slurm.home.record.ports.controller != taken.getsockname()[1]

    def test_an_interrupted_start_leaves_nothing(self, tmp_path, monkeypatch):
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(starting, "wait_for_nodes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Sandbox.start(tmp_path / "sandbox", options=SMALL)
        assert not (tmp_path / "sandbox" / "sandbox.json").exists()
        assert str(tmp_path) not in subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout


class TestCommandLine:
    @pytest.fixture
    def folder(self, tmp_path) -> Iterator[Path]:
        """A folder that Slurm cannot stand, as a user may well have one."""
        folder = tmp_path / "with a space" / "and a very long name, as they grow in file systems of universities" / "ü"
        yield folder
        main(["down", "--folder", str(folder)])

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Collect the output through pipes, which a daemon that inherits them would keep open."""
        return subprocess.run(
            [*COMMAND, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
        )

    def test_up_status_down(self, folder):
        where = ("--folder", str(folder))
        assert self.call("status", *where).returncode == 3
        up = self.call("up", *where, "--node", "n1:4:8000:a100:2")
        assert up.returncode == 0, up.stderr
        export = up.stdout.strip()
        assert export.startswith("export SLURM_CONF=/")
        again = self.call("up", *where)
        assert again.stdout.strip() == export
        assert "up already" in again.stderr
        shell = ["bash", "-c", f"{export}; srun -Q -p kempner --gres=gpu:1 printenv CUDA_VISIBLE_DEVICES"]
        assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout.strip() in {"0", "1"}
        status = self.call("status", *where)
        assert status.returncode == 0
        assert "kempner" in status.stdout
        slurm = Sandbox.attach(folder)
        assert "is down" in self.call("down", *where).stderr
        assert processes_of(slurm) == []
        assert not slurm.conf.parent.exists()
        assert [entry.name for entry in sorted(folder.iterdir())] == ["lock", "log"]
        assert self.call("down", *where).returncode == 0

    def test_run_returns_what_the_command_returns(self):
        done = self.call("run", "--node=n1:4:8000", "--", "sh", "-c", "sinfo -h -o %n; exit 7")
        assert (done.returncode, done.stdout) == (7, "n1\n")
        assert self.call("run", "--node=n1:4:8000", "--", "/no/such/command").returncode == 127
        assert self.call("run").returncode == 2

    def test_a_terminated_run_ends_its_command_and_itself(self, tmp_path):
        note = tmp_path / "note"
        script = f"trap 'echo told >> {note}; exit 5' TERM; echo $SLURM_CONF > {note}; while :; do sleep 0.1; done"
        run = subprocess.Popen(
            [*COMMAND, "run", "--node=n1:4:8000", "--", "bash", "-c", script], cwd=REPOSITORY, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: note.exists() and note.read_text() != "")
        run.terminate()
        assert run.wait(timeout=240) == 5
        conf, told = note.read_text().split()
        assert told == "told"
        assert not Path(conf).exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    @pytest.mark.parametrize("accounting", [(), ("--accounting",)])
    def test_an_ordinary_user_needs_no_rights(self, accounting, tmp_path_factory):
        python = shutil.which("python3", path="/usr/bin")
        somebody = pwd.getpwnam("nobody")
        if python is None:
            pytest.skip("no Python outside the reach of the superuser")
        program = (
            "import runpy, sys, types; name = 'snakemake_executor_plugin_kempner'; package = types.ModuleType(name); "
            f"package.__path__ = [{str(REPOSITORY)!r} + '/' + name]; sys.modules[name] = package; "
            f"sys.path.append({str(Path(psutil.__file__).parents[1])!r}); "
            "runpy.run_module(name + '.sandbox', run_name='__main__', alter_sys=True)"
        )
        script = "id -un; srun -Q -p kempner --gres=gpu:2 printenv CUDA_VISIBLE_DEVICES"
        done = subprocess.run(
            [python, "-c", program, "run", "--node=n1:4:8000:a100:2", *accounting, "--", "sh", "-c", script],
            user=somebody.pw_uid,
            group=somebody.pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.stdout.split() == ["nobody", "0,1"], done.stderr
