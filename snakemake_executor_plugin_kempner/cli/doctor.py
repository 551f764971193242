"""`kempner doctor`: what this place has, what is not as it should be, and what to type."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import KempnerError
from ..layout import run_folders
from ..run.belonging import unexplained
from ..run.ledgers import open_ledgers
from ..site.live import live_site
from ..slurm.client import Slurm, SlurmCommands
from ..slurm.environment import cluster_of_user
from ..slurm.site_limits import SiteLimits, user_name
from .output import console, print_json, text
from .places import FOLDER, NotFoundError, Place
from .profiles import cluster_of_profile, profile_file, read_profile

_PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
_SHARED = frozenset({
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "fuse.ceph", "panfs", "afs", "cifs", "smb3", "orangefs", "pvfs2", "wekafs",
    "fuse.sshfs", "glusterfs", "fuse.glusterfs", "9p", "virtiofs",
})  # fmt: skip
"""File systems that several machines can see."""
_LINES = {
    "rerun-incomplete": "while jobs run, their outputs look incomplete to Snakemake, and the command given again would stop",
    "nolock": "a killed Snakemake leaves its lock behind, and the plugin has its own",
}


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that was looked at."""

    about: str
    verdict: Verdict
    what: str
    to_type: str = ""


def ok(about: str, what: str) -> Finding:
    return Finding(about=about, verdict=Verdict.OK, what=what)


def warning(about: str, what: str, to_type: str = "") -> Finding:
    return Finding(about=about, verdict=Verdict.WARNING, what=what, to_type=to_type)


def error(about: str, what: str, to_type: str = "") -> Finding:
    return Finding(about=about, verdict=Verdict.ERROR, what=what, to_type=to_type)


def doctor(start: Path, *, as_json: bool) -> int:
    """Show all findings; the exit status is 1 if something is an error."""
    found = tuple(findings(start))
    if as_json:
        print_json(found)
    else:
        out = console()
        for finding in found:
            line = text(f"{_SIGNS[finding.verdict]} ", finding.verdict)
            line.append_text(text(f"{finding.about}: {finding.what}"))
            out.print(line)
            if finding.to_type:
                out.print(text(f"    → {finding.to_type}", "strong"))
    return int(any(finding.verdict is Verdict.ERROR for finding in found))


_SIGNS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.ERROR: "✗"}


def findings(start: Path) -> Iterator[Finding]:
    """All findings, in the order of the checks."""
    cluster = cluster_of_user(os.environ) or cluster_of_profile(start.absolute())
    slurm = SlurmCommands(timeout=20, cluster=cluster)
    yield from _versions()
    reachable = list(_slurm(slurm))
    yield from reachable
    if not any(finding.verdict is Verdict.ERROR for finding in reachable):
        yield from _site(slurm)
        yield from _limits(slurm)
    yield from _file_system(start.absolute())
    yield from _profile(start.absolute(), os.environ.get("SNAKEMAKE_PROFILE", ""))
    yield from _runs(start, slurm)


