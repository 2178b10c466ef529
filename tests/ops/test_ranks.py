"""Batch norms on several ranks are those of one process that holds all rows."""

import copy
from pathlib import Path

import torch
import torch.distributed as dist

from helpers.tolerances import FLOAT64_NETWORK
from parttag.ops.batch_norm import PackedBatchNorm
from parttag.ops.pair_network import PairNetwork

ROWS = [7, 0, 2000]


def _networks():
    torch.manual_seed(0)
    return PackedBatchNorm(4).double(), PairNetwork((8, 6, 2)).double()


def _inputs():
    torch.manual_seed(1)
    x = 2 * torch.randn(sum(ROWS), 4, dtype=torch.float64) + 1
    return x, torch.randn(sum(ROWS), 4, dtype=torch.float64), torch.randn(2, sum(ROWS)).double()


def _pass(norm, network, x, grad_norm, grad_bias):
    """Return outputs, the gradients of all parameters and of x, and the running statistics."""
    x = x.clone().requires_grad_()
    output, bias = norm(x), network(x.detach())
    ((output * grad_norm).sum() + (bias * grad_bias).sum()).backward()
    modules = (norm, network)
    return {
        "outputs": [output.detach(), bias.detach().t(), x.grad],
        "gradients": [p.grad for module in modules for p in module.parameters()],
        "statistics": [b for module in modules for b in module.buffers()],
    }


def _run_rank(rank, directory):
    store = dist.FileStore(f"{directory}/store", len(ROWS))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(ROWS))
    x, grad_norm, grad_bias = _inputs()
    mine = slice(sum(ROWS[:rank]), sum(ROWS[: rank + 1]))
    result = _pass(*_networks(), x[mine], grad_norm[mine], grad_bias[:, mine])
    torch.save(result, f"{directory}/{rank}.pt")
    dist.destroy_process_group()


def test_three_ranks_of_unequal_sizes_are_one_process(tmp_path: Path):
    torch.multiprocessing.spawn(_run_rank, args=(str(tmp_path),), nprocs=len(ROWS))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(ROWS))]
    expected = _pass(*copy.deepcopy(_networks()), *_inputs())
    for place, value in enumerate(expected["outputs"]):
        ours = torch.cat([rank["outputs"][place] for rank in ranks])
        torch.testing.assert_close(ours, value, **FLOAT64_NETWORK)
    for place, value in enumerate(expected["gradients"]):
        ours = torch.stack([rank["gradients"][place] for rank in ranks]).sum(dim=0)
        torch.testing.assert_close(ours, value, **FLOAT64_NETWORK)
    for place, value in enumerate(expected["statistics"]):
        for rank in ranks:
            torch.testing.assert_close(rank["statistics"][place], value, **FLOAT64_NETWORK)
