"""JetClass's ten classes: which events, which jets of them, in which files."""

import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from helpers.particles import jets, p4
from parttag import cli
from parttag.data.readers import read_chunks
from parttag.data.writers.jetclass import read_provenance
from parttag.errors import InputError
from parttag.samples.simulation.generator import Decays, Generator
from parttag.samples.simulation.jetclass import JetClass, JetClassOptions, select
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.shards import Shard, make_shard, plan_shards

SAMPLE = JetClass(JetClassOptions(num_jets=100, batch_size=20))
LABELS = {
    "HToBB": "Hbb",
    "HToCC": "Hcc",
    "HToGG": "Hgg",
    "HToWW2Q1L": "Hqql",
    "HToWW4Q": "H4q",
    "TTBar": "Tbqq",
    "TTBarLep": "Tbl",
    "WToQQ": "Wqq",
    "ZJetsToNuNu": "QCD",
    "ZToQQ": "Zqq",
}
QUARKS, NEUTRINOS = (1, 2, 3, 4, 5), (12, 14)
LEPTONS = (11, 13)
# What the decay products of each channel are, by |PDG id| in any order.
PRODUCTS = {
    "HToBB": ([5], [5]),
    "HToCC": ([4], [4]),
    "HToGG": ([21], [21]),
    "HToWW2Q1L": (QUARKS, QUARKS, LEPTONS, NEUTRINOS),
    "HToWW2Q1L, charges swapped": (QUARKS, QUARKS, LEPTONS, NEUTRINOS),
    "HToWW4Q": (QUARKS, QUARKS, QUARKS, QUARKS),
    "TTBar": (QUARKS, QUARKS, QUARKS),
    "TTBarLep": (QUARKS, LEPTONS, NEUTRINOS),
    "WToQQ": (QUARKS, QUARKS),
    "ZToQQ": (QUARKS, QUARKS),
}
MASSES = {"H": 125.0, "T": 172.8, "W": 80.4, "Z": 91.2}


@pytest.fixture(scope="module")
def batches():
    """Return a small batch of each channel."""
    return {
        channel.name: Generator(channel.settings, 3, channel.parent).next_batch(4)
        for channel in SAMPLE.channels
    }


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_channel_decays_to_what_it_is_named_after(batches, name):
    decays = batches[name].decays
    assert set(decays.event) == set(range(4))
    expected = sorted(sorted(allowed) for allowed in PRODUCTS[name])
    for ids in np.abs(decays.product_ids):
        assert len(ids) == len(expected)
        found = sorted(sorted(next(a for a in PRODUCTS[name] if i in a)) for i in ids)
        assert found == expected
    # Radiation takes a little of the momentum away.
    total = decays.products.sum(axis=1)
    mass = np.sqrt(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1))
    assert np.median(mass) == pytest.approx(MASSES[name[0]], rel=0.06)
    assert np.abs(total[:, 3] - decays.parent[:, 3]).max() < 0.1 * decays.parent[:, 3].max()


@pytest.mark.parametrize(("name", "charge"), [("HToWW2Q1L", -1), ("HToWW2Q1L, charges swapped", 1)])
def test_the_lepton_has_either_charge(batches, name, charge):
    ids = batches[name].decays.product_ids
    assert (np.sign(ids[np.isin(np.abs(ids), LEPTONS)]) == -charge).all()


def test_a_z_and_jets_has_a_z_that_is_not_seen_and_no_decay_to_match(batches):
    batch = batches["ZJetsToNuNu"]
    assert len(batch.decays.event) == 0
    stable = batch.stable
    neutrinos = np.isin(np.abs(stable.pdg_id), (12, 14, 16)) & (stable.p4[:, 3] > 20)
    lost = np.stack([np.bincount(stable.event[neutrinos], p[neutrinos]) for p in stable.p4.T[:2]])
    assert (np.hypot(*lost) > 300).all()


@pytest.mark.parametrize(
    ("pt", "eta", "chosen"),
    [
        (499.9, 0.0, False),
        (500.1, 0.0, True),
        (999.9, -1.99, True),
        (1000.1, 0.0, False),
        (600.0, 2.01, False),
    ],
)
def test_jets_are_chosen_by_pt_and_eta(pt, eta, chosen):
    assert len(select(jets(p4(pt, eta, 2.0)), None)) == chosen


def test_a_jet_of_a_decay_remembers_the_parent():
    products = p4([300.0, 300.0], [0.1, 0.3], [1.0, 1.2])
    decays = Decays(
        event=np.array([0]),
        parent_id=np.array([-24]),
        parent=p4(610.0, 0.2, 1.1, 80.4),
        product_ids=np.array([[1, -2]]),
        products=products[None],
    )
    held, lost = p4(600.0, 0.2, 1.1), p4(600.0, -0.7, 1.1)
    found = select(jets(held, lost, event=[0, 0]), decays)
    assert len(found) == 1
    target = found.jet_columns["jet_target_mass"]
    assert target == pytest.approx([80.4])
    parent = {
        name.removeprefix("aux_genpart_"): column[0]
        for name, column in found.jet_columns.items()
        if name.startswith("aux_genpart_")
    }
    assert parent == pytest.approx({"pt": 610.0, "eta": 0.2, "phi": 1.1, "pid": -24})


