# Sourced by the other scripts: a virtual environment in .venv with parttag and the extras named.
extras=$1

if [ ! -x .venv/bin/python ]; then
    echo "== creating .venv with $(python3 --version)"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "parttag needs Python 3.11 or newer; python3 is $(python3 --version)" >&2
        exit 2
    }
    python3 -m venv .venv
fi
stamp=".venv/.installed-${extras//,/-}"
if [ ! -e "$stamp" ] || [ constraints.txt -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "== installing parttag[$extras] at the versions of constraints.txt (a few minutes)"
    # torch first: its pin in the constraints takes a small build where the machine offers one.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
        -e ".[$extras]"
    touch "$stamp"
fi

# Large tensors come from huge pages: half as many page faults, up to twice the speed on a CPU.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
