#!/usr/bin/env bash
# The chain as one would write it by hand: LANES independent lanes of STEPS jobs, each waiting for the one before.
# Usage: chain.sh LANES STEPS PARTITION ACCOUNT
set -euo pipefail
lanes=$1 steps=$2 partition=$3 account=$4

for ((lane = 1; lane <= lanes; lane++)); do
    mkdir -p "lane$lane"
    input=/dev/null
    after=()
    for ((step = 1; step <= steps; step++)); do
        output=lane$lane/step$step.txt
        job=$(sbatch --parsable "${after[@]}" --partition="$partition" --account="$account" --mem=500 --time=5 \
            --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "{ cat $input; date +%s.%N; } > $output")
        after=("--dependency=afterok:$job" --kill-on-invalid-dep=yes)
        input=$output
    done
done
