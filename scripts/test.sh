#!/usr/bin/env bash
# Environment, lint, types and tests, on a fresh machine or again: scripts/test.sh [pytest arguments]
# With --cov also which lines the tests reach, which takes a quarter longer.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/environment.sh "sim,track,dask,equivariant,dev"

echo "== lint and types"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/codespell src tests scripts configs docs ./*.md
.venv/bin/mypy
.venv/bin/python scripts/check_licences.py

echo "== tests"
# One thread a process: the tensors of the tests are small.
export OMP_NUM_THREADS=1
.venv/bin/pytest --numprocesses auto --durations=25 "$@"
