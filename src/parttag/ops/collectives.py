"""Exchange between the processes of a distributed run: tensors only."""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from parttag.errors import InputError

_MOST_BYTES = 1 << 30


def num_ranks() -> int:
    """Return the number of processes that train together; 1 without ``torch.distributed``."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks, through which gradients flow back to every rank."""
    if num_ranks() == 1:
        return tensor
    total: Tensor = _SumOverRanks.apply(tensor)
    return total


def from_first_rank(tensor: Tensor) -> Tensor:
    """Return what the first rank gives, on all ranks; all must give the same shape."""
    if num_ranks() == 1:
        return tensor
    shared = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(shared, src=0)
    return shared


def gather_over_ranks(
    rows: Float[Tensor, "rows width"],
) -> tuple[Float[Tensor, "rows_everywhere width"], int]:
    """Return the rows of all ranks, in the order of ranks, and the place of this rank's first.

    Ranks may have different numbers of rows, even none. The gradient of a row, from the losses of
    all ranks, flows back to the rank that has it.
    """
    if num_ranks() == 1:
        return rows, 0
    counts = _gather_counts(len(rows))
    start = sum(counts[: dist.get_rank()])
    end = sum(counts) - start - len(rows)
    return sum_over_ranks(F.pad(rows, (0, 0, start, end))), start


def gather_tensors(rows: Shaped[Tensor, "rows ..."]) -> list[Tensor]:
    """Return the tensors of all ranks, in the order of ranks, on the host and without gradients.

    They may have different numbers of rows, even none; all else of them must agree. Nothing but
    numbers goes between ranks: a pickle of one that is no rank of ours could run code in the rest.

    Raises
    ------
    InputError
        If a rank says that it sends more than a GiB.
    """
    if num_ranks() == 1:
        return [rows]
    counts = _gather_counts(len(rows))
    row_bytes = rows.element_size() * math.prod(rows.shape[1:])
    for rank, count in enumerate(counts):
        if not 0 <= count * row_bytes <= _MOST_BYTES:
            raise InputError(
                f"rank {rank} says that it sends {count} rows: it is none of this training's; "
                "start the ranks where no other can join them (docs/how_to/several_gpus.md)"
            )
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    if padded.numel():
        dist.all_gather(parts, padded)
    return [part[:count].clone() for part, count in zip(parts, counts, strict=True)]


def _gather_counts(count: int) -> list[int]:
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(num_ranks())]
    dist.all_gather(counts, torch.tensor([count]))
    return [int(value) for value in counts]


class _SumOverRanks(torch.autograd.Function):
    """The sum on every rank; as each rank's loss has used it, so is the sum of the gradients."""

    @staticmethod
    def forward(_ctx: object, tensor: Tensor) -> Tensor:
        return _all_reduced(tensor)

    @staticmethod
    def backward(_ctx: object, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
