from dataclasses import replace

import numpy as np
import pytest

from helpers.particles import particles, together
from parttag.jets.kinematics import pt_eta_phi
from parttag.samples.simulation.detectors.card import Efficiency, EnergyResolution, TrackResolution
from parttag.samples.simulation.detectors.cms import CMS_JETCLASS as CARD
from parttag.samples.simulation.detectors.layered import IDENTITIES, detect

RNG = np.random.default_rng
MANY = 20_000


def seen(stable, card=CARD, seed=0):
    """Return what is reconstructed, with each particle in an event of its own."""
    alone = replace(stable, event=np.arange(len(stable.pdg_id)))
    return detect(alone, card, RNG(seed))


def ideal_card():
    """Return the card with every track found, nothing smeared and no thresholds."""
    exact = EnergyResolution((5.0,), (1e-12,), (0.0,), (0.0,))
    tracker = replace(
        CARD.hadron,
        efficiency=Efficiency((2.5,), (0.0,), ((1.0, 1.0),)),
        resolution=TrackResolution((2.5,), (0.0,), (0.0,)),
    )

    def layer(given):
        return replace(
            given, compartment=replace(given.compartment, resolution=exact, min_energy=1e-6)
        )

    return replace(
        CARD,
        hadron=tracker,
        electron=tracker,
        muon=tracker,
        electromagnetic=layer(CARD.electromagnetic),
        hadronic=layer(CARD.hadronic),
    )


IDEAL = ideal_card()


def a_jet(rng, count=40):
    """Return particles of all kinds in one event, spread over the tracker."""
    kinds = rng.choice([22, 130, 211, -211, 11, -13], count)
    pt, eta = rng.exponential(20, count) + 2, rng.uniform(-1.5, 1.5, count)
    phi = rng.uniform(-np.pi, np.pi, count)
    return together(
        *(particles(int(k), *where) for k, *where in zip(kinds, pt, eta, phi, strict=True))
    )


def test_an_ideal_detector_keeps_the_visible_energy():
    stable = a_jet(RNG(1))
    flow = detect(stable, IDEAL, RNG(0))
    assert flow.p4[:, 3].sum() == pytest.approx(stable.p4[:, 3].sum())


@pytest.mark.parametrize(
    ("pdg_id", "identity", "charge"),
    [
        (211, "isChargedHadron", 1),
        (-2212, "isChargedHadron", -1),
        (22, "isPhoton", 0),
        (130, "isNeutralHadron", 0),
        (11, "isElectron", -1),
        (-13, "isMuon", 1),
    ],
)
def test_every_particle_is_what_it_is(pdg_id, identity, charge):
    flow = seen(particles(pdg_id, np.full(9, 40.0), 0.3), IDEAL)
    assert {name: flow.columns[name].tolist() for name in IDENTITIES} == {
        name: [float(name == identity)] * 9 for name in IDENTITIES
    }
    assert flow.columns["charge"].tolist() == [charge] * 9


def test_every_particle_is_one_thing_with_the_mass_of_its_track_if_it_has_one():
    stable = a_jet(RNG(2))
    flow = detect(stable, CARD, RNG(0))
    assert (sum(flow.columns[name] for name in IDENTITIES) == 1).all()
    mass2 = flow.p4[:, 3] ** 2 - (flow.p4[:, :3] ** 2).sum(axis=1)
    expected = 0.13957**2 * flow.columns["isChargedHadron"] + 0.10566**2 * flow.columns["isMuon"]
    assert mass2 == pytest.approx(expected, abs=1e-9 * flow.p4[:, 3].max() ** 2)


def test_neutrinos_leave_nothing():
    assert len(seen(particles(12, [50.0, 80.0])).event) == 0


def test_a_photon_is_seen_within_a_fine_tower_and_a_neutral_hadron_within_a_coarse_one():
    for kind, width, degrees in ((22, 0.0174, 1), (130, 0.087, 5)):
        flow = seen(particles(kind, np.full(300, 60.0), 0.33, 0.1))
        _, eta, phi = pt_eta_phi(flow.p4)
        assert len(eta) == 300
        assert 0.9 * width < np.ptp(eta) < width
        assert 0.9 * np.radians(degrees) < np.ptp(phi) < np.radians(degrees)


