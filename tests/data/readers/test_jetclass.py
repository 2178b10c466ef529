"""The layout of JetClass: what its branches mean, and what is said of broken ones."""

from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from helpers.files import jetclass_branches, write_jetclass_root
from parttag.data.readers import read_chunks
from parttag.data.readers.jetclass import to_jets
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.testing import toy_jets


def read(path: Path) -> JetArrays:
    (jets,) = read_chunks(path)
    return jets


def by_hand(**branches: object) -> JetArrays:
    """Return one jet of particles along x, unless the branches say otherwise."""
    count = len(next(iter(branches.values()))[0])
    along_x = {
        "part_px": [[1.0] * count],
        "part_py": [[0.0] * count],
        "part_pz": [[0.0] * count],
        "part_energy": [[1.0] * count],
    }
    arrays = {name: ak.Array(branch) for name, branch in (along_x | branches).items()}
    return to_jets(arrays, Path("hand.root"), 0)


def test_jets_come_back_as_they_were_written(tmp_path):
    toys = toy_jets(12)
    jets = read(write_jetclass_root(tmp_path / "a.root", toys))
    np.testing.assert_array_equal(jets.p4, toys.p4)
    np.testing.assert_array_equal(jets.offsets, toys.offsets)
    np.testing.assert_array_equal(jets.labels, toys.labels)
    np.testing.assert_array_equal(jets.extra, toys.extra)
    np.testing.assert_allclose(jets.jet_p4, toys.jet_p4, rtol=3e-6, atol=1e-4)
    np.testing.assert_allclose(jets.jet_axis, toys.jet_axis, atol=1e-6)
    assert (jets.extra_names, jets.label_names) == (toys.extra_names, toys.label_names)
    np.testing.assert_array_equal(jets.index, np.arange(12))
    np.testing.assert_array_equal(jets.jet_weights, np.ones(12))
    assert jets.sources == (str(tmp_path / "a.root"),)


def test_features_equal_the_stored_angles_even_where_these_have_another_axis(tmp_path):
    toys = toy_jets(40)
    assert (toys.jet_p4[:, 2] < 0).any()  # where the stored Δη has the other sign
    shifted = replace(toys, jet_axis=toys.jet_axis + np.array([[0.02, -0.01]], np.float32))
    branches = jetclass_branches(shifted)
    jets = read(write_jetclass_root(tmp_path / "a.root", shifted))
    features = particle_features(make_batch(jets), ["delta_eta", "delta_phi"]).numpy()
    np.testing.assert_allclose(features[:, 0], ak.flatten(branches["part_deta"]), atol=2e-6)
    np.testing.assert_allclose(features[:, 1], ak.flatten(branches["part_dphi"]), atol=2e-6)


def test_one_broken_angle_does_not_move_the_axis():
    jets = by_hand(part_deta=[[-0.5, -0.5, 40.0]], part_dphi=[[0.25, 0.25, 0.25]])
    np.testing.assert_allclose(jets.jet_axis, [[0.5, -0.25]], atol=1e-7)


def test_stored_delta_eta_has_the_sign_of_the_jets_eta():
    sinh, cosh = np.sinh(-1.0), np.cosh(-1.0)
    jets = by_hand(
        part_pz=[[sinh, sinh]],
        part_energy=[[cosh, cosh]],
        part_deta=[[0.5, 0.5]],  # −(η − η_axis) with η = −1
        part_dphi=[[0.0, 0.0]],
    )
    np.testing.assert_allclose(jets.jet_axis, [[-0.5, 0.0]], atol=1e-7)


def test_axis_lies_on_the_seam_of_the_azimuth_where_the_particles_do():
    phi = np.pi + np.array([-0.01, 0.01])
    jets = by_hand(
        part_px=[np.cos(phi)],
        part_py=[np.sin(phi)],
        part_deta=[[0.0, 0.0]],
        part_dphi=[[-0.006, 0.014]],
    )
    np.testing.assert_allclose(np.cos(jets.jet_axis[0, 1]), np.cos(np.pi - 0.004), atol=1e-7)
    np.testing.assert_allclose(np.sin(jets.jet_axis[0, 1]), np.sin(np.pi - 0.004), atol=1e-7)


@pytest.mark.parametrize("missing", ["part_deta", "part_dphi"])
def test_axis_is_the_jets_own_without_both_angles(tmp_path, missing):
    toys = toy_jets(5)
    shifted = replace(toys, jet_axis=toys.jet_axis + np.float32(0.01))
    jets = read(write_jetclass_root(tmp_path / "a.root", shifted, without=[missing]))
    np.testing.assert_allclose(jets.jet_axis, toys.jet_axis, atol=1e-6)


def test_jet_momenta_are_sums_unless_all_four_branches_are_there(tmp_path):
    toys = toy_jets(8)
    doubled = {"jet_energy": 2 * toys.jet_p4[:, 3]}
    stored = read(write_jetclass_root(tmp_path / "a.root", toys, replaced=doubled))
    summed = read(
        write_jetclass_root(tmp_path / "b.root", toys, replaced=doubled, without=["jet_phi"])
    )
    np.testing.assert_array_equal(stored.jet_p4[:, 3], 2 * toys.jet_p4[:, 3])
    ends = toys.offsets[1:-1]
    sums = [part.sum(axis=0) for part in np.split(toys.p4.astype(np.float64), ends)]
    np.testing.assert_allclose(summed.jet_p4, np.array(sums), rtol=1e-7)


