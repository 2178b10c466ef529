r"""Clebsch–Gordan coefficients of SU(2) and of the Lorentz group.

A finite-dimensional representation of the Lorentz group (of SL(2, C), its double cover) is named
by two whole numbers, (k, n): a spin k/2 and a spin n/2 side by side, (k + 1)(n + 1) dimensions.
With k + n even, (0, 0) is a scalar, (1, 1) a four-vector, (2, 0) and (0, 2) the two halves of an
antisymmetric tensor, (2, 2) a traceless symmetric one.

The basis of (k, n) is that of its angular momenta under rotations: l from \|k − n\|/2 to
(k + n)/2, and for each of them m from −l to l. In this basis all coefficients are real.

References
----------
arXiv:2006.04780, appendix; G. Racah, Phys. Rev. 62 (1942) 438 for SU(2).
"""

from fractions import Fraction
from functools import cache
from math import factorial, sqrt

import numpy as np
from jaxtyping import Complex128, Float64

Irrep = tuple[int, int]
"""(k, n), twice the two spins of an irreducible representation."""

SCALAR: Irrep = (0, 0)
VECTOR: Irrep = (1, 1)


def dimension(irrep: Irrep) -> int:
    """Return the dimension of a representation."""
    return (irrep[0] + 1) * (irrep[1] + 1)


def product_irreps(first: Irrep, second: Irrep) -> tuple[Irrep, ...]:
    """Return the irreducible representations in the product of two, each of which is in it once."""
    spins = (range(abs(a - b), a + b + 1, 2) for a, b in zip(first, second, strict=True))
    left, right = spins
    return tuple((k, n) for k in left for n in right)


def exchange_sign(first: Irrep, second: Irrep, out: Irrep) -> int:
    """Return the sign that a product into ``out`` takes on when its factors change seats.

    As for SU(2), where it is (−1)^(j₁ + j₂ − j).
    """
    twice = sum(a + b - c for a, b, c in zip(first, second, out, strict=True))
    return -1 if twice % 4 else 1


@cache
def su2_clebsch_gordan(k1: int, k2: int, k: int) -> Float64[np.ndarray, "dim1 dim2 dim"]:
    """Return ⟨k1/2, m₁; k2/2, m₂ | k/2, m₁ + m₂⟩, each m from minus to plus the spin.

    All zeros where the spins k1/2 and k2/2 do not couple to k/2.
    """
    table = np.zeros((k1 + 1, k2 + 1, k + 1))
    if k in range(abs(k1 - k2), k1 + k2 + 1, 2):
        for row in range(k1 + 1):
            for column in range(k2 + 1):
                m1, m2 = 2 * row - k1, 2 * column - k2
                if abs(m1 + m2) <= k:
                    table[row, column, (k + m1 + m2) // 2] = _racah(k1, m1, k2, m2, k)
    return table


def _racah(k1: int, m1: int, k2: int, m2: int, k: int) -> float:
    """Return one coefficient by Racah's sum; spins and projections are given doubled."""
    m = m1 + m2

    def half_factorial(*doubled: int) -> int:
        product = 1
        for number in doubled:
            product *= factorial(number // 2)
        return product

    square = Fraction(
        (k + 1) * half_factorial(k + k1 - k2, k - k1 + k2, k1 + k2 - k),
        half_factorial(k1 + k2 + k + 2),
    ) * half_factorial(k + m, k - m, k1 + m1, k1 - m1, k2 + m2, k2 - m2)
    total = Fraction(0)
    for step in range(0, k1 + k2 - k + 1, 2):
        factors = (
            step,
            k1 + k2 - k - step,
            k1 - m1 - step,
            k2 + m2 - step,
            k - k2 + m1 + step,
            k - k1 - m2 + step,
        )
        if min(factors) >= 0:
            total += Fraction((-1) ** (step // 2), half_factorial(*factors))
    return float(total) * sqrt(square)


def _rotation_basis(irrep: Irrep) -> Float64[np.ndarray, "left right dim"]:
    """Return the change from the two spins to their angular momenta under rotations."""
    k, n = irrep
    return np.concatenate(
        [su2_clebsch_gordan(k, n, twice_l) for twice_l in range(abs(k - n), k + n + 1, 2)], axis=-1
    )


@cache
def clebsch_gordan(
    first: Irrep, second: Irrep, out: Irrep
) -> Float64[np.ndarray, "dim_out dim_first dim_second"]:
    """Return the coefficients that take the product of two representations to one within it.

    Over all of ``product_irreps`` and both last axes flattened, they are an orthogonal matrix.
    """
    # Spins a, b of the first factor and c, d of the second couple, left with left, to e and f.
    coefficients: np.ndarray = np.einsum(
        "efx,ace,bdf,aby,cdz->xyz",
        _rotation_basis(out),
        su2_clebsch_gordan(first[0], second[0], out[0]),
        su2_clebsch_gordan(first[1], second[1], out[1]),
        _rotation_basis(first),
        _rotation_basis(second),
        optimize=True,
    )
    return coefficients


def invariant_form(irrep: Irrep) -> Float64[np.ndarray, "dim dim"]:
    """Return the matrix of the bilinear form that the Lorentz group leaves invariant.

    It pairs the component (l, m) with (l, −m), with the sign (−1)^(l + m); of a four-vector it is
    E² − p².
    """
    k, n = irrep
    form = np.zeros((dimension(irrep), dimension(irrep)))
    start = 0
    for twice_l in range(abs(k - n), k + n + 1, 2):
        for step in range(twice_l + 1):
            form[start + step, start + twice_l - step] = (-1) ** step
        start += twice_l + 1
    return form


def vector_from_momentum() -> Complex128[np.ndarray, "4 4"]:
    """Return the matrix from (px, py, pz, E) to the components of a vector (1, 1).

    They are E, then (px − i·py)/√2, pz, −(px + i·py)/√2.
    """
    r = 1 / sqrt(2)
    return np.array([[0, 0, 0, 1], [r, -1j * r, 0, 0], [0, 0, 1, 0], [-r, -1j * r, 0, 0]])
