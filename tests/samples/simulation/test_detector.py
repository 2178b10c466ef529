from dataclasses import replace

import numpy as np
import pytest

from helpers.particles import particles, together
from parttag.samples.simulation.detectors.atlas import ATLAS_3_3_2 as CARD
from parttag.samples.simulation.detectors.card import Efficiency, EnergyResolution, TrackResolution
from parttag.samples.simulation.detectors.combined import detect

RNG = np.random.default_rng
MANY = 20_000


def seen(stable, card=CARD, seed=0):
    """Return what is reconstructed, with each particle in an event of its own."""
    alone = replace(stable, event=np.arange(len(stable.pdg_id)))
    return detect(alone, card, RNG(seed))


def ideal_card():
    """Return the card with every track found, nothing smeared and no thresholds."""
    exact = EnergyResolution((4.9,), (0.0,), (0.0,), (0.0,))
    tracker = replace(
        CARD.hadron,
        efficiency=Efficiency((2.5,), (0.0,), ((1.0, 1.0),)),
        resolution=TrackResolution((2.5,), (0.0,), (0.0,)),
    )
    return replace(
        CARD,
        hadron=tracker,
        electron=tracker,
        muon=tracker,
        electromagnetic=replace(CARD.electromagnetic, resolution=exact, min_energy=1e-6),
        hadronic=replace(CARD.hadronic, resolution=exact, min_energy=1e-6),
    )


def a_jet(rng, count=40):
    """Return massless particles of all kinds in one event, spread over the tracker."""
    kinds = rng.choice([22, 130, 211, -211, 11, -13], count)
    return together(
        *(
            particles(int(kind), pt, eta, phi)
            for kind, pt, eta, phi in zip(
                kinds,
                rng.exponential(20, count) + 2,
                rng.uniform(-1.5, 1.5, count),
                rng.uniform(-np.pi, np.pi, count),
                strict=True,
            )
        )
    )


def test_an_ideal_detector_keeps_the_visible_energy():
    stable = a_jet(RNG(1))
    flow = detect(stable, ideal_card(), RNG(0))
    # Tracks are massless: a charged hadron's mass stays with the tower, as neutral energy.
    assert flow.p4[:, 3].sum() == pytest.approx(stable.p4[:, 3].sum(), rel=1e-3)


def test_everything_is_massless():
    flow = detect(a_jet(RNG(2)), CARD, RNG(0))
    momentum = np.sqrt((flow.p4[:, :3] ** 2).sum(axis=1))
    assert flow.p4[:, 3] == pytest.approx(momentum)
    assert (flow.p4[:, 3] > 0).all()


def test_neutrinos_leave_nothing():
    assert len(seen(particles(12, [50.0, 80.0])).event) == 0


def test_a_photon_is_seen_within_its_tower():
    flow = seen(particles(22, np.full(200, 30.0), 0.33, 0.1))
    eta, phi = (
        np.arcsinh(flow.p4[:, 2] / np.hypot(*flow.p4[:, :2].T)),
        np.arctan2(flow.p4[:, 1], flow.p4[:, 0]),
    )
    assert len(eta) == 200
    assert eta.min() >= 0.3
    assert eta.max() <= 0.4
    assert phi.min() >= 0
    assert phi.max() <= np.radians(10)
    assert np.ptp(phi) > np.radians(8)


def test_towers_are_smeared_around_the_deposit_with_the_cards_resolution():
    flow = seen(particles(22, np.full(MANY, 25.0)))
    energy = flow.p4[:, 3]
    sigma = np.hypot(0.0017 * 25, 0.101 * 5)
    assert energy.mean() == pytest.approx(25, abs=5 * sigma / np.sqrt(MANY))
    assert energy.std() == pytest.approx(sigma, rel=0.03)


def test_tracks_are_found_with_the_cards_efficiency():
    muons = seen(particles(13, np.full(MANY, 0.9), 2.0))
    assert len(muons.event) / MANY == pytest.approx(0.70, abs=0.02)


def test_a_track_keeps_its_direction_and_is_smeared_in_pt():
    flow = seen(particles(13, np.full(MANY, 50.0), 0.2, 1.0))
    pt = np.hypot(*flow.p4[:, :2].T)
    assert np.arctan2(flow.p4[:, 1], flow.p4[:, 0]) == pytest.approx(1.0)
    assert flow.p4[:, 2] / pt == pytest.approx(np.sinh(0.2))
    assert pt.mean() == pytest.approx(50, rel=0.01)
    assert pt.std() / 50 == pytest.approx(np.hypot(0.02, 0.01), rel=0.05)


def test_a_soft_hadron_without_a_track_is_lost_below_the_towers_threshold():
    card = ideal_card()
    card = replace(card, hadronic=replace(card.hadronic, min_energy=1.0))
    assert len(seen(particles(130, np.full(50, 0.3)), card).event) == 0
    assert len(seen(particles(211, np.full(50, 0.5)), card).event) == 50


def test_a_charged_hadron_is_not_counted_twice():
    flow = seen(particles(211, np.full(MANY, 20.0)))
    energy = np.bincount(flow.event, flow.p4[:, 3], minlength=MANY)
    # Upward fluctuations of the tower over the track become neutral energy, downward ones do not
    # take from the track: the mean lies above, by less than the tower's resolution.
    sigma = CARD.hadronic.resolution(np.zeros(1), np.full(1, 20.0))[0]
    assert 20 < energy.mean() < 20 + sigma


def test_a_stiff_hadron_gets_the_energy_of_its_tower():
    # At 500 GeV the tower (4 %) beats the track (65 %), so the tower's energy is what counts.
    flow = seen(particles(211, np.full(2000, 500.0)))
    assert np.mean(np.bincount(flow.event) == 1) > 0.97
    energy = np.bincount(flow.event, flow.p4[:, 3])
    assert energy.std() / 500 == pytest.approx(0.038, rel=0.1)
    assert energy.mean() == pytest.approx(500, rel=0.01)


def test_photon_and_neutral_hadron_of_a_tower_share_a_direction():
    flow = detect(
        together(particles(22, 20.0, 0.05, 0.05), particles(130, 30.0, 0.05, 0.05)),
        ideal_card(),
        RNG(0),
    )
    assert len(flow.event) == 2
    directions = flow.p4[:, :3] / flow.p4[:, 3:]
    assert directions[0] == pytest.approx(directions[1])


def test_kaons_and_lambdas_share_their_energy_between_the_compartments():
    flow = seen(particles(310, 10.0), ideal_card())
    total = particles(310, 10.0).p4[0, 3]
    assert sorted(flow.p4[:, 3]) == pytest.approx([0.3 * total, 0.7 * total])


def test_events_do_not_mix_and_come_in_order():
    stable = together(particles(22, 10.0, event=2), particles(22, 20.0, event=0))
    flow = detect(stable, ideal_card(), RNG(0))
    assert flow.event.tolist() == [0, 2]
    assert flow.p4[:, 3] == pytest.approx([20.0, 10.0])


def test_a_batch_without_particles_gives_none():
    nothing = particles(22, np.zeros(0))
    assert len(detect(nothing, CARD, RNG(0)).event) == 0
