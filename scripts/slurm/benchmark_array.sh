#!/usr/bin/env bash
# One job of an array for each row and seed of a table (and number of labels, if it has several):
#
#   sbatch --array=0-44 scripts/slurm/benchmark_array.sh configs/benchmarks/toptagging.yaml runs/table \
#       data.train=train.h5 data.val=val.h5 data.test=test.h5
#
# The last number is rows times seeds (times numbers of labels), less one; a job beyond it says how
# many there are. Every job writes the table of what is there when it ends, so the last one writes all
# of it, and `parttag benchmark CONFIG --out runs/table --table-only` does so at any time. Jobs whose
# rows start from the same pre-trained network wait for the one that trains it.
#SBATCH --job-name=parttag-benchmark
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --requeue
# Two minutes before the time is over, or when the node is wanted: a checkpoint, and the queue again.
#SBATCH --signal=TERM@120
set -euo pipefail
config=$1 out=$2
shift 2

code=0
srun parttag benchmark "$config" "$@" --out "$out" --job "$SLURM_ARRAY_TASK_ID" || code=$?
if [[ $code == 143 ]]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
