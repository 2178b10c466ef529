"""What ``import parttag`` offers, and what it costs."""

import subprocess
import sys
from time import perf_counter

import pytest

import parttag


def test_every_public_name_is_there_and_documented():
    assert sorted(parttag.__all__) == parttag.__all__
    for name in parttag.__all__:
        assert getattr(parttag, name) is not None
        if name != "__version__":
            assert (getattr(parttag, name).__doc__ or "").strip(), name
    assert set(parttag.__all__) <= set(dir(parttag))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = parttag.nothing


def python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    return result.stdout.strip()


def test_importing_takes_no_time_and_no_torch():
    code = (
        "import time, sys; start = time.process_time(); import parttag; "
        "print(time.process_time() - start, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    seconds, *loaded = python(code).split()
    assert loaded == ["False", "False"]
    assert float(seconds) < 0.15


@pytest.mark.parametrize(
    "module", ["parttag.api.jets", "parttag.api.inspection", "parttag.api.ranks"]
)
def test_jets_need_no_torch(module):
    assert python(f"import {module}, sys; print('torch' in sys.modules)") == "False"


def test_help_answers_at_once():
    def seconds() -> float:
        start = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "parttag.cli", "--help"], capture_output=True, check=True
        )
        return perf_counter() - start

    # The fastest of some: the machine may be busy.
    assert min(seconds() for _ in range(3)) < 1.0
