#!/usr/bin/env bash
# Everything that needs a GPU, correctness first: scripts/gpu_checks.sh DATA OUT [PEER_PYTHON]
#
# DATA holds train, val and test jets of top tagging, each a file (.h5, .root) or a store; OUT gets
# logs, timings and the run of the full Particle Transformer with its metrics and plots. PEER_PYTHON,
# of an environment that has torch for CUDA and weaver-core, adds the peer to the timings.
# Each part takes less than eight minutes; run again after an interruption, it goes on with the next.
set -euo pipefail
usage="usage: scripts/gpu_checks.sh DATA OUT [PEER_PYTHON]"
data=$(realpath "${1:?$usage}")
out=$(realpath -m "${2:?$usage}")
peer=${3:+$(realpath -s "$3")} # not where a link leads: an environment's python is one
cd "$(dirname "$0")/.."

split() { find "$data" -maxdepth 1 -name "$1*" | sort | head -n 1; }
for name in train val test; do
    if [ -z "$(split $name)" ]; then
        echo "$data holds nothing whose name begins with $name" >&2
        exit 2
    fi
done
python=${PYTHON:-python3}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("there is no CUDA device")'
mkdir -p "$out"

part() { # NAME COMMAND...: what OUT/NAME.done says was done is not done again
    local name=$1
    shift
    if [ -e "$out/$name.done" ]; then return; fi
    echo "== $name"
    "$@" 2>&1 | tee "$out/$name.log"
    touch "$out/$name.done"
}

part kernels_against_float64 "$python" -m pytest tests/ops/kernels -p no:cacheprovider
part networks_equal_the_cpu "$python" -m pytest -m gpu -p no:cacheprovider
for batch in 512 128 1024 2048 4096; do
    part "speed_$batch" "$python" scripts/bench_model.py --data "$(split val)" --batch "$batch" \
        --jets 8192 --rounds 5 --steps 10 --parts --json "$out/speed_$batch.json" \
        ${peer:+--peer-python "$peer" --peer-precisions fp32 bf16 fp16 --compiled}
done
part same_losses "$python" scripts/compare_paths.py --data "$(split train)" --test "$(split test)" --steps 1000 \
    --json "$out/same_losses.json"
part cost_against_size "$python" scripts/bench_scaling.py --batch 256 --jets 2048 --rounds 5 \
    --steps 10 --precisions bf16 --json "$out/cost_against_size.json" ${peer:+--peer-python "$peer"}
part loop_against_step "$python" scripts/bench_training.py --data "$(split train)" --batch 512 \
    --steps 100 --precision bf16 --json "$out/loop_against_step.json"
part full_particle_transformer "$python" -m parttag.cli train \
    configs/toptagging/particle_transformer.yaml \
    "data.train=$(split train)" "data.val=$(split val)" "data.test=$(split test)" \
    --out "$out/particle_transformer"
cat "$out/particle_transformer/evaluation/metrics.json"
