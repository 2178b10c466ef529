"""A trial of attention and the pair network on a device: what it computes against float64.

Some fifty jets go through each part, forwards and backwards, in one path of attention; the
definitions in plain torch on the same device, in float64, say what is right. Random numbers of the
process are left alone.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from parttag.ops.attention import attend, class_attend, spread_bias
from parttag.ops.attention.reference import attend_reference
from parttag.ops.layout import AttentionPath, JetLayout
from parttag.ops.pair_training import TrainPairNetwork

Precision = Literal["fp32", "bf16"]

SHORT_LENGTHS = (0, 1, 2, 33, 16, 7)
"""Particles of the jets of a short trial."""
LENGTHS = (*SHORT_LENGTHS, 256, 128, *range(3, 45))
"""Particles of the jets of a whole trial."""

# Of ‖a − b‖ / ‖b‖ of an output or a gradient.
_TOLERANCES: dict[Precision, float] = {"fp32": 1e-5, "bf16": 2e-2}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_HEADS = 2
_PAIR_WIDTHS = (4, 16, 16, _HEADS)


@dataclass(frozen=True)
class Trial:
    """One part, as one path computes it in one precision."""

    part: str
    path: AttentionPath
    precision: Precision
    head_width: int
    error: float
    """Largest relative error of an output or gradient; NaN if there is none."""
    tolerance: float
    fault: str = ""
    """The first line of what was raised instead."""
    seconds: float | None = None
    """Of a second run, forwards and backwards, if it was timed."""

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        where = f"{self.part}, {self.path}, {self.precision}, heads of {self.head_width}"
        return f"{where}: {self.fault or f'relative error {self.error:.1e}'}"


@dataclass(frozen=True)
class _Part:
    """A function of float64 tensors, and what computes the same in some path."""

    name: str
    inputs: tuple[Tensor, ...]
    definition: Callable[..., Tensor]
    function: Callable[..., Tensor]


def run_trials(
    path: AttentionPath,
    device: torch.device,
    precisions: Sequence[Precision] = ("fp32", "bf16"),
    head_widths: Sequence[int] = (16,),
    lengths: Sequence[int] = SHORT_LENGTHS,
    *,
    timed: bool = False,
) -> list[Trial]:
    """Return the trials of every part, precision and width of heads; none of them raises."""
    trials = []
    with ExitStack() as stack:
        # Called in the midst of whatever a network does.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        for width in head_widths:
            try:
                parts = list(_parts(path, device, width, np.array(lengths)))
            except Exception as fault:  # noqa: BLE001 - a device that takes no tensors
                told, no_number = _told(fault), math.nan
                trials += [Trial("jets", path, p, width, no_number, 0.0, told) for p in precisions]
                continue
            for part in parts:
                trials += [_try(part, path, p, width, timed=timed) for p in precisions]
    return trials


def _told(fault: Exception) -> str:
    """Return the kind and the first line of an error."""
    return ": ".join([type(fault).__name__, *str(fault).strip().splitlines()[:1]])


def _parts(
    path: AttentionPath, device: torch.device, width: int, lengths: np.ndarray
) -> Iterator[_Part]:
    layout, plain = (JetLayout(lengths, device, path=p) for p in (path, "torch"))
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
        return drawn.to(device)

    rows, pairs, jets = layout.num_rows, layout.num_pairs, layout.num_jets

    def attention(qkv: Tensor, bias: Tensor) -> Tensor:
        shared = spread_bias(bias, layout)
        return attend(qkv, shared, layout) + attend(2 * qkv, shared, layout)

    def attention_defined(qkv: Tensor, bias: Tensor) -> Tensor:
        return attend_reference(qkv, bias, plain) + attend_reference(2 * qkv, bias, plain)

    inputs: tuple[Tensor, ...] = (draw(rows, 3, _HEADS, width), draw(_HEADS, pairs))
    yield _Part("attention", inputs, attention_defined, attention)
    inputs = (
        draw(jets, _HEADS, width),
        draw(jets, 2, _HEADS, width),
        draw(rows, 2, _HEADS, width),
    )
    yield _Part(
        "class attention",
        inputs,
        lambda query, own, particles: class_attend(query, own, particles, plain),
        lambda query, own, particles: class_attend(query, own, particles, layout),
    )
    features = draw(pairs, 4)
    parameters = [1 + 0.1 * draw(4), draw(4)]
    for below, above in pairwise(_PAIR_WIDTHS):
        parameters += [draw(above, below) / below**0.5, draw(above), 1 + 0.1 * draw(above)]
        parameters.append(draw(above))

    def pair_network(*values: Tensor, uses_kernels: bool) -> Tensor:
        short = values[0].dtype == torch.bfloat16
        wide = [value.float() for value in values] if short else values
        wide_features = features.to(wide[0].dtype)
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            bias: Tensor = TrainPairNetwork.apply(wide_features, 1e-5, uses_kernels, None, *wide)[1]
        return bias

    yield _Part(
        "pair network",
        tuple(parameters),
        lambda *values: pair_network(*values, uses_kernels=False),
        lambda *values: pair_network(*values, uses_kernels=layout.uses_kernels),
    )


def _try(
    part: _Part, path: AttentionPath, precision: Precision, width: int, *, timed: bool
) -> Trial:
    tolerance, seconds = _TOLERANCES[precision], None
    try:
        # What is right for the inputs that the precision can hold.
        inputs = [value.to(_DTYPES[precision]) for value in part.inputs]
        expected = _results(part.definition, [value.double() for value in inputs])
        found = _results(part.function, inputs)
        error = _largest_error(found, expected)
        if timed:
            begin = time.perf_counter()
            _results(part.function, inputs)
            if inputs[0].device.type == "cuda":
                torch.cuda.synchronize(inputs[0].device)
            seconds = time.perf_counter() - begin
    except Exception as fault:  # noqa: BLE001 - whatever a compiler or driver says is the result
        return Trial(part.name, path, precision, width, math.nan, tolerance, _told(fault))
    return Trial(part.name, path, precision, width, error, tolerance, seconds=seconds)


def _results(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the output, and the gradients of a sum of it with weights."""
    leaves = [value.detach().clone().requires_grad_() for value in inputs]
    output = function(*leaves)
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64, device=output.device)
    gradients = torch.autograd.grad(output, leaves, weights.view(output.shape).to(output.dtype))
    return [output.detach(), *gradients]


def _largest_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    # A gradient that is next to none beside the others is rounding.
    sizes = [float(value.norm()) for value in expected]
    least = 0.1 * max(sizes[1:])
    errors = [
        float((ours.double() - theirs).norm()) / max(size, least if number else size)
        for number, (ours, theirs, size) in enumerate(zip(found, expected, sizes, strict=True))
    ]
    return math.nan if any(map(math.isnan, errors)) else max(errors)
