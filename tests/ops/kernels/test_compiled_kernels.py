"""The kernels compiled for a GPU that is not there: what the interpreter cannot say of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")

ROOT = Path(__file__).parents[3]
TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((TOOLS / name).exists() for name in ("ptxas", "cuobjdump", "nvdisasm")),
        reason="this Triton brings no assembler for NVIDIA's GPUs",
    ),
]

# Every card since Ampere lets a program have so much.
SHARED_BYTES = 99 * 1024
WITH_PRODUCTS = {
    "attention._forward",
    "attention._backward",
    "pair_network._run_layer",
    "pair_network._layer_back",
    "pair_inference._infer",
}
OTHERS = {
    "bias_matrices._spread",
    "bias_matrices._fold",
    "class_attention._forward",
    "class_attention._backward",
    "pair_features._pair_features",
}


# The launches of a step and of a look at it, for batches of one kind.
SAME_CODE = """
import numpy as np
import torch
from speed.compiled import caught_launches

from parttag.models.particle_transformer import Backbone, ParticleTransformerOptions
from parttag.ops.layout import JetLayout

options = {"embed_dims": (32,), "pair_dims": (16, 16), "num_heads": 2}
sizes = ParticleTransformerOptions(**options, num_layers=1, num_class_layers=1)
network = Backbone(sizes, ("x", "y", "z"))
with caught_launches() as launches:
    for lengths in ([1], [16] * 15 + [1], [16] * 16):
        layout = JetLayout(np.array(lengths), path="triton")
        p4 = torch.ones(layout.num_rows, 4)
        network.train()(p4[:, :3], p4, layout).sum().backward()
        with torch.no_grad():
            network.eval()(p4[:, :3], p4, layout)
names = [launch.name for launch in launches.values()]
twice = sorted(f"{name} {names.count(name)}" for name in set(names) if names.count(name) > 1)
print(", ".join(twice))
"""


def run_compiled(arguments, **more):
    """Run Python without the interpreter of kernels, which the other tests use."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT / 'scripts'}"
    result = subprocess.run(
        [sys.executable, *arguments],
        env=environment | {"PYTHONPATH": path} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What scripts/compile_kernels.py says of the kernels in bfloat16 on Hopper."""
    folder = tmp_path_factory.mktemp("compiled")
    path = folder / "kernels.json"
    command = [ROOT / "scripts/compile_kernels.py", "--target", "90", "--dtypes", "bf16"]
    command += ["--jets", "4", "--json", path]
    run_compiled(command, TRITON_CACHE_DIR=str(folder / "cache"))
    return json.loads(path.read_text())


def test_every_kernel_compiles(report):
    assert {row["kernel"] for row in report["kernels"]} == WITH_PRODUCTS | OTHERS


def test_no_kernel_spills_registers(report):
    for row in report["kernels"]:
        assert row["spilled_bytes"] == 0, row


def test_shared_memory_fits_every_card_since_ampere(report):
    assert max(row["shared_bytes"] for row in report["kernels"]) <= SHARED_BYTES
    assert min(row["programs"] for row in report["kernels"]) >= 2


def test_matrix_products_are_those_of_tensor_cores(report):
    for row in report["kernels"]:
        assert (row["tensor_instructions"] > 0) == (row["kernel"] in WITH_PRODUCTS), row["kernel"]


def test_the_instructions_of_a_jet_allow_the_rates_that_are_aimed_at(report):
    # Three times the aims of 100,000 and 400,000 jets/s: the rest of the network takes time, too.
    limit = "jets_per_second, instructions"
    assert report["parts"]["training, bf16: all kernels"][limit] > 300_000
    assert report["parts"]["inference, bf16: all kernels"][limit] > 1_200_000


def test_batches_of_one_kind_share_their_code():
    # With dropout and without; for the pair network's second layer and those after it.
    twice = {"attention._forward 2", "pair_network._layer_back 2", "pair_network._run_layer 2"}
    assert set(run_compiled(["-c", SAME_CODE]).strip().split(", ")) == twice
