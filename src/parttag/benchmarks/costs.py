"""The cost of a network: parameters, and multiply-adds a jet.

Multiply-adds are those of one forward pass in evaluation: of matrix products, convolutions and
attention, as torch's own counter sees them (it counts two operations for each). One of complex
numbers is four of real ones. Element-wise functions, norms, sums, gathers and the making of
features are not counted. Jets are passed one by one, so that no padding to a longer jet enters;
what a network of fixed length pads inside does.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from parttag.data.jet_files import JetFiles, Patterns, jet_files
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.models import Tagger

# Files that jets are taken from, if there are more: some of every class, soon read.
_MOST_FILES = 64
_aten = torch.ops.aten
_PRODUCTS = (_aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm)


def num_parameters(model: Tagger) -> int:
    """Return the number of parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: Tagger, parts: Sequence[JetArrays]) -> float:
    """Return the multiply-adds of one forward pass, the mean over the jets of all parts."""
    # The counter's hooks are for gradients too, and stumble where some parameters have none.
    # In float64 no product is hidden from it in one of a processor's own operations.
    model = deepcopy(model).eval().to("cpu", torch.float64).requires_grad_(False)
    of_complex = {operation: _OfComplex(flop_registry[operation]) for operation in _PRODUCTS}
    counts = []
    for jets in parts:
        for number in range(len(jets)):
            batch = make_batch(jets.span(number, number + 1), max_particles=model.max_particles)
            batch = batch.to("cpu", torch.float64)
            counter = FlopCounterMode(display=False, custom_mapping=of_complex)
            with torch.no_grad(), counter:
                model(batch)
            counts.append(counter.get_total_flops() / 2)
    return float(np.mean(counts))


@dataclass(frozen=True)
class _OfComplex:
    """Torch's formula for a product of matrices, which takes complex numbers for real ones."""

    formula: Callable[..., int]
    _get_raw: ClassVar[bool] = True  # so that the counter gives tensors, not only their shapes

    def __call__(self, *args: Any, out_val: Tensor, **kwargs: Any) -> int:
        count = self.formula(*args, out_val=out_val, **kwargs)
        return 4 * count if out_val.is_complex() else count


def some_jets(files: JetFiles | Patterns, number: int) -> list[JetArrays]:
    """Return about so many good jets, evenly from all files: from the beginning of each.

    Raises
    ------
    InputError
        If a file cannot be read, or none has a good jet.
    """
    files = jet_files(files)
    numbers = np.linspace(0, len(files.paths) - 1, _MOST_FILES).astype(int)
    chosen = [files.paths[number] for number in np.unique(numbers)]
    from_each = -(-number // len(chosen))
    parts = [part for file in chosen for part in _first_jets(files.at([file]), from_each)]
    if not parts:
        raise InputError(f"{chosen[0]}: there is no good jet in it to count multiply-adds on")
    return parts


def _first_jets(file: JetFiles, number: int) -> Iterator[JetArrays]:
    """Yield jets from the first chunk of a file that has good ones, evenly spread over it."""
    for jets in file.good_jets().chunks():
        if len(jets):
            rows = np.unique(np.linspace(0, len(jets) - 1, number).astype(int))
            yield jets.take(rows)
            return
