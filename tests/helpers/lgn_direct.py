"""The Lorentz Group Network as it is defined: one jet, every pair, every product written out.

Only weights are taken from parttag's network. With ``length`` the jet is padded with zeros to so
many particles, and the padding is masked where the published code masks it, and only there.
"""

from itertools import product

import torch
from torch.nn.functional import leaky_relu

from parttag.models.layers.clebsch_gordan import (
    clebsch_gordan,
    invariant_form,
    product_irreps,
    vector_from_momentum,
)

SCALAR, VECTOR = (0, 0), (1, 1)


def direct_logits(network, particles, length=None):
    """Return the logits of one jet from its particles' four-momenta in GeV."""
    backbone = network.backbone
    padded = torch.zeros(length or len(particles), 4, dtype=particles.dtype)
    padded[: len(particles)] = particles
    p4 = backbone.scale * torch.cat([backbone.beams, padded])
    is_real = torch.arange(len(p4)) < len(particles) + 2
    label = torch.where(torch.arange(len(p4)) < 2, 1.0, -1.0).double()
    scalars = torch.stack([minkowski_square(p4).abs().sqrt(), label], dim=1)
    vectors = canonical(p4)[:, None]
    if hasattr(backbone.input, "linear"):
        values = torch.where(is_real[:, None], backbone.input.linear(scalars), 0)
        features = {SCALAR: torch.complex(values[:, 0::2], values[:, 1::2])[..., None]}
    else:
        features = {
            SCALAR: mix(backbone.input.scalar_mixing, scalars[:, :, None] + 0j),
            VECTOR: mix(backbone.input.vector_mixing, vectors),
        }
    levels = [features]
    for weights, layer in zip(backbone.weights, backbone.layers, strict=True):
        features = direct_layer(layer, features, edges(weights, p4, is_real))
        levels.append(features)
    invariants = [invariant(irrep, f) for level in levels for irrep, f in level.items()]
    sums = torch.cat(invariants, dim=1).sum(dim=0)
    return network.head(torch.view_as_real(sums).flatten())


def edges(weights, p4, is_real):
    """Return the features of every pair (i, j) by representation: (i, j, channels, dimension)."""
    difference = p4[:, None] - p4[None]
    square = minkowski_square(difference)
    r = square.sign() * square.abs().sqrt()
    is_edge = is_real[:, None] & is_real[None] & (r != 0)
    basis = weights.height / (1 + (weights.width * r[..., None]) ** 2) + weights.shift
    basis = torch.where(is_edge[..., None], basis, 0)
    functions = [linear(basis).unflatten(-1, (-1, 2)) for linear in weights.linears]
    plain, vector = (torch.complex(f[..., 0], f[..., 1])[..., None] for f in functions)
    return {SCALAR: plain * (1 + 1j), VECTOR: vector * canonical(difference)[:, :, None]}


def direct_layer(layer, features, edge_features):
    """Return what a layer makes of features (nodes, channels, dimension)."""
    copies = {}
    for first, second in product(features, edge_features):
        # Every product of a node j with the edge (i, j): nodes x nodes x channels x dim x dim.
        products = torch.einsum("jca,ijcb->ijcab", features[first], edge_features[second])
        couple(copies, first, second, products.sum(dim=1))
    # In the order of the weights: sums with scalar edges, with vector edges, the input, squares.
    copies = {out: sorted(parts, key=lambda part: part[0]) for out, parts in copies.items()}
    copies = {out: [values for _, values in parts] for out, parts in copies.items()}
    for irrep, values in features.items():
        copies[irrep].append(values)
    squares = {}
    for first, second in product(features, repeat=2):
        products = torch.einsum("ica,icb->icab", features[first], features[second])
        couple(squares, first, second, products)
    for out, parts in squares.items():
        copies[out] += [values for _, values in parts]
    mixed = {
        irrep: mix(mixing, torch.cat(copies[irrep], dim=1))
        for irrep, mixing in zip(layer.irreps, layer.mixing, strict=True)
    }
    x = torch.view_as_real(mixed[SCALAR][..., 0]).flatten(1)
    for linear in layer.perceptron[0:-1:2]:
        x = leaky_relu(linear(x), 0.01)
    x = layer.perceptron[-1](x).unflatten(1, (-1, 2))
    mixed[SCALAR] = torch.complex(x[..., 0], x[..., 1])[..., None]
    return mixed


def couple(copies, first, second, products):
    """Add the parts of a product up to k, n = 2, each with the second factor to sort by."""
    for out in product_irreps(first, second):
        if max(out) <= 2:
            matrix = torch.from_numpy(clebsch_gordan(first, second, out)).to(products.dtype)
            part = torch.einsum("mab,...ab->...m", matrix, products)
            copies.setdefault(out, []).append((second, part))


def mix(mixing, values):
    """Return complex linear combinations of channels (nodes, channels, dimension)."""
    weight = torch.complex(*mixing.weight).flatten(1)
    return torch.einsum("oc,icm->iom", weight, values)


def invariant(irrep, values):
    if irrep == SCALAR:
        return values[..., 0]
    form = torch.from_numpy(invariant_form(irrep)).to(values.dtype)
    return torch.einsum("ica,ab,icb->ic", values, form, values)


def canonical(p4):
    return p4.to(torch.complex128) @ torch.from_numpy(vector_from_momentum()).T


def minkowski_square(p4):
    return p4[..., 3] ** 2 - p4[..., 0] ** 2 - p4[..., 1] ** 2 - p4[..., 2] ** 2
