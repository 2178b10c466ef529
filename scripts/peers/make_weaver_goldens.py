"""Make the golden outputs that tests/models/weaver/test_weaver*.py compare with.

    parttag simulate toptagging --jets 60 --out SIM --windows demonstration --seed 1
    python scripts/peers/make_weaver_goldens.py --peer-python PEER/bin/python \
        --data SIM/train/toptagging_000.root --out tests/golden/weaver_0.5.3.npz
    python scripts/peers/synthetic_jets.py --out JETS.root
    python scripts/peers/make_weaver_goldens.py --peer-python PEER/bin/python --data JETS.root \
        --network particle_net --features full --out tests/golden/weaver_particle_net_0.5.3.npz
    python scripts/peers/make_weaver_goldens.py --peer-python PEER/bin/python --data JETS.root \
        --version 2 --out tests/golden/weaver_version2_0.5.3.npz  # and 3

A small network of weaver-core with random weights, rounded to half precision, a few jets, and the
logits that it gives them in float32; the Particle Transformer's once for each version.
"""

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from weaver_inputs import BRANCHES, read_inputs

from parttag.data.readers import read_chunks

NUM_JETS = {"particle_transformer": 8, "particle_net": 12}
SIZES = {
    "particle_transformer": {
        "--classes": "3",
        "--embed-dims": "16 32 16",
        "--pair-embed-dims": "8 8",
        "--heads": "2",
        "--layers": "2",
        "--class-layers": "1",
    },
    "particle_net": {"--classes": "3", "--edge-dims": "8 12", "--jet-dims": "16"},
}
PEER_SCRIPT = Path(__file__).parent / "weaver_logits.py"


def main() -> None:
    """Write one file of jets, weights and logits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="has weaver-core and torch")
    parser.add_argument("--data", type=Path, required=True, help="jets in JetClass's layout")
    parser.add_argument("--network", choices=SIZES, default="particle_transformer")
    parser.add_argument("--features", choices=BRANCHES, default="kin")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", type=int, default=1, help="of the Particle Transformer")
    options = parser.parse_args()

    num_jets = NUM_JETS[options.network]
    jets = next(read_chunks(options.data)).span(0, num_jets)
    inputs = read_inputs(options.data, options.features)
    inputs = {name: values[:num_jets] for name, values in inputs.items()}
    with TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("inputs.npz", "weights.pt", "logits.npz")]
        np.savez(paths[0], **inputs)
        command = [options.peer_python, "-W", "ignore", PEER_SCRIPT, paths[0]]
        command += ["--weights", paths[1], "--logits", paths[2]]
        command += ["--network", options.network, "--version", str(options.version)]
        for option, values in SIZES[options.network].items():
            command += [option, *values.split()]
        subprocess.run(command, check=True)
        weights = torch.load(paths[1], weights_only=True)
        with np.load(paths[2]) as file:
            results = dict(file)
    names = ("p4", "extra", "extra_names", "offsets", "jet_p4", "jet_axis")
    arrays = {name: np.asarray(getattr(jets, name)) for name in names}
    for key, tensor in weights.items():
        arrays[f"weights/{key}"] = tensor.half().numpy()
    np.savez_compressed(options.out, **arrays, logits=results["logits"], version=results["version"])
    print(f"{options.out}: {options.out.stat().st_size} bytes, weaver-core {results['version']}")


if __name__ == "__main__":
    main()