# --- programs and Slurm ---------------------------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    names = ("snakemake-executor-plugin-kempner", "snakemake", "snakemake-interface-executor-plugins")
    found = {name: _version(name) for name in names}
    missing = [name for name, number in found.items() if not number]
    shown = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    python = ".".join(map(str, sys.version_info[:3]))
    if missing:
        yield error(
            "versions", f"{', '.join(missing)} not installed beside Python {python}", f"pip install {' '.join(missing)}"
        )
    else:
        yield ok("versions", f"{shown}, Python {python}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _slurm(slurm: SlurmCommands) -> Iterator[Finding]:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        what = f"{', '.join(missing)} not found on PATH: this is no login node of a cluster, or a module is not loaded"
        yield error("Slurm", what, "a private Slurm for trying things: kempner sandbox up")
        return
    try:
        told = slurm.tell("scontrol", ["show config"])
        jobs = [job for job in slurm.listing() if not job.record.state.is_final]
    except KempnerError as problem:
        yield error("Slurm", str(problem), "scontrol ping")
        return
    number, cluster = _setting(told, "SLURM_VERSION"), _setting(told, "ClusterName")
    yield ok(
        "Slurm",
        f"version {number or 'unknown'} of cluster {cluster or 'without a name'}; you have {len(jobs)} jobs in the queue",
    )
    storage = _setting(told, "AccountingStorageType")
    if "slurmdbd" not in storage or shutil.which("sacct") is None:
        what = "none: what jobs have used is known from their own records alone, and ends are known as long as Slurm remembers them"
        yield warning("accounting", what)
    else:
        yield ok("accounting", "slurmdbd")
    if "kill_invalid_depend" in _setting(told, "DependencyParameters"):
        yield ok("dependencies", "Slurm removes jobs that can never start, by itself")


def _setting(told: str, name: str) -> str:
    found = re.search(rf"^{name}\s*= (.*)$", told, re.MULTILINE)
    return found[1].strip() if found else ""


def _site(slurm: SlurmCommands) -> Iterator[Finding]:
    site = live_site(slurm.tell, user_name(), os.environ)
    if site is None:
        yield warning("partitions", "Slurm does not tell its partitions, so requests cannot be checked", "sinfo -s")
        return
    gpus = [name for name, partition in site.partitions.items() if partition.has_gpus]
    default = next((name for name, partition in site.partitions.items() if partition.is_default), "")
    parts = [
        f"{', '.join(site.partitions)}",
        f"default {default}" if default else "no default",
        f"GPUs in {', '.join(gpus) or 'none'}",
    ]
    yield ok("partitions", "; ".join(parts))
    if not default:
        yield warning(
            "partitions",
            "none is the default, so each rule has to name its partition",
            "--default-resources slurm_partition=NAME",
        )
    accounts = site.own_accounts or ()
    if site.enforces_accounts and not accounts:
        yield error(
            "account", "you have none, and Slurm requires an account", "sshare -U; ask your group's administrator"
        )
    elif site.enforces_accounts and not site.default_account and len(accounts) > 1:
        yield warning(
            "account",
            f"you have several and no default: {', '.join(accounts)}",
            "--default-resources slurm_account=NAME",
        )
    else:
        yield ok(
            "account",
            f"{', '.join(accounts) or 'none, and none is needed'}{f'; default {site.default_account}' if site.default_account else ''}",
        )


def _limits(slurm: SlurmCommands) -> Iterator[Finding]:
    limits = SiteLimits(slurm.tell).limits()
    bound = f"{limits.jobs.limit} jobs in the queue ({limits.jobs.source})" if limits.jobs else "no known limit of jobs"
    yield ok("limits", f"{bound}, arrays of {limits.array_size - 1}")
    if limits.min_job_age < 60:
        what = f"Slurm forgets ended jobs after {limits.min_job_age:.0f} s (MinJobAge): plans that take longer to submit are checked in between"
        yield warning("limits", what)


# --- the folder -----------------------------------------------------------------------------------------------------


def _file_system(folder: Path) -> Iterator[Finding]:
    kind = file_system_of(folder, _read("/proc/mounts"))
    if not os.access(folder, os.W_OK):
        yield error("folder", f"{folder} cannot be written to")
    if kind in _SHARED:
        yield ok("folder", f"{folder} is on {kind}, which other nodes can see")
    elif kind:
        what = f"{folder} is on {kind}, which other nodes may not see: jobs there would not find it"
        yield warning("folder", what, f"srun --pty ls {folder}")


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the file system of a folder, by the longest mount point above it; empty if unknown."""
    rows = [line.split(" ") for line in mounts.splitlines() if line.count(" ") >= 3]
    above = [(row[1].replace("\\040", " "), row[2]) for row in rows]
    fitting = [(point, kind) for point, kind in above if folder == Path(point) or Path(point) in folder.parents]
    return max(fitting, key=lambda mount: len(mount[0]))[1] if fitting else ""


def _profile(folder: Path, named: str) -> Iterator[Finding]:
    path = profile_file(folder, named)
    if path is None:
        lines = "executor: kempner, jobs: 100, rerun-incomplete: true, nolock: true"
        yield warning(
            "profile",
            "there is none, so each command needs its options",
            f"put into profiles/default/config.yaml: {lines}",
        )
        return
    try:
        known = read_profile(path)
    except KempnerError as problem:
        yield error("profile", str(problem))
        return
    missing = {line: why for line, why in _LINES.items() if known.get(line) is not True}
    for line, why in missing.items():
        yield warning("profile", f"{path} has no {line}: {why}", f"add to it: {line}: true")
    if not missing:
        yield ok("profile", str(path))


def _runs(start: Path, slurm: Slurm) -> Iterator[Finding]:
    place = Place(start)
    try:
        runs, workdir = place.runs, place.workdir
    except NotFoundError:
        yield ok("runs", f"none is recorded here yet ({FOLDER})")
        return
    yield from _looked_at(lambda: _open_runs(runs, workdir, slurm))


def _open_runs(runs: Path, workdir: Path, slurm: Slurm) -> Iterator[Finding]:
    ledgers = open_ledgers(runs)
    names = ", ".join(ledger.run for ledger in ledgers)
    yield ok("runs", f"{len(list(run_folders(runs)))} recorded; open: {names or 'none'}")
    lost = unexplained(runs, str(workdir), slurm, ledgers)
    if lost:
        what = f"{len(lost)} jobs of this folder are in the queue that no ledger explains: nobody needs them"
        yield warning("runs", what, f"scancel{slurm.where} {' '.join(sorted(lost)[:20])}")
    locks = [path for path in (workdir / ".snakemake/locks").glob("*") if path.is_file()]
    if locks and not (runs / "claim.json").exists():
        yield warning(
            "lock",
            "Snakemake's lock is there, and no process of this plugin looks after the folder",
            "snakemake --unlock",
        )


def _looked_at(look: Callable[[], Iterator[Finding]]) -> Sequence[Finding]:
    try:
        return tuple(look())
    except KempnerError as problem:
        return (error("runs", str(problem)),)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
