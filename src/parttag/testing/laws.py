"""Laws that every network obeys: what a batch happens to hold never changes a jet's logits.

A package tests its network in five lines:

    from parttag.testing import check_network
    from mypackage.nets import MyNet


    def test_my_net():
        check_network(MyNet, {"width": 8})
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import yaml

from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.validity import valid_jets
from parttag.models import MODELS, ModelOptions, Tagger, build_model
from parttag.options import read_options
from parttag.runs.config import build_config, dump_config
from parttag.testing.jets import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK

_LENGTHS = [1, 2, 16, 17, 40, 5, 3]


def _logits(network: Tagger, batch: JetBatch) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = network(batch.to("cpu", torch.float64))
        return logits


def _network(network: Tagger) -> Tagger:
    return network.double().eval()


def _jets() -> JetArrays:
    return toy_jets(lengths=_LENGTHS, seed=7)


def check_order_of_jets(network: Tagger) -> None:
    """Check that a jet's logits do not depend on where in the batch it is."""
    network, jets = _network(network), _jets()
    order = np.random.default_rng(1).permutation(len(jets))
    expected = _logits(network, make_batch(jets))[order]
    torch.testing.assert_close(
        _logits(network, make_batch(jets.take(order))), expected, **FLOAT64_NETWORK
    )


def check_company(network: Tagger) -> None:
    """Check that logits do not depend on other jets: alone, or beside a longer one (padding)."""
    network, jets = _network(network), _jets()
    together = _logits(network, make_batch(jets))
    alone = torch.cat([_logits(network, make_batch(jets.span(b, b + 1))) for b in range(len(jets))])
    longer = concatenate([jets, toy_jets(lengths=[128, 90], seed=8)])
    torch.testing.assert_close(alone, together, **FLOAT64_NETWORK)
    torch.testing.assert_close(
        _logits(network, make_batch(longer))[: len(jets)], together, **FLOAT64_NETWORK
    )


def check_order_of_particles(network: Tagger) -> None:
    """Check that logits do not change when the particles of each jet are permuted."""
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
    """Check that rows beyond the last particle change no logit and no gradient."""
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
        found = [p.grad.clone() for p in trained if p.grad is not None]
        gradients.append([logits.detach(), *found])
    for clean, dirty in zip(*gradients, strict=True):
        torch.testing.assert_close(dirty, clean, rtol=0, atol=0)


def check_empty_jets(network: Tagger) -> None:
    """Check that jets without particles, batches of them and of nothing give finite logits."""
    network, jets = _network(network), _jets()
    expected = _logits(network, make_batch(jets))
    with_empty = concatenate([toy_jets(lengths=[0]), jets, toy_jets(lengths=[0])])
    logits = _logits(network, make_batch(with_empty))
    torch.testing.assert_close(logits[1:-1], expected, **FLOAT64_NETWORK)
    assert logits.isfinite().all()
    assert _logits(network, make_batch(toy_jets(lengths=[0, 0]))).isfinite().all()
    assert len(_logits(network, make_batch(jets.span(0, 0)))) == 0


def check_particles_without_transverse_momentum(network: Tagger) -> None:
    """Check that particles along the beam, at rest and of nothing leave all numbers finite."""
    jets = toy_jets(lengths=[12, 6, 1, 1, 9], seed=4)
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
    """Check that parameters are the backbone's or the head's, and get gradients unless frozen."""
    assert all(name.split(".")[0] in ("backbone", "head") for name, _ in network.named_parameters())
    network.double().train()
    batch = make_batch(toy_jets(30, seed=3)).to("cpu", torch.float64)
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
"""What holds for every network, whatever it makes of the order of particles."""


def check_options(options: ModelOptions, features: str, num_classes: int) -> None:
    """Check that options come back from YAML, and weights from what a checkpoint holds."""
    assert options.name in MODELS, f"there is no network {options.name}: decorate it"
    classes = {f"class_{number}": f"label_{number}" for number in range(max(2, num_classes))}
    content = {"data": {"classes": classes}, "model": options.model_dump(mode="json")}
    config = build_config(content)
    assert config.model == options
    assert build_config(yaml.safe_load(dump_config(config))) == config
    one, other = (build_model(options, features, num_classes).eval() for _ in range(2))
    other.load_state_dict(one.state_dict())
    batch = toy_batch(6, seed=9)
    with torch.no_grad():
        logits = one(batch)
        assert logits.shape == (6, num_classes)
        torch.testing.assert_close(other(batch), logits, rtol=0, atol=0)


def shake(network: Tagger) -> Tagger:
    """Move biases, norms and statistics away from 0 and 1, where faults would not show."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dtype.is_floating_point and value.ndim == 1:
                value.add_(0.2 * torch.rand_like(value))
    return network


def check_network(
    network: type[Tagger],
    options: ModelOptions | Mapping[str, Any] | None = None,
    *,
    features: str = "full",
    num_classes: int = 3,
    is_ordered: bool = False,
) -> None:
    """Check that a registered network obeys the laws.

    A jet's logits depend on nothing but its particles: not on the other jets of a batch or their
    order, on rows beyond the last particle, or, unless ``is_ordered``, on the order of particles.
    Jets of one particle, of none, and batches without jets give finite logits; every parameter is
    of the backbone or the head and gets a gradient; options survive YAML, weights a checkpoint.

    Parameters
    ----------
    network
        The class.
    options
        Of a small network; the defaults if left out.
    features
        The set of particle features that it is given.
    num_classes
        How many logits it has.
    is_ordered
        Whether the order of a jet's particles, by falling pT, means something to it.

    Raises
    ------
    AssertionError
        If a law is broken, which is named.
    """
    if not isinstance(options, ModelOptions):
        options = read_options(network.options_class, dict(options or {}))
    laws = LAWS if is_ordered else (*LAWS, check_order_of_particles)
    with torch.random.fork_rng(devices=[]):
        for law in laws:
            torch.manual_seed(5)
            subject = shake(build_model(options, features, num_classes))
            with _named(network, law.__doc__):
                law(subject)
        with _named(network, check_options.__doc__):
            check_options(options, features, num_classes)


@contextmanager
def _named(network: type[Tagger], law: str | None) -> Iterator[None]:
    """Say which law it is that a network breaks, or that it fails at."""
    try:
        yield
    except Exception as error:
        what = str(law).removeprefix("Check that ")
        raise AssertionError(f"{network.__name__} breaks a law: {what}\n{error}") from error
