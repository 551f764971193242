"""Run random workflows of two users side by side, on a Slurm in trouble: `python tests/cluster/crowd.py --minutes 60`.

Each user has several runs at once, one after the other, on one Slurm, whose daemons are restarted, stopped or away meanwhile.
Beside that, each run has a fault of its own. Workflows, faults and the judgement are those of `faults.py`.

To become another user takes root, and that user must be able to read this checkout and to run its Python.
"""

import argparse
import json
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fault_kinds import FAULTS, Scene, accounting_down, controller_restarted, controller_stopped
from faults import RECORD, ROOT, record, try_seed

from snakemake_executor_plugin_kempner.sandbox import Node, Sandbox, SandboxError, SandboxOptions
from snakemake_executor_plugin_kempner.sandbox.client import Client
from snakemake_executor_plugin_kempner.sandbox.daemons import Programs
from snakemake_executor_plugin_kempner.sandbox.folder import Folder

OWN_FAULTS = tuple(
    name
    for name, fault in FAULTS.items()
    if not (fault.mounted or fault.options) and not name.startswith(("controller", "accounting", "node"))
)
"""Those that concern one run, whatever the rest of the cluster does."""
OF_THE_CLUSTER = (controller_restarted, controller_stopped, accounting_down)
NODES = tuple(Node(name=name, cpus=16, memory_mb=64_000) for name in ("n1", "n2"))
SEEDS_OF_A_LANE = 10_000


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Runs of one user, one after the other."""

    user: str
    number: int
    first_seed: int
    place: Path

    def start(self, slurm: Sandbox, until: float) -> subprocess.Popen[str]:
        """A process of that user which prints a line for each run."""
        self.place.mkdir()
        account = pwd.getpwnam(self.user)
        os.chown(self.place, account.pw_uid, account.pw_gid)
        words = (sys.executable, __file__, "--lane-of", slurm.conf, self.place, str(self.first_seed), str(until))
        return subprocess.Popen(
            words,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env={**os.environ, "HOME": str(self.place), "USER": self.user, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.place,
            stdout=subprocess.PIPE,
            text=True,
        )


def run_lane(slurm: Sandbox, place: Path, seed: int, until: float) -> Iterator[Mapping[str, object]]:
    """Seed after seed, each with the next fault and mode."""
    while time.time() < until:
        name = OWN_FAULTS[seed % len(OWN_FAULTS)]
        mode = random.Random(seed).choice(FAULTS[name].modes)
        folder, begin = place / f"{name}-{seed}", time.monotonic()
        wrong = try_seed(slurm, name, seed, mode, folder)
        ran = folder / mode / "run" / "runs"
        yield {
            "fault": name,
            "seed": seed,
            "mode": mode,
            "wrong": wrong,
            "tasks": len(ran.read_text().splitlines()) if ran.exists() else 0,
            "seconds": round(time.monotonic() - begin),
        }
        if not wrong:
            shutil.rmtree(folder)
        seed += 1


def trouble(slurm: Sandbox, seed: int, over: threading.Event, did: Counter[str]) -> None:
    """What happens to the daemons, a minute or so after the last time."""
    scene = Scene(slurm=slurm, folder=slurm.folder, chance=random.Random(seed), over=over)
    while not over.is_set():
        scene.wait(15, 75)
        act = scene.chance.choice(OF_THE_CLUSTER)
        try:
            act(scene)
            did[act.__name__] += 1
        except SandboxError as error:  # it was slow to come back on a loaded machine
            print(f"{act.__name__}: {error}", file=sys.stderr)


def show(slurm: Sandbox, lane: Lane, process: subprocess.Popen[str], total: Counter[str], *, recorded: bool) -> None:
    """Print, count and, if asked for, record what a lane has found."""
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line)
        total["runs"] += 1
        total["tasks"] += found["tasks"]
        total["wrong"] += bool(found["wrong"])
        judged = "WRONG" if found["wrong"] else "right"
        print(f"{lane.user} {lane.number}: {found['fault']}, seed {found['seed']}, {found['mode']}: {judged} ", end="")
        print(f"({found['tasks']} commands, {found['seconds']} s)", flush=True)
        for sentence in found["wrong"]:
            print(*(f"    {text}" for text in sentence.splitlines()), sep="\n", flush=True)
        if recorded:
            is_right = not found["wrong"]
            record(slurm, found["fault"], found["seed"], found["mode"], is_right=is_right, beside_others=True)


def main() -> int:
    """Exit code: 1 when something is wrong, or a process of a user has not come to its end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", default="root,nobody", help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=2, metavar="N", help="at once, of each user (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed (default: by the clock)")
    parser.add_argument("--minutes", type=float, default=10, metavar="M", help="start runs for so long")
    parser.add_argument("--record", action="store_true", help=f"note the results in {RECORD.relative_to(ROOT)}")
    parser.add_argument("--lane-of", nargs=4, help=argparse.SUPPRESS)
    asked_for = parser.parse_args()
    if asked_for.lane_of:
        conf, place, seed, until = asked_for.lane_of
        # Its record is for its owner only; whoever may speak to it needs no more than slurm.conf.
        slurm = Sandbox(Folder(Path(conf).parent), Client(Path(conf), Programs.find(accounting=False)))
        for found in run_lane(slurm, Path(place), int(seed), float(until)):
            print(json.dumps(found), flush=True)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="crowd-"))
    folder.chmod(0o755)
    begin, total, did, over = time.time(), Counter[str](), Counter[str](), threading.Event()
    users = asked_for.users.split(",") * asked_for.runs
    lanes = [
        Lane(user=user, number=n, first_seed=asked_for.seed + n * SEEDS_OF_A_LANE, place=folder / f"lane-{n}")
        for n, user in enumerate(users)
    ]
    with Sandbox.start(
        folder / "slurm", accounting=True, options=SandboxOptions(nodes=NODES, min_job_age=900)
    ) as slurm:
        slurm.folder.chmod(0o711)  # its keys stay its owner's
        slurm.conf.chmod(0o644)
        processes = [lane.start(slurm, begin + 60 * asked_for.minutes) for lane in lanes]
        troubles = threading.Thread(target=trouble, args=(slurm, asked_for.seed, over, did))
        readers = [
            threading.Thread(target=show, args=(slurm, lane, process, total), kwargs={"recorded": asked_for.record})
            for lane, process in zip(lanes, processes, strict=True)
        ]
        for thread in (troubles, *readers):
            thread.start()
        codes = [process.wait() for process in processes]
        for reader in readers:
            reader.join()
        over.set()
        troubles.join()
    minutes = (time.time() - begin) / 60
    happened = ", ".join(f"{name} {times} times" for name, times in did.items()) or "nothing"
    print(f"{total['runs']} runs of {len(set(users))} users, {len(users)} at once, {total['tasks']} commands ", end="")
    print(f"in {minutes:.0f} minutes; {happened}; {total['wrong']} wrong; what is wrong is left in {folder}")
    return int(total["wrong"] > 0 or any(codes))


if __name__ == "__main__":
    sys.exit(main())
