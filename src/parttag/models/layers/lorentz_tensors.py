"""Lorentz tensors as features, and the layer of the Lorentz Group Network that combines them.

Features are complex, by irreducible representation: (channels, dimension, slots), a slot being a
place for a particle in the padded groups of ``ops/layout.py``. All representations of a layer have
as many channels, and a product pairs a channel with the same channel of the other factor.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from parttag.models.layers.clebsch_gordan import (
    SCALAR,
    VECTOR,
    Irrep,
    clebsch_gordan,
    dimension,
    exchange_sign,
    invariant_form,
    product_irreps,
)
from parttag.ops.layout import JetLayout

Features = dict[Irrep, Complex[Tensor, "_channels _dim slots"]]
WithVectors = dict[Irrep, Complex[Tensor, "_channels _dim 4 slots"]]

# Representations (k, n) with k or n above it are left out: "maxdim 3" in the published code.
MAX_SPIN = 2


class Coupling(nn.Module):
    """From the product of two representations to some of the representations within it."""

    matrix: Tensor

    def __init__(self, first: Irrep, second: Irrep, outs: Sequence[Irrep]) -> None:
        super().__init__()
        self.outs = tuple(outs)
        rows = [clebsch_gordan(first, second, out).reshape(dimension(out), -1) for out in outs]
        # In float64 whatever the network's precision, and rounded where it is used.
        self.register_buffer("matrix", torch.from_numpy(np.concatenate(rows)), persistent=False)

    def forward(
        self, products: Complex[Tensor, "channels dim_first dim_second slots"]
    ) -> dict[Irrep, Complex[Tensor, "channels _dim slots"]]:
        """Return the parts of the product of two features, component by component."""
        # The matrix is real: it acts on real and imaginary parts side by side.
        parts = torch.view_as_real(products.flatten(1, 2)).flatten(-2)
        coupled = (self.matrix.to(parts.dtype) @ parts).unflatten(-1, (products.shape[-1], 2))
        sizes = [dimension(out) for out in self.outs]
        return dict(zip(self.outs, torch.view_as_complex(coupled).split(sizes, dim=1), strict=True))


class Mixing(nn.Module):
    """Complex linear combinations of the channels of several copies of one representation.

    The published network forms f ⊗ g and g ⊗ f, each with weights of its own, though they differ
    by a sign at most, and squares that vanish because they are antisymmetric. The weights are all
    here, so that their number and initial spread are the published ones; ``fold`` adds up those
    that act on the same copy and drops those that act on zero.

    Parameters
    ----------
    irrep
        The representation.
    fold
        Which of the published copies (rows) is which of those that are formed (columns), with the
        sign.
    channels_in, channels_out
        Channels of a copy, and of the result.
    gain
        Multiplies the initial weights.
    """

    fold: Tensor

    def __init__(
        self, irrep: Irrep, fold: np.ndarray, channels_in: int, channels_out: int, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer("fold", torch.from_numpy(fold).float(), persistent=False)
        num_copies = len(fold)
        scale = gain / max(channels_out, num_copies * channels_in)
        if irrep[0] == irrep[1]:
            scale /= 10 ** irrep[0]
        # Real and imaginary parts: torch casts a network's complex numbers badly or not at all.
        self.weight = nn.Parameter(scale * torch.randn(2, channels_out, num_copies, channels_in))

    def forward(
        self, copies: Sequence[Complex[Tensor, "channels dim slots"]]
    ) -> Complex[Tensor, "channels_out dim slots"]:
        """Return the mixed channels."""
        folded = torch.einsum("pqrs,rt->pqts", self.weight, self.fold.to(self.weight.dtype))
        stacked = torch.cat(list(copies))
        mixed: Tensor = torch.complex(*folded.flatten(2)) @ stacked.flatten(1)
        return mixed.view(len(mixed), *stacked.shape[1:])


class LorentzLayer(nn.Module):
    """Sum over the neighbors, square, mix, and a perceptron on the scalars.

    Parameters
    ----------
    irreps
        Representations of the input.
    channels_in, channels_out
        Channels of each representation.
    hidden_factor, num_hidden
        Width of the perceptron's hidden layers in units of its input, and their number.
    """

    def __init__(
        self,
        irreps: Sequence[Irrep],
        channels_in: int,
        channels_out: int,
        hidden_factor: int,
        num_hidden: int,
    ) -> None:
        super().__init__()
        self.inputs = tuple(irreps)
        self.edges = nn.ModuleList(
            Coupling(irrep, VECTOR, _kept(irrep, VECTOR)) for irrep in irreps
        )
        self.squares = nn.ModuleList(
            Coupling(a, b, [out for out in _kept(a, b) if a != b or exchange_sign(a, b, out) > 0])
            for a, b in combinations_with_replacement(irreps, 2)
        )
        parts = {out for a, b in product(irreps, (*irreps, VECTOR)) for out in _kept(a, b)}
        self.irreps = tuple(sorted(parts))
        self.mixing = nn.ModuleList(
            Mixing(out, _fold(out, irreps), channels_in, channels_out) for out in self.irreps
        )
        width = 2 * channels_out
        self.perceptron = _perceptron(width, hidden_factor * width, num_hidden)

    def forward(
        self,
        features: Features,
        neighbors: tuple[Features, WithVectors],
    ) -> Features:
        """Return the features of the next layer.

        Parameters
        ----------
        features
            Of each slot.
        neighbors
            What ``sum_over_neighbors`` returned for them.
        """
        copies: dict[Irrep, list[Tensor]] = {irrep: [] for irrep in self.irreps}

        def add(parts: Features) -> None:
            for irrep, part in parts.items():
                copies[irrep].append(part)

        summed, with_vectors = neighbors
        add(summed)
        for irrep, edge in zip(self.inputs, self.edges, strict=True):
            add(edge(with_vectors[irrep]))
        add(features)
        pairs = combinations_with_replacement(self.inputs, 2)
        for (a, b), square in zip(pairs, self.squares, strict=True):
            add(square(features[a][:, :, None] * features[b][:, None]))
        mixed = {
            irrep: mixing(copies[irrep])
            for irrep, mixing in zip(self.irreps, self.mixing, strict=True)
        }
        mixed[SCALAR] = self._scalars(mixed[SCALAR])
        return mixed

    def _scalars(self, scalars: Tensor) -> Tensor:
        """Return what the perceptron makes of real and imaginary parts, slot by slot."""
        rows = torch.view_as_real(scalars[:, 0].t().contiguous()).flatten(1)
        outputs: Tensor = self.perceptron(rows)
        return torch.view_as_complex(outputs.unflatten(1, (-1, 2))).t().contiguous()[:, None]


def sum_over_neighbors(
    features: Features,
    vectors: Complex[Tensor, "4 slots"],
    weights: Sequence[Complex[Tensor, "twice_channels _jets _length _length"]],
    layout: JetLayout,
    multiplicity: Float[Tensor, " slots"],
) -> tuple[Features, WithVectors]:
    """Return Σⱼ wᵢⱼ fⱼ and Σⱼ wᵢⱼ fⱼ ⊗ (pᵢ − pⱼ) of each slot i.

    With matrix products over j, since the second is (Σⱼ wᵢⱼ fⱼ) ⊗ pᵢ − Σⱼ wᵢⱼ (fⱼ ⊗ pⱼ): no tensor
    is larger than slots x slots x channels.

    Parameters
    ----------
    features, vectors
        fⱼ and pⱼ.
    weights
        For each group, the weights of the first sum and those of the second; zero where j is
        padding.
    layout
        Where the groups are.
    multiplicity
        How often each slot counts as a neighbor.

    Returns
    -------
    summed, with_vectors
        The second with one more axis, of the vector's components: (channels, dimension, 4, slots).
    """
    sizes = [dimension(irrep) for irrep in features]
    neighbors = torch.cat(list(features.values()), dim=1) * multiplicity
    dim = neighbors.shape[1]
    with_vector = (neighbors[:, :, None] * vectors).flatten(1, 2)
    sums = [
        [values.new_empty(*values.shape[:2], 0)] for values in (neighbors, neighbors, with_vector)
    ]
    # Split and not sliced: the gradients of many slices would each be as large as all of them.
    sizes_of_groups = [group.num_jets * group.length for group in layout.groups]
    parts = (values.split(sizes_of_groups, dim=2) for values in (neighbors, with_vector))
    for group, group_weights, *groups in zip(layout.groups, weights, *parts, strict=True):
        # (channels, jets, components, neighbors) times (channels, jets, neighbors, nodes).
        alone, paired = (v.unflatten(2, (-1, group.length)).transpose(1, 2) for v in groups)
        scalar_edges, vector_edges = group_weights.transpose(-1, -2).chunk(2)
        products = (alone @ scalar_edges, alone @ vector_edges, paired @ vector_edges)
        for total, values in zip(sums, products, strict=True):
            total.append(values.transpose(1, 2).flatten(2))
    plain, first, second = (torch.cat(total, dim=2) for total in sums)
    # The published unit of the scalar edge, of real and imaginary part 1.
    plain = plain * (1 + 1j)
    differences = first[:, :, None] * vectors - second.unflatten(1, (dim, 4))
    return (
        dict(zip(features, plain.split(sizes, dim=1), strict=True)),
        dict(zip(features, differences.split(sizes, dim=1), strict=True)),
    )


class Invariants(nn.Module):
    """The scalars among the features, and the invariant square of every other feature."""

    def __init__(self, irreps: Sequence[Irrep]) -> None:
        super().__init__()
        for irrep in irreps:
            form = torch.from_numpy(invariant_form(irrep))
            self.register_buffer(_name(irrep), form, persistent=False)

    def forward(self, features: Features) -> list[Complex[Tensor, "_channels slots"]]:
        """Return them by representation."""
        values = []
        for irrep, feature in features.items():
            if irrep == SCALAR:
                values.append(feature[:, 0])
            else:
                form = self.get_buffer(_name(irrep)).to(feature.dtype)
                values.append((feature * (form @ feature)).sum(dim=1))
        return values


def _name(irrep: Irrep) -> str:
    return f"form_{irrep[0]}_{irrep[1]}"


def _kept(first: Irrep, second: Irrep) -> list[Irrep]:
    """Return the representations in a product that are not left out."""
    return [irrep for irrep in product_irreps(first, second) if max(irrep) <= MAX_SPIN]


def _fold(out: Irrep, irreps: Sequence[Irrep]) -> np.ndarray:
    """Return which published copy of ``out`` is which of those that ``LorentzLayer`` forms."""
    num_plain = 2 * (out in irreps) + sum(out in _kept(a, VECTOR) for a in irreps)
    ordered = [pair for pair in product(irreps, repeat=2) if out in _kept(*pair)]
    formed = [
        (a, b)
        for a, b in combinations_with_replacement(irreps, 2)
        if out in _kept(a, b) and (a != b or exchange_sign(a, b, out) > 0)
    ]
    fold = np.zeros((num_plain + len(ordered), num_plain + len(formed)))
    fold[:num_plain, :num_plain] = np.eye(num_plain)
    for row, (a, b) in enumerate(ordered, start=num_plain):
        if (a, b) in formed:
            fold[row, num_plain + formed.index((a, b))] = 1
        elif a != b:
            fold[row, num_plain + formed.index((b, a))] = exchange_sign(a, b, out)
    return fold


def _perceptron(width: int, hidden: int, num_hidden: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(num_hidden):
        layers += [nn.Linear(hidden if number else width, hidden), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden if num_hidden else width, width))
