"""The training pass of the pair network: forwards and backwards over pairs that are read once.

``pair_network.py`` says why. The formulas are here, once for all ranks; single layers are run in
chunks of pairs that fit a CPU's cache, or by kernels (``kernels/pair_network.py``).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.batch_statistics import BatchStatistics
from parttag.ops.collectives import sum_over_ranks
from parttag.ops.pair_source import Source

# Pairs in a chunk: 64 channels of float32 then take 1 MB, about a core's level-2 cache.
_CHUNK = 4096


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the precision in which autocast takes products."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype


def chunks(features: Tensor) -> Iterator[slice]:
    """Yield the chunks of the pairs; on a GPU, whose caches hold none, all pairs are one."""
    size = _CHUNK if features.device.type == "cpu" else max(len(features), 1)
    return (slice(start, start + size) for start in range(0, len(features), size))


class _Layer(NamedTuple):
    """A linear layer and the batch norm after it."""

    weight: Tensor
    bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor


class _Forward:
    """A forward pass in training, with what the backward pass needs of it.

    With h₀ the features after the first batch norm, layer k is yₖ = Wₖ hₖ₋₁ + bₖ, normalized to
    zₖ = γₖ ŷₖ + βₖ, and hₖ = GELU(zₖ). The yₖ from the second on are stored; z₁ is an affine map
    of the features. Sums are taken in float64.
    """

    def __init__(
        self,
        features: Tensor,
        parameters: Sequence[Tensor],
        eps: float,
        dtype: torch.dtype,
        uses_kernels: bool,
        num_real: Tensor | None,
    ) -> None:
        self.features, self.eps, self.dtype = features, eps, dtype
        self.num_real = num_real
        self.num_pairs: int | Tensor = len(features) if num_real is None else num_real[0]
        # They take four features, and two layers or more.
        self.uses_kernels = uses_kernels and features.shape[1] == 4
        self.norm_weight, self.norm_bias = parameters[:2]
        self.layers = [_Layer(*parameters[i : i + 4]) for i in range(2, len(parameters), 4)]
        self.stored: list[Tensor] = []
        self._use_moments()
        for number in range(1, len(self.layers)):
            self._run_layer(number)

    def _use_moments(self) -> None:
        """Normalize features and first layer by the moments of the features."""
        wide = self.features.double()
        own = wide.new_full((1,), len(wide))
        if self.num_real is not None:
            wide, own = self._only_real(wide), self.num_real.double()
        local = torch.cat([own, wide.sum(dim=0)])
        total = sum_over_ranks(local)
        self.count = total[0].clamp(min=1)
        mean = total[1:] / self.count
        centred = self._only_real(wide - mean)
        self.local_sum, self.local_square = centred.sum(dim=0), centred.t() @ centred
        covariance = sum_over_ranks(self.local_square) / self.count
        first = BatchStatistics(
            mean, covariance.diagonal(), self.eps, self.norm_weight, self.norm_bias
        )
        layer = self.layers[0]
        self.first_map = layer.weight * first.scale  # from centred features to y₁ − its mean
        wide_map = self.first_map.double()
        second = BatchStatistics(
            layer.weight @ self.norm_bias + layer.bias,
            ((wide_map @ covariance) * wide_map).sum(dim=1),
            self.eps,
            layer.norm_weight,
            layer.norm_bias,
        )
        self.statistics = [first, second]
        self.z1_weight = self.first_map * second.scale[:, None]
        self.z1_bias = layer.norm_bias - self.z1_weight @ first.mean

    def z(self, number: int, chunk: slice) -> Tensor:
        """Return the normalized input of layer ``number``'s GELU, counted from 0."""
        if number == 0:
            return F.linear(self.features[chunk], self.z1_weight, self.z1_bias)
        statistics = self.statistics[number + 1]
        return torch.addcmul(statistics.shift, self.y(number, chunk), statistics.scale)

    def y(self, number: int, chunk: slice) -> Tensor:
        """Return the stored output of a linear layer other than the first."""
        return self.widened(self.stored[number - 1][chunk])

    def _only_real(self, values: Tensor, start: int = 0) -> Tensor:
        """Return values of the pairs from ``start`` on, zero for those that are not real."""
        if self.num_real is None:
            return values
        pairs = torch.arange(start, start + len(values), device=values.device)
        return torch.where((pairs < self.num_real)[:, None], values, 0.0)

    def widened(self, values: Tensor) -> Tensor:
        """Return values in the precision of everything but the products."""
        return values.to(self.features.dtype)

    def _run_layer(self, number: int) -> None:
        """Store yₖ, and make its statistics from the local sum and squared deviations."""
        run = self._run_in_kernel if self.uses_kernels else self._run_in_chunks
        stored, local_sum, squares = run(number)
        mean = sum_over_ranks(local_sum) / self.count
        away = local_sum / _at_least_one(self.num_pairs) - mean
        var = sum_over_ranks(squares + self.num_pairs * away.square()) / self.count
        layer = self.layers[number]
        self.stored.append(stored)
        self.statistics.append(
            BatchStatistics(mean, var, self.eps, layer.norm_weight, layer.norm_bias)
        )

    def _run_in_chunks(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        layer = self.layers[number]
        weight, bias = layer.weight.to(self.dtype), layer.bias.to(self.dtype)
        width = len(bias)
        stored = self.features.new_empty(len(self.features), width, dtype=self.dtype)
        sums = self.features.new_zeros(2, width, dtype=torch.double)
        guess = self.features.new_zeros(width)  # near the mean, so that squares do not cancel
        for chunk in chunks(self.features):
            hidden = F.gelu(self.z(number - 1, chunk)).to(self.dtype)
            torch.addmm(bias, hidden, weight.t(), out=stored[chunk])
            y = self._only_real(self.widened(stored[chunk]), chunk.start)
            if chunk.start == 0:
                guess = y.mean(dim=0)
            away = self._only_real(y - guess, chunk.start)
            sums += torch.stack([away.sum(dim=0), away.square_().sum(dim=0)])
        squares = sums[1] - sums[0].square() / _at_least_one(self.num_pairs)
        return stored, guess * self.num_pairs + sums[0], squares

    def _run_in_kernel(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        from parttag.ops.kernels.pair_network import run_layer

        layer = self.layers[number]
        source = self._source(number - 1)
        return run_layer(source, layer.weight, layer.bias, self.dtype, self.num_real)

    def _source(self, number: int) -> Source:
        """Return where the kernels find zₖ."""
        if number == 0:
            return Source(self.features, self.z1_bias, weight=self.z1_weight)
        statistics = self.statistics[number + 1]
        return Source(self.stored[number - 1], statistics.shift, scale=statistics.scale)

    def output(self) -> Tensor:
        """Return the bias, (heads, pairs)."""
        last = len(self.layers) - 1
        output = self.features.new_empty(len(self.layers[last].bias), len(self.features))
        for chunk in chunks(self.features):
            output[:, chunk] = F.gelu(self.z(last, chunk)).t()
        return output

    def gradients(self, grad_output: Tensor) -> list[Tensor]:
        """Return the gradient of each parameter, in the order in which they came."""
        last = len(self.layers) - 1
        grad_z = self.features.new_empty(len(self.features), len(grad_output))
        sums = grad_output.new_zeros(2, len(grad_output), dtype=torch.double)
        for chunk in chunks(self.features):
            grad_z[chunk] = dz = torch.ops.aten.gelu_backward(
                grad_output[:, chunk].t(), self.z(last, chunk)
            )
            sums += self._norm_sums(dz, last, chunk)
        gradients: list[Tensor] = []
        for number in range(last, 0, -1):
            grad_z, layer_gradients, sums = self._layer_back(number, grad_z, sums)
            gradients = layer_gradients + gradients
        return self._first_layer_back(sums) + gradients

    def _norm_sums(self, dz: Tensor, number: int, chunk: slice) -> Tensor:
        """Return what the gradients of a norm need: Σ dz and Σ dz ŷ; Σ dzᵀ·features of the first.

        The first layer's is (width, features + 1): the sum over pairs of dz with the centred
        features and with 1.
        """
        dz = self._only_real(dz, chunk.start)
        if number == 0:
            centred = self._only_real(self.features[chunk] - self.statistics[0].mean, chunk.start)
            return torch.cat([dz.t() @ centred, dz.sum(dim=0)[:, None]], dim=1).double()
        normalized = self.statistics[number + 1].normalized(self.y(number, chunk))
        products = self._only_real(normalized.mul_(dz), chunk.start)
        return torch.stack([dz.sum(dim=0), products.sum(dim=0)]).double()

    def _layer_back(
        self, number: int, grad_z: Tensor, sums: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Go back from zₖ to zₖ₋₁; return its gradient, the parameters', and zₖ₋₁'s norm sums."""
        layer = self.layers[number]
        mean_dz, mean_dz_y = (sum_over_ranks(sums) / self.count).to(layer.weight.dtype)
        run = self._layer_back_in_kernel if self.uses_kernels else self._layer_back_in_chunks
        grad_below, gradients, sums_below = run(number, grad_z, mean_dz, mean_dz_y)
        return grad_below, [*gradients, *sums.flip(0).to(layer.weight.dtype)], sums_below

    def _layer_back_in_kernel(
        self, number: int, grad_z: Tensor, mean_dz: Tensor, mean_dz_y: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        from parttag.ops.kernels.pair_network import layer_back

        statistics = self.statistics[number + 1]
        below = self.statistics[number] if number > 1 else self.statistics[0]
        back = layer_back(
            grad_z,
            self.stored[number - 1],
            torch.stack(_norm_back(statistics, mean_dz, mean_dz_y)),
            self.layers[number].weight.to(self.dtype),
            self._source(number - 1),
            (below.mean, below.inverse_std),
            self.dtype,
            self.num_real,
        )
        # A bias before a batch norm changes nothing: summed over ranks its gradient is zero.
        return back.below, [back.weight, torch.zeros_like(self.layers[number].bias)], back.sums

    def _layer_back_in_chunks(
        self, number: int, grad_z: Tensor, mean_dz: Tensor, mean_dz_y: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        layer, statistics = self.layers[number], self.statistics[number + 1]
        scale, slope, shift = _norm_back(statistics, mean_dz, mean_dz_y)
        weight = layer.weight.to(self.dtype)
        width_out, width_in = weight.shape
        first = number == 1
        grad_below = grad_z
        if first or width_in != width_out:
            grad_below = grad_z.new_empty(0 if first else len(grad_z), width_in)
        grad_weight = torch.zeros_like(layer.weight)
        shape = (width_in, len(self.norm_bias) + 1) if first else (2, width_in)
        sums = grad_z.new_zeros(shape, dtype=torch.double)
        for chunk in chunks(self.features):
            dy = torch.addcmul(shift, self.y(number, chunk), slope)
            dy = self._only_real(dy.addcmul_(grad_z[chunk], scale), chunk.start).to(self.dtype)
            z = self.z(number - 1, chunk)
            grad_weight += dy.t() @ F.gelu(z).to(self.dtype)
            dz = torch.ops.aten.gelu_backward((dy @ weight).to(z.dtype), z)
            sums += self._norm_sums(dz, number - 1, chunk)
            if not first:
                grad_below[chunk] = dz
        return grad_below, [grad_weight, torch.zeros_like(layer.bias)], sums

    def _first_layer_back(self, sums: Tensor) -> list[Tensor]:
        """Return the gradients of the first batch norm and of the first layer, from moments."""
        layer, first, second = self.layers[0], self.statistics[0], self.statistics[1]
        to_y_hat = (self.first_map * second.inverse_std[:, None]).double()

        def norm_sums(with_features: Tensor) -> tuple[Tensor, Tensor]:
            return with_features[:, -1], (with_features[:, :-1] * to_y_hat).sum(dim=1)

        dz, dz_y = norm_sums(sums)
        mean_dz, mean_dz_y = (s / self.count for s in norm_sums(sum_over_ranks(sums)))
        y_hat_features = to_y_hat @ self.local_square
        scale = second.scale.double()
        grad_y_features = scale[:, None] * (
            sums[:, :-1]
            - torch.outer(mean_dz, self.local_sum)
            - mean_dz_y[:, None] * y_hat_features
        )
        grad_y = scale * (dz - mean_dz * self.num_pairs - mean_dz_y * (to_y_hat @ self.local_sum))
        gradients = [
            first.inverse_std * (layer.weight * grad_y_features).sum(dim=0),
            layer.weight.t().double() @ grad_y,
            grad_y_features * first.scale + torch.outer(grad_y, self.norm_bias.double()),
            grad_y,
            dz_y,
            dz,
        ]
        return [gradient.to(self.features.dtype) for gradient in gradients]


def _at_least_one(number: int | Tensor) -> int | Tensor:
    return max(number, 1) if isinstance(number, int) else number.clamp(min=1)


def _norm_back(
    statistics: BatchStatistics, mean_dz: Tensor, mean_dz_y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return factors of dz and of y, and a shift, that make the gradient of a norm's input."""
    # dy = scale · (dz − mean_dz − ŷ · mean_dz_y).
    slope = -statistics.scale * statistics.inverse_std * mean_dz_y
    return statistics.scale, slope, -statistics.scale * mean_dz - statistics.mean * slope


class TrainPairNetwork(torch.autograd.Function):
    """The network in training, all ranks normalized together."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        features: Tensor,
        eps: float,
        uses_kernels: bool,
        num_real: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        dtype = product_dtype(features)
        detached = [p.detach() for p in parameters]
        with torch.autocast(features.device.type, enabled=False):
            run = _Forward(features, detached, eps, dtype, uses_kernels, num_real)
            bias = run.output()
        ctx.run = run
        count = run.count[None].to(features.dtype)
        moments = [moment for s in run.statistics for moment in (s.mean, s.var)]
        ctx.mark_non_differentiable(count, *moments)
        return count, bias, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        with torch.autocast(grads[1].device.type, enabled=False):
            return None, None, None, None, *ctx.run.gradients(grads[1])
