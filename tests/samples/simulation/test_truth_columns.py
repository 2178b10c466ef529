"""What files say of the truth: origins and vertices of particles, generated jets, targets."""

import awkward as ak
import numpy as np
import pytest
import uproot

import parttag as pt
from helpers.particles import jets, p4, particles, together
from parttag.samples.simulation.ancestry import Origin
from parttag.samples.simulation.detectors.cms import CMS_JETCLASS
from parttag.samples.simulation.detectors.layered import detect
from parttag.samples.simulation.generator_jets import generated_columns, vertex_numbers
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.shards import Shard, make_shard

SAMPLE = make_sample("masses", {"num_jets": 100, "batch_size": 25})
COUNT = 8


def detected(*parts):
    return detect(together(*parts), CMS_JETCLASS, np.random.default_rng(3))


def test_a_track_has_the_truth_of_its_particle():
    muon = particles(13, 50.0, 0.3, vertex=(1.0, -2.0, 3.0), origin=Origin.B)
    flow = detected(muon, particles(-13, 40.0, -0.8, 2.0, origin=Origin.W))
    order = np.argsort(flow.columns["charge"])
    assert flow.columns["origin"][order].tolist() == [Origin.B, Origin.W]
    place = [flow.columns[f"prod_vertex_{axis}"][order[0]] for axis in "xyz"]
    assert place == [1.0, -2.0, 3.0]
    assert flow.tracked.pdg_id[np.argsort(flow.tracked.charge)].tolist() == [13, -13]


def test_a_tower_has_the_origin_of_most_of_its_energy_and_the_vertex_of_the_greatest_part():
    # Three photons into one tower: two of 15 GeV from a Higgs boson, one of 20 GeV from a b hadron.
    flow = detected(
        particles(22, [15.0, 15.0], 0.3, 0.1, origin=Origin.H),
        particles(22, 20.0, 0.3, 0.1, vertex=(0.0, 0.0, 1e-3), origin=Origin.B),
    )
    assert flow.columns["isPhoton"].tolist() == [1.0]
    assert flow.columns["origin"].tolist() == [Origin.H]
    assert flow.columns["prod_vertex_z"].tolist() == [1e-3]


def test_tracks_do_not_count_for_the_truth_of_a_neutral_excess():
    for number in range(20):  # until a track is found and an excess is left beside it
        both = together(
            particles(211, 40.0, 0.3, 0.1, origin=Origin.W),
            particles(2112, 60.0, 0.3, 0.1, origin=Origin.C),
        )
        flow = detect(both, CMS_JETCLASS, np.random.default_rng(number))
        if sorted(flow.columns["charge"]) == [0.0, 1.0]:
            break
    assert dict(zip(flow.columns["charge"], flow.columns["origin"], strict=True)) == {
        0.0: Origin.C,
        1.0: Origin.W,
    }


def test_vertices_are_numbered_by_the_hardest_particle_and_near_ones_are_one():
    z = np.array([0.0, 5.0, 0.05, 9.0, 5.06, 5.15, 5.0, 0.0, 5.0])
    own = jets(p4(np.arange(7, 0, -1.0), 0.0, 0.0), p4([2.0, 1.0], 0.0, 0.0))
    zero = np.zeros(9)
    own.columns.update(prod_vertex_x=zero, prod_vertex_y=zero, prod_vertex_z=z)
    # 5.15 is near 5.06, which is near 5.0; jets do not mix.
    assert vertex_numbers(own).tolist() == [0, 1, 0, 2, 1, 1, 1, 0, 1]


