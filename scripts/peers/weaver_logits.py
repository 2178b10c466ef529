"""Weights and logits of weaver-core's networks: run by an interpreter that has it.

    PEER_PYTHON weaver_logits.py INPUTS.npz --weights WEIGHTS.pt --logits LOGITS.npz
    PEER_PYTHON weaver_logits.py INPUTS.npz --network particle_net --load ParticleNet_kin.pt \
        --logits LOGITS.npz

The network is weaver's own, with the paper's settings unless told otherwise. Without ``--load``
every tensor of it is random, and written to ``--weights``: nothing is left at the 1 or 0 it starts
from, so that no term can be forgotten unnoticed. Needs torch, numpy and weaver-core, nothing of
parttag.
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from weaver.nn.model.ParticleNet import ParticleNet
from weaver.nn.model.ParticleTransformer import ParticleTransformer

BATCH_JETS = 100
# What each network is called with, in order.
INPUTS = {
    "particle_transformer": {"pf_features": "x", "pf_vectors": "v", "pf_mask": "mask"},
    "particle_net": {"pf_points": "points", "pf_features": "features", "pf_mask": "mask"},
}


def build(num_features: int, sizes: argparse.Namespace, **options: object) -> torch.nn.Module:
    """Return weaver's network with the settings of the Particle Transformer's repository.

    The options are further ones of weaver's Particle Transformer.
    """
    if sizes.network == "particle_net":
        # No trimmer: that repository's version of weaver had none, and jets are padded to 128.
        return ParticleNet(
            input_dims=num_features,
            num_classes=sizes.classes,
            conv_params=[(sizes.neighbours, (width,) * 3) for width in sizes.edge_dims],
            fc_params=[(width, 0.1) for width in sizes.jet_dims],
            use_fusion=False,
            trim=False,
        )
    if getattr(sizes, "version", 1) > 1:  # older versions of weaver know none
        options["version"] = sizes.version
    return ParticleTransformer(
        input_dim=num_features,
        num_classes=sizes.classes,
        pair_input_dim=4,
        use_pre_activation_pair=False,
        embed_dims=sizes.embed_dims,
        pair_embed_dims=sizes.pair_embed_dims,
        num_heads=sizes.heads,
        num_layers=sizes.layers,
        num_cls_layers=sizes.class_layers,
        cls_block_params={"dropout": 0, "attn_dropout": 0, "activation_dropout": 0},
        fc_params=[],
        activation="gelu",
        trim=True,
        **options,
    )


@torch.no_grad()
def randomize(model: torch.nn.Module, inputs: list[dict[str, torch.Tensor]]) -> None:
    """Perturb every tensor, batch-norm statistics from those of these jets.

    All values are rounded to half precision, so that they can be stored in half the space.
    """
    for parameter in model.parameters():
        if parameter.dim() > 1:  # large enough for jets to differ, in either version
            torch.nn.init.xavier_normal_(parameter, gain=1.2)
        else:
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    norms = [
        m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over batches
    model.train()
    for batch in inputs:
        model(**batch)
    model.eval()
    for norm in norms:
        norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= (0.2 * torch.randn_like(norm.running_var)).exp()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def main() -> None:
    """Write weights and logits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="what weaver_inputs.py reads, as .npz")
    parser.add_argument("--network", choices=INPUTS, default="particle_transformer")
    parser.add_argument("--load", type=Path, help="a state dict to use in place of random weights")
    parser.add_argument("--weights", type=Path, help="write random weights here")
    parser.add_argument("--logits", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embed-dims", type=int, nargs="+", default=[128, 512, 128])
    parser.add_argument("--pair-embed-dims", type=int, nargs="+", default=[64, 64, 64])
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--class-layers", type=int, default=2)
    parser.add_argument("--edge-dims", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--neighbours", type=int, default=16)
    parser.add_argument("--jet-dims", type=int, nargs="+", default=[256])
    parser.add_argument("--version", type=int, default=1, help="of the Particle Transformer")
    options = parser.parse_args()

    with np.load(options.inputs) as file:
        tensors = [torch.tensor(file[name]).split(BATCH_JETS) for name in INPUTS[options.network]]
    names = INPUTS[options.network].values()
    batches = [dict(zip(names, batch, strict=True)) for batch in zip(*tensors, strict=True)]
    torch.manual_seed(options.seed)
    features = next(name for name in names if name in ("x", "features"))
    model = build(batches[0][features].shape[1], options)
    if options.load:
        state = torch.load(options.load, map_location="cpu", weights_only=True)
        model.load_state_dict({key.removeprefix("mod."): value for key, value in state.items()})
        model.eval()
    else:
        randomize(model, batches)
    with torch.no_grad():
        logits = torch.cat([model(**batch) for batch in batches])
    if options.weights:
        # Official files are state dicts of a module that holds the network as `mod`.
        torch.save(
            {f"mod.{key}": value for key, value in model.state_dict().items()}, options.weights
        )
    np.savez(
        options.logits,
        logits=logits.numpy(),
        scores=logits.softmax(dim=1).numpy(),
        version=version("weaver-core"),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


if __name__ == "__main__":
    main()
