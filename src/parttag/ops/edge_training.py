"""The edge network in training: in chunks that fit the cache, and back again by hand.

``models/layers/edge_network.py`` says what is computed; this is how, with the gradients.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.batch_statistics import BatchStatistics
from parttag.ops.collectives import sum_over_ranks

# Numbers in a chunk of one width: 1 MB of float32, a core's level-2 cache.
_CHUNK = 1 << 18


def with_missing(other: Tensor) -> Tensor:
    """Add the row of a missing neighbour."""
    return torch.cat([other, other.new_zeros(1, other.shape[1])])


def chunks(neighbours: Tensor, width: int) -> Iterator[slice]:
    """Yield the particles whose edges make a chunk; on a GPU all do."""
    num_particles, k = neighbours.shape
    fitting = max(_CHUNK // (k * width), 1)
    size = fitting if neighbours.device.type == "cpu" else max(num_particles, 1)
    return (slice(start, start + size) for start in range(0, num_particles, size))


def edge_sums(own: Tensor, other: Tensor, neighbours: Tensor, rows: slice) -> Tensor:
    """Return own_i + other_j of the edges of some particles."""
    chosen = neighbours[rows]
    edges = other.index_select(0, chosen.flatten()).view(*chosen.shape, other.shape[1])
    return edges.add_(own[rows, None]).flatten(0, 1)


class _Layer(NamedTuple):
    """A linear layer and the batch norm after it; the first one's linear part acts on particles."""

    weight: Tensor
    bias: Tensor | None
    norm_weight: Tensor
    norm_bias: Tensor


