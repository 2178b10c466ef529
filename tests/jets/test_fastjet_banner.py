"""FastJet says nothing on stdout. In a process of its own: the banner is printed once a process."""

import subprocess
import sys

import pytest

pytest.importorskip("fastjet")


def clustered(before):
    code = (
        f"import numpy as np; from parttag.jets import fastjet_clusters as f; {before}"
        "f.cluster(np.array([[1.0, 0, 0, 1]]), np.array([1]), radius=0.8, min_pt=0.0)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_no_banner_is_printed():
    assert clustered("").stdout == ""
    assert "FastJet" in clustered("f.silence_banner = lambda: None; ").stdout
