"""`python -m snakemake_executor_plugin_kempner.draft_site`: drafts a site file from the live Slurm."""

import argparse
import os
import sys
from collections.abc import Sequence

from .errors import KempnerError, SlurmError
from .site.draft import draft
from .site.live import live_site
from .slurm.client import SlurmCommands
from .slurm.environment import cluster_of_user
from .slurm.site_limits import user_name


def main(words: Sequence[str] | None = None) -> int:
    """Write the draft to standard output and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args(words)
    try:
        site = live_site(SlurmCommands(cluster=cluster_of_user(os.environ)).tell, user_name(), os.environ)
        if site is None:
            raise SlurmError("Slurm does not tell its partitions: is this a login node of the cluster?")
    except KempnerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(draft(site))
    return 0


if __name__ == "__main__":
    sys.exit(main())