def test_files_are_named_by_class_and_share_the_jets_out():
    shards = plan_shards(JetClass(JetClassOptions(num_jets=500_003)))
    by_file = {}
    for shard in shards:
        split, name = shard.path.split("/")
        assert sum(shard.jets.values()) <= 10_000
        by_file.setdefault((split, name.rpartition("_")[0]), []).append(shard)
    assert {stem for _, stem in by_file} == set(LABELS)
    sizes = {
        split: [sum(sum(s.jets.values()) for s in by_file[split, stem]) for stem in LABELS]
        for split in ("train", "val", "test")
    }
    assert sum(map(sum, sizes.values())) == 500_003
    assert sum(sizes["val"]) == sum(sizes["test"]) == 50_000
    assert all(max(counts) - min(counts) <= 1 for counts in sizes.values())
    assert [s.path for s in by_file["train", "TTBar"]] == [
        f"train/TTBar_{i:03d}.root" for i in range(4)
    ]
    assert len({shard.path for shard in shards}) == len(shards)


def test_either_charge_has_half_of_a_file():
    shard = next(s for s in plan_shards(SAMPLE) if "HToWW2Q1L" in s.path)
    assert shard.jets == {"HToWW2Q1L": 4, "HToWW2Q1L, charges swapped": 4}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a directory with the training files of all classes."""
    out = tmp_path_factory.mktemp("jetclass")
    for shard in plan_shards(SAMPLE):
        if shard.path.startswith("train/"):
            make_shard(SAMPLE, out, shard)
    return out


@pytest.fixture(scope="module")
def trees(finished):
    """Return the jets of each training file, by class."""
    return {
        stem: uproot.open(finished / f"train/{stem}_000.root")["tree"].arrays() for stem in LABELS
    }


def test_every_file_has_every_branch_of_jetclass_and_of_the_truth(trees):
    particle = "px py pz energy deta dphi d0val d0err dzval dzerr charge isChargedHadron"
    particle += " isNeutralHadron isPhoton isElectron isMuon"
    particle += " origin vertex prod_vertex_x prod_vertex_y prod_vertex_z"
    jet = "pt eta phi energy nparticles sdmass tau1 tau2 tau3 tau4"
    jet += " genpt genmass gensdmass target_mass"
    vertex = "px py pz energy x y z flight flight_sig flight_xy flight_xy_sig pointing chi2"
    vertex += " num_tracks"
    wanted = {f"part_{name}" for name in particle.split()} | {f"jet_{name}" for name in jet.split()}
    wanted |= {f"label_{label}" for label in LABELS.values()}
    wanted |= {f"aux_genpart_{name}" for name in ("pt", "eta", "phi", "pid")}
    wanted |= {f"sv_{name}" for name in vertex.split()}
    for tree in trees.values():
        assert set(tree.fields) - {"npart", "nsv"} == wanted


def test_every_jet_carries_the_label_of_its_file_and_no_other(trees):
    for stem, tree in trees.items():
        assert len(tree) == 8
        for label in LABELS.values():
            assert (tree[f"label_{label}"] == (label == LABELS[stem])).to_numpy().all()


def test_jets_are_within_the_selection_and_their_substructure_makes_sense(trees):
    for tree in trees.values():
        columns = {name: tree[name].to_numpy() for name in tree.fields if name.startswith("jet_")}
        assert ((columns["jet_pt"] > 500) & (columns["jet_pt"] < 1000)).all()
        assert (np.abs(columns["jet_eta"]) < 2).all()
        momentum2 = (columns["jet_pt"] * np.cosh(columns["jet_eta"])) ** 2
        mass = np.sqrt(columns["jet_energy"] ** 2 - momentum2)
        assert (columns["jet_sdmass"] <= mass + 0.1).all()
        taus = np.stack([columns[f"jet_tau{n}"] for n in (1, 2, 3, 4)])
        assert ((taus > 0) & (taus < 1)).all()
        assert (np.diff(taus, axis=0) <= 1e-6).all()


def test_leptonic_classes_have_a_hard_lepton_in_nearly_every_jet(trees):
    for stem in ("HToWW2Q1L", "TTBarLep"):
        tree = trees[stem]
        lepton = (tree.part_isElectron + tree.part_isMuon) > 0
        pt = np.hypot(tree.part_px, tree.part_py)
        hard = [max(p[is_lepton], default=0.0) for p, is_lepton in zip(pt, lepton, strict=True)]
        assert np.mean(np.array(hard) > 10) > 0.6


def test_parttag_reads_what_it_wrote(finished):
    (arrays,) = read_chunks(finished / "train/HToBB_000.root")
    assert "d0" in arrays.extra_names
    assert len(arrays) == 8


def test_the_simulation_says_what_it_is(finished):
    provenance = read_provenance(finished / "train/HToWW2Q1L_000.root")
    assert provenance["statement"].startswith("JetClass-like")
    assert provenance["detector"] == "CMS, as Delphes had it for JetClass"
    assert "WeakBosonAndParton:qg2gmZq=on" in provenance["pythia"]["ZJetsToNuNu"]
    assert "24:onPosIfAny=11 13" in provenance["pythia"]["HToWW2Q1L, charges swapped"]


def test_the_same_shard_comes_out_again_and_another_number_gives_other_jets(tmp_path):
    hashes = []
    for name, number in (("a", 0), ("b", 0), ("c", 1)):
        make_shard(SAMPLE, tmp_path, Shard(number, f"{name}.root", {"WToQQ": 3}))
        hashes.append(read_provenance(tmp_path / f"{name}.root")["shard"]["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_windows_are_refused_by_the_command(tmp_path):
    words = ["simulate", "jetclass", "--jets", "100", "--out", str(tmp_path), "--windows", "study"]
    refused = CliRunner().invoke(cli.app, words).exception
    assert isinstance(refused, InputError)
    assert "--windows study belongs to toptagging" in refused.for_shell()


@pytest.mark.parametrize(
    "wrong", [{"num_jets": 99}, {"windows": "study"}, {"jets_per_file": 100}, {"seed": 9000}]
)
def test_options_of_another_sample_or_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        make_sample("jetclass", {"num_jets": 100, **wrong})
