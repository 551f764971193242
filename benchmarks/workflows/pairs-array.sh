#!/usr/bin/env bash
# The pairs by hand, as job arrays: what somebody does who knows Slurm well. 1000 is the largest index of Slurm's default MaxArraySize.
# Usage: pairs-array.sh pairs=… partition=… account=…
set -euo pipefail
declare "$@"

queue() { # queue COMMAND [OPTION…]
    sbatch --parsable "${@:2}" --partition="$partition" --account="$account" --mem=500 --time=600 \
        --ntasks=1 --cpus-per-task=1 --output=/dev/null --wrap "$1"
}

mkdir -p a b
after=afterok
for ((done = 0; done < pairs; done += 1000)); do
    last=$((pairs - done < 1000 ? pairs - done : 1000))
    a=$(queue "touch a/\$(($done + SLURM_ARRAY_TASK_ID)).txt" --array="1-$last")
    after+=:$(queue "touch b/\$(($done + SLURM_ARRAY_TASK_ID)).txt" --array="1-$last" "--dependency=aftercorr:$a" --kill-on-invalid-dep=yes)
done
queue "touch end.txt" "--dependency=$after" --kill-on-invalid-dep=yes
