"""Clebsch–Gordan coefficients: exact values, orthogonality, equivariance, and lie-nn's."""

from functools import cache
from itertools import product

import lie_nn
import numpy as np
import pytest
from scipy.linalg import block_diag, expm
from sympy import Rational
from sympy.physics.quantum.cg import CG

from helpers.lorentz import lorentz_matrix
from parttag.models.layers.clebsch_gordan import (
    VECTOR,
    clebsch_gordan,
    dimension,
    exchange_sign,
    invariant_form,
    product_irreps,
    su2_clebsch_gordan,
    vector_from_momentum,
)

# Every representation of a Lorentz Group Network, and two spinors.
IRREPS = [(0, 0), (1, 1), (2, 0), (0, 2), (2, 2), (1, 0), (0, 1)]
PRODUCTS = list(product(IRREPS, repeat=2))
EXACT = {"rtol": 0, "atol": 1e-12}


def stacked(first, second):
    """Return all coefficients of a product as one matrix."""
    outs = product_irreps(first, second)
    return np.concatenate(
        [clebsch_gordan(first, second, out).reshape(dimension(out), -1) for out in outs]
    )


def spin_matrices(k):
    """Return Jx, Jy, Jz of spin k/2 in the basis of rising m."""
    j = k / 2
    m = np.arange(-j, j + 1)
    up = np.diag(np.sqrt(j * (j + 1) - m[:-1] * (m[:-1] + 1)), -1).astype(complex)
    return np.array([(up + up.T) / 2, (up - up.T) / 2j, np.diag(m)])


def representation(irrep, angles, rapidities):
    """Return the matrix of a transformation on the components of (k, n).

    The two spins turn by complex angles, conjugate to each other; their product is brought to
    the basis of angular momenta by sympy's coefficients. Components go with conjugate matrices.
    """
    k, n = irrep
    left = expm(-1j * np.tensordot(angles + 1j * rapidities, spin_matrices(k), 1))
    right = expm(-1j * np.tensordot(angles - 1j * rapidities, spin_matrices(n), 1))
    basis = sympy_basis(k, n)
    return (basis.T @ np.kron(left, right) @ basis).conj()


@cache
def sympy_basis(k, n):
    """Return the change from two spins to their angular momenta, one column each."""
    projections = [
        (twice_l, twice_m)
        for twice_l in range(abs(k - n), k + n + 1, 2)
        for twice_m in range(-twice_l, twice_l + 1, 2)
    ]
    pairs = product(range(-k, k + 1, 2), range(-n, n + 1, 2))
    return np.array([[sympy_coefficient(k, a, n, b, *lm) for lm in projections] for a, b in pairs])


def sympy_coefficient(*doubled):
    if doubled[1] + doubled[3] != doubled[5]:
        return 0.0
    return float(CG(*(Rational(number, 2) for number in doubled)).doit())


def random_transformation(seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, 3), rng.uniform(-1, 1, 3)


@pytest.mark.parametrize(
    "spins", [(1, 1, 0), (1, 1, 2), (2, 1, 3), (2, 1, 1), (3, 2, 3), (4, 4, 4)]
)
def test_su2_coefficients_are_sympys(spins):
    k1, k2, k = spins
    table = su2_clebsch_gordan(k1, k2, k)
    for a, b, c in np.ndindex(table.shape):
        doubled = (k1, 2 * a - k1, k2, 2 * b - k2, k, 2 * c - k)
        assert table[a, b, c] == pytest.approx(sympy_coefficient(*doubled), abs=1e-14)


def test_spins_that_do_not_couple_give_zeros():
    assert not su2_clebsch_gordan(1, 1, 1).any()
    assert not su2_clebsch_gordan(1, 1, 4).any()


@pytest.mark.parametrize(("first", "second"), PRODUCTS)
def test_the_coefficients_of_a_product_are_an_orthogonal_matrix(first, second):
    matrix = stacked(first, second)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), **EXACT)
    assert len(matrix) == dimension(first) * dimension(second)


