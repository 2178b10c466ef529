"""Attention among the particles of each jet, with an additive bias for every pair of particles.

The bias arrives packed, one value a head for each pair i ≥ j, and is symmetric: ``spread_bias``
lays it out once a batch for all layers of a network. Without it this is plain attention.

``attend`` is what networks call. The layout says which implementation takes the jets: the
definition or torch's own (``reference.py``), products of groups of jets
(``grouped.py``), or a kernel without padding (``kernels/``). ``class_attend`` lets one
query a jet look at itself and at the jet's particles.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.ops.attention.grouped import attend as attend_grouped
from parttag.ops.attention.reference import attend_padded, attend_reference
from parttag.ops.attention.spread import spread_pairs
from parttag.ops.layout import JetLayout
from parttag.ops.shared_bias import SharedBias

AttentionBias = tuple[Tensor, ...] | Tensor | SharedBias
"""What ``spread_bias`` makes of a bias: matrices of each group, itself, or what kernels share."""


def spread_bias(bias: Float[Tensor, "heads pairs"], layout: JetLayout) -> AttentionBias:
    """Return the bias in the form that ``attend`` reads, made once for all layers.

    For the kernels and the definition it stays as it is; for groups it becomes the bias of every
    (query, key) cell, −∞ where the key is padding.
    """
    if layout.uses_kernels:
        from parttag.ops.kernels.bias_matrices import share

        return share(bias, layout)
    if layout.path == "reference":
        return bias
    return spread_pairs(bias, layout, padding=-torch.inf)


def attend(
    qkv: Float[Tensor, "particles 3 heads width"],
    bias: AttentionBias | None,
    layout: JetLayout,
    dropout: float = 0.0,
) -> Float[Tensor, "particles heads width"]:
    """Return softmax(q kᵀ/√width + bias) v within each jet.

    Parameters
    ----------
    qkv
        Queries, keys and values of every particle.
    bias
        What ``spread_bias`` returned for this layout; ``None`` for none.
    layout
        Where the batch's particles are.
    dropout
        Probability with which an attention weight is dropped.
    """
    if layout.uses_kernels:
        from parttag.ops.kernels import attention as kernels

        assert bias is None or isinstance(bias, SharedBias)
        return kernels.attend(qkv, bias, layout, dropout)
    if layout.path == "reference":
        assert bias is None or isinstance(bias, Tensor)
        return attend_reference(qkv, bias, layout, dropout)
    assert bias is None or isinstance(bias, tuple)
    run = attend_padded if layout.path == "padded" else attend_grouped
    return run(qkv, bias, layout, dropout)


def class_attend(
    query: Float[Tensor, "jets heads width"],
    own: Float[Tensor, "jets 2 heads width"],
    particles: Float[Tensor, "particles 2 heads width"],
    layout: JetLayout,
) -> Float[Tensor, "jets heads width"]:
    """Return one attention output a jet, over the query's own key and value and the particles'.

    Parameters
    ----------
    query
        One query a jet.
    own, particles
        Keys and values of the query's own token, and of every particle.
    layout
        Where the batch's particles are.
    """
    if layout.uses_kernels:
        from parttag.ops.kernels import class_attention as kernels

        return kernels.class_attend(query, own, particles, layout)
    jet = layout.jet_of_particle
    # A bfloat16 sum over a hundred particles would lose what the last of them add.
    wide = torch.promote_types(query.dtype, torch.float32)
    query, own, particles = query.to(wide), own.to(wide), particles.to(wide)
    scale = query.shape[-1] ** -0.5
    own_logits = (query * own[:, 0]).sum(dim=-1) * scale
    logits = (query.index_select(0, jet) * particles[:, 0]).sum(dim=-1) * scale
    if layout.is_particle is not None:
        logits = logits.masked_fill(~layout.is_particle[:, None], -torch.inf)
    # The softmax does not depend on the shift: no gradient needs to go through the maximum.
    index = jet[:, None].expand_as(logits)
    top = own_logits.detach().scatter_reduce(0, index, logits.detach(), "amax")
    own_weight, weight = (own_logits - top).exp(), (logits - top.index_select(0, jet)).exp()
    total = own_weight.index_add(0, jet, weight)
    values = (own_weight[..., None] * own[:, 1]).index_add(
        0, jet, weight[..., None] * particles[:, 1]
    )
    output: Tensor = values / total[..., None]
    return output


def class_attention_weights(
    query: Float[Tensor, "jets heads width"],
    own: Float[Tensor, "jets 2 heads width"],
    particles: Float[Tensor, "particles 2 heads width"],
    layout: JetLayout,
) -> Float[Tensor, "particles heads"]:
    """Return the weights of the particles in ``class_attend``, which never writes them down.

    Those of a jet, and that of the query's own token, sum up to 1.
    """
    jet, scale = layout.jet_of_particle, query.shape[-1] ** -0.5
    query, own_keys, keys = query.float(), own[:, 0].float(), particles[:, 0].float()
    own_logits = (query * own_keys).sum(dim=-1) * scale
    logits = (query.index_select(0, jet) * keys).sum(dim=-1) * scale
    index = jet[:, None].expand_as(logits)
    top = own_logits.scatter_reduce(0, index, logits, "amax")
    weight = (logits - top.index_select(0, jet)).exp()
    total = (own_logits - top).exp().index_add(0, jet, weight)
    weights: Tensor = weight / total.index_select(0, jet)
    return weights
