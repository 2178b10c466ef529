"""Attention in plain torch: the definition, and torch's own on padded jets."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from parttag.ops.layout import JetLayout


def attend_reference(
    qkv: Float[Tensor, "particles 3 heads width"],
    bias: Float[Tensor, "heads pairs"] | None,
    layout: JetLayout,
    dropout: float = 0.0,
) -> Float[Tensor, "particles heads width"]:
    """Return softmax(q kᵀ/√width + bias) v within each jet, jet by jet: the definition."""
    outputs = [qkv.new_zeros(0, *qkv.shape[2:])]
    row = pair = 0
    for length in layout.lengths.tolist():
        q, k, v = qkv[row : row + length].permute(1, 2, 0, 3)
        logits = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
        i, j = torch.tril_indices(length, length, device=qkv.device)
        if bias is not None:
            dense = bias.new_zeros(len(bias), length, length)
            dense[:, i, j] = bias[:, pair : pair + len(i)]
            dense[:, j, i] = bias[:, pair : pair + len(i)]
            logits = logits + dense
        weights = F.dropout(logits.softmax(dim=-1), dropout)
        outputs.append((weights.to(v.dtype) @ v).transpose(0, 1))
        row += length
        pair += len(i)
    return torch.cat(outputs)


def attend_padded(
    qkv: Float[Tensor, "particles 3 heads width"],
    bias: tuple[Float[Tensor, "heads _jets _length _length"], ...] | None,
    layout: JetLayout,
    dropout: float = 0.0,
) -> Float[Tensor, "particles heads width"]:
    """Return the same from torch's attention, all jets in one group; padding costs what it costs.

    ``bias`` is that of the group, −∞ where the key is padding.
    """
    if not layout.groups:
        return qkv[:, 0]  # which has no rows
    (group,) = layout.groups
    q, k, v = group.of(qkv.index_select(0, layout.slot_rows)).permute(2, 0, 3, 1, 4)
    mask = ~group.key_is_padding[:, None, None] if bias is None else bias[0].transpose(0, 1)
    mask = mask if bias is None else mask.to(q.dtype)
    output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return output.transpose(1, 2).flatten(0, 1).index_select(0, layout.row_slots)
