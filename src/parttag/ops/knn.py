"""The nearest neighbours of each particle within its jet."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from parttag.ops.layout import Group, JetLayout


@torch.no_grad()
def nearest_neighbours(
    points: Float[Tensor, "particles dims"], k: int, layout: JetLayout, *, with_self: bool = False
) -> Int64[Tensor, "particles k"]:
    """Return the rows of the ``k`` particles of the same jet that are nearest to each particle.

    Distances are Euclidean, squared, in the expanded form |a|² − 2ab + |b|² and never below
    float32: near ties are decided as in weaver, which computes them so. They also make a particle's
    distance to itself a little more than 0, so that another one, less than the rounding away, may
    come first.

    Parameters
    ----------
    points
        Where the particles are.
    k
        How many neighbours each has. In a jet of too few particles the missing ones are the row
        ``len(points)``, one beyond the last.
    layout
        Where the jets are.
    with_self
        Count a particle among its own neighbours. If not, the nearest of the k + 1 nearest is taken
        for the particle itself, and left out.
    """
    wide = torch.promote_types(points.dtype, torch.float32)
    neighbours = points.new_empty(0, k, dtype=torch.long)
    if not layout.groups:
        return neighbours
    with torch.autocast(points.device.type, enabled=False):
        parts = [
            _within(places, group, group.of(layout.slot_rows), k, with_self, missing=len(points))
            for places, group in zip(layout.spread(points.to(wide)), layout.groups, strict=True)
        ]
    return torch.cat(parts).index_select(0, layout.row_slots)


def _within(
    points: Float[Tensor, "jets length dims"],
    group: Group,
    rows: Int64[Tensor, "jets length"],
    k: int,
    with_self: bool,
    missing: int,
) -> Int64[Tensor, "slots k"]:
    """Return the neighbours of every slot of a group."""
    length = points.shape[1]
    squares = points.square().sum(dim=2)
    distances = torch.baddbmm(squares[:, :, None], points, points.transpose(1, 2), alpha=-2)
    distances += squares[:, None, :]
    distances.clamp_(min=0).masked_fill_(group.key_is_padding[:, None, :], torch.inf)
    skipped = 0 if with_self else 1
    number = min(k + skipped, length)
    places = distances.topk(number, dim=2, largest=False, sorted=True).indices[:, :, skipped:]
    last = length - group.key_is_padding.sum(dim=1)[:, None, None]
    found = torch.where(places < last, rows[:, :1, None] + places, missing).flatten(0, 1)
    return torch.nn.functional.pad(found, (0, k - found.shape[1]), value=missing)
