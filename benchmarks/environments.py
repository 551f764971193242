"""Where the contestants run: the environment of this process, and one of its own for the slurm plugin."""

import os
import platform
import subprocess
import sys
import venv
from collections.abc import Mapping
from importlib.metadata import distributions, version
from pathlib import Path

from head import BenchmarkError

SLURM_PLUGIN = "snakemake-executor-plugin-slurm"
SLURM_PLUGIN_VERSION = "2.8.0"
PLUGIN_PREFIX = "snakemake-executor-plugin-"


def slurm_plugin_python() -> Path:
    """Return the interpreter of an environment with the slurm plugin, which is made the first time.

    The two plugins are kept apart because every Snakemake process imports every executor plugin that is installed,
    and each job is a Snakemake process: side by side, each would pay for the other.
    """
    snakemake = version("snakemake")
    folder = _cache() / f"slurm-{SLURM_PLUGIN_VERSION}-snakemake-{snakemake}-python-{platform.python_version()}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        print(f"Installing {SLURM_PLUGIN} {SLURM_PLUGIN_VERSION} in {folder} …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        wanted = [f"snakemake=={snakemake}", f"{SLURM_PLUGIN}=={SLURM_PLUGIN_VERSION}"]
        install = [str(python), "-m", "pip", "install", "--quiet", *wanted]
        done = subprocess.run(install, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"pip cannot install {' and '.join(wanted)}:\n{done.stderr}")
        complete.touch()
    return python


def environment(surrounding: Mapping[str, str], python: str) -> dict[str, str]:
    """Return the environment of a command: nobody's settings for Snakemake, and bytecode is kept as it usually is."""
    unwanted = {"PYTHONDONTWRITEBYTECODE"}
    if python != sys.executable:
        unwanted |= {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {
        name: value for name, value in surrounding.items() if name not in unwanted and not name.startswith("SNAKEMAKE_")
    }


def warm_up(python: str, surrounding: Mapping[str, str]) -> None:
    """Start Snakemake once, so that nobody's first run pays for reading its files from the disk."""
    argv = [python, "-m", "snakemake", "--version"]
    subprocess.run(argv, env=environment(surrounding, python), stdout=subprocess.DEVNULL, check=True)


def plugins_here() -> list[str]:
    """Names of the executor plugins in this environment, which all take part in the start of each Snakemake."""
    return sorted({name for one in distributions() if (name := one.metadata["Name"]).startswith(PLUGIN_PREFIX)})


def machine(slurm_version: str = "") -> dict[str, str]:
    """What the figures were measured on; without the version of Slurm, no plugin for it but ours took part."""
    others = {"slurm": slurm_version, SLURM_PLUGIN: SLURM_PLUGIN_VERSION} if slurm_version else {}
    return {
        "processor": f"{len(os.sched_getaffinity(0))} cores, {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform()),
        "python": platform.python_version(),
        "snakemake": version("snakemake"),
        "snakemake-executor-plugin-kempner": version("snakemake-executor-plugin-kempner"),
        **others,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "snakemake-kempner-benchmark"
