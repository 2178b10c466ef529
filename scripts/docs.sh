#!/usr/bin/env bash
# The site: every tutorial run at toy size, then the pages, to docs/_build/html. Warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/environment.sh "sim,analysis,docs"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} MPLBACKEND=agg

echo "== tutorials at toy size"
PARTTAG_DOCS_SIZE=small .venv/bin/python scripts/run_tutorials.py

echo "== pages"
.venv/bin/sphinx-build --fail-on-warning --keep-going -q -b html docs docs/_build/html
echo "docs/_build/html/index.html"
