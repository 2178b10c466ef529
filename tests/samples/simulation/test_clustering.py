import numpy as np
import pytest

from helpers.particles import jets, p4
from parttag.jets.clustered import join
from parttag.samples.simulation.clustering import hard_jets, leading
from parttag.samples.simulation.detectors.energy_flow import EnergyFlow


def flow(*events):
    """Return the energy flow of events, each given by number and its particles' p4."""
    return EnergyFlow(
        np.concatenate([np.full(len(one), number) for number, one in events]),
        np.concatenate([one for _, one in events]),
    )


TWO_PRONGS = p4([200.0, 400.0, 3.0], [0.0, 0.3, -0.4], [1.0, 1.2, 0.9])
FAR = p4([500.0, 10.0], [0.0, 2.0], [-2.0, 3.0])


def test_the_leading_jet_is_found_with_its_particles_in_order_of_pt():
    found = leading(hard_jets(flow((0, np.concatenate([TWO_PRONGS, FAR]))), 1, 0.8, 400.0))
    assert found.event.tolist() == [0]
    assert found.particles == pytest.approx(TWO_PRONGS[[1, 0, 2]])
    assert found.p4[0] == pytest.approx(TWO_PRONGS.sum(axis=0))


def test_particles_further_apart_than_the_radius_are_not_joined():
    found = leading(hard_jets(flow((0, TWO_PRONGS)), 1, 0.1, 100.0))
    assert found.particles == pytest.approx(TWO_PRONGS[[1]])


def test_events_without_a_hard_jet_or_without_particles_have_none():
    events = flow((1, FAR), (3, TWO_PRONGS), (4, FAR))
    found = leading(hard_jets(events, 6, 0.8, 550.0))
    assert found.event.tolist() == [3]
    assert found.lengths.tolist() == [3]


def test_a_batch_may_have_no_jet_at_all():
    assert len(leading(hard_jets(flow((0, FAR)), 2, 0.8, 550.0))) == 0


def test_taken_jets_bring_their_particles():
    first, second, third = p4([5.0, 1.0], 0, 0), p4([9.0], 1, 1), p4([7.0, 6.0, 2.0], 2, 2)
    taken = jets(first, second, third).take(np.array([2, 0]))
    assert taken.event.tolist() == [2, 0]
    assert taken.offsets.tolist() == [0, 3, 5]
    assert np.array_equal(taken.particles, np.concatenate([third, first]))


def test_truncated_jets_keep_their_leading_particles_and_their_momentum():
    whole = jets(p4([5.0, 1.0], 0, 0), p4([7.0, 6.0, 2.0], 2, 2))
    short = whole.truncate(2)
    assert short.lengths.tolist() == [2, 2]
    assert np.hypot(*short.particles[:, :2].T) == pytest.approx([5, 1, 7, 6])
    assert np.array_equal(short.p4, whole.p4)


def test_joined_jets_follow_each_other():
    first, second = jets(p4([5.0, 1.0], 0, 0)), jets(p4([9.0], 1, 1), p4([2.0], 1, 1))
    both = join([first, second])
    assert both.lengths.tolist() == [2, 1, 1]
    assert np.array_equal(both.take(np.array([1, 2])).particles, second.particles)
