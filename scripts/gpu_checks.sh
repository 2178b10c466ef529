#!/usr/bin/env bash
# Everything that a GPU should answer, in one call of less than ten minutes:
#
#     python scripts/pack_gpu_checks.py pack JETS WHEELS .gpu     # beforehand, with a network
#     scripts/gpu_checks.sh .gpu OUT                              # on a machine with torch and Triton
#
# The machine needs no network and nothing but torch, Triton and NumPy; wheels of the pack that it has
# already do no harm. OUT gets results.json and results.md, written anew after every part, and the
# logs of parts that failed: eight files at most. No part stops the rest. LIMIT is in seconds.
set -uo pipefail
usage="usage: scripts/gpu_checks.sh PACK OUT"
pack=$(realpath "${1:?$usage}")
out=$(realpath -m "${2:?$usage}")
shift 2
began=$SECONDS
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONUNBUFFERED=1 MPLBACKEND=Agg MPLCONFIGDIR="$work/matplotlib"
export TRITON_CACHE_DIR="$work/triton" XDG_CACHE_HOME="$work/cache"
export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}
mkdir -p "$out" "$work/site" "$work/peer"
# The peer's package is kept apart: nothing of ours may come to need it.
for wheel in "$pack"/wheels/*.whl; do
    case ${wheel##*/} in
        weaver_core-*) target=$work/peer ;;
        *) target=$work/site ;;
    esac
    [ -e "$wheel" ] || continue
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$target" "$wheel" \
        || echo "cannot install ${wheel##*/}" | tee -a "$out/setup.log"
done
export PYTHONPATH="$PWD/src:$PWD/scripts:$work/site${PYTHONPATH:+:$PYTHONPATH}"
# Of 44 MiB, for files that are compressed with Blosc, and of fonts: here there are neither.
for name in hdf5plugin mplhep_data; do
    PYTHONPATH="$work/site" "$python" -c "import $name" 2>/dev/null && continue
    printf 'from pathlib import Path\npath = Path(__file__).parent / "none"\n__version__ = "0"\n' \
        > "$work/site/$name.py"
done
"$python" scripts/pack_gpu_checks.py unpack "$pack/jets" "$work/stores" \
    || echo "cannot unpack the jets" | tee -a "$out/setup.log"
left=$((${LIMIT:-540} - (SECONDS - began)))
"$python" scripts/gpu_checks.py "$work/stores" "$out" --seconds "$left" --peer "$work/peer" "$@"
