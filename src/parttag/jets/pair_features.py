"""The four pair features of the Particle Transformer, in plain torch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from parttag.jets.kinematics import delta_phi, delta_r, phi, pt, rapidity

PAIR_FEATURE_NAMES = ("ln_kt", "ln_z", "ln_delta", "ln_m2")


@torch.no_grad()
def pair_features(
    p4: Float[Tensor, "particles 4"],
    first: Int[Tensor, " pairs"],
    second: Int[Tensor, " pairs"],
    eps: float = 1e-8,
) -> Float[Tensor, "pairs 4"]:
    """Return ln kT, ln z, ln Δ and ln m² of the pairs of rows ``first`` and ``second`` of ``p4``.

    With pT, rapidity y and azimuth φ of the two particles,

    - Δ = √((y₁ − y₂)² + (φ₁ − φ₂)²), with the difference of azimuths wrapped;
    - kT = min(pT₁, pT₂)·Δ;
    - z = min(pT₁, pT₂)/(pT₁ + pT₂);
    - m² = (E₁ + E₂)² − |p₁ + p₂|²;

    each raised to at least ``eps`` before the logarithm. No gradient flows through them.

    Precision is part of the published definition: ln m² of a nearly collinear pair is mostly
    rounding, and trained networks have learned that rounding. Sums come before squares, autocast is
    off, and the dtype stays that of ``p4`` (float32 for published weights).

    References
    ----------
    arXiv:2202.03772, eq. (3); the order of operations is that of weaver-core.
    """
    with torch.autocast(p4.device.type, enabled=False):
        # Rapidity and azimuth cost a logarithm and an arctangent: once a particle, not once a pair.
        columns = torch.stack([pt(p4), rapidity(p4), phi(p4), *p4.unbind(dim=1)])
        # Of many numbers, ``index_select`` takes a third of the time of indexing.
        pt_1, y_1, phi_1, *p4_1 = columns.index_select(1, first)
        pt_2, y_2, phi_2, *p4_2 = columns.index_select(1, second)
        pt_min = torch.minimum(pt_1, pt_2)
        delta = delta_r(y_1 - y_2, delta_phi(phi_1, phi_2))
        px, py, pz, energy = (x_1 + x_2 for x_1, x_2 in zip(p4_1, p4_2, strict=True))
        mass2 = energy.square() - (px.square() + py.square() + pz.square())
        features = torch.stack(
            [pt_min * delta, pt_min / (pt_1 + pt_2).clamp(min=eps), delta, mass2], dim=-1
        )
        return features.clamp_(min=eps).log_()
