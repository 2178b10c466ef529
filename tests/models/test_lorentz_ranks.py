"""LGN and LorentzNet on several ranks, one of them without jets, are those of one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from helpers.networks import small_network
from helpers.ranks import run_forked
from parttag.jets.batch import make_batch
from parttag.testing import toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK

# The first jets go to one rank, the others to the last.
ENDS = [0, 4, 4, 7]


def training_step(start: int, stop: int) -> dict[str, list[torch.Tensor]]:
    """Return the gradients of all parameters, and all buffers after the step."""
    batch = make_batch(toy_jets(ENDS[-1], seed=3).span(start, stop)).to("cpu", torch.float64)
    networks = [small_network(name) for name in ("lgn", "lorentz_net")]
    for network in networks:
        network.double().train()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        network(batch).square().sum().backward()
    return {
        "gradients": [p.grad for network in networks for p in network.parameters()],
        "buffers": [b for network in networks for b in network.buffers()],
    }


def run_rank(rank: int, directory: str) -> None:
    store = dist.FileStore(f"{directory}/store", len(ENDS) - 1)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(ENDS) - 1)
    torch.save(training_step(*ENDS[rank : rank + 2]), f"{directory}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["lgn", "lgn_of_momenta", "lorentz_net", "plain_transformer"])
def test_a_rank_without_jets_has_gradients_of_all_parameters(name):
    network = small_network(name).train()
    network(make_batch(toy_jets(3).span(0, 0))).square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None]


@pytest.mark.slow
def test_three_ranks_are_one_process(tmp_path: Path):
    run_forked(run_rank, len(ENDS) - 1, str(tmp_path))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(ENDS) - 1)]
    expected = training_step(0, ENDS[-1])
    for place, value in enumerate(expected["gradients"]):
        ours = torch.stack([rank["gradients"][place] for rank in ranks]).sum(dim=0)
        torch.testing.assert_close(ours, value, **FLOAT64_NETWORK)
    for place, value in enumerate(expected["buffers"]):
        for rank in ranks:
            torch.testing.assert_close(rank["buffers"][place], value, **FLOAT64_NETWORK)