def test_particles_are_put_in_order_of_falling_pt_with_their_columns():
    jets = by_hand(
        part_px=[[1.0, 3.0, 2.0, 3.0]], part_energy=[[3.0] * 4], part_charge=[[1, 2, 3, 4]]
    )
    np.testing.assert_array_equal(jets.p4[:, 0], [3, 3, 2, 1])
    np.testing.assert_array_equal(jets.extra[:, 0], [2, 4, 3, 1])


def test_rounding_of_the_momenta_does_not_change_the_files_order():
    jets = by_hand(part_px=[[1.0, 1.0000001]], part_charge=[[1, 2]])
    np.testing.assert_array_equal(jets.extra[:, 0], [1, 2])


def test_only_the_columns_that_are_there_become_extra(tmp_path):
    path = write_jetclass_root(
        tmp_path / "a.root", toy_jets(3), without=["part_isMuon", "part_d0val"]
    )
    names = read(path).extra_names
    assert "is_muon" not in names
    assert "d0" not in names
    assert len(names) == 8


def test_a_jet_without_particles_is_read(tmp_path):
    toys = toy_jets(3, lengths=[4, 0, 2])
    arrays = replace(toys, jet_p4=np.ones((3, 4), np.float32))
    jets = read(write_jetclass_root(tmp_path / "a.root", arrays))
    np.testing.assert_array_equal(jets.lengths, [4, 0, 2])
    assert not np.isfinite(jets.jet_axis[1]).any()


def test_numbers_beyond_single_precision_become_infinite():
    assert np.isinf(by_hand(part_px=[[1e300]]).p4[0, 0])


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float32, np.float64])
def test_labels_may_be_of_any_type(tmp_path, dtype):
    toys = toy_jets(6)
    labels = {name: toys.labels[:, i].astype(dtype) for i, name in enumerate(toys.label_names)}
    jets = read(write_jetclass_root(tmp_path / "a.root", toys, replaced=labels))
    np.testing.assert_array_equal(jets.labels, toys.labels)


@pytest.mark.parametrize("wrong", [2.0, -1.0, 0.5, np.nan])
def test_label_that_is_not_zero_or_one_is_refused(tmp_path, wrong):
    labels = np.array([1, 0, wrong, 0], dtype=np.float32)
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4), replaced={"label_top": labels})
    with pytest.raises(InputError, match=r"a\.root: label_top must be 0 or 1, .* for jet 2"):
        read(path)


def test_files_without_labels_are_read(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4), without=["label_top", "label_QCD"])
    assert read(path).labels.shape == (4, 0)


def test_missing_branch_is_named_with_what_is_there(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2), without=["part_pz"])
    with pytest.raises(InputError, match=r"a\.root has no branch part_pz; it has .*part_px, "):
        read(path)


def test_branches_of_different_lengths_are_named(tmp_path):
    toys = toy_jets(3, lengths=[3, 2, 4])
    shorter = {"part_charge": ak.Array([[1.0] * 3, [1.0], [1.0] * 4])}
    path = write_jetclass_root(tmp_path / "a.root", toys, replaced=shorter)
    message = r"part_px and part_charge differ in length \(2 and 1 particles in jet 1\)"
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["part_px", "part_charge"])
def test_flat_branch_where_lists_are_needed_is_refused(tmp_path, name):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2), replaced={name: np.ones(2)})
    with pytest.raises(InputError, match=f"{name} must hold a list of numbers"):
        read(path)


@pytest.mark.parametrize("name", ["jet_pt", "label_top"])
def test_lists_where_a_flat_branch_is_needed_are_refused(tmp_path, name):
    lists = ak.Array([[1.0], [1.0, 2.0]])
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2), replaced={name: lists})
    with pytest.raises(InputError, match=f"{name} must hold one number a jet"):
        read(path)


@pytest.mark.parametrize("name", ["part_charge", "jet_pt"])
def test_branches_of_fewer_jets_than_others_are_refused(name):
    branches = {"part_px": [[1.0], [2.0]], "part_py": [[0.0]] * 2, "part_pz": [[0.0]] * 2}
    branches |= {"part_energy": [[2.0]] * 2, "jet_eta": [0.0] * 2, "jet_phi": [0.0] * 2}
    branches |= {"jet_pt": [1.0] * 2, "jet_energy": [2.0] * 2, "part_charge": [[1.0]] * 2}
    branches[name] = branches[name][:1]
    arrays = {key: ak.Array(branch) for key, branch in branches.items()}
    with pytest.raises(
        InputError, match=rf"from entry 5 on, {name} has 1 entries where part_px has 2"
    ):
        to_jets(arrays, Path("hand.root"), 5)


def test_text_where_numbers_are_needed_is_refused():
    with pytest.raises(InputError, match=r"hand\.root: label_top must hold numbers"):
        by_hand(part_px=[[1.0]], label_top=["top"])
