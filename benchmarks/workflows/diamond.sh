#!/usr/bin/env bash
# The diamond by hand: one job, a row of jobs beside one another behind it, and one behind all of those.
# Usage: diamond.sh width=… partition=… account=…
set -euo pipefail
declare "$@"

queue() { # queue OUTPUT [ID…]
    local output=$1 after=()
    shift
    (($# == 0)) || after=("--dependency=afterok:$(IFS=: && echo "$*")" --kill-on-invalid-dep=yes)
    sbatch --parsable "${after[@]}" --partition="$partition" --account="$account" --mem=500 --time=600 \
        --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "date +%s.%N > $output"
}

first=$(queue first.txt)
middle=()
for ((i = 1; i <= width; i++)); do
    middle+=("$(queue "middle$i.txt" "$first")")
done
queue last.txt "${middle[@]}"
