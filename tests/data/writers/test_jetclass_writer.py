"""What is written in JetClass's layout: looked at by uproot, and read back."""

import errno
import json
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

from helpers.particles import jets, p4
from parttag.data.readers import read_chunks
from parttag.data.writers.jetclass import (
    JetClassTable,
    is_simulated,
    read_provenance,
    write_jets,
)
from parttag.errors import InputError
from parttag.testing import toy_jets


@pytest.fixture
def clustered():
    forward = p4([400.0, 200.0], [1.2, 0.8], [3.1, -3.1])
    backward = p4([600.0, 30.0, 5.0], [-1.0, -1.2, -0.7], [0.0, 0.2, -0.3])
    return jets(forward, backward)


@pytest.fixture
def sample(clustered):
    top = np.array([True, False])
    return JetClassTable.of_clustered(clustered, {"label_top": top, "label_QCD": ~top})


@pytest.fixture
def written(tmp_path, sample):
    path = tmp_path / "train" / "jets.root"
    write_jets(path, sample, {"seed": 3})
    return path


def test_the_file_is_a_ttree_in_jetclass_layout(written):
    with uproot.open(written) as file:
        assert file.classnames()["tree;1"] == "TTree"
        tree = file["tree"].arrays()
    floats = {f"part_{name}" for name in ("px", "py", "pz", "energy", "deta", "dphi")}
    floats |= {"jet_pt", "jet_eta", "jet_phi", "jet_energy"}
    assert floats <= set(tree.fields)
    assert tree.jet_nparticles.tolist() == [2, 3]
    assert tree.label_top.tolist() == [True, False]
    assert tree.label_QCD.tolist() == [False, True]


def test_momenta_come_back_as_they_were(written, clustered):
    with uproot.open(written) as file:
        tree = file["tree"].arrays()
    for branch, column in zip(("px", "py", "pz", "energy"), clustered.particles.T, strict=True):
        assert np.concatenate(tree[f"part_{branch}"].tolist()) == pytest.approx(column, rel=1e-6)
    assert tree.jet_energy.to_numpy() == pytest.approx(clustered.p4[:, 3], rel=1e-6)


def test_angles_are_relative_to_the_jet_and_carry_the_sign_of_its_eta(written):
    with uproot.open(written) as file:
        tree = file["tree"].arrays()
    for jet, sign, eta, phi in (
        (0, 1, [1.2, 0.8], [3.1, -3.1]),
        (1, -1, [-1.0, -1.2, -0.7], [0.0, 0.2, -0.3]),
    ):
        expected = (np.array(eta) - tree.jet_eta[jet]) * sign
        assert tree.part_deta[jet].to_numpy() == pytest.approx(expected, abs=1e-6)
        turn = np.array(phi) - tree.jet_phi[jet] - tree.part_dphi[jet].to_numpy()
        assert np.cos(turn) == pytest.approx(1.0)
        assert np.abs(tree.part_dphi[jet].to_numpy()).max() < 1


def test_provenance_comes_back(written):
    assert read_provenance(written) == {"seed": 3}


def test_the_hash_is_that_of_the_jets(sample, clustered):
    top = sample.jets["label_top"]
    again = JetClassTable.of_clustered(clustered, {"label_top": top, "label_QCD": ~top})
    swapped = JetClassTable.of_clustered(clustered, {"label_top": ~top})
    assert sample.sha256() == again.sha256()
    assert sample.sha256() != swapped.sha256()


def test_nothing_is_left_beside_the_file(written):
    assert [path.name for path in written.parent.iterdir()] == ["jets.root"]


def test_a_full_disk_leaves_no_file_and_is_one_sentence(tmp_path, sample, monkeypatch):
    def full(file, *args, **kwargs):
        file.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uproot, "recreate", full)
    with pytest.raises(
        InputError, match=r"jets.root cannot be written \(no space left on device\)"
    ):
        write_jets(tmp_path / "jets.root", sample, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "text", "no provenance"])
def test_a_damaged_file_is_named(written, damage):
    if damage == "cut":
        written.write_bytes(written.read_bytes()[:500])
    elif damage == "text":
        written.write_text(json.dumps({}))
    else:
        with uproot.recreate(written) as file:
            file["other"] = "text"
    with pytest.raises(InputError, match=r"jets.root is no file of simulated jets, or is damaged"):
        read_provenance(written)


def test_jets_of_a_reader_are_written_with_all_that_they_have(tmp_path):
    toys = toy_jets(12)
    toys = replace(toys, jet_axis=toys.jet_axis + np.float32(0.1))  # not the jets' own direction
    write_jets(tmp_path / "jets.root", toys)
    assert not is_simulated(tmp_path / "jets.root")
    with uproot.open(tmp_path / "jets.root") as file:
        tree = file["tree"].arrays()
    flat = {name: ak.flatten(tree[name]).to_numpy() for name in ("part_px", "part_d0val")}
    assert flat["part_px"].tolist() == toys.p4[:, 0].tolist()
    d0 = toys.extra[:, toys.extra_names.index("d0")]
    assert flat["part_d0val"].tolist() == d0.tolist()
    assert tree.label_QCD.tolist() == (toys.labels[:, 1] == 1).tolist()
    # Of the first jet's first particle, by the definitions.
    px, py, pz, _ = toys.p4[0].astype(float)
    eta = np.arctanh(pz / np.sqrt(px**2 + py**2 + pz**2))
    sign = np.sign(toys.jet_p4[0, 2])
    assert tree.part_deta[0, 0] == pytest.approx(sign * (eta - toys.jet_axis[0, 0]), abs=1e-6)
    turn = np.arctan2(py, px) - toys.jet_axis[0, 1] - tree.part_dphi[0, 0]
    assert np.cos(turn) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["jets.root", "jets.parquet"])
def test_tables_follow_one_another(tmp_path, name):
    toys = toy_jets(10)
    tables = [JetClassTable.of_jets(toys.span(*ends)) for ends in ((0, 4), (4, 10))]
    write_jets(tmp_path / name, iter(tables))
    write_jets(tmp_path / f"whole_{name}", toys)
    read, whole = (next(read_chunks(tmp_path / n)) for n in (name, f"whole_{name}"))
    np.testing.assert_array_equal(read.p4, toys.p4)
    for field in ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels"):
        np.testing.assert_array_equal(getattr(read, field), getattr(whole, field))


def test_bad_jets_are_written_as_they_are(tmp_path):
    toys = toy_jets(3)
    p4 = toys.p4.copy()
    p4[0], p4[1] = np.nan, 0
    write_jets(tmp_path / "jets.root", replace(toys, p4=p4))
    with uproot.open(tmp_path / "jets.root") as file:
        px = file["tree/part_px"].array()
    np.testing.assert_array_equal(ak.flatten(px).to_numpy(), p4[:, 0])
