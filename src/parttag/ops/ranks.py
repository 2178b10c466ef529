"""Sums over the processes of a distributed run, inside the network's forward pass."""

import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def num_ranks() -> int:
    """Return the number of processes that train together; 1 without ``torch.distributed``."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks, through which gradients flow back to every rank."""
    if num_ranks() == 1:
        return tensor
    total: Tensor = all_reduce(tensor)
    return total
