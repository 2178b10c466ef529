"""Biased attention as batched matrix products of groups of jets of similar length.

What a CPU runs, and a GPU without Triton. Jets are padded within a group only.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.dropout import draw_kept, dropped_share
from parttag.ops.layout import Group, JetLayout


def attend(
    qkv: Float[Tensor, "particles 3 heads width"],
    bias: tuple[Float[Tensor, "heads _jets _length _length"], ...] | None,
    layout: JetLayout,
    dropout: float,
) -> Float[Tensor, "particles heads width"]:
    """Return softmax(q kᵀ/√width + bias) v within each jet, from the bias of each group.

    Rows beyond the particles, up to ``layout.bucket``, give finite numbers that mean nothing.
    """
    # Within the function gradients are never enabled.
    keeps = torch.is_grad_enabled()
    with torch.autocast(qkv.device.type, enabled=False):
        output: Tensor = _Attend.apply(qkv, layout, dropout, keeps, *(bias or ()))
    return output


class _Attend(torch.autograd.Function):
    """Padded attention group by group; keeps the probabilities, padded within groups only."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, layout: JetLayout, dropout: float, keeps: bool, *bias: Tensor
    ) -> Tensor:
        num_heads, width = qkv.shape[2:]
        output = qkv.new_empty(len(layout.slot_rows), 1, num_heads, width)
        saved: list[Tensor | None] = []
        biases = bias or [_no_bias(group, qkv) for group in layout.groups]
        for group, group_bias in zip(layout.groups, biases, strict=True):
            # Group by group, so that a cache holds what goes from one operation to the next.
            slots = qkv.index_select(0, layout.slot_rows[group.slots])
            q, k, v = _by_head(slots, group.num_jets)
            logits = torch.baddbmm(
                group_bias.to(q.dtype).flatten(0, 1), q, k.transpose(1, 2), alpha=width**-0.5
            )
            weights = logits.softmax(dim=-1)
            kept = draw_kept(weights.shape, dropout, weights.device) if dropout > 0 else None
            applied = weights if kept is None else kept.to(weights.dtype).mul_(weights)
            values = applied @ v
            if kept is not None:
                values /= 1 - dropped_share(dropout)
            _write(values, output[group.slots, 0], group.num_jets)
            if keeps:
                saved += [q, k, v, weights, kept]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.dropout, ctx.bias_dtype = layout, dropout, bias[0].dtype if bias else None
        return output[:, 0].index_select(0, _slots_of(layout, qkv))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad.device.type, enabled=False):
            grad_qkv, grad_bias = _gradients(ctx, grad)
        return grad_qkv, None, None, None, *grad_bias


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the gradients of queries, keys and values, and of the bias of each group."""
    layout: JetLayout = ctx.layout
    num_heads, width = grad.shape[1:]
    # The output never reads a padded slot: its gradient there is zero.
    slots = layout.slot_gradient(grad)[:, None]
    grad_slots = slots.new_empty(len(slots), 3, num_heads, width)
    grad_bias = []
    for number, group in enumerate(layout.groups):
        q, k, v, weights, kept = ctx.saved_tensors[5 * number : 5 * number + 5]
        (grad_out,) = _by_head(slots[group.slots], group.num_jets)
        if kept is not None:
            grad_out /= 1 - dropped_share(ctx.dropout)
        grad_weights, applied = grad_out @ v.transpose(1, 2), weights
        if kept is not None:
            applied = kept.to(weights.dtype)
            grad_weights *= applied
            applied *= weights
        grad_v = applied.transpose(1, 2) @ grad_out
        grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        if ctx.bias_dtype is not None:
            shape = (num_heads, group.num_jets, group.length, group.length)
            grad_bias.append(grad_logits.view(shape).to(ctx.bias_dtype))
        grad_q = (grad_logits @ k).mul_(width**-0.5)
        grad_k = (grad_logits.transpose(1, 2) @ q).mul_(width**-0.5)
        for kind, values in enumerate((grad_q, grad_k, grad_v)):
            _write(values, grad_slots[group.slots, kind], group.num_jets)
    grad_qkv = grad_slots.index_select(0, _slots_of(layout, grad))
    layout.clear_beyond(grad_qkv)
    return grad_qkv, grad_bias


def _slots_of(layout: JetLayout, rows: Tensor) -> Tensor:
    """Return the slot of each row; of rows beyond the particles, which mean nothing, the first."""
    return F.pad(layout.row_slots, (0, len(rows) - layout.num_rows))


def _no_bias(group: Group, qkv: Tensor) -> Tensor:
    """Return a bias of (heads, jets, 1, length): 0, or −∞ where the key is padding."""
    bias = qkv.new_zeros(group.num_jets, 1, group.length)
    bias.masked_fill_(group.key_is_padding[:, None], -torch.inf)
    return bias.expand(qkv.shape[2], -1, -1, -1)


def _by_head(slots: Tensor, num_jets: int) -> Tensor:
    """From (slots, kinds, heads, width) to (kinds, heads · jets, length, width), to multiply.

    On a CPU in float32 at least: bfloat16 makes such small products no faster.
    """
    dtype = slots.dtype
    if slots.device.type == "cpu":
        dtype = torch.promote_types(dtype, torch.float32)
    per_jet = slots.unflatten(0, (num_jets, -1)).permute(2, 3, 0, 1, 4)
    copied: Tensor = per_jet.to(dtype, memory_format=torch.contiguous_format, copy=True)
    return copied.flatten(1, 2)


def _write(values: Tensor, slots: Tensor, num_jets: int) -> None:
    """Write values (heads · jets, length, width) to their slots, (slots, heads, width)."""
    heads, width = slots.shape[1:]
    per_jet = values.view(heads, num_jets, -1, width).permute(1, 2, 0, 3)
    slots.unflatten(0, (num_jets, -1)).copy_(per_jet)
