"""LorentzNet of its authors' code, for tops and for quarks and gluons.

Weights tell which of the two it is by their number of input scalars: two, the masses of particles
and of beams; or eight, whether a particle is each of eight kinds, without beams.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature
from parttag.models.lorentz_net import LorentzNet, LorentzNetOptions
from parttag.models.weaver.conversion import Conversion, Labels, Sizes

IDENTITIES = (
    "is_electron",
    "is_muon",
    "is_photon",
    "is_long_kaon",
    "is_pion",
    "is_kaon",
    "is_neutron",
    "is_proton",
)
"""Columns of the network for quarks and gluons, in the order of its weights: |PDG number| 11, 13,
22, 130, 211, 321, 2112 and 2212."""

_HEAD = "graph_dec"
# What a block of ours holds, and the authors' names of it.
_BLOCK_PARTS = {
    "first_linear": "phi_e.0",
    "pair_norm": "phi_e.1",
    "message": "phi_e.3",
    "gate": "phi_m.0",
    "step.0": "phi_x.0",
    "step.2": "phi_x.2",
    "update.0": "phi_h.0",
    "update.1": "phi_h.1",
    "update.3": "phi_h.3",
}


class LorentzNetConversion(Conversion[LorentzNetOptions]):
    """From the authors' keys to ours."""

    network: ClassVar[type[LorentzNet]] = LorentzNet
    title: ClassVar[str] = "LorentzNet"
    signature: ClassVar[str] = f"{_HEAD}.3.weight"

    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[LorentzNetOptions]:
        """Return options and number of classes; the options are those of the published runs."""

        def shape(key: str) -> tuple[int, ...]:
            if key not in state or state[key].ndim < 2 or state[key].numel() == 0:
                raise InputError(f"{path}: there is no {key} in it, or of another shape")
            return tuple(state[key].shape)

        width, num_scalars = shape("embedding.weight")
        layers = {key.split(".")[1] for key in state if key.startswith("LGEBs.")}
        num_classes = shape(f"{_HEAD}.3.weight")[0]
        sizes = {"hidden_dim": width, "num_layers": len(layers), "reference": True}
        if num_scalars == 2:
            options = self.options(path, **sizes)
            return Sizes(options, None, num_classes, variant="for top tagging")
        options = self.options(path, scalars="features", coordinate_step=0.001, **sizes)
        is_published = num_scalars == len(IDENTITIES)
        return Sizes(
            options,
            num_scalars,
            num_classes,
            variant="for quarks and gluons" if is_published else "of features",
            features=_IDENTITY_FEATURES if is_published else (),
            classes=_QUARK_GLUON if is_published and num_classes == 2 else {},
        )

    def keys(self, options: LorentzNetOptions, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Return the authors' name of every module of ours that holds weights."""
        del state
        names = {"backbone.embedding": "embedding"}
        names |= {f"head.{layer}": f"{_HEAD}.{layer}" for layer in (0, 3)}
        for number in range(options.num_layers):
            for ours, theirs in _BLOCK_PARTS.items():
                names[f"backbone.blocks.{number}.{ours}"] = f"LGEBs.{number}.{theirs}"
        return names

    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same shape."""
        del name
        return shape

    def finish(
        self, weights: dict[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], str]:
        """Return the weights with the signal's logit first, which is the authors' second."""
        del state
        flipped = {f"head.3.{leaf}": weights[f"head.3.{leaf}"].flip(0) for leaf in _LEAVES}
        return weights | flipped, "the authors' code (sdogsq/LorentzNet-release)"


_LEAVES = ("weight", "bias")
_QUARK_GLUON: Labels = {"quark": ("label_quark",), "gluon": ("label_gluon",)}
_IDENTITY_FEATURES = tuple(
    ColumnFeature(column=name, centre=0.0, scale=1.0, clip=None) for name in IDENTITIES
)
