"""From packed pairs to the cells (query, key) of each group of jets, laid out as matrices."""

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.layout import JetLayout


def spread_pairs(
    values: Shaped[Tensor, "channels pairs"], layout: JetLayout, padding: float
) -> tuple[Shaped[Tensor, "channels _jets _length _length"], ...]:
    """Return for each group the symmetric matrices of its jets, real or complex.

    Parameters
    ----------
    values
        Channels of each pair i ≥ j.
    layout
        Where the batch's pairs are.
    padding
        What a cell holds whose key is padding.
    """
    groups: tuple[Tensor, ...] = _SpreadPairs.apply(values, layout, padding)
    return groups


class _SpreadPairs(torch.autograd.Function):
    """A gather whose gradient is a gather too: each pair knows its one or two cells."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, layout: JetLayout, padding: float) -> tuple[Tensor, ...]:
        ctx.layout = layout
        groups = []
        for group, pairs in zip(layout.groups, layout.cell_pairs, strict=True):
            cells = values.index_select(1, pairs)
            cells = cells.view(-1, group.num_jets, group.length, group.length)
            groups.append(cells.masked_fill_(group.key_is_padding[:, None, :], padding))
        return tuple(groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        layout: JetLayout = ctx.layout
        cells = torch.cat([grad.flatten(1) for grad in grads], dim=1)
        grad = cells.index_select(1, layout.pair_cells[0])
        grad[:, layout.diagonal] = 0.0  # (i, i) is one cell, not two
        grad.add_(cells.index_select(1, layout.pair_cells[1]))
        layout.clear_beyond_pairs(grad)
        return grad, None, None
