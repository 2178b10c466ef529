import importlib.util

import numpy as np
import pytest

from parttag.errors import InputError
from parttag.samples.simulation.clustering import hard_jets, leading
from parttag.samples.simulation.detectors.energy_flow import EnergyFlow
from parttag.samples.simulation.generator import Generator
from parttag.samples.simulation.packages import package_versions
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.veto import leading_jet_veto

SAMPLE = make_sample("toptagging", {"num_jets": 20, "windows": "demonstration"})
TOP, QCD = (channel.settings for channel in SAMPLE.channels)


@pytest.fixture(scope="module")
def tops():
    return Generator(TOP, seed=5, parent=6).next_batch(30)


def mass(p4):
    return np.sqrt(p4[..., 3] ** 2 - (p4[..., :3] ** 2).sum(axis=-1))


def test_every_event_conserves_momentum_energy_and_charge(tops):
    stable = tops.stable
    total = np.stack([np.bincount(stable.event, axis) for axis in stable.p4.T], axis=1)
    assert total[:, :3] == pytest.approx(np.zeros((30, 3)), abs=0.05)
    assert total[:, 3] == pytest.approx(np.full(30, 14_000), rel=1e-5)
    assert np.bincount(stable.event, stable.charge) == pytest.approx(np.full(30, 2.0))


def test_an_event_has_two_tops_that_decay_to_three_quarks(tops):
    assert tops.decays.event.tolist() == np.repeat(np.arange(30), 2).tolist()
    assert sorted(tops.decays.parent_id) == [-6] * 30 + [6] * 30
    quarks = tops.decays.products
    assert np.median(mass(tops.decays.parent)) == pytest.approx(171.0, abs=1.5)
    assert np.median(mass(quarks.sum(axis=1))) == pytest.approx(171.0, abs=1.5)
    # Radiation between the top and its quarks takes a little away.
    missing = np.abs(quarks.sum(axis=1) - tops.decays.parent).max(axis=1)
    assert np.median(missing) < 10


def test_two_of_the_quarks_come_from_a_w(tops):
    quarks = tops.decays.products
    pairs = np.stack([mass(quarks[:, i] + quarks[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert np.median(np.abs(pairs - 80.4).min(axis=0)) < 3


def test_displaced_particles_have_a_vertex_and_others_start_at_the_origin(tops):
    distance = np.linalg.norm(tops.stable.vertex, axis=1)
    assert (distance < 1e-3).mean() > 0.3
    assert (distance > 10).any()


def test_dijets_have_no_tops():
    assert len(Generator(QCD, seed=5, parent=6).next_batch(5).decays.event) == 0


def test_events_do_not_depend_on_how_they_are_split_into_batches():
    generator = Generator(QCD, seed=9)
    parts = [generator.next_batch(n).stable.p4 for n in (1, 4)]
    whole = Generator(QCD, seed=9).next_batch(5).stable.p4
    assert np.array_equal(np.concatenate(parts), whole)


def test_another_seed_gives_other_events():
    first, second = (Generator(QCD, seed).next_batch(2).stable.p4 for seed in (1, 2))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_the_veto_leaves_events_with_a_jet_in_the_window():
    def leading_pt(veto):
        stable = Generator(QCD, 3, veto=veto).next_batch(60).stable
        flow = EnergyFlow(stable.event, stable.p4)
        p4 = leading(hard_jets(flow, 60, 0.8, 300.0)).p4
        return np.hypot(p4[:, 0], p4[:, 1])

    def share(pt):
        return ((pt > 550) & (pt < 650)).mean()

    vetoed, all_events = leading_pt(leading_jet_veto(0.8, 510.0, 760.0)), leading_pt(None)
    assert share(vetoed) > share(all_events)
    assert vetoed.min() > 450
    assert np.percentile(vetoed, 98) < 800


def test_a_setting_that_pythia_does_not_know_is_refused():
    with pytest.raises(ValueError, match="does not accept the setting 'HardQQD:all=on'"):
        Generator(["HardQQD:all=on"], seed=1)


def test_settings_that_make_no_event_are_refused():
    with pytest.raises(ValueError, match="could not start"):
        Generator(["HardQCD:all=on", "Beams:eCM=1"], seed=1)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(
        "parttag.samples.simulation.packages.find_spec",
        lambda name: None if name == "fastjet" else importlib.util.find_spec(name),
    )
    with pytest.raises(InputError, match=r'needs fastjet, .* pip install "parttag\[sim\]"'):
        Generator(QCD, seed=1)


def test_versions_are_those_of_the_packages():
    assert set(package_versions()) == {"parttag", "pythia8mc", "fastjet", "numpy"}


def test_origins_are_found_on_demand_and_change_no_event(tops):
    assert {0, 1, 4, 7} <= set(tops.stable.origin)  # shower, b, W, top
    without = Generator(TOP, seed=5, parent=6, origins=False).next_batch(2).stable
    assert not without.origin.any()
    assert np.array_equal(without.p4, tops.stable.p4[: len(without.p4)])
