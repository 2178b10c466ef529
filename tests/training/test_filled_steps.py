"""A step on jets filled up to sizes that repeat is the step on the jets alone.

A CUDA graph runs what is run here, on the CPU: the same function, on batches filled up with empty
jets, with zeros or with junk in rows that mean nothing.
"""

import numpy as np
import pytest
import torch

from helpers.poison import poison_new_memory
from parttag.jets.filled import BatchSizes, filled, sizes_for
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.ops.filled_layout import FilledLayout
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch
from parttag.training.objectives.classify import Classify, ClassifyOptions

SMALL = {
    "embed_dims": (16, 32, 16),
    "pair_dims": (8, 8),
    "num_heads": 4,
    "num_layers": 1,
    "num_class_layers": 1,
    "dropout": 0.0,
    "trim": False,
    "max_particles": 12,
}


def jets(seed, number=5, least=0):
    lengths = np.random.default_rng(seed).integers(least, 12, number)
    return toy_batch(seed=seed, lengths=lengths.tolist())


def junk(batch):
    """Return a filled batch with other numbers, none of them finite, where there is no meaning."""
    rows, jets = int(batch.offsets[-1]), int(batch.num_jets)
    for name in ("p4", "extra"):
        getattr(batch, name)[rows:] = torch.nan
    batch.jet_p4[jets:] = 7.0
    batch.jet_axis[jets:] = -3.0
    batch.index[jets:] = 99
    return batch


def network(dtype, **changes):
    torch.manual_seed(2)
    options = ParticleTransformerOptions(**{**SMALL, **changes})
    return build_model(options, "kin", 2).to(dtype).train()


def test_sizes_repeat_and_hold_the_batch():
    sizes = {sizes_for(jets(seed, 50), 50, 128) for seed in range(8)}
    assert len({(jets, longest) for jets, _, _, longest in sizes}) == 1
    assert len({particles for _, particles, _, _ in sizes}) <= 3
    for seed in range(8):
        batch = jets(seed, 50)
        size = sizes_for(batch, 50, 128)
        assert batch.num_particles <= size.particles <= 1.3 * batch.num_particles + 64
    assert sizes_for(jets(0, 3), 50, 128).jets == 50


@pytest.mark.parametrize("lengths", [[3, 0, 5, 1], [0, 0], [12]])
def test_places_are_those_of_the_jets_alone(lengths):
    batch = toy_batch(lengths=lengths)
    own = JetLayout(batch.lengths)
    layout = FilledLayout(junk(filled(batch, BatchSizes(5, 64, 128, 12))))
    for name in ("jet_of_particle", "diagonal"):
        mine, theirs = getattr(layout, name)[: own.num_rows], getattr(own, name)
        assert torch.equal(mine, theirs), name
    for name in ("first", "second"):
        assert torch.equal(getattr(layout, name)[: own.num_pairs], getattr(own, name)), name
    for name in ("offsets", "pair_offsets", "matrix_offsets"):
        assert torch.equal(getattr(layout, name)[: len(lengths) + 1], getattr(own, name)), name
    assert int(layout.is_particle.sum()) == own.num_rows
    assert int(layout.num_real_pairs) == own.num_pairs
    assert layout.num_matrix_cells >= own.num_matrix_cells


def step(model, batch):
    """Take a step of plain gradient descent; return the loss and all gradients."""
    sums = Classify(ClassifyOptions())(model, batch)
    loss = sums.loss / sums.weight
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        torch._foreach_add_(parameters, gradients, alpha=-0.02)
    return loss.detach(), torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize(
    ("dtype", "tolerance", "steps", "pair_bias"),
    [
        (torch.float64, 1e-12, 50, True),
        (torch.float32, 1e-6, 15, True),
        (torch.float64, 1e-12, 5, False),
    ],
)
def test_steps_are_those_on_the_jets_alone(dtype, tolerance, steps, pair_bias, monkeypatch):
    sizes = BatchSizes(8, 96, 512, 12)
    zeros, with_junk, alone = (network(dtype, pair_bias=pair_bias) for _ in range(3))
    for seed in range(steps):
        batch = jets(seed).to("cpu", dtype)
        alone.load_state_dict(zeros.state_dict())  # or rounding would grow from step to step
        loss, gradients = step(zeros, filled(batch, sizes))
        with monkeypatch.context() as patch:
            poison_new_memory(patch)
            junk_loss, junk_gradients = step(with_junk, junk(filled(batch, sizes)))
        assert torch.equal(loss, junk_loss)
        assert torch.equal(gradients, junk_gradients)
        own_loss, own_gradients = step(alone, batch)
        assert (loss - own_loss).abs() <= tolerance
        # In float32 either way's gradients are some 1e-6 from those of float64.
        of_gradients = max(tolerance, 1e-12 if dtype == torch.float64 else 1e-5)
        assert (gradients - own_gradients).norm() <= of_gradients * own_gradients.norm()
        state, junk_state, own = (m.state_dict() for m in (zeros, with_junk, alone))
        for name, value in own.items():
            assert torch.equal(state[name], junk_state[name]), name
            if value.is_floating_point():
                assert (state[name] - value).norm() <= tolerance * max(value.norm(), 1.0), name


def test_kernels_leave_alone_what_means_nothing(monkeypatch):
    pytest.importorskip("triton")
    wide = {"embed_dims": (32, 32), "num_heads": 2}
    batch, sizes = jets(3, 4), BatchSizes(6, 64, 256, 12)
    found = []
    for fill in (lambda b: b, junk):
        poison_new_memory(monkeypatch)
        model = network(torch.float32, **wide, kernels="triton")
        found.append(step(model, fill(filled(batch, sizes))))
    (loss, gradients), (junk_loss, junk_gradients) = found
    assert torch.equal(loss, junk_loss)
    assert torch.equal(gradients, junk_gradients)
    alone = step(network(torch.float32, **wide, kernels="triton"), batch)
    assert (loss - alone[0]).abs() <= 1e-6
    assert (gradients - alone[1]).norm() <= 1e-5 * alone[1].norm()
