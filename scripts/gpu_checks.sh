#!/usr/bin/env bash
# Everything that needs a GPU, correctness first: scripts/gpu_checks.sh DATA OUT
#
# DATA holds train, val and test jets of top tagging, each a file (.h5, .root) or a store; OUT gets
# the log of the tests and the run of the full Particle Transformer with its metrics and plots.
# Run again after an interruption, it continues.
set -euo pipefail
data=$(realpath "${1:?usage: scripts/gpu_checks.sh DATA OUT}")
out=$(realpath -m "${2:?usage: scripts/gpu_checks.sh DATA OUT}")
cd "$(dirname "$0")/.."
mkdir -p "$out"

python=${PYTHON:-python3}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import torch; assert torch.cuda.is_available(), "there is no CUDA device"'

echo "== every network computes on the GPU what it computes on the CPU"
"$python" -m pytest -m gpu -p no:cacheprovider | tee "$out/tests.log"

echo "== the full Particle Transformer on these jets, with the paper's recipe"
split() { find "$data" -maxdepth 1 -name "$1*" | sort | head -n 1; }
"$python" -m parttag.cli train configs/toptagging/particle_transformer.yaml \
    "data.train=$(split train)" "data.val=$(split val)" "data.test=$(split test)" \
    --out "$out/particle_transformer"
cat "$out/particle_transformer/evaluation/metrics.json"
