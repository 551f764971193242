#!/usr/bin/env bash
# Sets up what is missing, runs the example on the Slurm at hand, or on a private one if there is none, and shows
# what came out. Arguments go to Snakemake: example_workflow/run.sh --config gpu_partition=kempner_h100
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../.ci/setup" example
cd "$here"
if sinfo >/dev/null 2>&1; then
    # config.yaml's partitions where Slurm has them; else the default partition, and the first one with GPUs.
    sinfo --noheader --responding --format '%P %a %G' | awk '
        $2 != "up" { next }
        { name = $1; if (sub(/\*$/, "", name)) has_default = 1; if (first == "") first = name }
        $3 ~ /gpu:/ { if (gpu == "" || name == "kempner") gpu = name; next }
        { if (plain == "") plain = name }
        name == "shared" { shared = name }
        END {
            cpu = shared != "" ? shared : has_default ? "" : plain != "" ? plain : first
            printf "gpu_partition: \"%s\"\ncpu_partition: \"%s\"\n", gpu, cpu
        }' >partitions.yaml
    echo "Partitions of this Slurm (empty: no GPU, the default partition):"
    cat partitions.yaml
    python -m snakemake --executor kempner --configfile partitions.yaml "$@"
else
    echo "No Slurm answers here: starting a private one for this run."
    python -m snakemake_executor_plugin_kempner.sandbox run -- python -m snakemake --executor kempner "$@"
fi
echo
cat results/summary.md
echo
echo "Pictures:"
find results -name '*.png' | sort
