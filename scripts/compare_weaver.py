"""Compare the scores of parttag with those of weaver-core for the same weights and the same jets.

    python -m venv PEER
    PEER/bin/pip install torch numpy
    PEER/bin/pip install --no-deps weaver-core==0.5.3
    python scripts/compare_weaver.py --peer-python PEER/bin/python
    python scripts/compare_weaver.py --peer-python PEER/bin/python \
        --model particle_net --features full --weights ParticleNet_full.pt --synthetic

weaver-core, in an environment of its own, makes a network with random weights, or reads the given
ones, and scores the jets; its state dict then goes through ``parttag import`` and ``parttag
predict`` in fp32. Both meanings of the Particle Transformer's ``c_attn`` are tested by running this
with weaver-core 0.4.17 and 0.5.3. ``--synthetic`` cuts some of the jets to fewer than 17 particles
and adds random branches for the features that the public sample does not have. Exit code 1 if a
score differs by more than the tolerance.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from peers.synthetic_jets import write_jets
from peers.weaver_inputs import BRANCHES, read_inputs

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
TOLERANCE = {"particle_transformer": 5e-5, "particle_net": 1e-4}
# In jets of fewer particles ParticleNet's neighbours are padding.
FEW_PARTICLES = 17
REFERENCE_JETS = (
    Path(os.environ.get("PARTTAG_SHARED_DATA", "data")) / "jetclass" / "jetclass_kin_500.root"
)
PEER_SCRIPT = Path(__file__).parent / "peers" / "weaver_logits.py"


def weaver_scores(
    options: argparse.Namespace, data: Path, folder: Path
) -> tuple[Path, dict[str, np.ndarray]]:
    """Return the file of the weights, and logits, scores, version and number of parameters."""
    inputs, outputs = folder / "inputs.npz", folder / "logits.npz"
    np.savez(inputs, **read_inputs(data, options.features))
    command = [options.peer_python, "-W", "ignore", PEER_SCRIPT, inputs, "--logits", outputs]
    command += ["--network", options.model, "--version", str(options.version)]
    weights = options.weights or folder / "weights.pt"
    command += ["--load" if options.weights else "--weights", weights]
    subprocess.run(command, check=True)
    with np.load(outputs) as file:
        return weights, dict(file)


def parttag_scores(
    options: argparse.Namespace, data: Path, weights: Path, folder: Path
) -> dict[str, np.ndarray]:
    """Return logits, scores, labels and lengths of the same weights, through the command line."""
    run, output = folder / "run", folder / "scores.h5"
    parttag = [sys.executable, "-m", "parttag.cli"]
    names = ["--model", options.model, "--features", options.features]
    subprocess.run([*parttag, "import", weights, *names, "--out", run], check=True)
    where = ["--device", "cpu", "--out", output]
    subprocess.run([*parttag, "predict", run, data, *where], check=True)
    with h5py.File(output) as file:
        values = {
            f"{kind}s": np.stack([file[f"{kind}_{name}"] for name in CLASSES], axis=1)
            for kind in ("logit", "score")
        }
        return values | {name: file[name][:] for name in ("label", "num_particles")}


def compare(theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> dict[str, object]:
    """Return what is to be said about two sets of scores of the same jets."""
    few = ours["num_particles"] < FEW_PARTICLES

    def largest(kind: str, jets: np.ndarray) -> float:
        return float(np.abs(ours[kind] - theirs[kind])[jets].max(initial=0))

    return {
        "peer": f"weaver-core {theirs['version']}",
        "parameters": int(theirs["parameters"]),
        "num_jets": len(few),
        "num_jets_of_few_particles": int(few.sum()),
        "largest_difference": {kind: largest(kind, few | True) for kind in ("logits", "scores")},
        "largest_difference_few_particles": {
            kind: largest(kind, few) for kind in ("logits", "scores")
        },
        "spread_over_jets": {
            kind: float(theirs[kind].std(axis=0).mean()) for kind in ("logits", "scores")
        },
        "accuracy": {
            name: float((side["logits"].argmax(axis=1) == ours["label"]).mean())
            for name, side in (("weaver", theirs), ("parttag", ours))
        },
    }


def main() -> None:
    """Print the largest differences as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="has weaver-core and torch")
    parser.add_argument("--data", type=Path, default=REFERENCE_JETS, help="in JetClass's layout")
    parser.add_argument("--model", choices=TOLERANCE, default="particle_transformer")
    parser.add_argument("--features", choices=BRANCHES, default="kin")
    parser.add_argument("--weights", type=Path, help="a state dict; random weights without it")
    parser.add_argument(
        "--synthetic", action="store_true", help="cut some jets short, add random branches"
    )
    parser.add_argument("--version", type=int, default=1, help="of the Particle Transformer")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()

    with TemporaryDirectory() as directory:
        folder = Path(directory)
        data = folder / "synthetic.root" if options.synthetic else options.data
        if options.synthetic:
            write_jets(data, like=options.data)
        weights, theirs = weaver_scores(options, data, folder)
        ours = parttag_scores(options, data, weights, folder)
    tolerance = TOLERANCE[options.model]
    result = {
        "model": options.model,
        "features": options.features,
        "version": options.version,
        "weights": options.weights.name if options.weights else "random",
        **compare(theirs, ours),
        "tolerance": tolerance,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    # Written so that NaN fails.
    sys.exit(0 if result["largest_difference"]["scores"] <= tolerance else 1)


if __name__ == "__main__":
    main()
