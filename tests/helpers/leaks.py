"""The law of every objective that hides particles: nothing of a hidden one reaches an output.

A gradient of zero is not enough: pair features, codes and sorting have none, and leak all the same.
So the outputs must also be the same bit for bit whatever the hidden particles are.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.ops.jet_sums import sum_over_particles

SEED = 11


def check_no_leak(
    outputs: Callable[[JetBatch], Tensor], batch: JetBatch, hidden: np.ndarray
) -> None:
    """Check that outputs depend on all visible particles and on no hidden one.

    ``outputs`` is called several times, each with the same random numbers (``SEED``), and must not
    remember anything. Momentum and axis of each jet are those of all its particles.
    """
    p4 = batch.p4.clone().requires_grad_()
    values = _seeded(outputs, _with_particles(batch, p4))
    (gradient,) = torch.autograd.grad((values * torch.randn_like(values)).sum(), p4)
    assert not gradient[hidden].any()
    assert gradient[~hidden].any(dim=1).all()
    for change in (_turn, _weaken, torch.zeros_like):
        others = batch.p4.clone()
        others[hidden] = change(others[hidden])
        changed = _seeded(outputs, _with_particles(batch, others))
        torch.testing.assert_close(changed, values, rtol=0, atol=0)
    # The same changes do show where they are seen.
    others = batch.p4.clone()
    others[~hidden] = _turn(others[~hidden])
    assert not torch.equal(_seeded(outputs, _with_particles(batch, others)), values)


def _with_particles(batch: JetBatch, p4: Tensor) -> JetBatch:
    jet_p4 = sum_over_particles(p4, batch)
    jet_axis = torch.stack([kinematics.eta(jet_p4), kinematics.phi(jet_p4)], dim=1)
    return replace(batch, p4=p4, jet_p4=jet_p4, jet_axis=jet_axis)


def _seeded(outputs: Callable[[JetBatch], Tensor], batch: JetBatch) -> Tensor:
    torch.manual_seed(SEED)
    return outputs(batch)


def _turn(p4: Tensor) -> Tensor:
    """Exchange px with py and turn pz around: each keeps its place in the order of pT."""
    return p4[:, [1, 0, 2, 3]] * p4.new_tensor([1, 1, -1, 1])


def _weaken(p4: Tensor) -> Tensor:
    return 0.1 * p4
