#!/usr/bin/env bash
# From a clone to a trained tagger and pictures: environment, simulated jets, training, evaluation.
# Needs Python 3.11 and no data. Run again after an interruption, it continues.
#
#   scripts/quickstart.sh [JETS]        40,000 jets if not given
set -euo pipefail
cd "$(dirname "$0")/.."
jets=${1:-40000}
out=runs/quickstart
processes=$(( $(nproc) < 2 ? 1 : 2 ))
# On a CPU: less time for the first touch of memory.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

source scripts/environment.sh sim,report
parttag=.venv/bin/parttag

stage() { printf '\n== %s [%dm %02ds so far]\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }
SECONDS=0

stage "1/2 simulating $jets top and QCD jets with Pythia 8 (three to five minutes on two cores)"
"$parttag" simulate toptagging --jets "$jets" --windows demonstration --out "$out/jets"

stage "2/2 training a small Particle Transformer and evaluating it (about three minutes on two cores)"
"$parttag" train configs/quickstart.yaml --out "$out/run" --processes "$processes"

stage "done"
echo "report:   $out/run/evaluation/report.html (opens in any browser)"
echo "pictures: $out/run/evaluation/{roc,scores,mass_sculpting,rejection_pt,training}.png"
echo "numbers:  $out/run/evaluation/metrics.json (of simulated jets: no published table is comparable)"
