"""A small network of every directed edge of a jet, summed into the receiving particle.

An edge goes from each particle of a jet to each other one. Its network, three linear layers with a
SELU after each, sees the features of the receiver beside those of the sender. In plain torch the
widest layer alone takes 22,350 x 256 numbers for a jet of 150 particles, several times over. Here

- the first layer, being linear, is split into one part for receivers and one for senders, which
  are computed once a particle and only added for an edge;
- edges pass in tiles that fit the cache: jets of like length, a range of receivers, all senders,
  so that every sum over edges is one over an axis and nothing is scattered;
- of the layers of an edge only the second is kept for the backward pass, 512 bytes in JEDI-net's
  sizes and float32; the first is a sum and the third is small, so they are computed again;
- only edges between particles that exist are computed.

``EdgeSums.reference`` is the definition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from parttag.ops.layout import JetLayout

# Edges in a tile: 256 channels of float32 then take 1 MB, about a core's level-2 cache; a GPU needs
# many at once.
_TILE = {"cpu": 1024, "cuda": 1 << 17}
# Share of edges with padding: on a GPU few large tiles are worth some.
_PADDING = {"cpu": 0.0, "cuda": 0.15}
# The constants of SELU (arXiv:1706.02515).
_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805


class EdgeSums(nn.Module):
    """Particles to the sum, over all edges that a particle receives, of a network of the edge.

    Parameters
    ----------
    num_features
        Number of features of a particle.
    dims
        Widths of the three layers.
    """

    def __init__(self, num_features: int, dims: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Linear(2 * num_features, dims[0])
        self.second = nn.Linear(dims[0], dims[1])
        self.third = nn.Linear(dims[1], dims[2])

    def reference(
        self, x: Float[Tensor, "particles features"], lengths: Int64[np.ndarray, " jets"]
    ) -> Float[Tensor, "particles width"]:
        """Return the sums in plain torch, edge by edge: the definition."""
        owner = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        owner = owner.to(x.device, non_blocking=True)
        is_edge = owner[:, None] == owner
        receivers, senders = is_edge.fill_diagonal_(False).nonzero(as_tuple=True)
        edges = torch.cat([x[receivers], x[senders]], dim=1)
        for layer in (self.first, self.second, self.third):
            edges = F.selu(layer(edges))
        return edges.new_zeros(len(x), edges.shape[1]).index_add(0, receivers, edges)

    def forward(
        self, x: Float[Tensor, "particles features"], lengths: Int64[np.ndarray, " jets"]
    ) -> Float[Tensor, "particles width"]:
        """Return the sums; jets lie one after the other in ``x``, as long as ``lengths`` says.

        Autocast changes nothing: edges have the dtype of the weights.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.first.weight.dtype)
            for_receivers, for_senders = self.first.weight.chunk(2, dim=1)
            sums: Tensor = _SumOverEdges.apply(
                F.linear(x, for_receivers, self.first.bias),
                F.linear(x, for_senders),
                self.second.weight,
                self.second.bias,
                self.third.weight,
                self.third.bias,
                edge_layout(lengths, x.device),
                torch.is_grad_enabled(),  # which the function cannot see: in it, it never is
            )
        return sums


@dataclass(frozen=True, eq=False)
class _Tile:
    """Edges of ``num_jets`` jets of ``length`` slots: to a range of receivers from all senders.

    ``slots`` is where these jets are among the padded particles of all; ``blocked`` marks what is
    no edge, from a particle to itself or with padding.
    """

    slots: slice
    num_jets: int
    length: int
    receivers: slice
    blocked: Bool[Tensor, "_jets _receivers _length 1"]

    def all_slots(self, values: Tensor) -> Tensor:
        """Return a view of these jets' part of the padded particles, (jets, length, width)."""
        return values[self.slots].view(self.num_jets, self.length, -1)

    def received(self, values: Tensor) -> Tensor:
        """Return a view of the receivers' part of them, (jets, receivers, width)."""
        return self.all_slots(values)[:, self.receivers]

    def grid(self, edges: Tensor) -> Tensor:
        """Return a view of the rows of edges, (jets, receivers, senders, width)."""
        return edges.view(*self.blocked.shape[:3], edges.shape[1])


def edge_layout(lengths: Int64[np.ndarray, " jets"], device: torch.device) -> JetLayout:
    """Return jets padded to those of like length, with as much padding as the device is good at."""
    return JetLayout(lengths, device, max_padding=_PADDING[device.type])


