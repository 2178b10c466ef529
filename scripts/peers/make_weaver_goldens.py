"""Make the golden outputs that tests/interchange/test_weaver.py compares with.

    parttag simulate toptagging --jets 60 --out SIM --windows demonstration --seed 1
    python scripts/peers/make_weaver_goldens.py --peer-python PEER/bin/python \
        --data SIM/train/toptagging_000.root --out tests/golden/weaver_0.5.3.npz

Once for each version of weaver-core: a small network of its own with random weights, rounded to
half precision, a few simulated jets, and the logits that it gives them in float32.
"""

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from weaver_inputs import read_inputs

from parttag.data.readers import read_chunks

NUM_JETS = 8
SIZES = {
    "--classes": "3",
    "--embed-dims": "16 32 16",
    "--pair-embed-dims": "8 8",
    "--heads": "2",
    "--layers": "2",
    "--class-layers": "1",
}
PEER_SCRIPT = Path(__file__).parent / "weaver_logits.py"


def main() -> None:
    """Write one file of jets, weights and logits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="has weaver-core and torch")
    parser.add_argument("--data", type=Path, required=True, help="jets in JetClass's layout")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    jets = next(read_chunks(options.data)).span(0, NUM_JETS)
    inputs = {name: values[:NUM_JETS] for name, values in read_inputs(options.data).items()}
    with TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("inputs.npz", "weights.pt", "logits.npz")]
        np.savez(paths[0], **inputs)
        command = [options.peer_python, "-W", "ignore", PEER_SCRIPT, paths[0]]
        command += ["--weights", paths[1], "--logits", paths[2]]
        for option, values in SIZES.items():
            command += [option, *values.split()]
        subprocess.run(command, check=True)
        weights = torch.load(paths[1], weights_only=True)
        with np.load(paths[2]) as file:
            results = dict(file)
    arrays = {name: getattr(jets, name) for name in ("p4", "offsets", "jet_p4", "jet_axis")}
    for key, tensor in weights.items():
        arrays[f"weights/{key}"] = tensor.half().numpy()
    np.savez_compressed(options.out, **arrays, logits=results["logits"], version=results["version"])
    print(f"{options.out}: {options.out.stat().st_size} bytes, weaver-core {results['version']}")


if __name__ == "__main__":
    main()
