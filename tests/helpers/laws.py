"""Laws that every network obeys: what a batch happens to hold never changes a jet's logits."""

from dataclasses import replace

import numpy as np
import torch

from helpers.jets import toy_arrays
from helpers.tolerances import FLOAT64_NETWORK
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.validity import valid_jets
from parttag.models import Tagger

LENGTHS = [1, 2, 16, 17, 40, 5, 3]


def _logits(network: Tagger, batch: JetBatch) -> torch.Tensor:
    with torch.no_grad():
        return network(batch.to("cpu", torch.float64))


def _network(network: Tagger) -> Tagger:
    return network.double().eval()


def _jets() -> JetArrays:
    return toy_arrays(lengths=LENGTHS, seed=7)


def check_order_of_jets(network: Tagger) -> None:
    """A jet's logits do not depend on where in the batch it is."""
    network, jets = _network(network), _jets()
    order = np.random.default_rng(1).permutation(len(jets))
    expected = _logits(network, make_batch(jets))[order]
    torch.testing.assert_close(
        _logits(network, make_batch(jets.take(order))), expected, **FLOAT64_NETWORK
    )


def check_company(network: Tagger) -> None:
    """A jet's logits do not depend on the other jets: alone, or beside a longer one (padding)."""
    network, jets = _network(network), _jets()
    together = _logits(network, make_batch(jets))
    alone = torch.cat([_logits(network, make_batch(jets.span(b, b + 1))) for b in range(len(jets))])
    longer = concatenate([jets, toy_arrays(lengths=[128, 90], seed=8)])
    torch.testing.assert_close(alone, together, **FLOAT64_NETWORK)
    torch.testing.assert_close(
        _logits(network, make_batch(longer))[: len(jets)], together, **FLOAT64_NETWORK
    )


def check_order_of_particles(network: Tagger) -> None:
    """Logits do not change when the particles of each jet are permuted."""
    network, jets = _network(network), _jets()
    rng = np.random.default_rng(2)
    order = np.concatenate(
        [start + rng.permutation(n) for start, n in zip(jets.offsets, jets.lengths, strict=False)]
    )
    permuted = replace(jets, p4=jets.p4[order], extra=jets.extra[order])
    torch.testing.assert_close(
        _logits(network, make_batch(permuted)),
        _logits(network, make_batch(jets)),
        **FLOAT64_NETWORK,
    )


def check_junk_beyond_the_last_particle(network: Tagger) -> None:
    """Rows beyond the last particle change neither a logit nor a gradient, whatever they hold."""
    network = _network(network)
    batch = make_batch(_jets()).to("cpu", torch.float64)
    junk = torch.full((9, 4), torch.nan, dtype=torch.float64)
    junk[4:] = 1e30
    extended = replace(
        batch,
        p4=torch.cat([batch.p4, junk]),
        extra=torch.cat([batch.extra, junk[:, :1].expand(-1, batch.extra.shape[1])]),
    )
    gradients = []
    trained = [p for p in network.parameters() if p.requires_grad]
    for case in (batch, extended):
        network.zero_grad()
        logits = network(case)
        logits.square().sum().backward()
        gradients.append([logits.detach(), *(p.grad.clone() for p in trained)])
    for clean, dirty in zip(*gradients, strict=True):
        torch.testing.assert_close(dirty, clean, rtol=0, atol=0)


def check_empty_jets(network: Tagger) -> None:
    """A jet without particles, and a batch of them or of nothing, give finite logits."""
    network, jets = _network(network), _jets()
    expected = _logits(network, make_batch(jets))
    with_empty = concatenate([toy_arrays(lengths=[0]), jets, toy_arrays(lengths=[0])])
    logits = _logits(network, make_batch(with_empty))
    torch.testing.assert_close(logits[1:-1], expected, **FLOAT64_NETWORK)
    assert logits.isfinite().all()
    assert _logits(network, make_batch(toy_arrays(lengths=[0, 0]))).isfinite().all()
    assert len(_logits(network, make_batch(jets.span(0, 0)))) == 0


def check_particles_without_transverse_momentum(network: Tagger) -> None:
    """Particles along the beam, at rest and of nothing harm neither logits nor a training step."""
    jets = toy_arrays(lengths=[12, 6, 1, 1, 9], seed=4)
    beam, rest, nothing = [0, 0, 5, 5], [0, 0, 0, 1], [0, 0, 0, 0]
    jets.p4[9:12] = [beam, rest, nothing]
    jets.p4[18:20] = [beam, nothing]  # each all of its jet, whose momentum is the file's
    assert valid_jets(jets).all()
    batch = make_batch(jets)
    network.train()(batch).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    with torch.no_grad():
        assert network(batch).isfinite().all()
        # The statistics that the training step has moved are used here.
        assert network.eval()(batch).isfinite().all()


def check_parameters(network: Tagger) -> None:
    """Parameters are the backbone's or the head's; each that is not frozen gets a gradient."""
    assert all(name.split(".")[0] in ("backbone", "head") for name, _ in network.named_parameters())
    network.double().train()
    batch = make_batch(toy_arrays(30, seed=3)).to("cpu", torch.float64)
    network(batch).square().sum().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


LAWS = (
    check_order_of_jets,
    check_company,
    check_junk_beyond_the_last_particle,
    check_empty_jets,
    check_particles_without_transverse_momentum,
    check_parameters,
)
