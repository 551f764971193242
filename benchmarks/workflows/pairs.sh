#!/usr/bin/env bash
# The pairs by hand, as a loop: one sbatch call for each task.
# Usage: pairs.sh pairs=… partition=… account=…
set -euo pipefail
declare "$@"

queue() { # queue COMMAND [OPTION…]
    sbatch --parsable "${@:2}" --partition="$partition" --account="$account" --mem=500 --time=600 \
        --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "$1"
}

mkdir -p a b
after=afterok
for ((i = 1; i <= pairs; i++)); do
    a=$(queue "touch a/$i.txt")
    after+=:$(queue "touch b/$i.txt" "--dependency=afterok:$a" --kill-on-invalid-dep=yes)
done
queue "touch end.txt" "--dependency=$after" --kill-on-invalid-dep=yes