def test_the_generated_jet_is_the_nearest_one_of_all_but_neutrinos():
    prongs = particles(211, [350.0, 300.0], [0.1, 0.3], [1.0, 1.1])
    stable = together(
        prongs, particles(22, 4.0, 0.5, 1.5), particles(12, 200.0, 0.2, 1.0), particles(211, 400.0)
    )
    measured = jets(p4(600.0, 0.2, 1.05), p4(600.0, 0.2, -2.0), event=[0, 0])
    found = generated_columns(measured, stable, 0.8, 500.0)
    total = np.concatenate([prongs.p4, stable.p4[2:3]]).sum(axis=0)
    two = prongs.p4.sum(axis=0)
    mass = np.sqrt(total[3] ** 2 - (total[:3] ** 2).sum())
    groomed = np.sqrt(two[3] ** 2 - (two[:3] ** 2).sum())
    assert found["jet_genpt"][0] == pytest.approx(np.hypot(*total[:2]))
    assert found["jet_genmass"][0] == pytest.approx(mass)
    assert found["jet_gensdmass"][0] == pytest.approx(groomed, rel=1e-4)
    assert all(np.isnan(column[1]) for column in found.values())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return files of jets of each class of ``masses``."""
    out = tmp_path_factory.mktemp("masses")
    kinds = {"HToBB": 10, "HToBB, heavy": 5}
    for number, (stem, counts) in enumerate({"HToBB": kinds, "ZJetsToNuNu": None}.items()):
        make_shard(SAMPLE, out, Shard(number, f"{stem}.root", counts or {stem: COUNT}))
    return out


@pytest.fixture(scope="module")
def trees(files):
    return {path.stem: uproot.open(path)["tree"].arrays() for path in files.glob("*.root")}


def test_the_targets_are_the_mass_of_the_boson_and_the_groomed_mass_of_the_generated_jet(trees):
    higgs, qcd = (trees[name] for name in ("HToBB", "ZJetsToNuNu"))
    target = higgs.jet_target_mass.to_numpy()
    assert ((target > 30) & (target < 0.35 * higgs.jet_pt.to_numpy())).all()
    assert np.ptp(target) > 60
    # The soft-drop mass of the detected jet follows it.
    assert np.median(np.abs(higgs.jet_sdmass.to_numpy() / target - 1)) < 0.25
    assert qcd.jet_target_mass.tolist() == qcd.jet_gensdmass.tolist()
    assert (qcd.jet_gensdmass <= qcd.jet_genmass + 0.1).to_numpy().all()
    for tree in trees.values():  # hadrons are measured with 150 % / √E
        assert np.median(np.abs(tree.jet_genpt / tree.jet_pt - 1)) < 0.15


def test_particles_of_higgs_jets_come_from_it_and_from_its_b_hadrons(trees):
    origins = {name: set(ak.flatten(tree.part_origin).tolist()) for name, tree in trees.items()}
    assert {Origin.H, Origin.B, Origin.SHOWER} <= origins["HToBB"]
    assert Origin.H not in origins["ZJetsToNuNu"]
    assert all(Origin.UNDERLYING not in found for found in origins.values())
    assert all(
        ak.flatten(tree.part_origin).type.content.primitive == "int8" for tree in trees.values()
    )


def test_particles_with_one_vertex_were_made_at_one_place(trees):
    for jet in trees["HToBB"]:
        place = np.stack([jet[f"part_prod_vertex_{axis}"].to_numpy() for axis in "xyz"], axis=1)
        number = jet.part_vertex.to_numpy()
        assert set(number) | {0} == set(range(number.max() + 1))
        assert (np.linalg.norm(place[number == 0], axis=1) <= 0.1).all()
        for one in range(1, number.max() + 1):
            assert np.ptp(place[number == one], axis=0).max() < 1.0


def test_jets_of_b_quarks_have_vertices_that_are_read_as_a_kind_of_particles(files):
    read = pt.read(
        files / "HToBB.root",
        columns={
            "jet": {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi", "energy": "jet_energy"},
            "labels": {"branches": {"label_Hbb": "label_Hbb"}},
            "derived": {"charged": "part_charge != 0", "neutral": "part_charge == 0"},
            "particles": {
                **{
                    kind: {
                        **{name: f"part_{name}" for name in ("px", "py", "pz", "energy")},
                        "mask": kind,
                        "extra": {"origin": "part_origin", "vertex": "part_vertex"},
                    }
                    for kind in ("charged", "neutral")
                },
                "vertices": {
                    **{name: f"sv_{name}" for name in ("px", "py", "pz", "energy")},
                    "extra": {"flight": "sv_flight", "tracks": "sv_num_tracks"},
                },
            },
        },
    )
    kind = read["kind"]
    assert set(kind) == {0, 1, 2}
    assert (kind == 2).sum() > 12
    assert (read["tracks"][kind == 2] >= 2).all()
    assert (read["flight"][kind == 2] > 0).all()
    assert set(read["origin"][kind == 0]) >= {Origin.H, Origin.B}
