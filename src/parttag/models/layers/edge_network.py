"""Edge convolution: a small network of each particle and each of its neighbours, averaged.

For particle i and its neighbour j the edge is (x_i, x_j − x_i); it goes through [linear → BN →
ReLU] for every width, and the average over the k neighbours of i is the result. In plain torch
every intermediate of every edge is written to memory and read back. Here

- the first linear layer acts on particles: W_c x_i + W_d (x_j − x_i) = (W_c − W_d) x_i + W_d x_j,
  so that an edge is a sum of two rows and (edges, 2 · width) is never made; even the statistics of
  its batch norm, and their gradients, follow from sums over the particles and over neighbours;
- edges pass in chunks that fit the cache, only the inputs of the further batch norms are kept, and
  the rest is recomputed on the way back.

``EdgeNetwork.reference`` is the definition.

**What the batch norms run over**: the k edges of every particle of the batch, on all ranks. Padding
has no edges. A neighbour that is missing, because the jet has too few particles, is the zero
vector: its edges are there, in the average and in the statistics.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.ops.edge_training import TrainEdgeNetwork, chunks, edge_sums, with_missing


class EdgeLayer(nn.Module):
    """A linear layer, its batch norm and a ReLU."""

    def __init__(self, width_in: int, width_out: int, *, bias: bool, eps: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out, bias=bias)
        self.norm = PackedBatchNorm(width_out, eps)

    def forward(self, x: Float[Tensor, "edges width_in"]) -> Float[Tensor, "edges width_out"]:
        """Return the activated edges."""
        return F.relu(self.norm(self.linear(x)))


class EdgeNetwork(nn.Module):
    """Particles and their neighbours to one vector a particle.

    Parameters
    ----------
    width_in
        Width of a particle. The first linear layer reads the particle first, then the difference.
    dims
        Widths of the layers.
    bias
        Whether the linear layers have one, which the batch norm then takes out again.
    eps
        Added to the variances.

    References
    ----------
    arXiv:1801.07829, and arXiv:1902.08570 with the average in place of the maximum.
    """

    def __init__(
        self, width_in: int, dims: Sequence[int], *, bias: bool = False, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EdgeLayer(*pair, bias=bias, eps=eps) for pair in pairwise((2 * width_in, *dims))
        )

    def reference(
        self,
        particles: Float[Tensor, "particles width"],
        neighbours: Int64[Tensor, "particles k"],
    ) -> Float[Tensor, "particles width_out"]:
        """Return the average over the neighbours, layer by layer in plain torch: the definition."""
        others = torch.cat([particles, particles.new_zeros(1, particles.shape[1])])
        centre = particles.repeat_interleave(neighbours.shape[1], dim=0)
        hidden = torch.cat([centre, others[neighbours.flatten()] - centre], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.view(*neighbours.shape, hidden.shape[1]).mean(dim=1)

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        neighbours: Int64[Tensor, "particles k"],
    ) -> Float[Tensor, "particles width_out"]:
        """Return the average over the neighbours.

        Parameters
        ----------
        particles
            The particles.
        neighbours
            Row of each neighbour; one beyond the last row for one that is missing.
        """
        # Norms that are frozen normalize with the statistics that they have.
        of_batch = {layer.norm.training for layer in self._typed_layers}
        if len(of_batch) > 1 or (not self.training and torch.is_grad_enabled()):
            return self.reference(particles, neighbours)
        first = self._typed_layers[0].linear
        wide = torch.promote_types(particles.dtype, torch.float32)
        # In bfloat16 the sum of two terms would lose what the difference of two neighbours keeps.
        with torch.autocast(particles.device.type, enabled=False):
            centre, difference = first.weight.chunk(2, dim=1)
            both = F.linear(particles.to(wide), torch.cat([centre - difference, difference]))
            own, other = both.chunk(2, dim=1)
            own = own if first.bias is None else own + first.bias
        if self.training:
            return self._train(own, other, neighbours)
        return self._infer(own, other, neighbours)

    @property
    def _typed_layers(self) -> list[EdgeLayer]:
        return [cast(EdgeLayer, layer) for layer in self.layers]

    def _train(self, own: Tensor, other: Tensor, neighbours: Tensor) -> Tensor:
        first, *others = self._typed_layers
        parameters: list[Tensor | None] = [first.norm.weight, first.norm.bias]
        for layer in others:
            parameters += [layer.linear.weight, layer.linear.bias]
            parameters += [layer.norm.weight, layer.norm.bias]
        norms = [layer.norm for layer in self._typed_layers]
        fixed = None
        if not first.norm.training:
            fixed = [(norm.running_mean, norm.running_var) for norm in norms]
        average, count, *moments = TrainEdgeNetwork.apply(
            own, other, neighbours, first.norm.eps, fixed, *parameters
        )
        if fixed is None:
            for norm, mean, var in zip(norms, moments[::2], moments[1::2], strict=True):
                norm.update(mean, var, count)
        output: Tensor = average
        return output

    def _infer(self, own: Tensor, other: Tensor, neighbours: Tensor) -> Tensor:
        """Run with every batch norm folded into the linear layer before it."""
        folded = []
        for number, layer in enumerate(self._typed_layers):
            norm, linear = layer.norm, layer.linear
            scale, shift = norm.affine(norm.running_mean, norm.running_var)
            if number == 0:
                own, other = own * scale + shift, other * scale
            else:
                shift = shift if linear.bias is None else linear.bias * scale + shift
                folded.append((linear.weight * scale[:, None], shift))
        other = with_missing(other)
        output = own.new_empty(len(own), self._typed_layers[-1].norm.weight.shape[0])
        width = max(layer.norm.weight.shape[0] for layer in self._typed_layers)
        for rows in chunks(neighbours, width):
            hidden = edge_sums(own, other, neighbours, rows).relu_()
            for weight, bias in folded:
                hidden = F.linear(hidden, weight, bias).relu_()
            output[rows] = hidden.view(-1, neighbours.shape[1], output.shape[1]).mean(dim=1)
        return output
