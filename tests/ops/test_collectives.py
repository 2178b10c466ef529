"""Batch norms and rows of several ranks are those of one process that holds all rows."""

import copy
from pathlib import Path

import torch
import torch.distributed as dist

from helpers.ranks import run_forked
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.edge_network import EdgeNetwork
from parttag.models.layers.pair_network import PairNetwork
from parttag.ops.collectives import gather_over_ranks
from parttag.testing.tolerances import FLOAT64_NETWORK

ROWS = [7, 0, 2000]


def _networks():
    torch.manual_seed(0)
    networks = PackedBatchNorm(4), PairNetwork((8, 6, 2)), EdgeNetwork(4, (8, 8, 6), bias=True)
    return tuple(network.double() for network in networks)


def _inputs():
    torch.manual_seed(1)
    x = 2 * torch.randn(sum(ROWS), 4, dtype=torch.float64) + 1
    return x, *(torch.randn(sum(ROWS), width, dtype=torch.float64) for width in (4, 2, 6))


def _neighbours():
    """Return three for each row, of the same rank; those beyond the last row are missing."""
    torch.manual_seed(2)
    start = torch.tensor([sum(ROWS[:rank]) for rank in range(len(ROWS))]).repeat_interleave(
        torch.tensor(ROWS)
    )
    count = torch.tensor(ROWS).repeat_interleave(torch.tensor(ROWS))
    return torch.rand(sum(ROWS), 3).mul(count[:, None] + 1).long() + start[:, None], start + count


def _pass(norm, network, edges, neighbours, x, grad_norm, grad_bias, grad_edges):
    """Return outputs, the gradients of all parameters and of x, and the running statistics."""
    x = x.clone().requires_grad_()
    outputs = [norm(x), network(x.detach()).t(), edges(x, neighbours)]
    grads = (grad_norm, grad_bias, grad_edges)
    sum((y * grad).sum() for y, grad in zip(outputs, grads, strict=True)).backward()
    modules = (norm, network, edges)
    return {
        "outputs": [*(output.detach() for output in outputs), x.grad],
        "gradients": [p.grad for module in modules for p in module.parameters()],
        "statistics": [b for module in modules for b in module.buffers()],
    }


def _gather(x, rank):
    """Return the gathered rows, this rank's place, and the gradient of a loss that differs."""
    x = x.clone().requires_grad_()
    rows, start = gather_over_ranks(x)
    ((rank + 1) * rows.square()).sum().backward()
    return {"gathered": rows.detach(), "start": start, "gathered_gradient": x.grad}


def _run_rank(rank, directory):
    store = dist.FileStore(f"{directory}/store", len(ROWS))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(ROWS))
    mine = slice(sum(ROWS[:rank]), sum(ROWS[: rank + 1]))
    neighbours = _neighbours()[0][mine] - mine.start
    result = _pass(*_networks(), neighbours, *(values[mine] for values in _inputs()))
    result |= _gather(_inputs()[0][mine], rank)
    torch.save(result, f"{directory}/{rank}.pt")
    dist.destroy_process_group()


def test_three_ranks_of_unequal_sizes_are_one_process(tmp_path: Path):
    run_forked(_run_rank, len(ROWS), str(tmp_path))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(ROWS))]
    neighbours, end = _neighbours()
    neighbours = torch.where(neighbours < end[:, None], neighbours, sum(ROWS))
    assert (neighbours == sum(ROWS)).any()
    expected = _pass(*copy.deepcopy(_networks()), neighbours, *_inputs())
    for place, value in enumerate(expected["outputs"]):
        ours = torch.cat([rank["outputs"][place] for rank in ranks])
        torch.testing.assert_close(ours, value, **FLOAT64_NETWORK)
    rows = _inputs()[0]
    for number, rank in enumerate(ranks):
        assert torch.equal(rank["gathered"], rows)
        assert rank["start"] == sum(ROWS[:number])
        # Of the losses Σ (r + 1) x² on ranks r = 0, 1, 2.
        mine = rows[rank["start"] : rank["start"] + ROWS[number]]
        torch.testing.assert_close(rank["gathered_gradient"], 12 * mine, **FLOAT64_NETWORK)
    for place, value in enumerate(expected["gradients"]):
        ours = torch.stack([rank["gradients"][place] for rank in ranks]).sum(dim=0)
        torch.testing.assert_close(ours, value, **FLOAT64_NETWORK)
    for place, value in enumerate(expected["statistics"]):
        for rank in ranks:
            torch.testing.assert_close(rank["statistics"][place], value, **FLOAT64_NETWORK)


def test_alone_the_rows_of_all_ranks_are_ones_own():
    rows = torch.ones(3, 2)
    assert gather_over_ranks(rows)[0] is rows
    assert gather_over_ranks(rows)[1] == 0