class _Forward:
    """A forward pass in training, with what the backward pass needs of it.

    Layer k makes yₖ = Wₖ hₖ₋₁ + bₖ, normalized to zₖ = γₖ ŷₖ + βₖ, and hₖ = ReLU(zₖ); y₁ is
    own_i + other_j. The yₖ from the second on are stored. ``fixed`` are mean and variance of each
    norm, if they are not to be those of the edges.
    """

    def __init__(
        self,
        own: Tensor,
        other: Tensor,
        neighbours: Tensor,
        eps: float,
        layers: Sequence[_Layer],
        dtype: torch.dtype,
        fixed: Sequence[tuple[Tensor, Tensor]] | None,
    ) -> None:
        self.own, self.other, self.neighbours = own, with_missing(other), neighbours
        self.eps, self.layers, self.dtype = eps, layers, dtype
        self.num_edges, self.k = neighbours.numel(), neighbours.shape[1]
        self.count = sum_over_ranks(own.new_full((1,), self.num_edges, dtype=torch.double))
        self.count = self.count.clamp(min=1)
        ones = own.new_ones(self.num_edges)
        self.degree = own.new_zeros(len(self.other)).index_add_(0, neighbours.flatten(), ones)
        self.stored: list[Tensor] = []
        self.fixed: list[BatchStatistics] = []
        if fixed is not None:
            self.fixed = [
                BatchStatistics(*moments, eps, layer.norm_weight, layer.norm_bias)
                for moments, layer in zip(fixed, layers, strict=True)
            ]
        self.statistics = [self.fixed[0] if self.fixed else self._first_statistics()]
        self._normalize_first()
        for number in range(1, len(layers)):
            self._run_layer(number)

    # ---------------------------------------------------------------------------------- forwards

    def _first_statistics(self) -> BatchStatistics:
        """Return those of own_i + other_j over all edges, from sums over particles."""
        degree, num_edges = self.degree[:, None], max(self.num_edges, 1)
        own_mean = self.k * self.own.sum(dim=0, dtype=torch.double) / num_edges
        other_mean = (degree * self.other).sum(dim=0, dtype=torch.double) / num_edges
        own, other = self.own - own_mean.to(self.own.dtype), self.other - other_mean.to(self.own)
        cross = own * (self.k * own + 2 * self._over_neighbours(other))
        squares = cross.sum(dim=0, dtype=torch.double)
        squares += (degree * other.square()).sum(dim=0, dtype=torch.double)
        return self._statistics(0, own_mean + other_mean, squares)

    def _statistics(self, number: int, local_mean: Tensor, squares: Tensor) -> BatchStatistics:
        """Return the statistics of all ranks from this one's mean and squared deviations."""
        mean = sum_over_ranks(local_mean * self.num_edges) / self.count
        squares = squares + self.num_edges * (local_mean - mean).square()
        var = (sum_over_ranks(squares) / self.count).clamp(min=0)
        layer = self.layers[number]
        return BatchStatistics(mean, var, self.eps, layer.norm_weight, layer.norm_bias)

    def _over_neighbours(self, other: Tensor) -> Tensor:
        """Return the sum over the neighbours of each particle."""
        if self.num_edges == 0:
            return other.new_zeros(len(self.own), other.shape[1])
        return F.embedding_bag(self.neighbours, other, mode="sum")

    def _normalize_first(self) -> None:
        first = self.statistics[0]
        self.z_own = self.own * first.scale + first.shift
        self.z_other = self.other * first.scale

    def z(self, number: int, rows: slice) -> Tensor:
        """Return the normalized input of layer ``number``'s ReLU, counted from 0."""
        if number == 0:
            return edge_sums(self.z_own, self.z_other, self.neighbours, rows)
        statistics = self.statistics[number]
        return torch.addcmul(statistics.shift, self.y(number, rows), statistics.scale)

    def y(self, number: int, rows: slice) -> Tensor:
        """Return the stored output of a linear layer other than the first."""
        return self.stored[number - 1][self._edges(rows)].to(self.own.dtype)

    def _edges(self, rows: slice) -> slice:
        return slice(self.k * rows.start, self.k * rows.stop)

    def _run_layer(self, number: int) -> None:
        layer = self.layers[number]
        weight = layer.weight.to(self.dtype)
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        stored = self.own.new_empty(self.num_edges, len(weight), dtype=self.dtype)
        sums = self.own.new_zeros(2, len(weight), dtype=torch.double)
        guess = self.own.new_zeros(len(weight))  # near the mean, so that squares do not cancel
        for rows in chunks(self.neighbours, max(weight.shape)):
            hidden = self.z(number - 1, rows).relu_().to(self.dtype)
            y = stored[self._edges(rows)]
            torch.mm(hidden, weight.t(), out=y)
            if bias is not None:
                y += bias
            if self.fixed:  # nothing has to be known of all edges
                continue
            if rows.start == 0:
                guess = y.to(guess.dtype).mean(dim=0)
            away = y - guess
            sums[0] += away.sum(dim=0)
            sums[1] += away.square_().sum(dim=0)
        self.stored.append(stored)
        if self.fixed:
            self.statistics.append(self.fixed[number])
            return
        local_mean = guess + sums[0] / max(self.num_edges, 1)
        squares = sums[1] - sums[0].square() / max(self.num_edges, 1)
        self.statistics.append(self._statistics(number, local_mean, squares))

    def average(self) -> Tensor:
        """Return the average of the last layer over the neighbours of each particle."""
        last = len(self.layers) - 1
        width = len(self.layers[last].norm_bias)
        output = self.own.new_empty(len(self.own), width)
        for rows in chunks(self.neighbours, width):
            edges = self.z(last, rows).relu_().view(-1, self.k, width)
            torch.mean(edges, dim=1, out=output[rows])
        return output

    # --------------------------------------------------------------------------------- backwards

    def gradients(self, grad_average: Tensor) -> tuple[Tensor, Tensor, list[Tensor | None]]:
        """Return the gradients of ``own``, of ``other``, and of each parameter in order.

        The stored tensors are overwritten: it can be done once.
        """
        self.grad_edge = grad_average / self.k
        last = len(self.layers) - 1
        sums = self.own.new_zeros(2, grad_average.shape[1], dtype=torch.double)
        grad_z: Tensor | None = None
        if last == 0:
            grad_z = self.own.new_empty(self.num_edges, grad_average.shape[1])
        for rows in chunks(self.neighbours, grad_average.shape[1]):
            dz = self._grad_last(rows)
            if grad_z is None:
                sums += self._norm_sums(dz, last, rows)
            else:
                grad_z[self._edges(rows)] = dz
        gradients: list[Tensor | None] = []
        for number in range(last, 0, -1):
            grad_z, layer_gradients, sums = self._layer_back(number, grad_z, sums)
            gradients = layer_gradients + gradients
        assert grad_z is not None
        grad_own, grad_other, norm_gradients = self._first_back(grad_z)
        return grad_own, grad_other, norm_gradients + gradients

    def _grad_last(self, rows: slice) -> Tensor:
        """Return the gradient of the last layer's z, from that of the average."""
        z = self.z(len(self.layers) - 1, rows)
        grad = self.grad_edge[rows, None].expand(-1, self.k, -1).reshape(z.shape)
        dz: Tensor = torch.ops.aten.threshold_backward(grad, z, 0)
        return dz

    def _norm_sums(self, dz: Tensor, number: int, rows: slice) -> Tensor:
        """Return what the gradients of a norm need: Σ dz and Σ dz ŷ."""
        statistics = self.statistics[number]
        away = (self.y(number, rows) - statistics.mean).mul_(dz)
        return torch.stack([dz.sum(dim=0), away.sum(dim=0) * statistics.inverse_std]).double()

    def _norm_means(self, sums: Tensor) -> Tensor:
        """Return the means of dz and dz ŷ over all edges, which batch statistics take from dy.

        Where the statistics are fixed nothing is taken.
        """
        if self.fixed:
            return torch.zeros_like(sums, dtype=self.own.dtype)
        return (sum_over_ranks(sums) / self.count).to(self.own.dtype)

    def _layer_back(
        self, number: int, grad_z: Tensor | None, sums: Tensor
    ) -> tuple[Tensor, list[Tensor | None], Tensor]:
        """Go back from zₖ to zₖ₋₁; return its gradient, the parameters', and zₖ₋₁'s norm sums.

        ``grad_z`` is ``None`` for the last layer, whose is recomputed.
        """
        layer, statistics = self.layers[number], self.statistics[number]
        weight = layer.weight.to(self.dtype)
        mean_dz, mean_dz_y = self._norm_means(sums)
        # dy = scale (dz − mean_dz − ŷ mean_dz_y), as an affine map of dz and y.
        slope = statistics.scale * statistics.inverse_std * mean_dz_y
        offset = slope * statistics.mean - statistics.scale * mean_dz
        stored = self.stored[number - 1]
        fits = weight.shape[0] == weight.shape[1]
        below = stored if fits else stored.new_empty(self.num_edges, weight.shape[1])
        grad_weight = torch.zeros_like(layer.weight)
        grad_bias = torch.zeros_like(layer.norm_bias)
        sums_below = sums.new_zeros(2, weight.shape[1])
        for rows in chunks(self.neighbours, max(weight.shape)):
            edges = self._edges(rows)
            dz = self._grad_last(rows) if grad_z is None else grad_z[edges].to(self.own.dtype)
            dy = torch.addcmul(offset, dz, statistics.scale)
            dy.addcmul_(self.y(number, rows), slope, value=-1)
            grad_bias += dy.sum(dim=0)
            dy = dy.to(self.dtype)
            z = self.z(number - 1, rows)
            dh = (dy @ weight).to(z.dtype)
            dz_below = torch.ops.aten.threshold_backward(dh, z, 0)
            grad_weight += dy.t() @ z.relu_().to(self.dtype)
            if number > 1:
                sums_below += self._norm_sums(dz_below, number - 1, rows)
            below[edges] = dz_below
        gradients = [
            grad_weight,
            None if layer.bias is None else grad_bias,
            *sums.flip(0).to(self.own.dtype),
        ]
        return below, gradients, sums_below

    def _first_back(self, grad_z: Tensor) -> tuple[Tensor, Tensor, list[Tensor | None]]:
        """Go back from z₁ to ``own`` and ``other``, all sums over edges being sums of particles."""
        statistics, dtype = self.statistics[0], self.own.dtype
        order = self.neighbours.flatten().argsort(stable=True)
        counts = self.degree.long()  # of whole numbers, whose sums CUDA takes in a fixed order
        bags = torch.cumsum(counts, dim=0) - counts

        def over_edges(edges: Tensor, index: Tensor) -> Tensor:
            """Return the sums over the edges that lead to each particle."""
            if self.num_edges == 0:
                return edges.new_zeros(len(self.other), edges.shape[1])
            return F.embedding_bag(index, edges, bags, mode="sum")

        grad_z = grad_z.to(dtype)
        from_own = grad_z.view(*self.neighbours.shape, self.own.shape[1]).sum(dim=1)
        to_other = over_edges(grad_z, order)
        own, other = self.own - statistics.mean, self.other
        dz = from_own.sum(dim=0, dtype=torch.double)
        dz_y = (from_own * own).sum(dim=0, dtype=torch.double)
        dz_y += (to_other * other).sum(dim=0, dtype=torch.double)
        sums = torch.stack([dz, dz_y * statistics.inverse_std])
        mean_dz, mean_dz_y = self._norm_means(sums)
        slope = mean_dz_y * statistics.inverse_std
        degree = self.degree[:, None]
        grad_own = from_own - self.k * mean_dz
        grad_own -= slope * (self.k * own + self._over_neighbours(other))
        grad_other = to_other - degree * mean_dz
        grad_other -= slope * (over_edges(own, order // self.k) + degree * other)
        norm_gradients: list[Tensor | None] = list(sums.flip(0).to(dtype))
        return grad_own * statistics.scale, (grad_other * statistics.scale)[:-1], norm_gradients


class TrainEdgeNetwork(torch.autograd.Function):
    """The network in training, all ranks normalized together."""

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        other: Tensor,
        neighbours: Tensor,
        eps: float,
        fixed: Sequence[tuple[Tensor, Tensor]] | None,
        *parameters: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return the average, the number of edges, and mean and variance of each norm in turn.

        ``fixed`` are these, if they are not to be those of the edges. ``parameters`` are weight and
        bias of the first norm, then of each further linear layer and of its norm; a bias may be
        ``None``.
        """
        device = own.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else own.dtype
        with torch.autocast(device, enabled=False):
            empty = own.new_empty(0)
            flat = (empty, None, *parameters)
            layers = [_Layer(*flat[i : i + 4]) for i in range(0, len(flat), 4)]  # type: ignore[arg-type]
            run = _Forward(own, other, neighbours, eps, layers, dtype, fixed)
            average = run.average()
        ctx.run = run
        count = run.count.to(own.dtype)
        moments = [moment for s in run.statistics for moment in (s.mean, s.var)]
        ctx.mark_non_differentiable(count, *moments)
        return average, count, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``own``, ``other`` and the parameters."""
        if ctx.run is None:
            raise RuntimeError("an edge network can be differentiated once only")
        run: _Forward = ctx.run
        ctx.run = None
        with torch.autocast(grads[0].device.type, enabled=False):
            grad_own, grad_other, parameters = run.gradients(grads[0].contiguous())
        return grad_own, grad_other, None, None, None, *parameters
