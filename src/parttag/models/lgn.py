"""Lorentz Group Network: every feature is a Lorentz tensor, every layer commutes with boosts.

- Nodes: the jet's particles and the two beams, (0, 0, ±1) with mass 1; momenta scaled by 0.005.
- Input scalars: √|p²| and a label, +1 for beams and −1 for particles, through a linear layer to
  complex scalars; with ``momentum_input`` also the momentum itself, as a vector.
- 3 layers, each from the features f of the nodes:

  - edges: 1 and pᵢ − pⱼ, each weighted for each channel by a learned complex function of
    (pᵢ − pⱼ)²: 20 bell curves and a linear layer;
  - Σⱼ fⱼ ⊗ edge, decomposed by Clebsch–Gordan coefficients; f itself; f ⊗ f, decomposed;
    representations (k, n) up to k, n = 2 are kept (``lorentz_tensors.py``);
  - a complex linear map of the channels of each representation; then a perceptron on the scalars.

- The scalars and the invariant squares of all other features, of the input and of all layers,
  summed over the nodes → linear → logits.

4,646 parameters; 5,770 with ``momentum_input``; 6,014 with ``channels: [2, 4, 4, 2]`` besides, with
which the published numbers were made.

The choices that are ours
-------------------------
The published code pads the jets of a batch and forgets it: padded nodes pass through the layers'
biases and count in all sums. Here there is no padding. ``reference_padding`` gives each jet what it
would get if every batch were padded to ``reference_length`` particles; as padded nodes of a jet are
all alike, it takes one of them, counted as often as it stands there. With the weights of the
published code this gives its logits, to 1e-12 in float64.

The published options say to feed the output layer with scalars alone (4,522 parameters), but do not
reach it: it has the invariant squares too, here as there. Nodes of equal momentum, a node and
itself among them, are joined by the constant part of the learned functions only, as published.

References
----------
arXiv:2006.04780 and the authors' code. There the edge 1 is 1 + i, and "zonal functions" are the
edges, "radial functions" their weights.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.models.layers.beam_particles import add_beams, make_beams
from parttag.models.layers.clebsch_gordan import SCALAR, VECTOR, Irrep, vector_from_momentum
from parttag.models.layers.lorentz_tensors import (
    Features,
    Invariants,
    LorentzLayer,
    Mixing,
    sum_over_neighbors,
)
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger, padding_footnote
from parttag.ops.attention.spread import spread_pairs
from parttag.ops.jet_sums import sum_over_rows
from parttag.ops.layout import JetLayout
from parttag.ops.radial_functions import bell_mixture

_RANKING = (
    "jets are ranked by the softmax of both logits; the published AUC 0.964 and 435 ± 95 at 30 % "
    "rank them by one raw logit: by the softmax the published weights have AUC 0.979 and 559 ± 107 "
    "(two of four trainings, 30,000 official test jets)"
)


class LGNOptions(ModelOptions):
    """Sizes of a Lorentz Group Network; the defaults are the published code's.

    The network makes its own inputs from four-momenta: ``features`` must be left out.
    """

    name: Literal["lgn"] = "lgn"
    channels: tuple[PositiveInt, ...] = Field(default=(2, 3, 4, 3), min_length=2)
    """Channels of the input and of each layer."""
    momentum_input: bool = False
    """Whether the features of the input include the momenta."""
    num_curves: PositiveInt = 20
    """Bell curves of the functions that weight the edges."""
    hidden_factor: PositiveInt = 2
    """Width of the hidden layers of a perceptron, in units of its input."""
    num_hidden: PositiveInt = 3
    """Hidden layers of a perceptron."""
    scale: PositiveFloat = 0.005
    """Multiplies all momenta, in 1/GeV."""
    max_particles: PositiveInt | None = 126
    """Particles of highest pT that are used; null for all."""
    reference_padding: bool = False
    """Reproduce what the padding of the published code adds."""
    reference_length: PositiveInt = 126
    """Particles to which ``reference_padding`` pads."""

    @model_validator(mode="after")
    def _padding_has_room(self) -> "LGNOptions":
        if self.reference_padding and (
            self.max_particles is None or self.max_particles > self.reference_length
        ):
            raise ValueError(
                "with reference_padding, max_particles must be at most reference_length, "
                f"{self.reference_length}"
            )
        return self


@register_model("lgn", paper="arXiv:2006.04780", recipe="toptagging/lgn.yaml")
class LGN(Tagger):
    """Lorentz Group Network; see the module's documentation."""

    backbone: "Backbone"

    options_class = LGNOptions
    reads_features = False

    def __init__(
        self, options: LGNOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        self.backbone = Backbone(options)
        self.head = nn.Linear(2 * self.backbone.num_invariants, num_classes)

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return whether padding takes part, and how the published jets were ranked."""
        assert isinstance(options, LGNOptions)
        return (padding_footnote(options.reference_padding), _RANKING)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the invariants of each jet, real and imaginary parts in turn."""
        if self.max_particles is not None:
            # Beyond its length the reference padding would count less than nothing.
            batch = batch.leading(self.max_particles)
        # Momenta in bfloat16 would know no symmetry.
        with torch.autocast(batch.device.type, enabled=False):
            invariants: Tensor = self.backbone(batch)
        return invariants


class Nodes(NamedTuple):
    """Beams, particles and, with reference padding, one padded node of each jet."""

    p4: Float[Tensor, "nodes 4"]
    """Scaled; zeros for padding."""
    label: Float[Tensor, " nodes"]
    """+1 for a beam, −1 for all else."""
    is_padding: Bool[Tensor, " nodes"]
    multiplicity: Float[Tensor, " nodes"]
    """How often the node stands in its jet: more than once, or not at all, if it is padding."""


class Backbone(nn.Module):
    """Particles of a batch to the invariants of each jet."""

    beams: Tensor
    to_vector: Tensor

    def __init__(self, options: LGNOptions) -> None:
        super().__init__()
        self.scale = options.scale
        self.reference_length = options.reference_length if options.reference_padding else None
        self.register_buffer("beams", make_beams(), persistent=False)
        # Real and imaginary parts: torch's dtype casts would drop the latter.
        to_vector = torch.view_as_real(torch.from_numpy(vector_from_momentum()))
        self.register_buffer("to_vector", to_vector, persistent=False)
        channels = options.channels
        self.input = (MomentumInput if options.momentum_input else ScalarInput)(channels[0])
        irreps = self.input.irreps
        self.num_invariants = channels[0] * len(irreps)
        self.weights = nn.ModuleList()
        self.layers = nn.ModuleList()
        for width_in, width_out in pairwise(channels):
            layer = LorentzLayer(
                irreps, width_in, width_out, options.hidden_factor, options.num_hidden
            )
            self.weights.append(EdgeWeights(options.num_curves, width_in))
            self.layers.append(layer)
            irreps = layer.irreps
            self.num_invariants += width_out * len(irreps)
        self.invariants = Invariants(irreps)

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the invariants of each jet, real and imaginary parts in turn."""
        nodes, layout = self._nodes(batch)
        squares = _squares_of_differences(nodes, layout)
        slots = Nodes(*(values[layout.slot_rows] for values in nodes))
        to_vector = torch.view_as_complex(self.to_vector.to(slots.p4.dtype))
        vectors = to_vector @ slots.p4.t().to(to_vector.dtype)
        features: Features = self.input(slots, vectors)
        values = self.invariants(features)
        unused = squares.new_zeros(())
        for weights, layer in zip(self.weights, self.layers, strict=True):
            pair_weights = weights(squares)
            spread = spread_pairs(pair_weights, layout, padding=0.0)
            if not spread:
                # A rank without jets must still have gradients of all parameters.
                unused = unused + 0 * pair_weights.abs().sum()
            neighbors = sum_over_neighbors(features, vectors, spread, layout, slots.multiplicity)
            features = layer(features, neighbors)
            values += self.invariants(features)
        of_nodes = torch.view_as_real(torch.cat(values).t()[layout.row_slots]).flatten(1)
        of_nodes = of_nodes * nodes.multiplicity[:, None]
        return sum_over_rows(of_nodes, layout) + unused

    def _nodes(self, batch: JetBatch) -> tuple[Nodes, JetLayout]:
        """Return the nodes of all jets, packed: beams, particles and padding of each jet."""
        num_blank = 0 if self.reference_length is None else 1
        p4, is_beam = add_beams(batch, self.beams, num_blank)
        layout = JetLayout(batch.lengths + len(self.beams) + num_blank, batch.device)
        is_padding, multiplicity = torch.zeros_like(is_beam), torch.ones_like(p4[:, 0])
        if self.reference_length is not None:
            # The blank node of each jet stands for all its padding.
            last = torch.from_numpy(layout.lengths.cumsum() - 1)
            last = last.to(batch.device, non_blocking=True)
            is_padding[last] = True
            multiplicity[last] = (self.reference_length - batch.offsets.diff()).to(p4.dtype)
        label = torch.where(is_beam, 1.0, -1.0).to(p4.dtype)
        return Nodes(p4 * self.scale, label, is_padding, multiplicity), layout


class ScalarInput(nn.Module):
    """√|p²| and the label of a node to complex scalars; padding has zeros."""

    irreps: tuple[Irrep, ...] = (SCALAR,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2 * channels)

    def forward(self, nodes: Nodes, _vectors: Complex[Tensor, "4 nodes"]) -> Features:
        """Return the features of each node."""
        parts = self.linear(_input_scalars(nodes)).unflatten(1, (-1, 2))
        parts = torch.where(nodes.is_padding[:, None, None], 0, parts)
        return {SCALAR: torch.view_as_complex(parts).t().contiguous()[:, None]}


class MomentumInput(nn.Module):
    """√|p²| and the label of a node to complex scalars, its momentum to complex vectors.

    Padding keeps its label, as published.
    """

    irreps: tuple[Irrep, ...] = (SCALAR, VECTOR)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scalar_mixing = Mixing(SCALAR, np.eye(2), 1, channels)
        self.vector_mixing = Mixing(VECTOR, np.eye(1), 1, channels)

    def forward(self, nodes: Nodes, vectors: Complex[Tensor, "4 nodes"]) -> Features:
        """Return the features of each node."""
        scalars = _input_scalars(nodes).t().to(vectors.dtype)[:, None, None]
        return {
            SCALAR: self.scalar_mixing(list(scalars)),
            VECTOR: self.vector_mixing([vectors[None]]),
        }


class EdgeWeights(nn.Module):
    """Learned functions of (pᵢ − pⱼ)²: for each channel a complex weight of both edges.

    Bell curves b/(1 + c²s) + a, of a pair's s = |(pᵢ − pⱼ)²|, and a linear layer with bias for each
    edge; where s = 0, the bias alone.
    """

    def __init__(self, num_curves: int, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(num_curves))
        self.height = nn.Parameter(torch.randn(num_curves))
        self.width = nn.Parameter(torch.randn(num_curves))
        self.linears = nn.ModuleList(nn.Linear(num_curves, 2 * channels) for _ in range(2))

    def forward(self, s: Float[Tensor, " pairs"]) -> Complex[Tensor, "twice_channels pairs"]:
        """Return the weights of the edge 1, then those of the edge pᵢ − pⱼ."""
        weight = torch.cat([linear.get_parameter("weight") for linear in self.linears])
        bias = torch.cat([linear.get_parameter("bias") for linear in self.linears])
        weight = torch.cat([weight * self.height, weight @ self.shift[:, None]], dim=1)
        parts = bell_mixture(s, self.width, weight, bias)
        return torch.complex(parts[0::2], parts[1::2])


def _squares_of_differences(nodes: Nodes, layout: JetLayout) -> Float[Tensor, " pairs"]:
    """Return |(pᵢ − pⱼ)²| of each pair, and 0 where one of the two is padding."""
    difference = nodes.p4[layout.first] - nodes.p4[layout.second]
    of_padding = nodes.is_padding[layout.first] | nodes.is_padding[layout.second]
    return torch.where(of_padding, 0, _minkowski_square(difference).abs())


def _input_scalars(nodes: Nodes) -> Float[Tensor, "nodes 2"]:
    """Return √|p²| and the label of each node."""
    return torch.stack([_minkowski_square(nodes.p4).abs().sqrt(), nodes.label], dim=1)


def _minkowski_square(p4: Float[Tensor, "rows 4"]) -> Float[Tensor, " rows"]:
    """Return E² − p²."""
    square = p4.square()
    return square[:, 3] - square[:, 0] - square[:, 1] - square[:, 2]
