"""The one call for a GPU, tried on a CPU: a GPU's time is too dear for a typo."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.files import write_toptagging_h5
from parttag.testing import toy_jets

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"


def python(*arguments, **environment):
    paths = os.pathsep.join([str(ROOT / "src"), str(SCRIPTS)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def write_wheel(path, name="tiny_part"):
    with zipfile.ZipFile(path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "number = 1\n")
        info = f"{name}-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checks")
    for part in ("jets", "wheels"):
        (folder / part).mkdir()
    for seed, name in enumerate(("train", "val", "test")):
        write_toptagging_h5(folder / "jets" / f"{name}.h5", toy_jets(24, seed))
    write_wheel(folder / "wheels")
    said = python(
        SCRIPTS / "pack_gpu_checks.py", "pack", folder / "jets", folder / "wheels", folder / "pack"
    )
    assert said.returncode == 0, said.stderr
    return folder, said.stdout


def test_a_pack_holds_the_jets_bit_for_bit_and_says_its_size(packed, tmp_path):
    from parttag.data import prepare

    folder, said = packed
    assert "MiB of 64: jets" in said
    assert "repository" in said
    unpacked = tmp_path / "stores"
    result = python(SCRIPTS / "pack_gpu_checks.py", "unpack", folder / "pack" / "jets", unpacked)
    assert result.returncode == 0, result.stderr
    prepare([str(folder / "jets" / "val.h5")], tmp_path / "val")
    for shard in (tmp_path / "val").glob("shard-*"):
        assert (unpacked / "val" / shard.name).read_bytes() == shard.read_bytes()
    assert {path.name for path in (folder / "pack" / "wheels").iterdir()} == {
        "tiny_part-1.0-py3-none-any.whl"
    }


def test_too_large_a_pack_is_refused_and_nothing_is_left(packed, tmp_path):
    folder, _ = packed
    out = tmp_path / "pack"
    code = (
        "import sys; from pathlib import Path; import pack_gpu_checks as p; p.LIMIT = 1000; "
        "p.pack(*map(Path, sys.argv[1:]))"
    )
    result = python("-c", code, folder / "jets", folder / "wheels", out)
    assert result.returncode == 1
    assert "too much" in result.stderr
    assert not out.exists()


@pytest.mark.slow
def test_the_call_runs_every_part_and_leaves_few_files(packed, tmp_path):
    folder, _ = packed
    out = tmp_path / "out"
    result = subprocess.run(
        ["bash", SCRIPTS / "gpu_checks.sh", folder / "pack", out, "--device", "cpu", "--tiny"],
        env={**os.environ, "PYTHON": sys.executable, "LIMIT": "500"},
        capture_output=True,
        text=True,
        check=False,
    )
    results = json.loads((out / "results.json").read_text())
    told = {name: found["log"] for name, found in results.items() if found["rc"]}
    assert not told
    assert result.returncode == 0, result.stderr
    assert list(results) == [
        "check",
        "kernels against float64",
        "networks equal the CPU",
        "speed, batches of 8",
        "profile of a step",
        "training",
    ]
    assert results["check"]["result"]["passed"]
    assert "ours training fp32" in results["speed, batches of 8"]["result"]["rates"]
    assert results["training"]["result"]["epochs"][-1]["step"] == 2
    assert {path.name for path in out.iterdir()} == {"results.json", "results.md"}


def test_no_part_stops_the_rest_and_logs_are_few(tmp_path):
    code = """
import sys
from pathlib import Path
import gpu_checks as g
out, python = Path(sys.argv[1]), sys.executable
g.parts = lambda *_, **__: [
    g.Part("late", [python, "-c", "import time; print('began', flush=True); time.sleep(99)"], 6),
    *[g.Part(f"broken {n}", [python, "-c", "raise SystemExit(3)"], 9) for n in range(8)],
    g.Part("right", [python, "-c", "print('done')"], 9),
]
g.training = lambda *_, **__: g.Part("training", [python, "-c", ""], 9)
sys.argv = ["gpu_checks", "stores", str(out), "--seconds", "90"]
g.main()
"""
    result = python("-c", code, tmp_path / "out")
    assert result.returncode == 1
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    codes = {name: found["rc"] for name, found in results.items()}
    assert codes == {"late": 124} | {f"broken {n}": 3 for n in range(8)} | {
        "right": 0,
        "training": 0,
    }
    assert "began" in results["late"]["log"]
    assert len(list((tmp_path / "out").iterdir())) <= 8
    assert "| late | late |" in (tmp_path / "out" / "results.md").read_text()
