"""Weaver's ParticleNet, as it has been since version 0.4."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from parttag.errors import InputError
from parttag.models.particle_net import ParticleNet, ParticleNetOptions
from parttag.models.weaver.conversion import Conversion, Sizes

# Weights do not tell the number of neighbours: it is 16, but 7 in a network of ParticleNet-Lite's
# widths.
_LITE = ((32, 32, 32), (64, 64, 64))
_LITE_NEIGHBOURS = 7


class ParticleNetConversion(Conversion[ParticleNetOptions]):
    """From weaver's keys and shapes to ours, without the fusion of the blocks."""

    network: ClassVar[type[ParticleNet]] = ParticleNet
    title: ClassVar[str] = "ParticleNet"
    signature: ClassVar[str] = "edge_convs.0.convs.0.weight"

    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[ParticleNetOptions]:
        """Return options, number of features and number of classes from the shapes of weights."""

        def width(key: str) -> int:
            if key not in state or state[key].ndim == 0 or state[key].numel() == 0:
                raise InputError(
                    f"{path}: there is no {key} in it; parttag reads weaver's ParticleNet with a "
                    "batch norm of its inputs, without fusion"
                )
            return len(state[key])

        def count(prefix: str, leaf: str = "") -> int:
            keys = [key for key in state if key.startswith(prefix) and key.endswith(leaf)]
            return len({key.removeprefix(prefix).split(".")[0] for key in keys})

        num_blocks = count("edge_convs.")
        edge_dims = tuple(
            tuple(
                width(f"edge_convs.{block}.convs.{layer}.weight")
                for layer in range(count(f"edge_convs.{block}.convs."))
            )
            for block in range(num_blocks)
        )
        num_hidden = count("fc.", ".0.weight")
        options = self.options(
            path,
            edge_dims=edge_dims,
            jet_dims=tuple(width(f"fc.{layer}.0.weight") for layer in range(num_hidden)),
            **({"num_neighbours": _LITE_NEIGHBOURS} if edge_dims == _LITE else {}),
        )
        head = self._head(state, num_hidden)
        return Sizes(options, width("bn_fts.weight"), width(f"{head}.weight"))

    def keys(self, options: ParticleNetOptions, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Return weaver's name of every module of ours that holds weights."""
        num_hidden = len(options.jet_dims)
        names = {"head": self._head(state, num_hidden), "backbone.input_norm": "bn_fts"}
        for layer in range(num_hidden):
            names[f"backbone.jet_layers.{3 * layer}"] = f"fc.{layer}.0"
        for block, dims in enumerate(options.edge_dims):
            ours, theirs = f"backbone.blocks.{block}", f"edge_convs.{block}"
            names[f"{ours}.shortcut.0"] = f"{theirs}.sc"
            names[f"{ours}.shortcut.1"] = f"{theirs}.sc_bn"
            for layer in range(len(dims)):
                names[f"{ours}.edges.layers.{layer}.linear"] = f"{theirs}.convs.{layer}"
                names[f"{ours}.edges.layers.{layer}.norm"] = f"{theirs}.bns.{layer}"
        return names

    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in weaver's file: its linear layers of particles are convolutions."""
        if len(shape) == 2 and ".blocks." in name:
            return (*shape, 1) if ".shortcut." in name else (*shape, 1, 1)
        return shape

    def _head(self, state: Mapping[str, Tensor], num_hidden: int) -> str:
        """Return the last layer's name, which is another in a network that weaver fine-tuned."""
        return "fc_out" if "fc_out.weight" in state else f"fc.{num_hidden}"