def test_energies_are_smeared_around_the_deposit_with_the_cards_resolution():
    energy = seen(particles(22, np.full(MANY, 25.0))).p4[:, 3]
    sigma = np.sqrt((0.008 * 25) ** 2 + 0.11**2 * 25 + 0.4**2)
    assert energy.mean() == pytest.approx(25, abs=5 * sigma / np.sqrt(MANY))
    assert energy.std() == pytest.approx(sigma, rel=0.03)


def test_a_charged_hadron_has_the_energy_of_its_tower_unless_that_is_in_excess():
    # 20 GeV: the tower measures with 6.8 GeV, and an excess counts from there on.
    flow = seen(particles(211, np.full(MANY, 20.0)))
    charged = flow.columns["isChargedHadron"] == 1
    measured = np.bincount(flow.event, flow.p4[:, 3], minlength=MANY)[flow.event[charged]]
    with_excess = np.bincount(flow.event, minlength=MANY)[flow.event[charged]] == 2
    assert 0.05 < with_excess.mean() < 0.2
    assert (measured[with_excess] > 20).all()
    # Without one, the track has what the tower measured, and not the 6 % of its own.
    assert flow.p4[charged, 3][~with_excess].std() > 4


def test_an_electron_and_a_charged_hadron_in_one_direction_stay_apart():
    flow = detect(together(particles(11, 30.0), particles(-211, 40.0)), IDEAL, RNG(0))
    assert sorted(flow.p4[:, 3]) == pytest.approx([30.0, 40.0], rel=1e-4)


def test_kaons_and_lambdas_share_their_energy_between_the_calorimeters():
    flow = seen(particles(310, 10.0), IDEAL)
    total = particles(310, 10.0).p4[0, 3]
    assert flow.p4[flow.columns["isPhoton"] == 1, 3] == pytest.approx([0.3 * total])
    assert flow.p4[flow.columns["isNeutralHadron"] == 1, 3] == pytest.approx([0.7 * total])


def test_tracks_have_impact_parameters_with_their_errors_and_others_none():
    flow = detect(a_jet(RNG(3), 200), CARD, RNG(0))
    charged = flow.columns["charge"] != 0
    for name in ("d0val", "d0err", "dzval", "dzerr"):
        assert (flow.columns[name][~charged] == 0).all()
        assert (flow.columns[name][charged] != 0).all()


@pytest.mark.parametrize("name", ["d0", "dz"])
def test_pulls_of_prompt_tracks_are_normal(name):
    flow = seen(particles(13, np.full(MANY, 3.0), 1.2))
    pulls = flow.columns[f"{name}val"] / flow.columns[f"{name}err"]
    assert pulls.mean() == pytest.approx(0, abs=0.03)
    assert pulls.std() == pytest.approx(1, abs=0.02)


def test_impact_parameters_are_those_of_the_line_from_the_vertex():
    # Along +x from (1, 2, 3) mm: passes the beam at y = 2; back to x = 0 it falls by sinh η = 0.5.
    muons = particles(13, np.full(2000, 50.0), np.arcsinh(0.5), 0.0, (1.0, 2.0, 3.0))
    flow = seen(muons)
    assert np.median(flow.columns["d0val"]) == pytest.approx(-2.0, abs=0.002)
    assert np.median(flow.columns["dzval"]) == pytest.approx(2.5, abs=0.005)


def test_events_do_not_mix_and_come_in_order():
    stable = together(particles(22, 10.0, event=2), particles(130, 20.0, event=0))
    flow = detect(stable, IDEAL, RNG(0))
    assert flow.event.tolist() == [0, 2]
    assert flow.columns["isPhoton"].tolist() == [0, 1]


def test_a_batch_without_particles_gives_none():
    flow = detect(particles(22, np.zeros(0)), CARD, RNG(0))
    assert len(flow.event) == 0
    assert all(len(column) == 0 for column in flow.columns.values())
