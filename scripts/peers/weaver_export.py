"""Writes weaver-core's Particle Transformer as ONNX: run by an interpreter that has it.

    PEER_PYTHON weaver_export.py --sizes '{"embed_dims": [128, 512, 128], …}' --out weaver.onnx

As weaver's own export does: the network built for inference, traced by torch's older exporter with
free numbers of jets and slots, softmax at the end. Needs torch, onnx and weaver-core, nothing of
parttag.
"""

import argparse
import json
from pathlib import Path

import torch
from weaver.nn.model.ParticleTransformer import ParticleTransformer

INPUTS = {"pf_features": 7, "pf_vectors": 4, "pf_mask": 1}


class Wrapped(torch.nn.Module):
    """The network with the inputs and the output of an exported tagger."""

    def __init__(self, sizes: dict) -> None:
        super().__init__()
        self.mod = ParticleTransformer(
            input_dim=INPUTS["pf_features"],
            num_classes=2,
            pair_input_dim=4,
            use_pre_activation_pair=False,
            fc_params=[],
            activation="gelu",
            trim=False,
            for_inference=True,
            **sizes,
        )

    def forward(
        self, features: torch.Tensor, vectors: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the scores."""
        return self.mod(features, v=vectors, mask=mask)


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=json.loads, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opset", type=int, default=17)
    options = parser.parse_args()
    torch.manual_seed(0)
    network = Wrapped(options.sizes).eval()
    example = tuple(torch.rand(2, width, 50) for width in INPUTS.values())
    axes = {name: {0: "jets", 2: "slots"} for name in INPUTS}
    with torch.no_grad():
        torch.onnx.export(
            network,
            (example[0], example[1], torch.ones_like(example[2])),
            str(options.out),
            input_names=list(INPUTS),
            output_names=["softmax"],
            dynamic_axes={**axes, "softmax": {0: "jets"}},
            opset_version=options.opset,
            dynamo=False,
        )


if __name__ == "__main__":
    main()
