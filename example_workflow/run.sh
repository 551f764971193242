#!/usr/bin/env bash
# Sets up what is missing, runs the example on the Slurm at hand, or on a private one if there is none, and shows
# what came out. Arguments go to Snakemake: example_workflow/run.sh --config gpu_partition=kempner_h100
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../.ci/setup" example
cd "$here"
if sinfo >/dev/null 2>&1; then
    python -m snakemake --executor kempner "$@"
else
    echo "No Slurm answers here: starting a private one for this run."
    python -m snakemake_executor_plugin_kempner.sandbox run -- python -m snakemake --executor kempner "$@"
fi
echo
cat results/summary.md
echo
echo "Pictures:"
find results -name '*.png' | sort