@pytest.mark.parametrize(("first", "second"), PRODUCTS)
def test_coefficients_commute_with_boosts_and_rotations(first, second):
    transformation = random_transformation(1)
    d_first, d_second = (representation(irrep, *transformation) for irrep in (first, second))
    parts = [representation(out, *transformation) for out in product_irreps(first, second)]
    matrix = stacked(first, second)
    left, right = matrix @ np.kron(d_first, d_second), block_diag(*parts) @ matrix
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-11 * abs(left).max())


def test_a_vector_transforms_as_a_momentum():
    angles, rapidities = random_transformation(2)
    to_vector = vector_from_momentum()
    ours = np.linalg.inv(to_vector) @ representation(VECTOR, angles, rapidities) @ to_vector
    np.testing.assert_allclose(ours, lorentz_matrix(angles, rapidities), **EXACT)


@pytest.mark.parametrize("irrep", IRREPS)
def test_the_invariant_form_is_invariant(irrep):
    matrix = representation(irrep, *random_transformation(3))
    form = invariant_form(irrep)
    np.testing.assert_allclose(matrix.T @ form @ matrix, form, rtol=0, atol=1e-11)


def test_the_invariant_form_of_a_vector_is_its_mass_squared():
    momentum = np.array([1.0, -2.0, 3.0, 5.0])
    vector = vector_from_momentum() @ momentum
    assert vector @ invariant_form(VECTOR) @ vector == pytest.approx(25 - 14)


@pytest.mark.parametrize(("first", "second"), PRODUCTS)
def test_factors_that_change_seats_give_the_sign(first, second):
    for out in product_irreps(first, second):
        swapped = clebsch_gordan(second, first, out).swapaxes(1, 2)
        sign = exchange_sign(first, second, out)
        np.testing.assert_allclose(clebsch_gordan(first, second, out), sign * swapped, **EXACT)


def generators(irrep):
    """Return the derivatives of ``representation`` by angles and rapidities."""
    k, n = irrep
    basis = sympy_basis(k, n)
    left = [np.kron(matrix, np.eye(n + 1)) for matrix in spin_matrices(k)]
    right = [np.kron(np.eye(k + 1), matrix) for matrix in spin_matrices(n)]
    turns = [-1j * (a + b) for a, b in zip(left, right, strict=True)]
    pushes = [a - b for a, b in zip(left, right, strict=True)]
    return np.array([(basis.T @ matrix @ basis).conj() for matrix in turns + pushes])


@cache
def from_lie_nn(irrep):
    """Return the unitary matrix from lie-nn's basis of a representation to ours.

    What we call (k, n) is (n, k) there.
    """
    theirs = lie_nn.irreps.SO13(*irrep[::-1]).continuous_generators()
    ours, size = generators(irrep), dimension(irrep)
    # S with S X' = X S for all six generators, as the null space of a linear map.
    equations = [
        np.kron(x, np.eye(size)) - np.kron(np.eye(size), y.T)
        for x, y in zip(ours, theirs, strict=True)
    ]
    _, singular, vectors = np.linalg.svd(np.concatenate(equations))
    assert singular[-1] < 1e-10
    return vectors[-1].conj().reshape(size, size) * np.sqrt(size)


INTEGER = [irrep for irrep in IRREPS if sum(irrep) % 2 == 0]


@pytest.mark.parametrize(("first", "second"), list(product(INTEGER, repeat=2)))
def test_coefficients_are_those_of_lie_nn_up_to_the_basis(first, second):
    so13 = lie_nn.irreps.SO13
    bases = from_lie_nn(first).conj(), from_lie_nn(second).conj()
    for out in product_irreps(first, second):
        if max(out) > 2:
            continue  # as in the network, and lie-nn takes long
        (theirs,) = so13.clebsch_gordan(*(so13(*irrep[::-1]) for irrep in (first, second, out)))
        theirs = np.einsum("pqm,ap,bq,cm->cab", theirs, *bases, from_lie_nn(out))
        ours = clebsch_gordan(first, second, out)
        # Each basis is known up to a factor: the two must be parallel.
        overlap = abs(np.vdot(ours, theirs)) / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert overlap == pytest.approx(1, abs=1e-10)
