import numpy as np
import pytest

from helpers.particles import jets, p4
from parttag.samples.simulation.substructure import soft_drop_mass, subjettiness

SOFT = p4(8.0, 0.6, 0.0)
TWO_PRONGS = p4([300.0, 200.0], [0.0, 0.3], [0.0, 0.2])


def mass(particles):
    total = particles.sum(axis=0)
    return np.sqrt(total[3] ** 2 - (total[:3] ** 2).sum())


def test_soft_and_wide_particles_are_dropped_from_the_mass():
    with_soft = jets(np.concatenate([TWO_PRONGS, SOFT]))
    assert soft_drop_mass(with_soft) == pytest.approx([mass(TWO_PRONGS)])


def test_two_hard_prongs_are_kept():
    assert soft_drop_mass(jets(TWO_PRONGS)) == pytest.approx([mass(TWO_PRONGS)])


@pytest.mark.parametrize(("softer", "kept"), [(0.11, True), (0.09, False)])
def test_a_prong_counts_from_a_tenth_of_the_pt_on(softer, kept):
    pair = p4([600 * (1 - softer), 600 * softer], [0.0, 0.4], [0.0, 0.0])
    assert soft_drop_mass(jets(pair))[0] == pytest.approx(mass(pair) if kept else 0.0, abs=1e-3)


def test_subjettiness_vanishes_with_an_axis_for_every_particle():
    taus = subjettiness(jets(TWO_PRONGS))
    assert taus["jet_tau1"][0] > 0.05
    for n in (2, 3, 4):
        assert taus[f"jet_tau{n}"] == pytest.approx([0.0], abs=1e-6)


def test_subjettiness_is_the_pt_weighted_distance_to_the_nearest_axis():
    # Two prongs with a soft particle beside the second: with two axes, it alone is off.
    three = np.concatenate([p4([300.0, 200.0], [0.0, 0.4], 0.0), p4(4.0, 0.4, 0.1)])
    expected = 4.0 * 0.1 / (504.0 * 0.8)
    assert subjettiness(jets(three))["jet_tau2"] == pytest.approx([expected], rel=0.05)


def test_more_axes_are_never_further_away():
    rng = np.random.default_rng(5)
    crowd = p4(rng.exponential(20, 40) + 1, rng.uniform(-0.5, 0.5, 40), rng.uniform(-0.5, 0.5, 40))
    taus = [subjettiness(jets(crowd))[f"jet_tau{n}"][0] for n in (1, 2, 3, 4)]
    assert taus == sorted(taus, reverse=True)


def test_every_jet_has_its_own_values():
    one, other = jets(TWO_PRONGS), jets(SOFT)
    together = jets(TWO_PRONGS, SOFT, TWO_PRONGS)
    assert soft_drop_mass(together) == pytest.approx(
        [*soft_drop_mass(one), *soft_drop_mass(other), *soft_drop_mass(one)], abs=1e-4
    )
    for n in (1, 2):
        name = f"jet_tau{n}"
        assert subjettiness(together)[name][[0, 2]] == pytest.approx(
            np.repeat(subjettiness(one)[name], 2)
        )


def test_of_no_jets_there_is_nothing():
    none = jets(TWO_PRONGS).take(np.zeros(0, dtype=np.int64))
    assert len(soft_drop_mass(none)) == 0
    assert {name: len(tau) for name, tau in subjettiness(none).items()} == {
        f"jet_tau{n}": 0 for n in (1, 2, 3, 4)
    }
