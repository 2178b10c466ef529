"""Attention of each token to itself and to those before it in its jet; and, token by token, again.

``attend_causally`` takes whole jets, packed: for training. ``KeyValues`` remembers the keys and
values of the tokens so far, so that ``attend_next`` can add one token to each of several jets
without computing the others again: for generating.

Padding needs no mask: in a group of jets it comes after the real tokens, which never look ahead.
"""

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from parttag.ops.layout import JetLayout


def attend_causally(
    qkv: Float[Tensor, "tokens 3 heads width"], layout: JetLayout
) -> Float[Tensor, "tokens heads width"]:
    """Return softmax(q kᵀ/√width) v within each jet, over the keys up to the query's own.

    Parameters
    ----------
    qkv
        Queries, keys and values of every token.
    layout
        Where the tokens of each jet lie.
    """
    if not layout.groups:  # no tokens, but a gradient all the same
        return qkv[:, 0]
    shape = qkv.shape[1:]
    outputs = []
    for slots in layout.spread(qkv.flatten(1)):
        # (B, N, 3·H·D) to three of (B, H, N, D)
        q, k, v = slots.unflatten(2, shape).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        outputs.append(heads.transpose(1, 2).flatten(2))
    attended: Tensor = layout.gather(outputs).unflatten(1, shape[1:])
    return attended


class KeyValues:
    """Keys and values of the tokens so far, of jets that have equally many.

    Parameters
    ----------
    like
        A tensor of the device and type that they are to have.
    """

    def __init__(
        self, num_jets: int, max_length: int, num_heads: int, width: int, like: Tensor
    ) -> None:
        self.length = 0
        self._values = like.new_empty(2, num_jets, num_heads, max_length, width)

    def append(
        self, keys_values: Float[Tensor, "2 jets heads width"]
    ) -> Float[Tensor, "2 jets heads length width"]:
        """Add one token to each jet, and return all so far."""
        self._values[:, :, :, self.length] = keys_values
        self.length += 1
        return self._values[:, :, :, : self.length]

    def keep(self, jets: Int64[Tensor, " kept"]) -> None:
        """Forget all jets but these."""
        self._values = self._values[:, jets]


def attend_next(
    qkv: Float[Tensor, "jets 3 heads width"], past: KeyValues
) -> Float[Tensor, "jets heads width"]:
    """Return the attention of one more token a jet to itself and to all before it."""
    keys, values = past.append(qkv[:, 1:].transpose(0, 1))
    attended = F.scaled_dot_product_attention(qkv[:, 0, :, None], keys, values)
    return attended.squeeze(2)