def tiles(layout: JetLayout) -> Iterator[_Tile]:
    """Yield tiles that together hold every edge once."""
    size = _TILE[layout.device.type]
    for group in layout.groups:
        length = group.length
        num_jets = max(1, size // length**2)
        num_receivers = min(length, max(1, size // length))
        no_edge = torch.eye(length, dtype=torch.bool, device=layout.device)
        for jet in range(0, group.num_jets, num_jets):
            padding = group.key_is_padding[jet : jet + num_jets]
            blocked = no_edge | padding[:, :, None] | padding[:, None, :]
            first = group.slots.start + jet * length
            for receiver in range(0, length, num_receivers):
                receivers = slice(receiver, receiver + num_receivers)
                yield _Tile(
                    slice(first, first + padding.numel()),
                    len(padding),
                    length,
                    receivers,
                    blocked[:, receivers, :, None],
                )


class _SumOverEdges(torch.autograd.Function):
    """The edges from the first layer's two parts on, and their sums, tile by tile."""

    @staticmethod
    def forward(ctx: Any, receivers: Tensor, senders: Tensor, *rest: Any) -> Tensor:
        weight_2, bias_2, weight_3, bias_3, layout, keeps = rest
        slots = [values[layout.slot_rows] for values in (receivers, senders)]
        sums = receivers.new_zeros(len(slots[0]), len(bias_3))
        kept = []
        for tile in tiles(layout):
            second = _selu_(F.linear(_first_layer(tile, *slots), weight_2, bias_2))
            third = tile.grid(_selu_(F.linear(second, weight_3, bias_3)))
            tile.received(sums).copy_(third.masked_fill_(tile.blocked, 0).sum(dim=2))
            if keeps:
                kept.append(second)
        ctx.save_for_backward(receivers, senders, weight_2, weight_3, bias_3, *kept)
        ctx.layout = layout
        return sums[layout.row_slots]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad_output.device.type, enabled=False):
            return *_gradients(ctx.layout, grad_output, *ctx.saved_tensors), None, None


def _gradients(
    layout: JetLayout,
    grad_output: Tensor,
    receivers: Tensor,
    senders: Tensor,
    weight_2: Tensor,
    weight_3: Tensor,
    bias_3: Tensor,
    *kept: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients of receivers, senders, and weight and bias of either further layer."""
    slots = [values[layout.slot_rows] for values in (receivers, senders)]
    grad_sums = grad_output[layout.slot_rows]
    grad_receivers, grad_senders = (torch.zeros_like(values) for values in slots)
    grad_weight_2, grad_weight_3 = torch.zeros_like(weight_2), torch.zeros_like(weight_3)
    grad_bias_2, grad_bias_3 = weight_2.new_zeros(len(weight_2)), torch.zeros_like(bias_3)
    for tile, second in zip(tiles(layout), kept, strict=True):
        first = _first_layer(tile, *slots)
        third = tile.grid(_selu_(F.linear(second, weight_3, bias_3)))
        grad = _selu_backward(tile.received(grad_sums)[:, :, None], third)
        grad = grad.masked_fill_(tile.blocked, 0).flatten(0, 2)
        grad_weight_3.addmm_(grad.t(), second)
        grad_bias_3 += grad.sum(dim=0)
        grad = _selu_backward(grad @ weight_3, second)
        grad_weight_2.addmm_(grad.t(), first)
        grad_bias_2 += grad.sum(dim=0)
        grad = tile.grid(_selu_backward(grad @ weight_2, first))
        tile.received(grad_receivers).copy_(grad.sum(dim=2))
        tile.all_slots(grad_senders).add_(grad.sum(dim=1))
    of_particles = (grad[layout.row_slots] for grad in (grad_receivers, grad_senders))
    return *of_particles, grad_weight_2, grad_bias_2, grad_weight_3, grad_bias_3


def _first_layer(
    tile: _Tile, receivers: Float[Tensor, "slots width"], senders: Float[Tensor, "slots width"]
) -> Float[Tensor, "edges width"]:
    """Return the activated first layer of a tile's edges."""
    edges = tile.received(receivers)[:, :, None] + tile.all_slots(senders)[:, None]
    return _selu_(edges.flatten(0, 2))


def _selu_(x: Tensor) -> Tensor:
    return F.selu(x, inplace=True)


def _selu_backward(grad: Tensor, output: Tensor) -> Tensor:
    """Return the gradient before a SELU, from that after it and its output."""
    grad = grad.expand_as(output)
    before: Tensor = torch.ops.aten.elu_backward(grad, _ALPHA, _SCALE, 1, True, output)
    return before
