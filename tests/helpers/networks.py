"""Small networks of every kind in the register."""

import torch

from parttag.models import MODELS, Tagger, build_model
from parttag.testing.laws import shake

SMALL = {
    "particle_net": {
        "edge_dims": ((8, 8), (16, 12, 12), (12,)),
        "num_neighbours": 4,
        "jet_dims": (8,),
    },
    "lgn": {"channels": (2, 3, 2), "num_curves": 6},
    "lgatr": {
        "num_layers": 1,
        "num_heads": 2,
        "multivector_dim": 4,
        "scalar_dim": 8,
    },
    "lgatr_slim": {
        "num_layers": 2,
        "num_heads": 2,
        "vector_dim": 4,
        "scalar_dim": 8,
        "mlp_ratio": 2,
    },
    "lloca_particle_transformer": {
        "frame_dim": 16,
        "embed_dims": (8,),
        "pair_dims": (8,),
        "num_layers": 1,
        "num_class_layers": 1,
        "num_heads": 2,
        "scalars_per_head": 4,
        "vectors_per_head": 1,
    },
    "lloca_transformer": {
        "frame_dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "scalars_per_head": 4,
    },
    "lorentz_net": {"hidden_dim": 8, "num_layers": 2},
    "mpm": {"width": 16, "hidden_dim": 12, "num_layers": 2, "num_heads": 4},
    "omnijet": {
        "tokenizer": {
            "num_codes": 12,
            "latent_dim": 3,
            "width": 8,
            "hidden_dim": 8,
            "num_layers": 0,
            "num_heads": 2,
        },
        "embed_dim": 16,
        "num_heads": 4,
        "num_layers": 2,
    },
    "particle_transformer": {
        "embed_dims": (16, 32, 16),
        "pair_dims": (8, 8),
        "num_heads": 4,
        "num_layers": 2,
        "num_class_layers": 2,
    },
    "particle_tokenizer": {
        "num_codes": 12,
        "latent_dim": 3,
        "width": 16,
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 4,
    },
    "pct": {
        "embed_dims": (12, 8),
        "num_neighbours": 4,
        "num_layers": 2,
        "particle_dim": 16,
        "jet_dim": 8,
    },
    "pfn": {"particle_dims": (16, 16), "jet_dims": (16,)},
    "pfn_original": {"particle_dims": (16, 16), "jet_dims": (16,)},
    "pcnn": {"stem_dim": 8, "stage_dims": ((8, 12), (12,), (16, 16)), "hidden_dim": 16},
    "jedi_net": {"hidden_dim": 16, "effect_dim": 6, "output_dim": 5},
    "encoder_decoder": {
        "embed_dim": 16,
        "num_heads": 4,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "feedforward_dim": 24,
    },
    "jetclr": {"embed_dim": 16, "num_layers": 2, "feedforward_dim": 12},
    "rpcn": {"num_angles": 6, "particle_dims": (8, 12), "angle_dims": (10,), "kernel_size": 3},
}

VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "jetclr_about_the_axis": ("jetclr", {"origin": "axis"}),
    "jedi_net_with_reference_padding": (
        "jedi_net",
        {"reference_padding": True, "max_particles": 45},
    ),
    "lgn_of_momenta": ("lgn", {"momentum_input": True}),
    "lgn_with_reference_padding": (
        "lgn",
        {"reference_padding": True, "reference_length": 150, "max_particles": 150},
    ),
    "omnijet_with_leaks": (
        "omnijet",
        {
            "tokenizer": {
                **SMALL["omnijet"]["tokenizer"],
                "num_layers": 1,
                "frame": "jet",
            },
            "allow_leaks": True,
        },
    ),
    "particle_by_particle_tokenizer": (
        "particle_tokenizer",
        {"num_layers": 0, "frame": "jet"},
    ),
    "plain_transformer": ("particle_transformer", {"pair_bias": False}),
    "simple_pct": ("pct", {"embedding": "particles"}),
    "padded_pct": ("pct", {"reference_padding": True}),
}
"""Networks that are another one with other options."""

NETWORKS = (*SMALL, *VARIANTS)


def small_network(
    name: str, features: str = "full", num_classes: int = 3, **changes: object
) -> Tagger:
    """Return a small network with weights and statistics that are nowhere trivial."""
    torch.manual_seed(5)
    name, options_of_variant = VARIANTS.get(name, (name, {}))
    changes = {**SMALL[name], **options_of_variant, **changes}
    options = MODELS[name].network.options_class(**changes)
    return shake(build_model(options, features, num_classes))
