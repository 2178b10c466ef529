"""The four features of every pair of a jet's particles, in one pass over the pairs.

A kernel reads seven numbers of each particle: pT, rapidity, φ and the four-momentum.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from parttag.jets import kinematics
from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.layout import JetLayout

_BLOCK = 256


@torch.no_grad()
@on_its_device
def pair_features(
    p4: Float[Tensor, "particles 4"],
    layout: JetLayout,
    eps: float = 1e-8,
) -> Float[Tensor, "pairs 4"]:
    """Return what ``jets.pair_features`` returns for the pairs i ≥ j of every jet.

    Operations and their order are the same, so that they differ by what logarithms round.
    """
    features = p4.new_empty(layout.num_pairs, 4)
    if layout.num_pairs:
        longest = layout.max_length
        tiles = triton.cdiv(longest * (longest + 1) // 2, _BLOCK)
        with torch.autocast(p4.device.type, enabled=False):
            particles = torch.stack(
                [
                    kinematics.pt(p4),
                    kinematics.rapidity(p4),
                    kinematics.phi(p4),
                    *p4.unbind(1),
                ]
            )
        _pair_features[(layout.num_jets, tiles)](
            particles,
            features,
            layout.offsets,
            layout.pair_offsets,
            layout.num_rows,
            eps,
            block=_BLOCK,
            enable_fp_fusion=False,  # sums before squares, each rounded: the definition
        )
    return features


@triton.jit(do_not_specialize=["num_rows"])
@no_type_check
def _pair_features(
    particles,
    features,
    offsets,
    pair_offsets,
    num_rows,
    eps,
    block: tl.constexpr,
):
    pi: tl.constexpr = 3.141592653589793
    jet = tl.program_id(0)
    start = tl.load(offsets + jet)
    begin = tl.load(pair_offsets + jet)
    num_pairs = (tl.load(pair_offsets + jet + 1) - begin).to(tl.int32)
    if tl.program_id(1) * block >= num_pairs:
        return
    pair = tl.program_id(1) * block + tl.arange(0, block)
    real = pair < num_pairs
    i, j = particles_of(pair)
    first, second = particles + start + i, particles + start + j

    pt_1, pt_2 = tl.load(first, mask=real, other=1.0), tl.load(second, mask=real, other=1.0)
    pt_min = tl.minimum(pt_1, pt_2)
    delta_y = _difference(first + num_rows, second + num_rows, real)
    # In [−2π, 2π], then wrapped to [−π, π) as a remainder does it.
    delta_phi = _difference(first + 2 * num_rows, second + 2 * num_rows, real) + pi
    delta_phi = tl.where(delta_phi < 0.0, delta_phi + 2 * pi, delta_phi)
    delta_phi = tl.where(delta_phi >= 2 * pi, delta_phi - 2 * pi, delta_phi) - pi
    delta = tl.sqrt_rn(delta_y * delta_y + delta_phi * delta_phi)
    px = _total(first + 3 * num_rows, second + 3 * num_rows, real)
    py = _total(first + 4 * num_rows, second + 4 * num_rows, real)
    pz = _total(first + 5 * num_rows, second + 5 * num_rows, real)
    energy = _total(first + 6 * num_rows, second + 6 * num_rows, real)
    mass2 = energy * energy - ((px * px + py * py) + pz * pz)
    z = tl.div_rn(pt_min, tl.maximum(pt_1 + pt_2, eps))
    places = features + (begin + pair) * 4
    tl.store(places, tl.log(tl.maximum(pt_min * delta, eps)), mask=real)
    tl.store(places + 1, tl.log(tl.maximum(z, eps)), mask=real)
    tl.store(places + 2, tl.log(tl.maximum(delta, eps)), mask=real)
    tl.store(places + 3, tl.log(tl.maximum(mass2, eps)), mask=real)


@triton.jit
@no_type_check
def particles_of(pair):
    """Return i and j of a jet's pair number i (i + 1) / 2 + j."""
    # The root may be off by one.
    i = ((tl.sqrt(8.0 * pair.to(tl.float32) + 1.0) - 1.0) * 0.5).to(tl.int32)
    i = tl.where(i * (i + 1) // 2 > pair, i - 1, i)
    i = tl.where((i + 1) * (i + 2) // 2 <= pair, i + 1, i)
    return i, pair - i * (i + 1) // 2


@triton.jit
@no_type_check
def _difference(first, second, real):
    return tl.load(first, mask=real, other=0.0) - tl.load(second, mask=real, other=0.0)


@triton.jit
@no_type_check
def _total(first, second, real):
    return tl.load(first, mask=real, other=0.0) + tl.load(second, mask=real, other=0.0)
