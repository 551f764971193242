#!/usr/bin/env bash
# Jobs that do nothing but leave a file, so that their end can be seen.
# Usage: nothing.sh tasks=… partition=… account=…
set -euo pipefail
declare "$@"

for ((i = 1; i <= tasks; i++)); do
    sbatch --parsable --partition="$partition" --account="$account" --mem=500 --time=600 \
        --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "> nothing$i.txt"
done
