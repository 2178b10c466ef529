"""Attention from one packed list of a jet to another: a decoder's to itself and to what it reads.

Queries and keys of a batch are packed, each in its own list, with numbers a jet that differ. Jets
of similar numbers are padded together, within a group only, and torch's own attention does the
rest. A query that has nothing to look at gets zeros.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from parttag.jets.packing import offsets_of
from parttag.ops.layout import padded_rows, similar_lengths

# A group is closed when one more jet would raise the share of padding in its cells above this.
_MAX_PADDING = 0.2


@dataclass(frozen=True, eq=False)
class CrossGroup:
    """Some jets, with slots for as many queries and keys as any of them has.

    ``query_rows`` and ``key_rows`` tell what fills a slot; that of a padded slot is some real row
    of the same jet. ``may_see`` is true where a query may look at a key.
    """

    query_rows: Int64[Tensor, "jets queries"]
    key_rows: Int64[Tensor, "jets keys"]
    may_see: Bool[Tensor, "jets 1 _queries keys"]


@dataclass(frozen=True, eq=False)
class CrossLayout:
    """Where the queries and keys of jets lie.

    ``slots`` is the slot of each query, counted through all groups; one past the last for a query
    that has nothing to look at.
    """

    groups: tuple[CrossGroup, ...]
    slots: Int64[Tensor, " queries"]


def make_cross_layout(
    num_queries: Int64[np.ndarray, " jets"],
    num_keys: Int64[np.ndarray, " jets"],
    device: torch.device | str = "cpu",
    *,
    causal: bool = False,
) -> CrossLayout:
    """Return the layout of jets with these numbers of queries and keys.

    Parameters
    ----------
    num_queries, num_keys
        Of each jet, on the host; either may be 0.
    device
        Where the attention is computed.
    causal
        Whether query n of a jet may look at its keys 0 … n only. There must then be as many keys as
        queries.
    """
    if causal and not np.array_equal(num_queries, num_keys):
        raise ValueError("causal attention needs as many keys as queries")
    query_start, key_start = (offsets_of(n)[:-1] for n in (num_queries, num_keys))
    groups, num_slots = [], 0
    slots = np.full(int(num_queries.sum()), -1)
    for jets in similar_lengths(num_keys, num_queries, _MAX_PADDING):
        query_rows, is_query = padded_rows(query_start[jets], num_queries[jets])
        key_rows, is_key = padded_rows(key_start[jets], num_keys[jets])
        slots[query_rows[is_query]] = num_slots + np.flatnonzero(is_query)
        may_see = is_key[:, None, None, :]
        if causal:
            length = key_rows.shape[1]
            may_see = may_see & np.tri(length, dtype=bool)
        groups.append(CrossGroup(*(_to(x, device) for x in (query_rows, key_rows, may_see))))
        num_slots += query_rows.size
    return CrossLayout(tuple(groups), _to(np.where(slots < 0, num_slots, slots), device))


def cross_attend(
    query: Float[Tensor, "queries heads width"],
    keys: Float[Tensor, "keys 2 heads width"],
    layout: CrossLayout,
) -> Float[Tensor, "queries heads width"]:
    """Return softmax(q kᵀ/√width) v within each jet.

    Parameters
    ----------
    query
        The queries of all jets, in order.
    keys
        Keys and values of all jets, in order.
    layout
        Which belong to the same jet.
    """
    # Sums of nothing: a rank without particles has its part in every gradient.
    nothing = query.new_zeros(1, *query.shape[1:]) + query[:0].sum() + keys[:0].sum()
    attended = [_attend(query, keys, group) for group in layout.groups]
    return torch.cat([*attended, nothing.to(query.dtype)]).index_select(0, layout.slots)


def _attend(query: Tensor, keys: Tensor, group: CrossGroup) -> Float[Tensor, "_slots heads width"]:
    q = query.index_select(0, group.query_rows.flatten())
    q = q.view(*group.query_rows.shape, *query.shape[1:])
    kv = keys.index_select(0, group.key_rows.flatten())
    kv = kv.view(*group.key_rows.shape, *keys.shape[1:])
    k, v = kv.permute(2, 0, 3, 1, 4)  # (2, jets, heads, keys, width)
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=group.may_see)
    return attended.transpose(1, 2).flatten(0, 1)


def _to(values: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)
