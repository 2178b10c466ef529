"""The network that turns the four pair features into one attention bias a head.

It is BN → [linear → BN → GELU] for every width, over the packed pairs i ≥ j of all jets. A batch
norm needs the statistics of all pairs before any pair can go on; in plain torch that writes every
intermediate of every pair to memory and reads it back. Here the pairs pass in chunks that fit the
cache, only the inputs of the batch norms are kept, and the rest is recomputed on the way back. The
first linear layer is folded into its batch norms altogether: the statistics of a linear function
of the features follow from the features' covariance.

``PairNetwork.reference`` is the definition.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.ops.linear import linear_gelu
from parttag.ops.pair_training import TrainPairNetwork, chunks, product_dtype


class PairLayer(nn.Module):
    """A linear layer, its batch norm and a GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.norm = PackedBatchNorm(width_out)

    def forward(self, x: Float[Tensor, "pairs width_in"]) -> Float[Tensor, "pairs width_out"]:
        """Return the activated pairs."""
        return F.gelu(self.norm(self.linear(x)))


class PairNetwork(nn.Module):
    """Pair features to one bias a head, shared by all layers of a Particle Transformer.

    Parameters
    ----------
    dims
        Widths of the layers, at least two; the last is the number of heads.
    num_features
        Number of pair features.

    References
    ----------
    arXiv:2202.03772, section 4. The last batch norm is followed by a GELU too, as in the published
    network.
    """

    def __init__(self, dims: Sequence[int], num_features: int = 4) -> None:
        super().__init__()
        self.input_norm = PackedBatchNorm(num_features)
        self.layers = nn.ModuleList(PairLayer(*pair) for pair in pairwise((num_features, *dims)))

    def reference(self, features: Float[Tensor, "pairs features"]) -> Float[Tensor, "heads pairs"]:
        """Return the bias, layer by layer in plain torch: the definition."""
        hidden: Tensor = self.input_norm(features)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.t()

    def forward(
        self,
        features: Float[Tensor, "pairs features"],
        *,
        uses_kernels: bool = False,
        num_real: Int64[Tensor, "1"] | None = None,
    ) -> Float[Tensor, "heads pairs"]:
        """Return the bias; gradients flow to the parameters, not to ``features``.

        In training, pairs from ``num_real`` on have no part in anything; without it, all are real.
        """
        # Norms that are frozen normalize with the statistics that they have.
        of_batch = [norm.training for norm in self._norms]
        if all(of_batch):
            return self._train(features, uses_kernels, num_real)
        if any(of_batch) or torch.is_grad_enabled():
            return self.reference(features)
        return self._infer(features, uses_kernels)

    @property
    def _typed_layers(self) -> list[PairLayer]:
        return [cast(PairLayer, layer) for layer in self.layers]

    @property
    def _norms(self) -> list[PackedBatchNorm]:
        return [self.input_norm, *(layer.norm for layer in self._typed_layers)]

    def _train(self, features: Tensor, uses_kernels: bool, num_real: Tensor | None) -> Tensor:
        count, bias, *moments = TrainPairNetwork.apply(
            features.detach(), self.input_norm.eps, uses_kernels, num_real, *self.parameters()
        )
        for norm, mean, var in zip(self._norms, moments[::2], moments[1::2], strict=True):
            norm.update(mean, var, count)
        output: Tensor = bias
        return output

    def _infer(self, features: Tensor, uses_kernels: bool) -> Tensor:
        """Run with every batch norm folded into the linear layer before it."""
        folded = self.folded()
        widths = [len(bias) for _, bias in folded]
        if uses_kernels and features.shape[1] == 4 and len(set(widths[:-1])) == 1:
            from parttag.ops.kernels.pair_inference import infer

            return infer(features, folded, product_dtype(features))
        dtype = product_dtype(features)
        folded = [(weight.to(dtype), bias.to(dtype)) for weight, bias in folded]
        output = features.new_empty(widths[-1], len(features))
        for chunk in chunks(features):
            hidden = features[chunk]
            for weight, bias in folded:
                hidden = linear_gelu(hidden, weight, bias)
            output[:, chunk] = hidden.t()
        return output

    def folded(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of every linear layer, the batch norms folded in."""
        scale, shift = self.input_norm.affine(
            self.input_norm.running_mean, self.input_norm.running_var
        )
        folded = []
        for number, layer in enumerate(self._typed_layers):
            weight: Tensor = layer.linear.weight
            bias: Tensor = layer.linear.bias
            if number == 0:
                weight, bias = weight * scale, bias + weight @ shift
            scale, shift = layer.norm.affine(layer.norm.running_mean, layer.norm.running_var)
            folded.append((weight * scale[:, None], bias * scale + shift))
        return folded
