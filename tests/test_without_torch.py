"""Reading, inspecting, preparing and simulating start without torch, whose import takes seconds."""

import subprocess
import sys

import pytest

from helpers.files import write_jetclass_root
from parttag.testing import toy_jets

MODULES = [
    "parttag.jets.arrays",
    "parttag.jets.awkward_arrays",
    "parttag.jets.validity",
    "parttag.jets.variables",
    "parttag.data.readers",
    "parttag.data.writers.jetclass",
    "parttag.data.preparation.prepare",
    "parttag.inspection.inspect",
    "parttag.inspection.compare",
    "parttag.samples.simulation.campaign",
    "parttag.samples.toys",
    "parttag.samples.download",
]


def imports_torch(code: str, *arguments: object) -> bool:
    ending = "\nimport sys\nprint('torch' in sys.modules)"
    command = [sys.executable, "-c", code + ending, *map(str, arguments)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return output.splitlines()[-1] == "True"


def test_the_check_finds_torch():
    assert imports_torch("import parttag.jets.batch")


def test_no_module_of_files_imports_torch():
    code = "\n".join(f"import {module}" for module in MODULES)
    assert not imports_torch(code), [m for m in MODULES if imports_torch(f"import {m}")]


INSPECT = """
import sys
from pathlib import Path
from parttag.data.readers import find_files
from parttag.inspection.compare import compare
from parttag.inspection.inspect import inspect_files
inspection = inspect_files(find_files([sys.argv[1]]))
compare(inspection.sample, inspection.sample)
"""
PREPARE = """
import sys
from parttag.data import prepare
prepare([sys.argv[1]], sys.argv[2])
"""


@pytest.mark.parametrize("code", [INSPECT, PREPARE], ids=["inspect", "prepare"])
def test_a_real_run_does_without_torch(tmp_path, code):
    write_jetclass_root(tmp_path / "jets.root", toy_jets(40))
    assert not imports_torch(code, tmp_path / "jets.root", tmp_path / "store")
