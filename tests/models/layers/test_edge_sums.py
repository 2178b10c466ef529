"""Sums over edges: tiles against the definition, forwards and backwards."""

import numpy as np
import pytest
import torch

from helpers.alive import count_alive
from parttag.models.layers import edge_sums
from parttag.models.layers.edge_sums import EdgeSums, edge_layout
from parttag.testing.tolerances import FLOAT64

LENGTHS = np.array([3, 0, 1, 9, 2, 8, 9, 1])


def make_network():
    torch.manual_seed(1)
    return EdgeSums(5, (8, 6, 4)).double()


def particles(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(int(lengths.sum()), 5, dtype=torch.float64, generator=generator)


def sums_and_gradients(function, network, x, lengths, autocast=False):
    x = x.clone().requires_grad_()
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        sums = function(x, lengths)
    (sums * torch.linspace(-1, 1, sums.numel(), dtype=x.dtype).view_as(sums)).sum().backward()
    return [sums.detach(), x.grad, *(p.grad.clone() for p in network.parameters())]


# One edge after another; receivers of a jet in parts; several jets together; all at once.
@pytest.mark.parametrize("tile", [1, 20, 100, 10_000])
@pytest.mark.parametrize("padding", [0.0, 0.3])
def test_tiles_agree_with_the_definition_forwards_and_backwards(tile, padding, monkeypatch):
    monkeypatch.setitem(edge_sums._TILE, "cpu", tile)
    monkeypatch.setitem(edge_sums._PADDING, "cpu", padding)
    network, x = make_network(), particles()
    ours, expected = (
        sums_and_gradients(function, network, x, LENGTHS)
        for function in (network, network.reference)
    )
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, **FLOAT64)


def test_the_definition_by_hand():
    network, x = make_network(), particles(np.array([2, 1]))
    ours = network.reference(x, np.array([2, 1]))

    def edge(receiver, sender):
        hidden = torch.cat([x[receiver], x[sender]])
        for layer in (network.first, network.second, network.third):
            hidden = torch.selu(layer.weight @ hidden + layer.bias)
        return hidden

    expected = torch.stack([edge(0, 1), edge(1, 0), torch.zeros(4, dtype=x.dtype)])
    torch.testing.assert_close(ours, expected, **FLOAT64)


@pytest.mark.parametrize("tile", [1, 20, 10_000])
def test_tiles_hold_every_edge_once(tile, monkeypatch):
    monkeypatch.setitem(edge_sums._TILE, "cpu", tile)
    monkeypatch.setitem(edge_sums._PADDING, "cpu", 0.3)
    layout = edge_layout(LENGTHS, torch.device("cpu"))
    is_padding = torch.ones(len(layout.slot_rows), dtype=torch.bool)
    is_padding[layout.row_slots] = False
    rows = torch.where(is_padding, -1, layout.slot_rows)[:, None]
    edges = []
    for t in edge_sums.tiles(layout):
        receivers, senders = torch.broadcast_tensors(
            t.received(rows)[:, :, None], t.all_slots(rows)[:, None]
        )
        real = ~t.blocked
        edges += zip(receivers[real].tolist(), senders[real].tolist(), strict=True)
    owner = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    expected = [(i, j) for i, b in enumerate(owner) for j, c in enumerate(owner) if b == c]
    assert sorted(edges) == [(i, j) for i, j in expected if i != j]


@pytest.mark.parametrize("lengths", [[], [0, 0], [1, 1]])
def test_without_edges_the_sums_are_zero_and_gradients_exist(lengths):
    network, lengths = make_network(), np.array(lengths, dtype=np.int64)
    sums, *gradients = sums_and_gradients(network, network, particles(lengths), lengths)
    assert sums.shape == (lengths.sum(), 4)
    assert not sums.any()
    assert not any(gradient.any() for gradient in gradients)


def test_without_gradients_no_edges_are_kept(monkeypatch):
    monkeypatch.setitem(edge_sums._TILE, "cpu", 20)
    network, x = make_network(), particles()
    num_tiles = len(list(edge_sums.tiles(edge_layout(LENGTHS, x.device))))
    alive = count_alive(monkeypatch, edge_sums, "_selu_")
    network(x, LENGTHS)
    assert max(alive) > num_tiles  # the second layer of each tile, for the way back
    alive.clear()
    with torch.no_grad():
        network(x, LENGTHS)
    assert max(alive) <= 4 < num_tiles


def test_autocast_changes_nothing():
    network, x = make_network().float(), particles().float()
    ours, expected = (
        sums_and_gradients(network, network, x, LENGTHS, autocast) for autocast in (True, False)
    )
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
