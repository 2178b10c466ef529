"""Compare the scores of parttag with those of weaver-core for the same weights and the same jets.

    python -m venv PEER
    PEER/bin/pip install torch numpy
    PEER/bin/pip install --no-deps weaver-core==0.5.3
    python scripts/compare_weaver.py --peer-python PEER/bin/python

weaver-core, in an environment of its own, makes a Particle Transformer with random weights and
scores the jets; its state dict then goes through ``parttag import`` and ``parttag predict`` in
fp32. Both meanings of ``c_attn`` are tested by running this with weaver-core 0.4.17 and 0.5.3.
Exit code 1 if a score differs by more than the tolerance.
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
from peers.weaver_inputs import read_inputs

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
TOLERANCE = 5e-5
REFERENCE_JETS = (
    Path(os.environ.get("PARTTAG_SHARED_DATA", "data")) / "jetclass" / "jetclass_kin_500.root"
)
PEER_SCRIPT = Path(__file__).parent / "peers" / "weaver_logits.py"


def weaver_scores(peer_python: Path, data: Path, weights: Path) -> dict[str, np.ndarray]:
    """Return logits, scores, version and parameters; the state dict is written to ``weights``."""
    inputs, outputs = weights.with_name("inputs.npz"), weights.with_name("logits.npz")
    np.savez(inputs, **read_inputs(data))
    command = [peer_python, "-W", "ignore", PEER_SCRIPT, inputs]
    subprocess.run([*command, "--weights", weights, "--logits", outputs], check=True)
    with np.load(outputs) as file:
        return dict(file)


def parttag_scores(weights: Path, data: Path) -> dict[str, np.ndarray]:
    """Return logits and scores of the same weights, through the command line."""
    run, output = weights.with_name("run"), weights.with_name("scores.h5")
    parttag = [sys.executable, "-m", "parttag.cli"]
    names = ["--model", "particle_transformer", "--features", "kin"]
    subprocess.run([*parttag, "import", weights, *names, "--out", run], check=True)
    where = ["--device", "cpu", "--out", output]
    subprocess.run([*parttag, "predict", run, data, *where], check=True)
    with h5py.File(output) as file:
        return {
            f"{kind}s": np.stack([file[f"{kind}_{name}"] for name in CLASSES], axis=1)
            for kind in ("logit", "score")
        }


def main() -> None:
    """Print the largest differences as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="has weaver-core and torch")
    parser.add_argument("--data", type=Path, default=REFERENCE_JETS, help="in JetClass's layout")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()

    with TemporaryDirectory() as directory:
        weights = Path(directory) / "weights.pt"
        theirs = weaver_scores(options.peer_python, options.data, weights)
        ours = parttag_scores(weights, options.data)
    result = {
        "peer": f"weaver-core {theirs['version']}",
        "parameters": int(theirs["parameters"]),
        "num_jets": len(theirs["scores"]),
        "largest_difference": {
            kind: float(np.abs(ours[kind] - theirs[kind]).max()) for kind in ("logits", "scores")
        },
        "spread_over_jets": {
            kind: float(theirs[kind].std(axis=0).mean()) for kind in ("logits", "scores")
        },
        "tolerance": TOLERANCE,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    # Written so that NaN fails.
    sys.exit(0 if result["largest_difference"]["scores"] <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
