#!/usr/bin/env bash
# The chain as one would write it by hand: independent lanes of jobs, each waiting for the one before.
# Usage: chain.sh lanes=… steps=… sleep=… partition=… account=…
set -euo pipefail
declare "$@"

for ((lane = 1; lane <= lanes; lane++)); do
    mkdir -p "lane$lane"
    after=()
    for ((step = 1; step <= steps; step++)); do
        job=$(sbatch --parsable "${after[@]}" --partition="$partition" --account="$account" --mem=500 --time=600 \
            --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "sleep $sleep; date +%s.%N > lane$lane/step$step.txt")
        after=("--dependency=afterok:$job" --kill-on-invalid-dep=yes)
    done
done
