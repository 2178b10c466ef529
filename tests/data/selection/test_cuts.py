"""``data.cuts``: which jets pass, and how the others are counted."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.data import JetStore, open_dataset, prepare
from parttag.data.jet_files import JetFiles
from parttag.data.selection.cuts import CutOptions, passing
from parttag.data.selection.good_jets import JetCounts
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.runs.sections import parse_cuts
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def five_jets() -> JetArrays:
    """Return jets of pT 100 to 500 GeV, η = −2 to 2, mass 10 to 50 GeV and 1 to 5 particles."""
    pt, eta, mass = np.linspace(100, 500, 5), np.linspace(-2, 2, 5), np.linspace(10, 50, 5)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    jet_p4 = np.stack([pt * 0.6, pt * 0.8, pt * np.sinh(eta), energy], axis=1)
    return replace(toy_jets(5, lengths=[1, 2, 3, 4, 5]), jet_p4=jet_p4.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jet_pt: [150, 450]", [0, 1, 1, 1, 0]),
        ("jet_pt: [150, null]", [0, 1, 1, 1, 1]),
        ("jet_eta: {max: 0.5}", [1, 1, 1, 0, 0]),
        ("jet_abs_eta: {max: 1.5}", [0, 1, 1, 1, 0]),
        ("jet_mass: {min: 15, max: 45}", [0, 1, 1, 1, 0]),
        ("jet_energy: [305, 400]", [1, 1, 0, 0, 0]),
        ("num_particles: {min: 3}", [0, 0, 1, 1, 1]),
        ("num_particles: [2, 4]", [0, 1, 1, 1, 0]),
        ("jet_pt: [150, null], num_particles: {max: 3}", [0, 1, 1, 0, 0]),
        ("", [1, 1, 1, 1, 1]),
    ],
)
def test_jets_inside_of_all_ranges_pass_ends_included(text, expected):
    assert passing(five_jets(), parse_cuts(f"{{{text}}}")).tolist() == [bool(e) for e in expected]


def test_energies_are_those_of_the_hand():
    # E = pT cosh η: 300 GeV at η = 0 and 200 GeV · cosh 1 = 309 GeV, with masses of 30 and 20 GeV.
    np.testing.assert_allclose(five_jets().jet_p4[[1, 2], 3], [309.26, 301.50], atol=0.01)


def test_a_jet_is_counted_by_the_first_cut_that_it_fails():
    counts = JetCounts(read=5)
    passing(five_jets(), parse_cuts("{jet_pt: [150, null], num_particles: {max: 3}}"), counts)
    assert counts.dropped == {"outside jet_pt [150, ]": 1, "outside num_particles [, 3]": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{jet_pT: [1, 2]}",
            "cuts.jet_pT: there is no such key; the nearest known one is cuts.jet_pt",
        ),
        ("{jet_pt: [2, 1]}", "cuts.jet_pt: no value is at least 2 and at most 1"),
        ("{jet_pt: {}}", "cuts.jet_pt: a cut needs a min or a max"),
        ("{jet_pt: [low, 1]}", "cuts.jet_pt.min is 'low', but must be a number"),
        ("{jet_pt: [1, 2, 3]}", "cuts.jet_pt is"),
        ("{jet_pt", "is not YAML"),
        ("5", "cuts is 5"),
    ],
)
def test_a_cut_that_is_none_is_refused_by_key(text, message):
    with pytest.raises(InputError, match=message):
        parse_cuts(text)


@pytest.fixture
def path(tmp_path):
    return write_jetclass_root(tmp_path / "a.root", toy_jets(20))


@pytest.mark.parametrize("stored", [False, True])
def test_a_data_set_holds_the_jets_that_pass(tmp_path, path, stored):
    source = path
    if stored:
        prepare([path], tmp_path / "store", shuffle=False)
        source = tmp_path / "store"
    cuts = CutOptions(num_particles={"min": 10, "max": 30})
    dataset = open_dataset(JetFiles(source, cuts=cuts), CLASSES)
    toys = toy_jets(20)
    rows = np.flatnonzero((toys.lengths >= 10) & (toys.lengths <= 30))
    assert 0 < len(rows) < 20
    jets = dataset.take(np.arange(len(dataset)))
    assert jets.index.tolist() == rows.tolist()
    assert dataset.classes.tolist() == (rows % 2).tolist()
    assert dataset.counts.dropped == {"outside num_particles [10, 30]": 20 - len(rows)}


def test_jets_outside_of_a_cut_do_not_count_as_of_no_class(path):
    cuts = CutOptions(num_particles={"min": 10})
    dataset = open_dataset(JetFiles(path, cuts=cuts), {"top": ["label_top"]})
    passed = toy_jets(20).lengths >= 10
    assert dataset.counts.dropped == {
        "outside num_particles [10, ]": int((~passed).sum()),
        "of no class": int(passed[1::2].sum()),
    }


def test_a_cut_that_leaves_nothing_is_one_sentence_with_the_numbers(tmp_path, path):
    cuts = CutOptions(num_particles={"min": 39}, jet_pt={"max": 1})
    message = r"20 jets read, 0 kept, 20 dropped \(20 outside jet_pt \[, 1\]\)"
    with pytest.raises(InputError, match=message):
        open_dataset(JetFiles(path, cuts=cuts), CLASSES)
    with pytest.raises(InputError, match=message):
        prepare([path], tmp_path / "store", cuts=cuts)
    assert not (tmp_path / "store").exists()


def test_prepare_records_the_cuts_and_keeps_stores_of_others_apart(tmp_path, path):
    cuts = CutOptions(num_particles={"min": 10})
    report = prepare([path], tmp_path / "store", cuts=cuts)
    manifest = JetStore(tmp_path / "store").manifest
    assert manifest.cuts == {"num_particles": {"min": 10.0}}
    assert manifest.dropped == report.counts.dropped
    assert report.counts.kept == int((toy_jets(20).lengths >= 10).sum())
    assert prepare([path], tmp_path / "store", cuts=cuts).existed
    with pytest.raises(InputError, match="made from these files with other cuts"):
        prepare([path], tmp_path / "store")
